"""Conditions under which the noise of a family is not the paper's: correlated pixels, images stored in 8 bits."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .model import Condition, Draws, NoiseFamily, Numbers, Values, register_condition

CORRELATION, REACH = 0.8, 3  # standard deviation and half width of the blur in pixels


@register_condition
class Correlated(Condition, frozen=True):
    """Every field of normal numbers is blurred before it is used."""

    name = "correlated"
    order = 1

    def draws(self, draws: Draws) -> Draws:
        """The same draws, their fields correlated."""
        return _Fields(draws)

    def numbers(self, numbers: Numbers) -> Numbers:
        """The same for training noise."""
        return _CorrelatedNumbers(numbers)

    def refusal(self, family: NoiseFamily) -> str:
        """Counts cannot be correlated, as each pixel's is drawn by itself."""
        return "counts cannot be correlated; allowed: families without them, as gauss..." if family.counts else ""


@register_condition
class EightBit(Condition, frozen=True):
    """The noisy image is clipped and rounded, as a stored one is."""

    name = "8bit"
    order = 2

    def image(self, noisy: Values) -> Values:
        """In 0..1, in steps of 1/255."""
        return eight_bits(noisy)


class _Fields:
    """Draws whose fields are correlated."""

    def __init__(self, draws: Draws) -> None:
        self.uniform, self.poisson, self._standard_normal = draws.uniform, draws.poisson, draws.standard_normal

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """A correlated field of variance 1."""
        return correlate(self._standard_normal(size))


class _CorrelatedNumbers:
    """Numbers whose normal ones are correlated."""

    def __init__(self, numbers: Numbers) -> None:
        self.words, self._normal = numbers.words, numbers.normal

    def normal(self, name: str = "z", margin: int = 0) -> Tensor:
        """A correlated field of variance 1, blurred as by `correlate`."""
        z = self._normal(name, margin + REACH)
        places = torch.arange(-REACH, REACH + 1, device=z.device)
        taps = (-0.5 * (places / CORRELATION) ** 2).exp()
        taps = (taps / taps.norm()).expand(z.shape[1], 1, 1, -1)
        for kernel in (taps, taps.mT):
            z = F.conv2d(z, kernel, groups=z.shape[1])
        return z


def correlate(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """White noise [H, W, C] blurred by a Gaussian of 0.8 pixels, as demosaicing does; its variance is kept."""
    from scipy.ndimage import gaussian_filter  # imported here: scipy takes a while to load

    blur = [CORRELATION, CORRELATION, 0.0]
    impulse = np.zeros((17, 17, 1))
    impulse[8, 8] = 1.0
    kept = np.square(gaussian_filter(impulse, blur)).sum()
    correlated: NDArray[np.float64] = gaussian_filter(z, blur, mode="wrap") / np.sqrt(kept)
    return correlated


def eight_bits(image: Values) -> Values:
    """Clipped to 0..1 and rounded to 8 bits; an array or a tensor."""
    return (image.clip(0.0, 1.0) * 255.0 + 0.5) // 1.0 / 255.0
