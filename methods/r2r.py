"""Recorrupted-to-Recorrupted: two noisier images of one, with independent noise (Pang et al., CVPR 2021)."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register

PASSES = 50  # of the official evaluation
MOST = 3000  # photons in a white pixel, so that counts stay below 2^12


class Recorrupted(Method, frozen=True):
    """min E || f(y1) - y2 ||^2, y1 and y2 made of y with noise that is not correlated; x^ = mean_j f(y1_j)."""

    knowledge = "level"
    draw: ClassVar[str]  # names the random numbers of a pair
    ensemble: int = PASSES
    net: Network = UNetConfig()

    def pair(self, y: Tensor, level: Tensor, ctx: Context, name: str) -> tuple[Tensor, Tensor]:
        """(y1, y2) for a named draw; level: sigma in 0..255 units, or lambda."""
        raise NotImplementedError

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Mean (f(y1) - y2)^2: the supervised loss on y1, but for a constant."""
        assert batch.level is not None
        y1, y2 = self.pair(batch.noisy, batch.level, ctx, self.draw)
        yield mse_loss(net(y1), y2)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The mean over an ensemble of y1, on whose noise f was trained: it is more than y's."""
        assert ctx.level is not None
        total = torch.zeros_like(noisy)
        for j in range(self.ensemble):
            total += net(self.pair(noisy, ctx.level, ctx, f"{self.draw} {j}")[0])
        return {"denoised": total / self.ensemble}

    def passes(self) -> dict[str, int]:
        """One per member of the ensemble."""
        return {"denoised": self.ensemble}


def too_many(noise: Noise) -> str | None:
    """Why counts cannot be split; None if they can."""
    return f"its draws are exact up to counts of about {MOST} photons" if noise.high > MOST else None


@register("r2r")
class R2R(Recorrupted, frozen=True):
    """min E || f(y + alpha z) - (y - z / alpha) ||^2, z with y's noise covariance; x^ = mean_j f(y + alpha z_j)."""

    card = Card(
        paper="Pang et al., Recorrupted-to-Recorrupted, CVPR 2021",
        equations="Eq. 9, 17",
        deviations="shared U-Net and recipe; noise that depends on the signal by the plug-in variance, such as "
        "y / lambda: uncorrelated but not independent (biased at low counts); fresh noise at every step, like all rows",
    )
    draw = "z"
    alpha: float = 0.5

    def __post_init__(self) -> None:
        """InputError for a pair or an ensemble that is none."""
        if self.alpha <= 0.0 or not 1 <= self.ensemble <= 10_000:
            raise InputError(f"r2r: alpha = {self.alpha:g}, ensemble = {self.ensemble}; allowed: above 0, 1 to 10,000")

    def applies(self, noise: Noise, channels: int) -> str | None:
        """A known level of a known family."""
        return None if noise.family.simulated else "R2R needs the noise level of every image"

    def pair(self, y: Tensor, level: Tensor, ctx: Context, name: str) -> tuple[Tensor, Tensor]:
        """(y + alpha z, y - z / alpha) for a named draw of z."""
        assert ctx.noise is not None
        variance = ctx.noise.variance(y.clamp(min=0.0), level.view(-1, 1, 1, 1))  # y stands for the clean image
        z = variance**0.5 * ctx.rng.normal(name, *y.shape[1:])
        return y + self.alpha * z, y - z / self.alpha

    def reduced_settings(self, steps: int) -> str:
        """A smaller ensemble than the official one."""
        return f"{self.ensemble} of {PASSES} passes" if self.ensemble < PASSES else ""


@register("r2r-thinning")
class R2RThinning(R2R, frozen=True):
    """R2R's pair for counts: w ~ Bin(lambda y, a) and the rest are independent, a = alpha^2 / (1 + alpha^2)."""

    card = Card(
        paper="Monroy et al., Generalized Recorrupted-to-Recorrupted, CVPR 2025 (not a row of the paper)",
        deviations="alpha = 0.5 as in R2R: a fifth of the counts are the target",
    )

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Poisson noise, the only one with counts."""
        if noise.family.distribution != "poisson":
            return "binomial thinning is for Poisson counts"
        return too_many(noise)

    def reduced_settings(self, steps: int) -> str:
        """The paper has no such row."""
        return ""

    def pair(self, y: Tensor, level: Tensor, ctx: Context, name: str) -> tuple[Tensor, Tensor]:
        """((k - w) / ((1 - a) lambda), w / (a lambda)) for the counts k = lambda y."""
        level, a = level.view(-1, 1, 1, 1), self.alpha**2 / (1.0 + self.alpha**2)
        counts = (y * level).round()
        w = ctx.rng.binomial(name, counts, a)
        return (counts - w) / ((1.0 - a) * level), w / (a * level)
