"""Per-image scores."""

import math

from msgspec import Struct


class Row(Struct, frozen=True):
    """The scores of one output of one noisy image."""

    image: str
    repeat: int
    level: float
    output: str
    psnr: float | None  # dB; None, as JSON has no infinity, where the output equals the clean image
    ssim: float


def infinite(decibels: float | None) -> float:
    """A recorded PSNR as a number."""
    return math.inf if decibels is None else decibels
