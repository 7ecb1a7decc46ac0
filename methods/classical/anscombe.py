"""Anscombe transform, BM3D, exact unbiased inverse (Makitalo & Foi, TIP 2011) for Poisson noise."""

from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Literal

import numpy as np
import scipy  # loads its parts where they are used
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.noise.model import Noise
from ..base import Card, Context, Method, Output
from ..registry import register
from . import chen
from .bm3d import Image, collaborative, each, missing
from .chen import noise_level

Floats = NDArray[np.float64]
ZERO = 2.0 * np.sqrt(3.0 / 8.0)  # f(0)
TABLE = 40.0  # D up to which the exact inverse is tabulated (a mean of 400 counts); asymptotic beyond


def forward(z: Floats) -> Floats:
    """f(z) = 2 sqrt(z + 3/8) of counts; the noise of Poisson counts becomes about 1."""
    return np.asarray(2.0 * np.sqrt(z + 3.0 / 8.0))


def expected(mean: Floats) -> Floats:
    """E[f(z)] for z ~ Poisson(mean), the sum over all counts that matter."""
    highest = mean.max()
    z = np.arange(np.floor(highest + 12.0 * np.sqrt(highest) + 30.0))
    return np.array([np.dot(forward(z), scipy.stats.poisson.pmf(z, m)) for m in mean])


@cache
def _table() -> Callable[[Floats], Floats]:
    mean = np.linspace(0.0, TABLE / 2.0, 4001) ** 2  # even in D; the first step is 0.000025 counts
    table: Callable[[Floats], Floats] = scipy.interpolate.PchipInterpolator(expected(mean), mean)
    return table


def exact(d: Floats) -> Floats:
    """The mean count m whose E[f(z)] is D; 0 below f(0)."""
    inside = np.clip(d, ZERO, TABLE)
    return np.where(d > TABLE, asymptotic(d), _table()(inside))


def closed(d: Floats) -> Floats:
    """Makitalo & Foi's closed form of the exact inverse; 0 below f(0)."""
    d = np.maximum(d, ZERO)
    a = np.sqrt(3.0 / 2.0)
    return np.asarray(np.maximum(0.0, d**2 / 4 + a / 4 / d - 11 / 8 / d**2 + 5 / 8 * a / d**3 - 1 / 8))


def asymptotic(d: Floats) -> Floats:
    """D^2/4 - 1/8, unbiased for many counts; 0 below f(0)."""
    return np.where(d < ZERO, 0.0, (d / 2.0) ** 2 - 1.0 / 8.0)


def algebraic(d: Floats) -> Floats:
    """D^2/4 - 3/8, the inverse function: biased by a quarter of a count."""
    return (d / 2.0) ** 2 - 3.0 / 8.0


INVERSES = {"exact": exact, "closed": closed, "asymptotic": asymptotic, "algebraic": algebraic}


@register("anscombe")
class Anscombe(Method, frozen=True):
    """x^ = I(BM3D(f(lambda y), 1)) / lambda, all channels with one scale, in the opponent space; I: every output's."""

    card = Card(
        paper="Makitalo & Foi, Optimal Inversion of the Anscombe Transformation, TIP 2011",
        equations="Eq. 4 (exact unbiased inverse), Eq. 10 (closed form)",
        deviations="the primary has the exact inverse; the others are outputs of the same filtering",
    )
    supervision = "none"
    knowledge = "level"
    trains_on = "nothing"
    keeps_images = True
    outputs = tuple(Output(name, primary=name == "exact") for name in INVERSES)
    clip: bool = False  # the noisy image to 0..1 first (wrong; a candidate for the printed numbers)
    gain: Annotated[float, Meta(gt=0.0)] | None = None  # counts of a white pixel; None: lambda
    estimate: bool = False  # sigma of the transformed image by Chen et al. instead of 1
    space: Literal["opp", "YCbCr"] = "opp"

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Poisson noise of one or three channels."""
        if noise.family.distribution != "poisson":
            return "Anscombe's transform is for Poisson noise of a known lambda; otherwise there is bm3d"
        return None if channels in (1, 3) else "defined for 1 or 3 channels"

    def unavailable(self) -> str | None:
        """Without the package's binary for this platform."""
        return missing()

    def warning(self, height: int, width: int, channels: int) -> str:
        """An estimated noise level of small images is not known."""
        return chen.warning(height, width, channels) if self.estimate else ""

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """Every inverse of the one filtered image."""
        assert ctx.level is not None
        images = [self._restored(y, float(level)) for y, level in zip(noisy[:, None], ctx.level, strict=True)]
        return {name: torch.cat([image[name] for image in images]) for name in INVERSES}

    def _restored(self, noisy: Tensor, level: float) -> dict[str, Tensor]:
        counts = self.gain or level
        transformed = each(noisy, partial(self._filtered, counts=counts))
        return {name: each(transformed, partial(_inverted, inverse, counts)) for name, inverse in INVERSES.items()}

    def _filtered(self, y: Image, counts: float) -> Image:
        """BM3D of f(counts y), scaled to 0.15..0.85 as in the authors' code."""
        d = forward(counts * np.maximum(0.0, np.clip(y, 0.0, 1.0) if self.clip else y))
        scaled, sigma = scale(d)
        if self.estimate:
            sigma = noise_level(scaled)
        return unscale(collaborative(scaled, sigma, self.space), d)


def _inverted(inverse: Callable[[Floats], Floats], counts: float, d: Floats) -> Floats:
    return inverse(d) / counts


def scale(d: Image) -> tuple[Image, float]:
    """u = 0.15 + 0.7 (D - f(0)) / span with the image's span over all channels; the noise's sigma 0.7 / span."""
    span = float(d.max() - ZERO) or 1.0
    return 0.15 + 0.7 * (d - ZERO) / span, 0.7 / span


def unscale(u: Image, d: Image) -> Image:
    """Undoes `scale(d)`."""
    span = float(d.max() - ZERO) or 1.0
    return np.asarray((u - 0.15) * span / 0.7 + ZERO)
