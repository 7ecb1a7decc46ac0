"""Self2Self: one network per noisy image, trained on its dropped pixels (Quan et al., CVPR 2020)."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .registry import register
from .rng import Rng

STEPS, ENSEMBLE = 150_000, 100  # of the official code


class PartialConv(nn.Conv2d):
    """A 3x3 convolution of the known pixels, divided by their share of the window."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, 3, padding=1)

    def known(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] and its mask [B, 1 or C, H, W] -> features, and where a window had a known pixel."""
        share = F.avg_pool2d(mask.mean(1, keepdim=True), 3, 1, 1)
        seen = (share > 0).to(x.dtype)
        bias = self.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
        features = F.conv2d(x * mask, self.weight, padding=1) / share.clamp(min=1e-6) * seen + bias
        return F.leaky_relu(features, 0.1), seen


class Network(nn.Module):
    """An encoder of partial convolutions, a decoder with dropout before every convolution, sigmoid output."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        w, self.channels, self.dropout = width, channels, dropout
        self.encoder = nn.ModuleList([PartialConv(channels, w), *(PartialConv(w, w) for _ in range(6))])
        sizes = [(2 * w, 2 * w, 2 * w)] + [(3 * w, 2 * w, 2 * w)] * 3
        layers = [nn.Conv2d(a, b, 3, padding=1) for size in sizes for a, b in (size[:2], size[1:])]
        last = (2 * w + channels, 4 * w // 3, 2 * w // 3, channels)
        layers += [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(last)]
        self.decoder = nn.ModuleList(layers)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.rng: Rng | None = None  # of the dropout, which stays on in the ensemble; set before every call
        self.draw = ""

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2 C, H, W], the masked image and its mask -> [B, C, H, W] in 0..1; sides are multiples of 32."""
        image, mask = x.chunk(2, dim=1)
        skips = [image]
        x, mask = self.encoder[0].known(image, mask)  # type: ignore[operator]
        for i in range(1, 6):
            x, mask = self.encoder[i].known(x, mask)  # type: ignore[operator]
            x, mask = F.max_pool2d(x, 2), F.max_pool2d(mask, 2)
            skips.append(x)
        x, _ = self.encoder[6].known(x, mask)  # type: ignore[operator]
        skips.pop()
        for i, conv in enumerate(self.decoder[:-1]):
            if i % 2 == 0 and skips:
                x = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1)
            x = F.leaky_relu(conv(self._dropped(x, i)), 0.1)
        with torch.autocast(x.device.type, enabled=False):
            return torch.sigmoid(self.decoder[-1](self._dropped(x, len(self.decoder)).to(image.dtype)))

    def _dropped(self, x: Tensor, layer: int) -> Tensor:
        assert self.rng is not None
        kept = self.rng.uniform(f"dropout {layer} {self.draw}", *x.shape[1:]) >= self.dropout
        return x * kept / (1.0 - self.dropout)


@register("self2self")
class Self2Self(Method, frozen=True):
    """min E || (1 - b) (f(b y) - y) ||^2 / |1 - b|, b ~ Bernoulli(keep) per entry; x^ = mean_j f_j(b_j y)."""

    card = Card(
        paper="Quan et al., Self2Self With Dropout, CVPR 2020",
        equations="Eq. 6, 9",
        deviations="same-size maps and a full share of known pixels, where the official code pads twice and shifts; "
        "fewer steps and a smaller ensemble where the table says so, then under the shared recipe",
    )
    trains_on = "image"
    kept = True
    keep: float = 0.7
    dropout: float = 0.3
    width: int = 48
    ensemble: int = ENSEMBLE

    def __post_init__(self) -> None:
        """InputError for probabilities, an ensemble or a width that leave nothing."""
        fits = 0.0 < self.keep < 1.0 and 0.0 <= self.dropout < 1.0 and self.ensemble >= 1 and self.width >= 3
        if not fits:
            raise InputError("self2self: allowed: 0 < keep < 1, 0 <= dropout < 1, ensemble >= 1, width >= 3")

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Network(channels, self.width, self.dropout)

    def predict(self, net: nn.Module, y: Tensor, rng: Rng, draw: str) -> tuple[Tensor, Tensor]:
        """f(b y) for a named draw of mask, dropout and flips (undone), and b."""
        net.rng, net.draw = rng, draw  # type: ignore[assignment]
        b = (rng.uniform(f"keep {draw}", *y.shape[1:]) < self.keep).to(y.dtype)
        flips = rng.integers(f"flip {draw}", 2, 2).bool()
        x = flipped(net(flipped(torch.cat([b * y, b], dim=1), flips)), flips)
        return x, b

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean square over the dropped pixels of each image."""
        x, b = self.predict(net, batch.noisy, ctx.rng, f"step {ctx.progress.step}")
        dropped = 1.0 - b
        yield (((x - batch.noisy) * dropped).square().sum((1, 2, 3)) / dropped.sum((1, 2, 3))).mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The mean of the ensemble."""
        total = torch.zeros_like(noisy)
        for j in range(self.ensemble):
            total += self.predict(net, noisy, ctx.rng, f"pass {j}")[0]
        return {"denoised": total / self.ensemble}

    def passes(self) -> dict[str, int]:
        """One per member of the ensemble; the training of the image comes on top."""
        return {"denoised": self.ensemble}

    def reduced_settings(self, steps: int) -> str:
        """Fewer steps and passes than the official code."""
        parts = [f"{steps:,} of {STEPS:,} steps"] * (steps < STEPS)
        parts += [f"{self.ensemble} of {ENSEMBLE} passes"] * (self.ensemble < ENSEMBLE)
        return ", ".join(parts)


def flipped(x: Tensor, flips: Tensor) -> Tensor:
    """[B, C, H, W], each image upside down, left to right, or both, as [B, 2] says."""
    x = torch.where(flips[:, 0].view(-1, 1, 1, 1), x.flip(2), x)
    return torch.where(flips[:, 1].view(-1, 1, 1, 1), x.flip(3), x)
