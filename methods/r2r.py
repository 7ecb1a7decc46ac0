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


class Recorrupted(Method, frozen=True):
    """min E || f(y1) - y2 ||^2, y1 and y2 made of y with noise that is not correlated; x^ = mean_j f(y1_j)."""

    knowledge = "level"
    pixelwise = True
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
        """InputError unless alpha > 0 and 1 <= ensemble <= 10,000."""
        if self.alpha <= 0.0 or not 1 <= self.ensemble <= 10_000:
            allowed = "allowed: alpha > 0, ensemble 1 to 10,000"
            raise InputError(f"r2r: alpha = {self.alpha:g}, ensemble = {self.ensemble}; {allowed}")

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
