"""Masked pixels: which they are, what replaces them, and the network's output at them."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .networks.readout import Grid, at_pixels, values_at
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


def masked_mean(error: Tensor, inside: Tensor) -> Tensor:
    """The mean of error [B, ...] over the entries that are inside the image, 0 without any: [B]."""
    inside, sides = inside.expand_as(error), tuple(range(1, error.dim()))
    return (error * inside).sum(sides) / inside.sum(sides).clamp(min=1)


def masked_difference(net: nn.Module, y_M: Tensor, y: Tensor, index: Tensor, inside: Tensor) -> Tensor:
    """f(y_M) - y at the masked entries, which index [B, C, n] lists; 0 where they lie outside the image: [B, C, n]."""
    channels, everywhere = index.shape[1], index.flatten(1).unsqueeze(1)  # every channel's pixels, in all channels
    f = at_pixels(net, y_M, everywhere).view(-1, channels, *index.shape[1:])
    return (f.diagonal(dim1=1, dim2=2).transpose(1, 2) - values_at(y, index)) * inside


def interpolate(y: Tensor) -> Tensor:
    """Every pixel of [B, C, H, W] from its eight neighbours, sides 1/6, corners 1/12; zeros beyond the border."""
    offset = torch.arange(-1, 2, device=y.device, dtype=y.dtype) ** 2
    distance = offset[:, None] + offset
    kernel = (distance > 0) / (6.0 * distance.clamp(min=1.0))
    return F.conv2d(y, kernel.expand(y.shape[1], 1, 3, 3), padding=1, groups=y.shape[1])


def cell_masks(s: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Omega: bool [s*s, 1, H, W]; mask k is true at row k // s, column k % s of every s x s cell."""
    row, column, cell = (torch.arange(n, device=device) for n in (height, width, s * s))
    position = row.remainder(s)[:, None] * s + column.remainder(s)
    return (position == cell[:, None, None]).unsqueeze(1)


def cells(image: Tensor, s: int) -> Tensor:
    """[B, C, H, W] -> [B, C, s*s, H/s, W/s]: index k is row k // s, column k % s of every cell."""
    apart = F.pixel_unshuffle(image, s)
    return apart.view(len(image), -1, s * s, *apart.shape[2:])


def blind_spots(net: nn.Module, y: Tensor, s: int, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """Groups of masks, and f(Omega_y) where each of a group masks: [B, C, group, H/s, W/s]."""
    filled, size = interpolate(y), max(1, chunk // y.shape[0])  # shape[0] can stay a symbol in an export
    masks = cell_masks(s, y.shape[2], y.shape[3], y.device)
    for start in range(0, s**2, size):
        group = slice(start, min(start + size, s**2))
        members = torch.where(masks[group].unsqueeze(1), filled, y)  # [group, B, C, H, W]
        yield group, at_masks(net, members, s, range(*group.indices(s**2)))


def at_masks(net: nn.Module, members: Tensor, s: int, group: range) -> Tensor:
    """f of the members [group, B, C, H, W], each at its own mask: the other pixels need not be computed."""
    offsets = tuple(divmod(k, s) for k in group)
    if getattr(net, "reads_grid", False):
        read: Tensor = net(members.flatten(0, 1), Grid(s, offsets))
        read = read.view(*members.shape[:2], *read.shape[1:])
    else:
        denoised = net(members.flatten(0, 1)).view_as(members)
        read = torch.stack([f[..., i::s, j::s] for f, (i, j) in zip(denoised, offsets, strict=True)])
    return read.movedim(0, 2)


def blind_output(net: nn.Module, y: Tensor, s: int, chunk: int) -> Tensor:
    """h(f(Omega_y)): every pixel from the pass that masks it, [B, C, H, W]."""
    there = torch.cat([h for _, h in blind_spots(net, y, s, chunk)], dim=2)
    return F.pixel_shuffle(there.flatten(1, 2), s)
