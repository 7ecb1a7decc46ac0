"""N2V2: Noise2Void without checkerboards (Hoeck et al., ECCVW 2022), and structured masks (Broaddus, ISBI 2020)."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .masks import mask_of, masked_difference, masked_index, masked_mean
from .networks.registry import Network
from .networks.unet_blurpool import BlurUNetConfig
from .registry import register


def medians(y: Tensor, index: Tensor, radius: int, hidden: Tensor) -> Tensor:
    """For each entry of index [B, C, n] of y [B, C, H, W] the median of its window inside the image, [B, C, n].

    `hidden`, bool [2r+1, 2r+1]: which places of the window do not count.
    """
    height, width = y.shape[2:]
    steps = torch.arange(-radius, radius + 1, device=y.device)
    row = (index // width).unsqueeze(-1) + steps.repeat_interleave(len(steps))
    column = (index % width).unsqueeze(-1) + steps.repeat(len(steps))
    counts = (row >= 0) & (row < height) & (column >= 0) & (column < width) & ~hidden.flatten()
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    window = y.flatten(2).gather(2, place.flatten(2)).view(place.shape)
    ordered = window.masked_fill(~counts, torch.inf).sort(dim=3).values
    number = counts.sum(3, keepdim=True).clamp(min=1)
    low, high = (ordered.gather(3, middle) for middle in ((number - 1) // 2, number // 2))
    return ((low + high) / 2.0).squeeze(3)


@register("n2v2")
class N2V2(Method, frozen=True):
    """min E sum_M (f(y_M) - y)^2 / |M|: M's pixels are medians in y_M, and those near them along an axis random."""

    card = Card(
        paper="Hoeck et al., N2V2, ECCVW 2022; Broaddus et al., structN2V, ISBI 2020",
        deviations="the shared U-Net with blurred poolings and without the skip at full size; one network for all "
        "channels; the window of a median ends at the border; with a structured mask the median does not read it",
    )
    revision = 2  # 1 computed the whole output
    perc: float = 1.5  # per cent of the pixels, one per box
    radius: int = 5
    axis: Literal["horizontal", "vertical"] = "horizontal"  # along which noise is correlated
    span: int = 0  # so many pixels on each side of a masked one are random, too
    net: Network = BlurUNetConfig()

    def __post_init__(self) -> None:
        """InputError for numbers that mask nothing, or leave nothing of the window."""
        if not 0.0 < self.perc <= 25.0 or not 1 <= self.radius <= 16 or not 0 <= self.span <= 64:
            allowed = "0 < perc <= 25, radius 1 to 16, span 0 to 64"
            raise InputError(f"n2v2: perc = {self.perc:g}, radius = {self.radius}, span = {self.span}; {allowed}")

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean over the masked entries of each image."""
        y = batch.noisy
        y_M, index, inside = self.masked(y, ctx)
        yield masked_mean(masked_difference(net, y_M, y, index, inside).square(), inside).mean()

    def masked(self, y: Tensor, ctx: Context) -> tuple[Tensor, Tensor, Tensor]:
        """y_M, and the entries of M as `masked_index` gives them."""
        index, inside = masked_index(ctx.rng, self.perc, *y.shape[1:])
        M = mask_of(index, inside, *y.shape[2:])
        steps = torch.arange(-self.radius, self.radius + 1, device=y.device).abs()
        across, along = (steps.view(-1, 1), steps) if self.axis == "horizontal" else (steps, steps.view(-1, 1))
        median = medians(y, index, self.radius, (across == 0) & (along <= self.span))
        y_M = torch.where(M, y.flatten(2).scatter(2, index, median).view_as(y), y)
        if self.span:
            sides = (1, 2 * self.span + 1) if self.axis == "horizontal" else (2 * self.span + 1, 1)
            near = F.max_pool2d(M.to(y.dtype), sides, 1, (sides[0] // 2, sides[1] // 2)) > 0
            low, high = (f(y, dim=(2, 3), keepdim=True) for f in (torch.amin, torch.amax))
            y_M = torch.where(near & ~M, low + (high - low) * ctx.rng.uniform("near", *y.shape[1:]), y_M)
        return y_M, index, inside
