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


class Estimate(NamedTuple):
    """Maps [H, W]."""

    error: Floats
    copied: Floats  # 2 v f': the noise that the denoiser lets through; the error grows by so much per unit of log v


def unbiased(denoise: Function, y: Image, variance: Variance, name: str, curved: bool = False) -> Estimate:
    """|y - f|^2 - v(y) + 2 v(y) f'(y), f' by a random probe of which the mean is the divergence.

    `curved` adds what is left to second order in g, - (2 g b + g^2 y) f''(y). The sign is that of E[x f(y)] =
    E[y f(y - g)] - b E[f'(y - g)] expanded around y; tests/apply/test_risk.py settles it by simulation. Denoisers with
    thresholds have no second derivative that two steps could tell, so that rankings do without.
    """
    draws = frozen("probe", name)
    v = variance.gain * y.astype(np.float64) + variance.floor
    step = STEP * np.sqrt(max(v.mean(), 1e-12))
    sign = draws.randint(2, size=y.shape) * 2.0 - 1.0
    up, down = (_moved(denoise, y, change) for change in (step * sign, -step * sign))
    slope = sign * (up - down) / (2.0 * step)
    f = denoise(y).astype(np.float64)
    error, copied = np.square(y - f) - v + 2.0 * v * slope, 2.0 * v * slope
    if curved:
        weight = 2.0 * variance.gain * variance.floor + variance.gain**2 * y
        error = error - weight * _curvature(denoise, y, f, step, draws)
    return Estimate(error.mean(axis=2), copied.mean(axis=2))


def _moved(denoise: Function, y: Image, change: Floats) -> Floats:
    return denoise((y + change).astype(np.float32)).astype(np.float64)


def _curvature(denoise: Function, y: Image, f: Floats, step: float, draws: np.random.RandomState) -> Floats:
    """f''_ii, by a probe c with E c = 0, E c^2 = E c^3 = 1: E[c_i (c^T H_i c)] is the i-th diagonal element of H_i."""
    chance = 0.5 - 0.5 / np.sqrt(5.0)
    high, low = np.sqrt((1 - chance) / chance), -np.sqrt(chance / (1 - chance))
    c = np.where(draws.uniform(size=y.shape) < chance, high, low)
    bend = _moved(denoise, y, step * c) + _moved(denoise, y, -step * c) - 2.0 * f
    curvature: Floats = c * bend / step**2
    return curvature


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
