"""Conditions under which the noise of a family is not the paper's: correlated pixels, images stored in 8 bits."""

import numpy as np
from numpy.typing import NDArray

from .model import Condition, Draws, Image, NoiseFamily, register_condition

CORRELATION = 0.8  # pixels


@register_condition
class Correlated(Condition, frozen=True):
    """Every field of normal numbers is blurred before it is used."""

    name = "correlated"
    order = 1

    def draws(self, draws: Draws) -> Draws:
        """The same draws, their fields correlated."""
        return _Fields(draws)

    def refusal(self, family: NoiseFamily) -> str:
        """Counts are drawn pixel by pixel."""
        return "counts cannot be correlated; allowed: gauss..., sensor..." if family.counts else ""


@register_condition
class EightBit(Condition, frozen=True):
    """The noisy image is clipped and rounded, as a stored one is."""

    name = "8bit"
    order = 2

    def image(self, noisy: Image) -> Image:
        """In 0..1, in steps of 1/255."""
        return eight_bits(noisy)


class _Fields:
    """Draws whose fields are correlated."""

    def __init__(self, draws: Draws) -> None:
        self.uniform, self.poisson, self._standard_normal = draws.uniform, draws.poisson, draws.standard_normal

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """A correlated field of variance 1."""
        return correlate(self._standard_normal(size))


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
    """Clipped to 0..1 and rounded to 8 bits."""
    levels = np.floor(np.clip(image, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5))
    rounded: Image = (levels / np.float32(255.0)).astype(np.float32)
    return rounded
