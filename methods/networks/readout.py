"""Which pixels of a network's output are read: a network that knows does not compute the others."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Grid(NamedTuple):
    """Every s-th row and column is read, from an offset of its own in each equal part of the batch."""

    s: int
    offsets: tuple[tuple[int, int], ...]  # row and column below s, one pair for each part

    def convolve(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """A 3x3 convolution of [B, C, H, W] at these pixels alone: [B, C, H / s, W / s]; s divides the sides."""
        end = 2 - self.s  # a part's windows begin one pixel before its first output and end one after its last
        pads = [(1 - column, column + end, 1 - row, row + end) for row, column in self.offsets]  # below 0: cut off
        parts = x.view(len(pads), -1, *x.shape[1:])  # not `chunk`, which would make the batch a constant in an export
        windows = [F.pad(part, pad) for part, pad in zip(parts, pads, strict=True)]
        return F.conv2d(torch.cat(windows), conv.weight, conv.bias, stride=self.s)


class Pixels(NamedTuple):
    """n pixels of each image are read; every image has its own."""

    at: Tensor  # row * W + column, int64 [B, n]

    def convolve(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """A 3x3 convolution of [B, C, H, W] at these pixels alone: [B, C, n, 1]."""
        batch, channels, height, width = x.shape
        padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
        wide, device = width + 2, x.device
        corner = self.at // width * wide + self.at % width  # of the window, in the padded image
        corner = corner + (height + 2) * wide * torch.arange(batch, device=device)[:, None]
        steps = wide * torch.arange(3, device=device)[:, None] + torch.arange(3, device=device)
        windows = padded.index_select(0, (corner[..., None] + steps.flatten()).flatten())
        kernel = conv.weight.movedim(1, 3).flatten(1)  # row, column, channel, as the windows
        made = F.linear(windows.view(batch, -1, 9 * channels), kernel, conv.bias)
        return made.transpose(1, 2).unsqueeze(3)


class Corner(NamedTuple):
    """All pixels are read but the padding at the bottom and on the right."""

    height: int
    width: int


def at_pixels(net: nn.Module, x: Tensor, index: Tensor) -> Tensor:
    """net(x) at the pixels of index [B, 1, n] (row * W + column): [B, outputs, n]."""
    few = 4 * index.shape[2] <= x.shape[2] * x.shape[3]  # windows of more take longer than the whole map
    if few and getattr(net, "reads_pixels", False):
        read: Tensor = net(x, Pixels(index[:, 0]))
        return read.squeeze(3)
    return values_at(net(x), index)


def values_at(x: Tensor, index: Tensor) -> Tensor:
    """The values [B, C, n] of x [B, C, H, W] at the pixels of index [B, C, n], or [B, 1, n] for all channels."""
    return x.flatten(2).gather(2, index.expand(-1, x.shape[1], -1))
