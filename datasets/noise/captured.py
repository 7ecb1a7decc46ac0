"""Noise that images have already: real noisy frames of a scene, and noisy images without clean ones."""

from typing import Self

from .model import Noise, NoiseFamily, Values, register_noise


class _Given(NoiseFamily, frozen=True):
    """Noise that the images have already: it has no level and is not drawn."""

    simulated = False

    def variance(self, x: Values, level: Values) -> Values:
        """Zero, as nothing is added."""
        return 0.0 * x

    @classmethod
    def read(cls, text: str) -> tuple[Self, float, float] | None:
        """The family, if the text is its name."""
        return (cls(), 0.0, 0.0) if text == cls.name else None


@register_noise
class Captured(_Given, frozen=True):
    """The set has real noisy frames, and an estimate of the clean image."""

    name = "captured"
    examples = ("captured",)


@register_noise
class NoneAdded(_Given, frozen=True):
    """The images are noisy as they are, and there are no clean ones."""

    name = "none"
    examples = ("none",)


CAPTURED = Noise(Captured(), 0.0, 0.0)
NONE = Noise(NoneAdded(), 0.0, 0.0)
