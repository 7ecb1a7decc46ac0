"""Poisson noise: y = Poisson(lambda x) / lambda."""

import numpy as np
from torch import Tensor

from .model import Draws, Image, NoiseFamily, Numbers, Values, register_noise
from .photons import counts


@register_noise
class Poisson(NoiseFamily, frozen=True):
    """lambda is the expected number of photons in a white pixel."""

    name = "poisson"
    unit = "photons in a white pixel"
    examples = ("poisson30", "poisson5_50")
    distribution = "poisson"
    counts = True

    def variance(self, x: Values, level: Values) -> Values:
        """x / lambda."""
        return x / level

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """Counts over lambda."""
        noisy: Image = (draws.poisson(level * clean.astype(np.float64)) / level).astype(np.float32)
        return noisy

    def add(self, clean: Tensor, level: Tensor, numbers: Numbers, highest: float) -> Tensor:
        """Counts over lambda."""
        return counts(clean, level, numbers, highest) / level
