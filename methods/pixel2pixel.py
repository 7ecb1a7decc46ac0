"""Pixel2Pixel: noisy pairs from a bank of similar pixels of one image (Ma et al., TPAMI 2025)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .networks.dncnn import DnCNN
from .networks.registry import Network
from .registry import register

STEPS = 3000  # of the authors


def bank(y: Tensor, m: int, window: int, patch: int) -> Tensor:
    """[B, m, C, H, W]: for every pixel of y [B, C, H, W] the m of a window with the nearest patches, itself first.

    The distance is the sum of absolute differences over a patch and all channels; the border is reflected. The window
    is that of the official code: a pixel's window of 40 begins 20 before it and ends 19 after it.
    """
    height, width = y.shape[2:]
    reach, half = window // 2, patch // 2
    wide = reflected(y, reach + half)[:, :, :, : width + 2 * half + window - 1]
    own = wide[:, :, reach : reach + height + 2 * half, reach : reach + width + 2 * half].unsqueeze(3)
    nearest = torch.full((len(y), m, height, width), torch.inf, device=y.device, dtype=y.dtype)
    found = y.unsqueeze(1).expand(-1, m, -1, -1, -1)
    for down in range(window):
        rows = wide[:, :, down : down + height + 2 * half].unfold(3, width + 2 * half, 1)  # dim 3: shifts
        distance = F.avg_pool2d((rows - own).abs().sum(1).transpose(1, 2), patch, 1)
        values = rows[:, :, half : half + height, :, half : half + width].permute(0, 3, 1, 2, 4)
        nearest, which = torch.cat([nearest, distance], dim=1).topk(m, dim=1, largest=False)
        index = which.unsqueeze(2).expand(-1, -1, y.shape[1], -1, -1)
        found = torch.cat([found, values], dim=1).gather(1, index)
    return found


def reflected(y: Tensor, margin: int) -> Tensor:
    """With a border that is reflected as often as needed, also of an image that is smaller than it."""
    for side in (2, 3):
        length = y.shape[side]
        place = torch.arange(-margin, length + margin, device=y.device).remainder(max(1, 2 * length - 2))
        y = y.index_select(side, torch.minimum(place, 2 * length - 2 - place).clamp(min=0))
    return y


@register("pixel2pixel")
class Pixel2Pixel(Method, frozen=True):
    """min E | f(y_i) - y_j | of one image, y_i and y_j with a random pixel of its bank at every place; x^ = f(y)."""

    card = Card(
        paper="Ma et al., Pixel2Pixel: a pixelwise approach for zero-shot single image denoising, TPAMI 2025",
        deviations="DnCNN of six layers in place of its network of that size; the same number of pixels of the bank "
        "for all noises (the released code has 2, 4 or 8, by the noise that it is told); values are not clipped; fewer "
        "steps where the table says so, then under the shared recipe",
    )
    trains_on = "image"
    keeps_images = True
    revision = 2  # 1 searched one more row and column of an even window
    m: int = 8  # pixels of the bank
    window: int = 40
    patch: int = 7
    net: Network = DnCNN(depth=6)

    def __post_init__(self) -> None:
        """InputError for a bank without a pair or with more pixels than a window has, or even patches."""
        most, sides = min(256, self.window**2), 2 <= self.window <= 200 and 1 <= self.patch <= 31
        if not (sides and 2 <= self.m <= most and self.patch % 2):
            allowed = "m 2 to 256 and at most window^2, window 2 to 200, odd patch 1 to 31"
            raise InputError(f"pixel2pixel: m = {self.m}, window = {self.window}, patch = {self.patch}; {allowed}")

    def prepare(self, noisy: Tensor) -> Tensor:
        """The bank, its pixels as channels."""
        return bank(noisy, self.m, self.window, self.patch).flatten(1, 2)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Two different pixels of the bank at every place."""
        sides = batch.noisy.shape[2:]
        pixels = batch.noisy.view(len(batch.noisy), self.m, -1, *sides)
        first = ctx.rng.integers("first", self.m, 1, 1, *sides)
        second = (first + 1 + ctx.rng.integers("second", self.m - 1, 1, 1, *sides)) % self.m
        y_i, y_j = (pixels.gather(1, i.expand(-1, -1, pixels.shape[2], -1, -1)).squeeze(1) for i in (first, second))
        yield (net(y_i) - y_j).abs().mean()

    def reduced_settings(self, steps: int) -> str:
        """Fewer steps than the authors'."""
        return f"{steps:,} of {STEPS:,} steps" if steps < STEPS else ""
