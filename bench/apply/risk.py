"""The error of a denoiser on one noisy image without a clean one, where its weights do not depend on this image.

y has white noise of variance v = g x + b at the clean value x. As maps [H, W], whose mean over pixels estimates the
mean squared error: Stein's estimate (b alone), its like for Poisson counts (g alone) and for both. And the masked loss,
which needs no noise level: it is the error of the denoiser made blind to the pixel, plus the noise's variance.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.noise.model import Image
from ..datasets.seeds import frozen
from .held_out import squared
from .recorruption import Variance

Floats = NDArray[np.float64]
Function = Callable[[Image], Image]
STEP = 0.1  # of the noise's deviation: how far the image is moved to see the denoiser react
GRID = 4  # every 4th pixel of a row and of a column is masked at a time
PHASES = ((0, 0), (1, 2), (2, 1), (3, 3))  # of the grid; each row and each column has masked pixels once


class RiskMaps(NamedTuple):
    """Maps [H, W]."""

    error: Floats
    copied: Floats  # 2 v f': the noise that the denoiser lets through; the error grows by so much per unit of log v


def unbiased(denoise: Function, y: Image, variance: Variance, name: str) -> RiskMaps:
    """|y - f|^2 - v(y) + 2 v(y) f'(y), f' by a random probe of which the mean is the divergence.

    It is exact to first order in g: denoisers with thresholds have no second derivative that steps could tell.
    """
    draws = frozen("probe", name)
    v = variance.gain * y.astype(np.float64) + variance.floor
    step = STEP * np.sqrt(max(v.mean(), 1e-12))
    sign = draws.randint(2, size=y.shape) * 2.0 - 1.0
    up, down = (_moved(denoise, y, change) for change in (step * sign, -step * sign))
    slope = sign * (up - down) / (2.0 * step)
    copied = 2.0 * v * slope
    error = np.square(y - denoise(y).astype(np.float64)) - v + copied
    return RiskMaps(error.mean(axis=2), copied.mean(axis=2))


def _moved(denoise: Function, y: Image, change: Floats) -> Floats:
    return denoise((y + change).astype(np.float32)).astype(np.float64)


def masked(denoise: Function, y: Image) -> Floats:
    """(y - f(y without the pixel))^2 [H, W] at masked pixels, NaN elsewhere; the mean of its neighbours replaces one.

    Its differences between methods are those of their blind versions, not of the methods themselves.
    """
    found = np.full(y.shape[:2], np.nan)
    padded = np.pad(y, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    around = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4.0
    for top, left in PHASES:
        at = (slice(top, None, GRID), slice(left, None, GRID))
        covered = y.copy()
        covered[at] = around[at]
        found[at] = squared(denoise(covered)[at], y[at])
    return found
