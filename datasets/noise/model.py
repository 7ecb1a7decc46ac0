"""Noise models: the paper's Gaussian and Poisson, a phone sensor's; one level or a range with one level per image.

Images are in 0..1. sigma is in 0..255 units, lambda is the count of a white pixel, a sensor's level is a (below) in
units of 1e-4. Nothing is clipped or quantised, except where a name says so (gauss25:8bit).
"""

import re
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from ..errors import InputError, unknown
from ..seeds import frozen

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
    """A noise model of a family and a range of levels, under a condition that the paper does not have."""

    family: str
    low: float
    high: float
    condition: Literal["", "8bit", "correlated"] = ""

    @property
    def name(self) -> str:
        """The name that suites and the command line use, such as gauss5_50."""
        if self.family in WITHOUT_LEVEL:
            return self.family
        range_ = "" if self.fixed else f"_{self.high:.12g}"
        return f"{self.family}{self.low:.12g}{range_}" + (f":{self.condition}" if self.condition else "")

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
        if self.family == "sensor":  # the sensor's gain is set in stops
            return float(np.exp(draws.uniform(np.log(self.low), np.log(self.high))))
        return float(draws.uniform(self.low, self.high))

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """y = x + sigma/255 z, Poisson(lambda x) / lambda, or x + sqrt(a x + b) z; [H, W, C] in 0..1."""
        if self.family == "poisson":
            noisy = (draws.poisson(level * clean.astype(np.float64)) / level).astype(np.float32)
        else:
            z = draws.standard_normal(clean.shape)
            z = correlate(z) if self.condition == "correlated" else z
            noisy = (clean + z * self.deviation(clean, level)).astype(np.float32)
        return eight_bits(noisy) if self.condition == "8bit" else noisy

    def deviation(self, clean: Image, level: float) -> NDArray[np.float64] | float:
        """The noise's standard deviation at every pixel, in 0..1."""
        if self.family == "gauss":
            return level / 255.0
        if self.family == "poisson":
            return np.sqrt(clean.astype(np.float64) / level)
        a, b = sensor(level)
        return np.sqrt(a * clean.astype(np.float64) + b)

    def std(self, clean: Image, level: float) -> float:
        """The standard deviation that the noise of this image should have, in 0..1."""
        return float(np.sqrt(np.mean(np.square(self.deviation(clean, level)))))


def sensor(level: float) -> tuple[float, float]:
    """(a, b) of the variance a x + b of raw values x: log b = 2.18 log a + 1.20, as in phones (Brooks et al. 2019)."""
    a = level * 1e-4
    return a, float(np.exp(2.18 * np.log(a) + 1.20)) if a > 0.0 else 0.0


def correlate(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """White noise [H, W, C] blurred by a Gaussian of 0.8 pixels, as demosaicing does; its variance is kept."""
    from scipy.ndimage import gaussian_filter  # imported here: scipy takes a while to load

    blur = [CORRELATION, CORRELATION, 0.0]
    impulse = np.zeros((17, 17, 1))
    impulse[8, 8] = 1.0
    kept = np.square(gaussian_filter(impulse, blur)).sum()
    correlated: NDArray[np.float64] = gaussian_filter(z, blur, mode="wrap") / np.sqrt(kept)
    return correlated


def eight_bits(image: Image) -> Image:
    """Clipped to 0..1 and rounded to 8 bits, as a stored noisy image is."""
    levels = np.floor(np.clip(image, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5))
    rounded: Image = (levels / np.float32(255.0)).astype(np.float32)
    return rounded


CORRELATION = 0.8  # pixels
WITHOUT_LEVEL = ("none", "captured")
NONE = Noise("none", 0.0, 0.0)  # the images are noisy as they are, and there are no clean ones
CAPTURED = Noise("captured", 0.0, 0.0)  # the set has real frames, and an estimate of the clean image
_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"  # no more digits than a name keeps
CONDITIONS = ("8bit", "correlated")
_NAME = re.compile(rf"(gauss|poisson|sensor){_NUMBER}(?:_{_NUMBER})?(?::({'|'.join(CONDITIONS)}))?", re.ASCII)
_EXAMPLES = ("gauss25", "gauss5_50", "poisson30", "poisson5_50", "sensor1_120", "captured", "none")


def parse(name: str) -> Noise:
    """The noise of a name; InputError if there is none."""
    for noise in (NONE, CAPTURED):
        if name == noise.name:
            return noise
    model, _, condition = name.partition(":")
    if condition not in ("", *CONDITIONS) and _NAME.fullmatch(model):
        raise unknown(f"condition in {name!r}:", condition, CONDITIONS)
    match = _NAME.fullmatch(name)
    if match is None or float(match[2]) <= 0 or float(match[3] or match[2]) < float(match[2]):
        more = "Any level or rising range will do: gauss15, poisson10_20; also gauss25:8bit, gauss25:correlated."
        raise unknown("noise", name, _EXAMPLES, more)
    if match[4] == "correlated" and match[1] == "poisson":
        raise InputError(f"noise {name!r}: counts cannot be correlated; allowed: gauss..., sensor...")
    return Noise(match[1], float(match[2]), float(match[3] or match[2]), match[4] or "")  # type: ignore[arg-type]


def named(noise: Noise, clean: Image, digest: str, repeat: int) -> tuple[Image, float]:
    """Test noise of stream `named`: a function of pixels (their digest), model and repeat alone.

    A condition changes the draw that the model gives without it, so that the two can be compared image by image.
    """
    draws = frozen("test noise", digest, structs.replace(noise, condition="").name, repeat)
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
