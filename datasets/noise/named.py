"""The noise of test images."""

from msgspec import structs

from ..seeds import frozen
from .model import Image, Noise


def named(noise: Noise, clean: Image, digest: str, repeat: int) -> tuple[Image, float]:
    """The noisy image and its level: a function of pixels (their digest), noise and repeat alone.

    Under a condition the draws are those of the noise without it, so that both can be compared image by image.
    """
    draws = frozen("test noise", digest, structs.replace(noise, conditions=()).name, repeat)
    level = noise.draw_level(draws)
    return noise.apply(clean, level, draws), level
