"""What a denoiser took away, r = given - f(given), against the noise that it should have taken away.

A good one leaves in r noise alone. Structure in r was in the scene, too small an r is noise that was left, and r's mean
should be that of the noise.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from ..datasets.noise.model import Image

Floats = NDArray[np.float64]
LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
EDGES, FLAT = 0.9, 0.5  # quantiles of the gradient
CORRELATED, LEFT, TAKEN, MEAN = 0.05, 0.8, 1.05, 0.001  # from where on a remark is made


class Residual(NamedTuple):
    """Checks of one method, over all its images."""

    correlation: float  # of r between neighbours, less the noise's own; the lag where it differs most
    lag: tuple[int, int]  # rows and columns
    power: float  # of r, in parts of the noise's variance
    edges: float  # power at the strongest edges relative to flat parts, less 1
    bias: float  # mean of the denoised image relative to that of the noisy one, less 1
    bias_error: float  # the standard error that the noise's own mean has

    @property
    def remarks(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if self.power < LEFT:
            found.append(f"leaves noise: it took {100 * self.power:.0f} % of the noise's variance")
        if self.power > TAKEN:
            found.append(f"takes structure: {100 * self.power:.0f} % of the noise's variance are gone")
        if self.edges > 5 * CORRELATED:
            found.append(f"blurs edges: the residual is {100 * self.edges:.0f} % stronger there")
        if abs(self.correlation) > CORRELATED:
            found.append(f"the residual is not white: {self.correlation:+.2f} at lag {self.lag[0]},{self.lag[1]}")
        if abs(self.bias) > max(MEAN, 3.0 * self.bias_error):
            found.append(f"changes the mean by {100 * self.bias:+.1f} %")
        return found


def check(
    given: Sequence[Image],
    held: Sequence[Image],
    shares: Sequence[float],
    denoised: Sequence[Image],
    scenes: Sequence[Image],
) -> Residual:
    """The checks of one method's images [H, W, C]; `shares` is what `held` has in the noise's variance of held - given.

    `scenes` tell where edges are, the same for all methods.
    """
    residual = [_planes(a) - _planes(b) for a, b in zip(given, denoised, strict=True)]
    noise = [_planes(a) - _planes(b) for a, b in zip(given, held, strict=True)]
    expected = [(1.0 - share) * np.square(n) for n, share in zip(noise, shares, strict=True)]
    excess = {lag: _correlation(residual, lag) - _correlation(noise, lag) for lag in LAGS}
    lag = max(excess, key=lambda one: abs(excess[one]))
    power = _sum(map(np.square, residual)) / max(_sum(expected), 1e-30)
    edges = _at_edges(residual, expected, scenes)
    cells = np.concatenate([_cell_means(n) * np.sqrt(1.0 - share) for n, share in zip(noise, shares, strict=True)])
    level = max(abs(float(np.mean([one.mean() for one in given]))), 1e-6)
    bias = -float(np.mean([r.mean() for r in residual])) / level
    error = float(cells.std() / np.sqrt(cells.size)) / level
    return Residual(excess[lag], lag, float(power), edges, bias, error)


def _planes(image: Image) -> Floats:
    return np.moveaxis(image.astype(np.float64), 2, 0)


def _sum(maps: Iterable[Floats]) -> float:
    return float(sum(one.sum() for one in maps))


def _correlation(fields: Sequence[Floats], lag: tuple[int, int]) -> float:
    """The autocorrelation of [C, H, W] at a lag of rows and columns."""
    rows, columns = lag
    product = power = 0.0
    for field in fields:
        centred = field - field.mean(axis=(1, 2), keepdims=True)
        a = centred[:, rows:, max(columns, 0) : centred.shape[2] + min(columns, 0)]
        b = centred[:, : centred.shape[1] - rows, max(-columns, 0) : centred.shape[2] - max(columns, 0)]
        product += float((a * b).mean()) * field.size
        power += float(np.square(centred).sum())
    return product / power if power else 0.0


def _at_edges(residual: Sequence[Floats], expected: Sequence[Floats], scenes: Sequence[Image]) -> float:
    """(power / expected at edges) / (the same in flat parts) - 1."""
    sums = np.zeros((2, 2))
    for r, e, scene in zip(residual, expected, scenes, strict=True):
        slope = scipy.ndimage.gaussian_gradient_magnitude(scene.mean(axis=2, dtype=np.float64), 1.5)
        low, high = np.quantile(slope, [FLAT, EDGES])
        for i, where in enumerate((slope >= high, slope <= low)):
            sums[i] += np.square(r)[:, where].sum(), e[:, where].sum()
    edges, flat = sums[:, 0] / np.maximum(sums[:, 1], 1e-30)
    return float(edges / flat - 1.0) if flat > 0.0 else 0.0


def _cell_means(field: Floats) -> Floats:
    side = min(16, *field.shape[1:])
    height, width = (length // side for length in field.shape[1:])
    cells = field[:, : height * side, : width * side].reshape(len(field), height, side, width, side)
    means: Floats = cells.mean(axis=(0, 2, 4)).ravel()
    return means
