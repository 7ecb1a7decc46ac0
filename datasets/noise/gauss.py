"""Gaussian noise of one level per image: y = x + sigma/255 z."""

from torch import Tensor

from .model import Draws, NoiseFamily, Values, register_noise, span


@register_noise
class Gauss(NoiseFamily, frozen=True):
    """The level is sigma, in 0..255 units."""

    name = "gauss"
    unit = "standard deviation in 0..255 units"
    examples = ("gauss25", "gauss5_50")
    distribution = "gauss"

    def draw_level(self, low: float, high: float, draws: Draws) -> float:
        """A uniform sigma, drawn in 0..1 units as in the official code."""
        return float(draws.uniform(low / 255.0, high / 255.0)) * 255.0

    def level_at(self, u: Tensor, low: float, high: float) -> Tensor:
        """The same distribution in training."""
        return super().level_at(u, low, high)

    def variance(self, x: Values, level: Values) -> Values:
        """(sigma/255)^2 at every pixel; its square root is sigma/255 to the last bit."""
        deviation = level / 255.0
        return deviation * deviation

    def warning(self, low: float, high: float) -> str:
        """A standard deviation below one gray level was probably meant in 0..1 units."""
        if high >= 1.0:
            return ""
        meant = span(255.0 * low, 255.0 * high)
        return (
            f"the standard deviation {span(low, high)} is in 0..255 units; for {span(low, high)} in 0..1 units, "
            f"write gauss{meant}"
        )
