"""Intervals for means over pixels that are not independent: blocks of pixels are drawn anew, not pixels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.seeds import frozen

Floats = NDArray[np.float64]
SQUARES = (8, 16, 32, 64)  # sides of square blocks [pixels]
STRIPS = (2, 8)  # heights of blocks as wide as the image, and widths of those as high: for noise of whole rows, columns
FEWEST = 9  # blocks of all images together, and 2 of each
DRAWS = 2000


class Resampled(NamedTuple):
    """Means over all pixels, and what they would be for other blocks."""

    means: Floats  # [K]
    draws: Floats  # [DRAWS, K]
    block: str  # the blocks' shape

    def interval(self, of: Callable[[Floats], Floats]) -> tuple[float, float]:
        """The 95 % percentile interval of a function of the means [..., K] -> [...]; NaN where it is not defined."""
        low, high = np.percentile(of(self.draws), [2.5, 97.5])
        return float(low), float(high)


def resampled(maps: Sequence[Floats]) -> Resampled:
    """Bootstrap over blocks of maps [K, H, W], one per image: K quantities at the same pixels, NaN where not known.

    The blocks are of the shape with which the differences between the quantities vary most, so that correlation over
    any of these distances is in the interval. Few blocks widen it as Student's t does. Each image keeps its own number
    of blocks: the images are not drawn.
    """
    shapes = [shape for shape in _shapes() if _enough(maps, shape)]
    if not shapes:
        sizes = ", ".join(f"{one.shape[2]}x{one.shape[1]}" for one in maps[:3])
        raise InputError(f"images of {sizes} pixels are too small for an interval; expected {FEWEST} blocks of 8x8")
    sums = {shape: [_sums(one, shape) for one in maps] for shape in shapes}
    wider = {shape: _student(sum(counts.size - 1 for _, counts in sums[shape])) for shape in shapes}
    spread = np.stack([_variance(sums[shape]) * wider[shape] ** 2 for shape in shapes])
    relative = (spread / np.maximum(spread.max(axis=0), 1e-300)).mean(axis=1)
    shape = shapes[int(relative.argmax())]
    weights = _weights([totals.shape[1] for totals, _ in sums[shape]])
    totals, counts = (np.concatenate(parts, axis=-1) for parts in zip(*sums[shape], strict=True))
    draws = (weights @ totals.T) / (weights @ counts)[:, None]
    means = totals.sum(axis=1) / counts.sum()
    return Resampled(means, means + wider[shape] * (draws - means), _named(shape))


def _student(freedom: int) -> float:
    """By how much Student's 95 % interval is wider than the normal one."""
    return float(scipy.stats.t.ppf(0.975, freedom) / scipy.stats.norm.ppf(0.975))


Shape = tuple[int, int]  # height and width; 0: the image's


def _shapes() -> list[Shape]:
    strips = [shape for thick in STRIPS for shape in ((thick, 0), (0, thick))]
    return [*((side, side) for side in SQUARES), *strips]


def _named(shape: Shape) -> str:
    height, width = shape
    return f"{width}x{height}" if height and width else f"{height} rows" if height else f"{width} columns"


def _enough(maps: Sequence[Floats], shape: Shape) -> bool:
    blocks = [_whole(one.shape[1], shape[0]) * _whole(one.shape[2], shape[1]) for one in maps]
    return min(blocks) >= 2 and sum(blocks) >= FEWEST


def _whole(side: int, block: int) -> int:
    return side // block if block else 1


def _sums(values: Floats, shape: Shape) -> tuple[Floats, Floats]:
    """Sums [K, blocks] and numbers [blocks] of known pixels; the last blocks also take what is left at the border."""
    known = np.isfinite(values[0])
    blocks = []
    for array in (np.where(known, values, 0.0), known[None].astype(np.float64)):
        for axis, block in zip((1, 2), shape, strict=True):
            starts = np.arange(_whole(array.shape[axis], block)) * block
            array = np.add.reduceat(array, starts, axis=axis)
        blocks.append(array.reshape(len(array), -1))
    totals, counts = blocks
    filled = counts[0] > 0
    return totals[:, filled], counts[0, filled]


def _variance(sums: list[tuple[Floats, Floats]]) -> Floats:
    """The variance [K] of the means' differences from the mean of all quantities, as these blocks show it."""
    total = np.zeros(len(sums[0][0]))
    for totals, counts in sums:
        means = totals.sum(axis=1, keepdims=True) / counts.sum()
        rest = totals - means * counts
        centred = rest - rest.mean(axis=0) if len(rest) > 1 else rest
        total += np.square(centred).sum(axis=1) * counts.size / (counts.size - 1)
    pixels = float(sum(counts.sum() for _, counts in sums))
    return np.asarray(total / pixels**2)


def _weights(blocks: list[int]) -> Floats:
    """How often every block is drawn [DRAWS, blocks]: n - 1 of an image's n, which makes the variance unbiased."""
    generator = frozen("block bootstrap", *blocks)
    parts = [generator.multinomial(n - 1, np.full(n, 1.0 / n), size=DRAWS) * (n / (n - 1)) for n in blocks]
    return np.concatenate(parts, axis=1)
