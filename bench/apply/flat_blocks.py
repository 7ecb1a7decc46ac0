"""8x8 blocks of noisy planes: their brightness, the energies of their DCT, and which of them are flat.

The energy of a scene falls with the frequency, and noise is everywhere. A block is flat if its middle frequencies have
no more energy than the noise. The noise is measured at other frequencies, so choosing flat blocks does not bias it
(after Ponomarenko et al., and Colom and Buades).
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import scipy  # loads its parts where they are used
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
SIDE, STEP = 8, 4  # blocks overlap by half
TILE = 32  # pixels: the blocks of a tile show the same structure, so the bootstrap draws tiles
MOST = 60_000  # blocks of a plane that are used
RING = np.add.outer(np.arange(SIDE), np.arange(SIDE))
HIGH = RING > SIDE  # where the noise is measured: edges along rows or columns have little there
EVEN, ODD = (np.isin(RING, rings) for rings in ((4, 6, 8), (3, 5, 7)))  # where structure is looked for
GROUPS, GROUP = 24, 200  # groups of equal brightness at most, and blocks in one at least
FLATTEST = 0.1  # of a group: the first guess
ABOVE = 1.5  # a flat block has at most so many times the noise's energy (95 % of pure noise has less)
CLIPPING = 0.05  # of the flat blocks of a brightness may touch the ends of the range
FEWEST = 20  # flat blocks
FEW = 5  # of a brightness
CHI2_MEDIAN = 0.45494  # of chi^2 with one degree of freedom


class Blocks(NamedTuple):
    """N blocks of one plane of all frames."""

    mean: Floats  # [N]
    energy: Floats  # [N, 8, 8], squared coefficients of the orthonormal DCT: v for white noise of variance v
    clipped: Mask  # [N], a pixel is at an end of the range
    tile: NDArray[np.int64]  # [N], consecutive numbers

    def take(self, which: NDArray[Any]) -> "Blocks":
        """Some of them."""
        return Blocks(*(field[which] for field in self))

    def at(self, frequencies: Mask) -> Floats:
        """The mean energy at some frequencies, [N]."""
        return np.asarray(self.energy[:, frequencies].mean(1))


class Flat(NamedTuple):
    """Which blocks show nothing but noise."""

    blocks: Blocks
    variance: Floats  # [N], the noise's at high frequencies, by brightness
    by_even: Mask  # [N], flat by the even rings
    by_odd: Mask  # [N], flat by the odd rings
    clipping: Mask  # [N], so dark or bright that the range cuts the noise
    cut: bool  # all flat blocks are, so they were used nevertheless

    @property
    def both(self) -> Mask:
        """Flat by all middle frequencies."""
        return self.by_even & self.by_odd


@cache
def dct() -> Floats:
    """The orthonormal DCT-II, [frequency, place]."""
    return np.asarray(scipy.fft.dct(np.eye(SIDE), axis=0, norm="ortho"))


def blocks(planes: Iterable[tuple[Floats, Floats, Mask]], share: float = 1.0) -> Blocks:
    """The blocks of a share of the tiles of planes [H, W]: where noise is, where brightness is, which are clipped."""
    draws, found, tiles = np.random.default_rng(0), list[Blocks](), 0
    for plane in planes:
        if min(plane[0].shape) < SIDE:
            continue
        one = _of_plane(*plane)
        chosen = draws.random(one.tile.max() + 1) < share
        one = one.take(chosen[one.tile])
        found.append(one._replace(tile=one.tile + tiles))
        tiles += len(chosen)
    if not found:
        return Blocks(np.zeros(0), np.zeros((0, SIDE, SIDE)), np.zeros(0, bool), np.zeros(0, int))
    joined = Blocks(*(np.concatenate(field) for field in zip(*found, strict=True)))
    return joined._replace(tile=np.unique(joined.tile, return_inverse=True)[1].reshape(-1))


def number(height: int, width: int) -> int:
    """The blocks of a plane."""
    return max(0, (height - SIDE) // STEP + 1) * max(0, (width - SIDE) // STEP + 1)


def _of_plane(noisy: Floats, bright: Floats, clipped: Mask) -> Blocks:
    def windows(plane: NDArray[Any]) -> NDArray[Any]:
        return sliding_window_view(plane, (SIDE, SIDE))[::STEP, ::STEP]

    energy = np.square(dct() @ windows(noisy) @ dct().T)
    row, column = np.indices(energy.shape[:2]) * STEP // TILE
    tile = (row * (column.max() + 1) + column).reshape(-1)
    mean, touched = windows(bright).mean((2, 3)), windows(clipped).any((2, 3))
    return Blocks(mean.reshape(-1), energy.reshape(-1, SIDE, SIDE), touched.reshape(-1), tile)


def flat(found: Blocks) -> Flat | None:
    """The flat blocks; None if there are too few blocks to tell."""
    if len(found.mean) < 2 * FEWEST:
        return None
    groups = np.array_split(np.argsort(found.mean), max(1, min(GROUPS, len(found.mean) // GROUP)))
    high, even, odd = found.at(HIGH), found.at(EVEN), found.at(ODD)
    score = found.at(EVEN | ODD)
    chosen = np.zeros(len(high), bool)
    for group in groups:
        chosen[group[np.argsort(score[group])[: max(FEWEST, int(FLATTEST * len(group)))]]] = True
    clipping, cut, flattest = np.zeros(len(high), bool), False, max(FEWEST, len(high) // 20)
    for _ in range(5):
        variance = _line(found.mean, high, chosen, groups)
        # how much more noise the middle frequencies have than the high ones, where the other half says it is flattest
        more_odd = max(1.0, _level(found, variance, np.argsort(even / variance)[:flattest], ODD))
        more_even = max(1.0, _level(found, variance, np.argsort(odd / variance)[:flattest], EVEN))
        by_even, by_odd = even < ABOVE * more_even * variance, odd < ABOVE * more_odd * variance
        clipping = _cut(groups, by_even & by_odd, found.clipped)
        usable = ~(clipping | found.clipped)
        cut = bool((usable & by_even & by_odd).sum() < FEWEST)  # photons are few everywhere, or the range is too small
        usable |= cut
        by_even, by_odd = by_even & usable, by_odd & usable
        if (by_even & by_odd).sum() < FEWEST:
            return None
        chosen = by_even & by_odd
    return Flat(found, variance, by_even, by_odd, clipping, cut)


def _line(mean: Floats, high: Floats, chosen: Mask, groups: list[NDArray[np.int64]]) -> Floats:
    """The variance at high frequencies by brightness: a line through the chosen blocks of each group, [N]."""
    inside = [group[chosen[group]] for group in groups]
    inside = [group for group in inside if len(group) >= FEW] or [np.flatnonzero(chosen)]
    points = np.array([(mean[group].mean(), high[group].mean(), len(group)) for group in inside])
    slope, constant = line(*points.T)
    least = max(np.quantile(high[chosen], 0.01), 1e-300)  # a line may fall below zero
    return np.asarray(np.maximum(slope * mean + constant, least))


def line(x: Floats, v: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Slope and constant of variances v(x) along the last axis, whose errors grow with v.

    Structure can only raise a variance, so those above the line count less.
    """
    fitted, least = v, 1e-12 * v.max() + 1e-150
    slope = constant = np.zeros(v.shape[:-1])
    for _ in range(20):
        w = weight / np.square(np.maximum(np.maximum(fitted, v), least))
        w = w / np.maximum(w.sum(-1, keepdims=True), 1e-300)
        mx, mv = ((w * of).sum(-1, keepdims=True) for of in (x, v))
        spread = (w * np.square(x - mx)).sum(-1, keepdims=True)
        tilt = (w * (x - mx) * (v - mv)).sum(-1, keepdims=True) / np.maximum(spread, 1e-300)
        slope, constant = tilt[..., 0], (mv - tilt * mx)[..., 0]
        fitted = tilt * x + constant[..., None]
    return slope, constant


def _level(found: Blocks, variance: Floats, which: NDArray[np.int64], frequencies: Mask) -> float:
    """The median over frequencies of the energy that some blocks have, relative to that of the high ones."""
    return float(np.median(_typical(found.energy[which][:, frequencies] / variance[which, None])))


def _typical(energies: Floats) -> Floats:
    """The variance of coefficients by the median of their squares [N, F], which a few structured blocks leave alone."""
    return np.asarray(np.median(energies, axis=0) / CHI2_MEDIAN)


def _cut(groups: list[NDArray[np.int64]], flat: Mask, clipped: Mask) -> Mask:
    """The blocks of groups whose flat blocks often touch an end of the range."""
    cut = np.zeros(len(flat), bool)
    for group in groups:
        inside = clipped[group[flat[group]]]
        cut[group] = len(inside) > 0 and inside.mean() > CLIPPING
    return cut
