"""Self2Self: one network per noisy image, trained on its dropped pixels (Quan et al., CVPR 2020)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .networks.self2self import Self2SelfNet
from .registry import register
from .rng import Rng

STEPS, ENSEMBLE = 150_000, 100  # of the official code


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
    keeps_images = True
    multiple = Self2SelfNet.multiple
    keep: float = 0.7
    dropout: float = 0.3
    width: int = 48
    ensemble: int = ENSEMBLE

    def __post_init__(self) -> None:
        """InputError unless 0 < keep < 1, 0 <= dropout < 1, 1 <= ensemble <= 10,000 and 3 <= width <= 1,024."""
        numbers = 1 <= self.ensemble <= 10_000 and 3 <= self.width <= 1024
        if not (numbers and 0.0 < self.keep < 1.0 and 0.0 <= self.dropout < 1.0):
            allowed = "0 < keep < 1, 0 <= dropout < 1, ensemble 1 to 10,000, width 3 to 1,024"
            given = f"keep = {self.keep:g}, dropout = {self.dropout:g}, ensemble = {self.ensemble}"
            raise InputError(f"self2self: {given}, width = {self.width}; allowed: {allowed}")

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Self2SelfNet(channels, self.width, self.dropout)

    def predict(self, net: nn.Module, y: Tensor, rng: Rng, draw: str) -> tuple[Tensor, Tensor]:
        """f(b y) for a named draw of mask, dropout and flips (undone), and b."""
        b = (rng.uniform(f"keep {draw}", *y.shape[1:]) < self.keep).to(y.dtype)
        flips = rng.integers(f"flip {draw}", 2, 2).bool()
        x = flipped(net(flipped(torch.cat([b * y, b], dim=1), flips), rng, draw), flips)
        return x, b

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean square over the dropped pixels of each image."""
        x, b = self.predict(net, batch.noisy, ctx.rng, "step")
        dropped = 1.0 - b
        yield (((x - batch.noisy) * dropped).square().sum((1, 2, 3)) / dropped.sum((1, 2, 3)).clamp(min=1)).mean()

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
