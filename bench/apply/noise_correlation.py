"""What noise pixels share with their neighbours: autocorrelation at small lags, and noise of whole rows or columns.

The energies of the DCT of flat blocks are linear in the noise's covariances; high frequencies, where a scene has little
energy, determine them by least squares.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimates import Estimate, drawn, interval
from .flat_blocks import CHI2_MEDIAN, EVEN, HIGH, ODD, RING, SIDE, Flat, Floats, Mask, dct

REACH = 2  # pixels: the largest lag
LAGS = tuple((dy, dx) for dy in range(REACH + 1) for dx in range(REACH + 1) if dy or dx)
MODELS = ((1, 5), (1, 4), (REACH, 5), (REACH, 4))  # largest lag and lowest ring; how they differ is not known
STRUCTURE = 0.05  # correlation that structure may add where blocks look flat
DENSITY = 0.4712  # of chi^2 with one degree of freedom at its median
RELEVANT = 0.1  # correlation beyond which noise is not white
UNKNOWN = 0.25  # an interval that reaches so far cannot exclude correlation
# With fewer flat blocks than a share, the energies of flat ones at separate frequencies must be less correlated: pure
# noise has no such correlation, structure has.
TEXTURE = ((0.02, 0.0), (0.05, 0.1), (1.0, 0.2))
LINES = 0.2  # standard deviation of whole rows, of that of a pixel, which matters


class Correlation(NamedTuple):
    """The autocorrelation of one plane's noise."""

    lags: dict[tuple[int, int], Estimate]  # (rows, columns); diagonals are the mean of both directions
    rows: Estimate  # standard deviation of noise that a whole row shares, of that of a pixel
    columns: Estimate
    scale: Floats  # variance of a pixel over that at high frequencies, [1 + draws]
    texture: float  # 0 for blocks that differ by noise alone
    flat: float  # share of flat blocks

    @property
    def textured(self) -> bool:
        """Whether the image shows structure everywhere, so that noise cannot be told from it."""
        return any(self.flat <= share and self.texture > most for share, most in TEXTURE)

    @property
    def verdict(self) -> str:
        """white, correlated or unknown."""
        if self.textured:
            return "unknown"
        if self.striped or any(one.low > RELEVANT or one.high < -RELEVANT for one in self.lags.values()):
            return "correlated"
        near = (self.lags[lag] for lag in ((0, 1), (1, 0)))
        return "unknown" if any(max(abs(one.low), abs(one.high)) > UNKNOWN for one in near) else "white"

    @property
    def striped(self) -> bool:
        """Whether whole rows or columns share noise."""
        return max(self.rows.low, self.columns.low) > LINES


def correlation(flat: Flat, exact: bool = False) -> Correlation:
    """The autocorrelation of the noise of flat blocks; `exact` if the scene was subtracted."""
    spectra = _spectra(flat)
    found = [_covariances(spectra, reach, ring) for reach, ring in (MODELS[-1:] if exact else MODELS)]
    lags = {}
    for lag in LAGS:
        values = [covariances[lag] / covariances[0, 0] for covariances, _ in found if lag in covariances]
        lags[lag] = _of_models(values, 0.0 if exact else STRUCTURE)
    pixel = [covariances[0, 0] for covariances, _ in found]
    shares = [[np.maximum(stripes[i] / pixel[k], 0.0) for k, (_, stripes) in enumerate(found)] for i in (0, 1)]
    lines = [_of_models([np.sqrt(one) for one in of_models], least=0.0) for of_models in shares]
    return Correlation(
        lags=lags,
        rows=lines[0],
        columns=lines[1],
        scale=pixel[-1] / spectra[:, HIGH].mean(1),
        texture=0.0 if exact else _texture(flat),
        flat=float(flat.both.mean()),
    )


def _of_models(values: list[Floats], structure: float = 0.0, least: float = -1.0) -> Estimate:
    """The first model's number, or the last one's where correlation is sure; its interval holds those of all models."""
    found = [interval(value, least) for value in values]
    low, high = min(one.low for one in found) - structure, max(one.high for one in found)
    sure = low > RELEVANT or high < -RELEVANT
    return Estimate(found[-1 if sure else 0].value, low, high)


