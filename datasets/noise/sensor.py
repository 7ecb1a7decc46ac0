"""A phone sensor's noise: y = x + sqrt(a x + b) z."""

import math

import numpy as np
from torch import Tensor

from .model import Draws, NoiseFamily, Values, register_noise


@register_noise
class Sensor(NoiseFamily, frozen=True):
    """Raw values with the variance a x + b, where log b = 2.18 log a + 1.20, as in phones (Brooks et al. 2019)."""

    name = "sensor"
    unit = "1e4 times the variance's slope a"
    examples = ("sensor1_120",)

    def draw_level(self, low: float, high: float, draws: Draws) -> float:
        """Uniform in log(level), as the gain of a sensor is set in stops."""
        return float(np.exp(draws.uniform(np.log(low), np.log(high))))

    def level_at(self, u: Tensor, low: float, high: float) -> Tensor:
        """Uniform in log(level)."""
        return low * (math.log(high / low) * u).exp()

    def variance(self, x: Values, level: Values) -> Values:
        """a x + b."""
        a, b = parameters(level)
        return x * a + b


def parameters(level: Values) -> tuple[Values, Values]:
    """(a, b), computed in float64; a tensor of levels gives tensors of its own type."""
    if not hasattr(level, "double"):
        a = level * 1e-4
        return a, np.exp(2.18 * np.log(a) + 1.20)
    a = level.double() * 1e-4
    return a.to(level.dtype), (2.18 * a.log() + 1.20).exp().to(level.dtype)
