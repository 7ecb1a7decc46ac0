"""What the storage and the sensor add to noise: clipped pixels, unused bits, hot pixels, blocks of JPEG."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .estimates import Estimate
from .flat_blocks import HIGH, SIDE, Floats, Mask, dct

Pixels = NDArray[Any]  # [H, W, C], stored values
PILE = 5.0  # times as many pixels as the levels beside it hold: values are cut there
PILED = 1e-5  # of all pixels at least
LEVELS = 8  # beside an end of the values
SPIKE = 5.0  # standard deviations that a defect is above all its neighbours
ALONE = 0.7  # of its height above them; a point of light has a halo
ROUNDED = 0.6  # of the size of small coefficients on other grids: JPEG rounds them to zero
VALUES = 8_000_000  # that are looked at
SAMPLE = 1500  # blocks of each alignment


class Ends(NamedTuple):
    """Where the values are cut, and the shares of pixels there; infinite where they are not."""

    low: float
    high: float
    share_low: float
    share_high: float

    def mask(self, plane: Floats) -> Mask:
        """The cut pixels."""
        return np.asarray((plane <= self.low) | (plane >= self.high))


class Steps(NamedTuple):
    """Which of the values that a type has are used."""

    step: float  # between neighbouring values; 0 for values without steps
    bits: int  # that hold all values in such steps
    highest: float


def ends(frames: Sequence[Pixels]) -> Ends:
    """The lowest and highest values if many more pixels have them than have the next values."""
    values = _values(frames)
    step = steps(frames).step or float(np.ptp(values)) / 65536.0
    low, share_low = _pile(values, step)
    high, share_high = _pile(-values, step)
    return Ends(low, -high, share_low, share_high)


def _values(frames: Sequence[Pixels]) -> Floats:
    """Values from everywhere in the frames."""
    every = 1 + sum(frame.size for frame in frames) // VALUES
    return np.concatenate([frame.reshape(-1)[::every] for frame in frames]).astype(np.float64)


def _pile(values: Floats, step: float) -> tuple[float, float]:
    """The least value and its share if pixels pile up there, else (-inf, 0)."""
    least = float(values.min())
    share = float((values < least + 0.5 * step).mean()) if step > 0.0 else 1.0
    near = float((values < least + (LEVELS + 0.5) * step).mean()) - share
    if share < 1.0 and share >= PILED and share * len(values) >= PILE and share > PILE * near / LEVELS:
        return least, share
    return -np.inf, 0.0


def steps(frames: Sequence[Pixels]) -> Steps:
    """The step of the values and the bits that they need."""
    values = np.unique(_values(frames))
    highest = float(values[-1])
    if len(values) < 2 or not np.array_equal(values, np.rint(values)):
        return Steps(0.0, 0, highest)
    step = float(np.gcd.reduce(np.diff(values).astype(np.int64)))
    span = (highest - min(0.0, float(values[0]))) / step
    return Steps(step, int(np.ceil(np.log2(span + 1.0))), highest)


def spikes(plane: Floats, slope: float, constant: float) -> tuple[Mask, Mask]:
    """Pixels [H - 2, W - 2] far above or below all eight neighbours, for noise of variance slope * x + constant."""
    windows = sliding_window_view(plane, (3, 3)).reshape(plane.shape[0] - 2, plane.shape[1] - 2, 9)
    around, centre = np.delete(windows, 4, axis=2), windows[..., 4]
    middle = np.median(around, axis=2)
    least = SPIKE * (np.sqrt(np.maximum(slope * middle + constant, 0.0)) + max(slope, 0.0))  # counts have long tails
    least = np.maximum(least, np.ptp(around, axis=2))
    hot = centre - around.max(axis=2) > np.maximum(least, ALONE * (centre - middle))
    dead = around.min(axis=2) - centre > np.maximum(least, ALONE * (middle - centre))
    return hot, dead


def share(number: int, of: int) -> Estimate:
    """A share with the 95 % interval of Wilson."""
    interval = scipy.stats.binomtest(number, of).proportion_ci(method="wilson")
    return Estimate(number / of, float(interval.low), float(interval.high))


def jpeg_blocks(plane: Floats) -> float:
    """How small coefficients on the grid of JPEG's blocks are, relative to those on other grids: 1 without JPEG."""
    if min(plane.shape) < 3 * SIDE:
        return 1.0
    by_place = np.array([[_small(plane[top:, left:]) for left in range(SIDE)] for top in range(SIDE)])
    middle = float(np.median(by_place))
    return float(by_place.min()) / middle if middle > 0.0 else 1.0


def _small(plane: Floats) -> float:
    """What a tenth of the high-frequency coefficients of blocks side by side is below; blocks of one value left out."""
    rows, columns = (side // SIDE for side in plane.shape)
    grid = plane[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)
    stack = grid.reshape(rows * columns, SIDE, SIDE)
    stack = stack[:: max(1, len(stack) // SAMPLE)]
    stack = stack[np.ptp(stack, axis=(1, 2)) > 0]
    return float(np.quantile(np.abs(dct() @ stack @ dct().T)[:, HIGH], 0.1)) if len(stack) else 0.0
