"""The noise's variance against the brightness: gain * (brightness - offset) + read noise^2, with intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimates import TAIL, Estimate, drawn, interval, with_lower_bound
from .flat_blocks import EVEN, FEWEST, HIGH, ODD, SIDE, Flat, Floats, line

NOWHERE = -1e300  # the brightness without noise where noise does not grow
GROUPS = 24  # of equal brightness
NOISY = 0.2  # of the variance of the brightness of flat blocks
DARK = 0.01  # of the flat blocks are darker than the darkest level that counts


class VarianceFit(NamedTuple):
    """What one plane's variance says, in stored units."""

    gain: Estimate  # stored units per photoelectron
    offset: Estimate  # the level of black
    read_noise: Estimate  # standard deviation in the dark
    level: Estimate  # standard deviation at the mean brightness
    brightness: float  # that mean
    brightest: float
    x: Floats  # mean brightness of each group
    variance: Floats  # and its noise variance
    slope: float
    constant: float
    misfit: float  # of the line: root mean square relative difference beyond chance


def fit(
    flat: Flat,
    black: float,
    offset: float | None = None,
    *,
    scale: Floats | None = None,
    rounding: float = 0.0,
    exact: bool = False,
) -> VarianceFit:
    """The line through the variances of flat blocks.

    `black` is the lowest value that a pixel can have, `offset` the level of black if it is known, `scale` what the
    variance of a pixel is of that at high frequencies, for each resampling (1 for white noise), `rounding` the variance
    that whole numbers add, `exact` that the scene was subtracted.
    """
    which = np.flatnonzero(flat.both)
    x, v, n = _groups(flat, which)
    scale = np.ones(len(x)) if scale is None else scale
    slope, constant = line(x, v, n)
    slope, constant, v = slope * scale, constant * scale - rounding, v * scale[:, None] - rounding
    mean = flat.blocks.mean[which]
    darkest, brightness, brightest = (float(one) for one in (np.quantile(mean, DARK), mean.mean(), mean.max()))
    structure = 0.0 if exact else _structure(flat, which)
    zero = np.where(slope > 0.0, -constant / np.where(slope > 0.0, slope, 1.0), NOWHERE)  # where no variance is left
    dark = _offset(zero, black, darkest, offset)
    gain = with_lower_bound(interval(slope, least=0.0), structure)
    read_noise = _read_noise(slope, constant, dark, structure * float(v[0].mean()))
    level = with_lower_bound(interval(np.sqrt(np.maximum(slope * brightness + constant, 0.0))), structure / 2.0)
    if not exact and level.value**2 / SIDE**2 > NOISY * mean.var():
        gain, read_noise = _of_chance(gain, read_noise, level, brightness - darkest)
    return VarianceFit(
        gain=gain,
        offset=dark,
        read_noise=read_noise,
        level=level,
        brightness=brightness,
        brightest=brightest,
        x=x[0],
        variance=v[0],
        slope=float(slope[0]),
        constant=float(constant[0]),
        misfit=_misfit(x[0], v, slope[0], constant[0]),
    )


def _of_chance(gain: Estimate, read_noise: Estimate, level: Estimate, light: float) -> tuple[Estimate, Estimate]:
    """Gain and read noise where blocks differ in brightness by noise alone: all noise may be of photons, or none."""
    most = max(gain.high, level.high**2 / max(light, 1e-12))
    return Estimate(gain.value, 0.0, most), Estimate(read_noise.value, 0.0, max(read_noise.high, level.high))


def _groups(flat: Flat, which: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean brightness, mean variance and number of blocks of groups of equal brightness, [1 + DRAWS, groups]."""
    mean, high = flat.blocks.mean[which], flat.blocks.at(HIGH)[which]
    size = max(1, min(GROUPS, len(which) // FEWEST))
    group = np.empty(len(which), int)
    group[np.argsort(mean)] = np.arange(len(which)) * size // len(which)
    tile = np.unique(flat.blocks.tile[which], return_inverse=True)[1].reshape(-1)
    sums = np.zeros((3, tile.max() + 1, size))
    for of, values in zip(sums, (np.ones_like(mean), mean, high), strict=True):
        np.add.at(of, (tile, group), values)
    n, x, v = (drawn(tile.max() + 1) @ of for of in sums)
    some = np.maximum(n, 1e-12)
    return np.where(n > 0, x / some, x[:1] / n[:1]), np.where(n > 0, v / some, v[:1] / n[:1]), n


def _offset(zero: Floats, black: float, darkest: float, known: float | None) -> Estimate:
    """Black is no darker than where the variance ends, and no brighter than the darkest flat blocks."""
    if known is not None:
        return Estimate(known, known, known)
    least = float(np.percentile(zero[1:], TAIL))
    low = min(max(black, least), darkest)
    return Estimate(black if least <= black else darkest, low, darkest)


def _read_noise(slope: Floats, constant: Floats, offset: Estimate, structure: float) -> Estimate:
    """The noise at black, whatever black is in its interval, and with or without a variance that structure may have."""
    at = [np.sqrt(np.maximum(slope * one + constant, 0.0)) for one in (offset.value, offset.low, offset.high)]
    low, high = interval(at[1]).low, interval(at[2]).high
    value = float(at[0][0])
    low = float(np.sqrt(max(0.0, low**2 - structure)))
    return Estimate(value, min(low, value), max(high, value))


def _structure(flat: Flat, which: NDArray[np.int64]) -> float:
    """The share of the variance that structure may have: what the flatter half of the blocks has less of, twice."""
    score = (flat.blocks.at(EVEN) + flat.blocks.at(ODD))[which] / flat.variance[which]
    high = flat.blocks.at(HIGH)[which] / flat.variance[which]
    less = 1.0 - high[score <= np.median(score)].mean() / high.mean()
    return float(min(1.0, max(0.0, 2.0 * less)))


def _misfit(x: Floats, v: Floats, slope: float, constant: float) -> float:
    """How far the groups are from the line, without what chance explains."""
    fitted = np.maximum(slope * x + constant, 1e-300)
    chance = v[1:].var(axis=0) / np.square(fitted)
    return float(np.sqrt(max(0.0, np.median(np.square(v[0] / fitted - 1.0) - chance))))
