"""Numbers with 95 % intervals, by the bootstrap of tiles."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 400
TAIL = 2.5  # percent on each side of an interval
WIDER = 1.2  # times the bootstrap's deviations, as tiles are few and not alike: then 95 % of intervals hold the truth


class Estimate(Struct, frozen=True):
    """A number with its interval."""

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def drawn(tiles: int) -> Floats:
    """How often each tile is drawn in each resampling, [1 + DRAWS, tiles]; the first is the sample itself."""
    counts = np.random.default_rng(0).multinomial(tiles, np.full(tiles, 1.0 / tiles), DRAWS).astype(np.float64)
    return np.concatenate([np.ones((1, tiles)), counts])


def interval(values: Floats, least: float = -np.inf) -> Estimate:
    """The first value, and the 95 % of the others, none below `least`."""
    low, high = values[0] + WIDER * (np.percentile(values[1:], (TAIL, 100.0 - TAIL)) - values[0])
    value, low, high = (float(max(one, least)) for one in (values[0], low, high))
    return Estimate(value, min(low, value), max(high, value))


def with_lower_bound(one: Estimate, share: float) -> Estimate:
    """The interval reaches lower by a share of the value, for what can only raise it."""
    return Estimate(one.value, max(min(0.0, one.low), one.low - share * one.value), one.high)
