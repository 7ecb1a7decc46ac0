"""The noise level of one image, from the eigenvalues of its patch covariance (Chen, Zhu, Heng, ICCV 2015)."""

from itertools import count
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

PATCH, STRIDE = 8, 3
LEAST = 5  # patches for each dimension; with 3 the estimate is 0.7 of the noise level, with 2 0.6, below 1 it is 0
Floats = NDArray[np.floating[Any]]


def noise_level(image: Floats, patch: int = PATCH) -> float:
    """sigma in the units of the image [H, W, C]: the channels of a patch are one vector (Alg. 1); needs a patch's size.

    Small images are under-estimated, as there are few patches for so many dimensions (128x128 colour: -10 %), and very
    small ones so much that `warning` says so.
    """
    return float(np.sqrt(max(0.0, redundant(spectrum(image, patch))[0])))


def spectrum(image: Floats, patch: int = PATCH) -> NDArray[np.float64]:
    """Ascending eigenvalues of the covariance of all patches at stride 3, the last row and column included."""
    if min(image.shape[:2]) < patch:
        raise ValueError(f"{image.shape[1]}x{image.shape[0]} is smaller than a patch of {patch}x{patch}")
    windows = sliding_window_view(image.astype(np.float64), (patch, patch), (0, 1))
    rows, columns = (_places(n) for n in windows.shape[:2])
    vectors = windows[np.ix_(rows, columns)].reshape(len(rows) * len(columns), -1)
    centred = vectors - vectors.mean(axis=0)
    return np.linalg.eigvalsh(centred.T @ centred / len(centred))


def warning(height: int, width: int, channels: int) -> str:
    """Why the noise level of an image of this size is not known; empty if it is."""
    if _patches(height, width) >= LEAST * PATCH**2 * channels:
        return ""
    side = next(n for n in count(PATCH) if _patches(n, n) >= LEAST * PATCH**2 * channels)
    return f"the noise level estimated from so few pixels is far too low; expected images of at least {side}x{side}"


def _places(windows: int) -> NDArray[np.int64]:
    """Every third window, and the last one."""
    return np.unique([*range(0, windows, STRIDE), windows - 1])


def _patches(height: int, width: int) -> int:
    rows, columns = (len(_places(side - PATCH + 1)) if side >= PATCH else 0 for side in (height, width))
    return rows * columns


def redundant(eigenvalues: NDArray[np.float64]) -> tuple[float, int]:
    """(mean, number) of the largest set of smallest (ascending) eigenvalues whose mean is its median: the noise's."""
    number = np.arange(1, len(eigenvalues) + 1)
    mean = np.cumsum(eigenvalues) / number
    above = number - np.minimum(number, np.searchsorted(eigenvalues, mean, "right"))
    below = np.searchsorted(eigenvalues, mean, "left")
    last = int(np.flatnonzero(above == below)[-1])  # one eigenvalue is its own mean, so there is always one
    return float(mean[last]), last + 1
