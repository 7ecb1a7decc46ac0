"""The paper's noise: Gaussian and Poisson, one level or a range with one level per image.

Images are in 0..1. sigma is in 0..255 units, lambda is the count of a white pixel. Nothing is
clipped or quantised.
"""

import re
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .errors import unknown
from .seeds import frozen

Image = NDArray[np.float32]  # [H, W, C] in 0..1


class Draws(Protocol):
    """What numpy's new and legacy generators share."""

    def uniform(self, low: float, high: float) -> float:
        """One number."""

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """A field."""

    def poisson(self, lam: NDArray[np.float64], size: None = None) -> NDArray[np.int64]:
        """Counts of these means."""


class Noise(Struct, frozen=True):
    """A noise model of a family and a range of levels."""

    family: str
    low: float
    high: float

    @property
    def name(self) -> str:
        """The name that suites and the command line use, such as gauss5_50."""
        if self.family == "none":
            return "none"
        return f"{self.family}{self.low:.12g}" + ("" if self.fixed else f"_{self.high:.12g}")

    @property
    def fixed(self) -> bool:
        """One level for all images."""
        return self.low == self.high

    def draw_level(self, draws: Draws) -> float:
        """One level per image: sigma in 0..255 units or lambda; a fixed level draws nothing."""
        if self.fixed:
            return self.low
        if self.family == "gauss":  # drawn in 0..1 units, as the official code does
            return float(draws.uniform(self.low / 255.0, self.high / 255.0)) * 255.0
        return float(draws.uniform(self.low, self.high))

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """y = x + sigma/255 z, or y = Poisson(lambda x) / lambda; [H, W, C] in 0..1."""
        if self.family == "gauss":
            return (clean + draws.standard_normal(clean.shape) * (level / 255.0)).astype(np.float32)
        if self.family == "poisson":
            return (draws.poisson(level * clean.astype(np.float64)) / level).astype(np.float32)
        return clean

    def std(self, clean: Image, level: float) -> float:
        """The standard deviation that the noise of this image should have, in 0..1."""
        if self.family == "gauss":
            return level / 255.0
        return float(np.sqrt(clean.mean() / level)) if self.family == "poisson" else 0.0


NONE = Noise("none", 0.0, 0.0)  # the images are noisy as they are
_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"  # no more digits than a name keeps
_NAME = re.compile(rf"(gauss|poisson){_NUMBER}(?:_{_NUMBER})?", re.ASCII)
_EXAMPLES = ("gauss25", "gauss5_50", "poisson30", "poisson5_50", "none")


def parse(name: str) -> Noise:
    """The noise of a name; InputError if there is none."""
    if name == "none":
        return NONE
    match = _NAME.fullmatch(name)
    if match is None or float(match[2]) <= 0 or float(match[3] or match[2]) < float(match[2]):
        raise unknown("noise", name, _EXAMPLES, "Any level or rising range will do: gauss15, poisson10_20.")
    return Noise(match[1], float(match[2]), float(match[3] or match[2]))


def named(noise: Noise, clean: Image, digest: str, repeat: int) -> tuple[Image, float]:
    """Test noise of stream `named`: a function of pixels (their digest), model and repeat alone."""
    draws = frozen("test noise", digest, noise.name, repeat)
    level = noise.draw_level(draws)
    return noise.apply(clean, level, draws), level


class Official:
    """Test noise of stream `official`: one RandomState(101) through all sets, repeats and images."""

    def __init__(self) -> None:
        self._draws = np.random.RandomState(101)  # legacy on purpose: the published numbers use it

    def __call__(self, noise: Noise, clean: Image) -> tuple[Image, float]:
        """The next image's noise: the level first, then the field."""
        level = noise.draw_level(self._draws)
        return noise.apply(clean, level, self._draws), level
