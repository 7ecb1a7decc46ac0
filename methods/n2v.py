"""Noise2Void: predict a pixel whose input was replaced by a neighbour's value (Krull et al., CVPR 2019)."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .networks.readout import at_pixels, values_at
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .rng import Rng


def masked_index(rng: Rng, perc: float, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A random pixel in every box of side round(sqrt(100 / perc)), as `box_index` gives it."""
    side = max(1, round(math.sqrt(100.0 / perc)))
    boxes = (channels, -(-height // side), -(-width // side))
    row, column = (rng.integers(f"masked {axis}", side, *boxes) for axis in ("row", "column"))
    return box_index(row, column, side, height, width)


def box_index(row: Tensor, column: Tensor, side: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The pixels at these places [B, C, ...] of the boxes: int64 row * W + column [B, C, n], bool inside [B, C, n].

    Boxes may overhang; a pixel that is not inside the image has index 0.
    """
    row = row + side * torch.arange(-(-height // side), device=row.device)[:, None]
    column = column + side * torch.arange(-(-width // side), device=column.device)
    inside = (row < height) & (column < width)
    return ((row * width + column) * inside).flatten(2), inside.flatten(2)


def mask_of(index: Tensor, inside: Tensor, height: int, width: int) -> Tensor:
    """bool [B, C, H, W]: true at the pixels of index [B, C, n] that are inside the image."""
    mask = torch.zeros(*index.shape[:2], height * width, dtype=torch.int64, device=index.device)
    return mask.scatter_add(2, index, inside.long()).view(-1, index.shape[1], height, width) > 0


def masked_difference(net: nn.Module, y_M: Tensor, y: Tensor, index: Tensor, inside: Tensor) -> Tensor:
    """f(y_M) - y at the masked entries, which index [B, C, n] lists; 0 where they lie outside the image: [B, C, n]."""
    f = at_pixels(net, y_M, index.flatten(1).unsqueeze(1)).view(
        -1, index.shape[1], *index.shape[1:]
    )  # at the pixels of every channel
    return (f.diagonal(dim1=1, dim2=2).transpose(1, 2) - values_at(y, index)) * inside


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
        error = difference**2 if self.loss == "mse" else difference.abs()
        yield (error.sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)).mean()