def _spectra(flat: Flat) -> Floats:
    """The noise's energies relative to those of the high frequencies, [1 + draws, 8, 8], by medians over blocks.

    Each frequency is measured on the flatter half of the blocks that are flat by other frequencies.
    """
    even, odd = (flat.blocks.at(of) / flat.variance for of in (EVEN, ODD))
    chosen = [
        (_lower(even, flat.by_even, 0.5), ODD),
        (_lower(odd, flat.by_odd, 0.5), EVEN),
        (_lower(even + odd, flat.both, 0.5), HIGH),
    ]
    spectra = np.ones((1, SIDE, SIDE))
    for which, frequencies in chosen:
        medians = _medians(flat, np.flatnonzero(which), frequencies)
        spectra = np.broadcast_to(spectra, (len(medians), SIDE, SIDE)).copy()
        spectra[:, frequencies] = medians
    return spectra


def _lower(score: Floats, which: Mask, share: float) -> Mask:
    """The given share of some blocks, those of the lowest scores."""
    return which & (score <= np.quantile(score[which], share))


def _medians(flat: Flat, which: NDArray[np.int64], frequencies: Mask) -> Floats:
    """The variances of coefficients, [1 + draws, F]; resampled by the linear term of the median's error."""
    values = flat.blocks.energy[which][:, frequencies] / flat.variance[which, None]
    median = np.median(values, axis=0) / CHI2_MEDIAN
    tile = np.unique(flat.blocks.tile[which], return_inverse=True)[1].reshape(-1)
    below = np.zeros((tile.max() + 1, values.shape[1]))
    np.add.at(below, tile, values <= median * CHI2_MEDIAN)
    weights = drawn(tile.max() + 1)
    share = weights @ below / (weights @ np.bincount(tile))[:, None]
    error = (0.5 - share) / (DENSITY * CHI2_MEDIAN)
    error[0] = 0.0
    return np.asarray(np.maximum(median * (1.0 + error), 1e-3 * median))


def _covariances(spectra: Floats, reach: int, ring: int) -> tuple[dict[tuple[int, int], Floats], tuple[Floats, Floats]]:
    """Covariances by lag, and the variances of whole rows and columns, [1 + draws] each, from the outer rings."""
    use = ring <= RING
    lags = [(dy, dx) for dy in range(reach + 1) for dx in range(reach + 1)]
    shapes = [np.outer(_lagged(dy), _lagged(dx)) * (1 + (dy > 0)) * (1 + (dx > 0)) for dy, dx in lags]
    shapes += [np.outer(np.ones(SIDE), SIDE * np.eye(SIDE)[0]), np.outer(SIDE * np.eye(SIDE)[0], np.ones(SIDE))]
    weight = 1.0 / spectra[0][use]
    matrix = np.stack([shape[use] for shape in shapes], axis=1) * weight[:, None]
    solved = (spectra[:, use] * weight) @ np.linalg.pinv(matrix).T
    covariances = {lag: solved[:, k] for k, lag in enumerate(lags)}
    return covariances, (solved[:, -2], solved[:, -1])


def _lagged(lag: int) -> Floats:
    """What a covariance at a lag adds to the energy of each frequency along one axis."""
    return np.asarray((dct()[:, : SIDE - lag] * dct()[:, lag:]).sum(1))


def _texture(flat: Flat) -> float:
    """The mean correlation of the energies of blocks at middle and high frequencies, outliers cut."""
    found = []
    for which, frequencies in ((flat.by_even, ODD), (flat.by_odd, EVEN)):
        chosen, variance = flat.blocks.take(which), flat.variance[which]
        pair = [chosen.at(of) / variance for of in (frequencies, HIGH)]
        pair = [np.minimum(one, np.quantile(one, 0.95)) for one in pair]
        found.append(np.corrcoef(pair[0], pair[1])[0, 1] if min(one.std() for one in pair) > 0.0 else 0.0)
    return float(np.mean(found))
