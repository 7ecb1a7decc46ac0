"""Noise2Fast: the two colours of a checkerboard as a noisy pair (Lequyer et al., Nature Machine Intelligence 2022)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Batch, Card, Context, Method
from .networks.layers import Float32Conv
from .registry import register


def checkerboards(y: Tensor) -> tuple[Tensor, Tensor]:
    """Both colours, stacked in the batch: pushed together in rows [2B, C, H, W/2], and in columns [2B, C, H/2, W]."""
    a, b, c, d = (y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    rows = [torch.stack(pair, dim=3).flatten(2, 3) for pair in ((a, d), (b, c))]
    columns = [torch.stack(pair, dim=4).flatten(3, 4) for pair in ((a, d), (c, b))]
    return torch.cat(rows), torch.cat(columns)


class Plain(nn.Module):
    """Eight 3x3 convolutions of 64 features with ReLU, and a 1x1 convolution."""

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Conv2d(n, width, 3, padding=1) for n in [channels, *[width] * 7])
        self.last = Float32Conv(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> log odds [B, C, H, W]."""
        for conv in self.hidden:
            x = F.relu(conv(x))
        odds: Tensor = self.last(x)
        return odds


@register("noise2fast")
class Noise2Fast(Method, frozen=True):
    """min E H(f(e), o) + H(f(o), e) of one image, e and o the colours of a checkerboard, H the cross entropy."""

    card = Card(
        paper="Lequyer et al., A fast blind zero-shot denoiser, Nature Machine Intelligence 2022",
        deviations="its own network; all four pairs in every step, where the authors draw one; a fixed number of steps "
        "and the last network, where they stop once the output does not come nearer to the noisy image for 100 steps, "
        "and average the last 105 outputs; one network for all channels",
    )
    trains_on = "image"
    keeps_images = True
    multiple = 2

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Plain(channels)

    def unit(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """y moved to 0..1, its lowest value, and its range."""
        low, high = (f(y, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
        size = (high - low).clamp(min=1e-6)
        return (y - low) / size, low, size

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Each colour from the other, pushed together both ways."""
        y, _, _ = self.unit(batch.noisy)
        for pair in checkerboards(y):
            yield F.binary_cross_entropy_with_logits(net(pair), pair.roll(len(y), 0)) / 2.0

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The probabilities, moved back to the range of y."""
        y, low, size = self.unit(noisy)
        return {"denoised": low + size * net(y).sigmoid()}
