"""Repeated frames of one scene: their differences hold noise alone, once drift of brightness and shifts are removed."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .flat_blocks import Floats

BLOCK = 8
SHIFT, TOGETHER, DRIFT = 0.3, 0.05, 0.1  # pixels, correlation and share of the brightness that pairs of frames bear
SIGNIFICANT = 4.0  # standard errors; many frames are compared
SMOOTH = 2  # pixels on each side of the mean that brightness gradients are taken of


class Movement(Struct, frozen=True):
    """How the frames of a scene differ besides their noise."""

    frames: int
    drift: float  # of brightness or contrast, between the frames that differ most, as a share of the mean
    shift: float  # pixels, between the two frames that are farthest apart
    together: float | None  # correlation of the noise of consecutive frames; None for two frames


class Repeats(NamedTuple):
    """The frames of a scene, taken apart."""

    residuals: Floats  # [N, H, W], frames without what the scene explains
    mean: Floats  # [H, W]
    movement: Movement


def repeats(frames: Sequence[Floats], black: float) -> Repeats:
    """Fits each frame [H, W] by brightness and shift of the mean frame; `black` is the level without light."""
    stack = np.stack(frames)
    mean = stack.mean(axis=0)
    rows, columns = (np.gradient(_smooth(mean), axis=axis) for axis in (0, 1))
    parts = np.stack([np.ones_like(mean), mean - mean.mean(), rows, columns])
    matrix = np.stack([_means(part).reshape(-1) for part in parts], axis=1)
    inverse = np.linalg.pinv(matrix.T @ matrix)
    residuals, fits = [], []
    for frame in stack:
        solved = np.linalg.lstsq(matrix, _means(frame - mean).reshape(-1), rcond=None)[0]
        residuals.append(frame - mean - np.tensordot(solved, parts, 1))
        rest = _means(frame - mean).reshape(-1) - matrix @ solved
        errors = np.sqrt(np.diag(inverse) * np.square(rest).sum() / max(1, len(rest) - 4))
        fits.append(significant(solved, errors))
    drift = _drift(stack.mean(axis=(1, 2)), np.array([gain for _, gain, *_ in fits]), black)
    shift = max(float(np.hypot(*(one - other)[2:])) for one, other in combinations(fits, 2))
    movement = Movement(len(stack), drift, shift, _together(np.stack(residuals)))
    return Repeats(np.stack(residuals), mean, movement)


def worst(found: Sequence[Movement]) -> Movement | None:
    """The most that any scene or plane shows of each difference; None without repeated frames."""
    if not found:
        return None
    together = [one.together for one in found if one.together is not None]
    return Movement(
        frames=max(one.frames for one in found),
        drift=max(one.drift for one in found),
        shift=max(one.shift for one in found),
        together=max(together, key=abs) if together else None,
    )


def significant(values: NDArray[np.floating], errors: NDArray[np.floating]) -> Floats:
    """The values, with 0 for those that do not differ from 0 by SIGNIFICANT standard errors."""
    return np.asarray(np.where(np.abs(values) > SIGNIFICANT * errors, values, 0.0), np.float64)


def differences(found: Repeats) -> list[Floats]:
    """The difference of the frames of each pair over sqrt(2): noise of one frame's variance, without the scene."""
    pairs = zip(found.residuals[::2], found.residuals[1::2], strict=False)
    return [(one - other) / np.sqrt(2.0) for one, other in pairs]


def _drift(levels: Floats, gains: Floats, black: float) -> float:
    """By how much frames of these means differ: in their light, or in their contrast if that differs more.

    `gains` are their contrasts relative to the mean frame, less 1. They do not depend on `black`, which often is no
    more than the lowest value that a pixel can have.
    """
    light = np.maximum(levels - black, 0.0)
    contrast = np.clip(1.0 + gains, 0.0, len(gains))  # the limits that light has, which is not negative
    return float(max(np.ptp(light) / max(light.mean(), 1e-300), np.ptp(contrast)))


def _smooth(plane: Floats) -> Floats:
    for axis in (0, 1):
        plane = np.stack([np.roll(plane, by, axis) for by in range(-SMOOTH, SMOOTH + 1)]).mean(axis=0)
    return plane


def _means(plane: Floats) -> Floats:
    """Means of blocks, as many as there are whole ones."""
    block = min(BLOCK, *plane.shape)
    height, width = (side // block * block for side in plane.shape)
    return np.asarray(plane[:height, :width].reshape(height // block, block, width // block, block).mean((1, 3)))


def _together(residuals: Floats) -> float | None:
    """The correlation of consecutive residuals, of which N independent frames have -1 / (N - 1)."""
    number = len(residuals)
    if number < 3:
        return None
    power = float(np.square(residuals).mean())
    product = float(np.mean([(one * other).mean() for one, other in pairwise(residuals)]))
    return product / power + 1.0 / (number - 1) if power > 0.0 else 0.0
