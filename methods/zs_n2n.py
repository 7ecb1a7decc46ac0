"""ZS-N2N: two halves of one image as a noisy pair, and a tiny network (Mansour and Heckel, CVPR 2023)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .base import Batch, Card, Context, Method
from .registry import register

STEPS = 2000  # of the authors


def halves(y: Tensor) -> tuple[Tensor, Tensor]:
    """D1 y, D2 y [B, C, H/2, W/2]: the means of the two diagonals of every 2x2 cell."""
    a, b, c, d = (y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return (a + d) / 2.0, (b + c) / 2.0


class Small(nn.Sequential):
    """3x3, 3x3 and 1x1 convolutions of 48 features: about 22,000 parameters."""

    def __init__(self, channels: int, width: int = 48) -> None:
        first, second = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        super().__init__(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), nn.Conv2d(width, channels, 1))


@register("zs-n2n")
class ZSN2N(Method, frozen=True):
    """min L_res + L_cons of one image y, x^ = y - f(y), with the halves y1 = D1 y, y2 = D2 y.

    L_res = (|| y1 - f(y1) - y2 ||^2 + || y2 - f(y2) - y1 ||^2) / 2,
    L_cons = (|| y1 - f(y1) - D1(y - f(y)) ||^2 + || y2 - f(y2) - D2(y - f(y)) ||^2) / 2.
    """

    card = Card(
        paper="Mansour and Heckel, Zero-Shot Noise2Noise, CVPR 2023",
        deviations="its own network; fewer steps where the table says so, then under the shared recipe",
    )
    trains_on = "image"
    keeps_images = True
    multiple = 2  # its cells

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Small(channels)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Residual and consistency; both halves go through the network together."""
        y = batch.noisy
        pair = torch.cat(halves(y))
        denoised = pair - net(pair)
        swapped = pair.roll(len(y), 0)
        consistent = torch.cat(halves(y - net(y)))
        yield (denoised - swapped).square().mean() + (denoised - consistent).square().mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """y - f(y)."""
        return {"denoised": noisy - net(noisy)}

    def reduced_settings(self, steps: int) -> str:
        """Fewer steps than the authors'."""
        return f"{steps:,} of {STEPS:,} steps" if steps < STEPS else ""
