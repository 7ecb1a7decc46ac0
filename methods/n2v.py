"""Noise2Void: predict a pixel whose input was replaced by a neighbour's value (Krull et al., CVPR 2019)."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .masks import mask_of, masked_difference, masked_index, masked_mean
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .rng import Rng


def neighbours(rng: Rng, y: Tensor, radius: int, centre: bool) -> Tensor:
    """For every pixel of y [B, C, H, W] the value of a random one of its (2r+1)^2 window, cropped at the border."""
    channels, height, width = y.shape[1:]
    low, size = zip(*(_window(n, radius, y.device) for n in (height, width)), strict=True)
    rows, columns = size[0][:, None], size[1]
    own = (torch.arange(height, device=y.device) - low[0])[:, None] * columns
    own = own + torch.arange(width, device=y.device) - low[1]
    choices = rows * columns - (0 if centre else 1)
    draw = rng.uniform("replacement", channels, height, width)
    pick = torch.minimum((draw * choices).long(), choices - 1)
    pick = pick if centre else pick + (pick >= own)
    index = (low[0][:, None] + pick // columns) * width + low[1] + pick % columns
    return y.flatten(2).gather(2, index.flatten(2)).view_as(y)


def _window(n: int, radius: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First index and size of the window of every position 0..n-1."""
    position = torch.arange(n, device=device)
    low = (position - radius).clamp(min=0)
    return low, (position + radius).clamp(max=n - 1) - low + 1


@register("n2v")
class N2V(Method, frozen=True):
    """min E sum_M (f(y_M) - y)^2 / |M|, with the pixels M of y_M replaced by neighbours of y."""

    card = Card(
        paper="Krull et al., Noise2Void, CVPR 2019",
        deviations="shared U-Net without batch norm, no mean/std normalisation, one network for all channels, the mean "
        "of each image's masked entries instead of the batch's; the "
        "authors' masks and losses are the configurations n2v-bsd68 and n2v-library",
    )
    revision = 2  # 1 computed the whole output
    perc: float = 1.5  # per cent of the pixels, one per box
    radius: int = 5
    manipulator: Literal["withCP", "withoutCP"] = "withoutCP"  # whether the pixel itself may be drawn
    loss: Literal["mse", "mae"] = "mse"
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError for a share of pixels or a radius that mask nothing."""
        if not 0.0 < self.perc <= 100.0 or self.radius < 1:
            raise InputError(
                f"n2v: perc = {self.perc:g}, radius = {self.radius}; allowed: 0 < perc <= 100, radius >= 1"
            )

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean over the masked entries of each image; all replacements are read from the original."""
        y = batch.noisy
        index, inside = masked_index(ctx.rng, self.perc, *y.shape[1:])
        M = mask_of(index, inside, *y.shape[2:])
        y_M = torch.where(M, neighbours(ctx.rng, y, self.radius, self.manipulator == "withCP"), y)
        difference = masked_difference(net, y_M, y, index, inside)
        yield masked_mean(difference**2 if self.loss == "mse" else difference.abs(), inside).mean()
