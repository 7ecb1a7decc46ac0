"""Poisson-Gaussian noise: y = Poisson(lambda x) / lambda + sigma/255 z, photons and the electronics that read them."""

import re
from typing import Self

import numpy as np
from torch import Tensor

from .gauss import Gauss
from .model import NUMBER, Draws, Image, NoiseFamily, Numbers, Values, register_noise
from .photons import counts


@register_noise
class PoissonGauss(NoiseFamily, frozen=True):
    """The level is lambda; sigma is the same for all images, in 0..255 units."""

    name = "poisson+gauss"
    unit = "photons in a white pixel, then the standard deviation in 0..255 units"
    examples = ("poisson30+gauss10",)
    counts = True
    sigma: float

    def variance(self, x: Values, level: Values) -> Values:
        """x / lambda + (sigma/255)^2."""
        return x / level + (self.sigma / 255.0) ** 2

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """Counts over lambda, then Gaussian noise."""
        counts = draws.poisson(level * clean.astype(np.float64))
        noisy: Image = (counts / level + draws.standard_normal(clean.shape) * (self.sigma / 255.0)).astype(np.float32)
        return noisy

    def add(self, clean: Tensor, level: Tensor, numbers: Numbers, highest: float) -> Tensor:
        """Counts over lambda, then Gaussian noise."""
        return counts(clean, level, numbers, highest) / level + self.sigma / 255.0 * numbers.normal()

    def spell(self, levels: str) -> str:
        """The name, such as poisson30+gauss10."""
        return f"poisson{levels}+gauss{self.sigma:.12g}"

    def warning(self, low: float, high: float) -> str:
        """The warning of its Gaussian part."""
        return Gauss().warning(self.sigma, self.sigma)

    @classmethod
    def read(cls, text: str) -> tuple[Self, float, float] | None:
        """The family with its sigma, which must be above 0, and the range of lambda."""
        match = re.fullmatch(rf"poisson{NUMBER}(?:_{NUMBER})?\+gauss{NUMBER}", text, re.ASCII)
        if match is None or float(match[3]) <= 0.0:
            return None
        return cls(float(match[3])), float(match[1]), float(match[2] or match[1])
