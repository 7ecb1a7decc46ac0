"""Large images in overlapping tiles: equal to the whole image's output, in bounded memory."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from ..compute.step import out_of_memory
from ..datasets.noise.model import Image
from .fitting import Fitted

LARGEST = {"cpu": 2**20, "cuda": 2**22}  # pixels of a tile with its margin: about 1.5 GB of a U-Net's features for 2^20
WHOLE = 64  # margin where an output depends on the whole image, so that tiles cannot be exact
PROBE = 512  # the least side of the image on which the margin is found
Read = Callable[[slice, slice], Image]  # the rows and columns of an image, [h, w, C] in 0..1


def margin_of(fitted: Fitted) -> int | None:
    """How many pixels around it an output depends on, rounded up to the network's multiple; None for the whole image.

    Values that are not numbers spread to every output that depends on them, through any layer.
    """
    if fitted.net is None:
        return None
    method = fitted.work.method
    side = rounded_down(max(PROBE, 4 * method.multiple), method.multiple)
    first = rounded_down(side // 2, method.multiple)
    last = first + method.multiple
    probe = np.full((side, side, fitted.work.channels), 0.5, np.float32)
    probe[first:last, first:last] = np.nan
    reached = np.argwhere(np.isnan(fitted(probe)))[:, :2]
    low, high = int(reached.min()), int(reached.max())
    if low == 0 or high == side - 1:
        return None
    return rounded_down(max(first - low, high + 1 - last) + method.multiple - 1, method.multiple)


def strips(
    fitted: Fitted,
    read: Read,
    height: int,
    width: int,
    margin: Callable[[], int | None],
    report: Callable[[float], None] = lambda share: None,
    largest: int = 0,
) -> Iterator[Image]:
    """The output for an image of these sides, in strips [h, width, C] from top to bottom.

    `margin` finds what `margin_of` says, where it is needed. `largest`: pixels of a tile with its margin, by default as
    many as the device should hold. An image or a tile that does not fit into memory is cut into four.
    """
    largest = largest or LARGEST[fitted.machine.kind]
    multiple, done, total = fitted.work.method.multiple, 0, height * width  # pixels

    @cache
    def around() -> int:
        found = margin()
        return WHOLE if found is None else found

    def tile(rows: slice, columns: slice) -> Image:
        nonlocal done
        part, before = (rows.stop - rows.start) * (columns.stop - columns.start), done
        fitted.report = lambda trained: report((before + part * trained.step / (trained.steps + 1)) / total)
        found = _tile(fitted, read, (height, width), (rows, columns), around)
        done += part
        if done < total:
            report(done / total)
        return found

    core = max(height, width)
    if total > largest:
        core = max(multiple, rounded_down(int(largest**0.5) - 2 * around(), multiple))
    for top in range(0, height, core):
        rows, strip = slice(top, min(top + core, height)), []
        for left in range(0, width, core):
            columns = slice(left, min(left + core, width))
            strip.append(tile(rows, columns))
        yield np.concatenate(strip, axis=1)
    report(1.0)


def _tile(
    fitted: Fitted, read: Read, sides: tuple[int, int], inner: tuple[slice, slice], around: Callable[[], int]
) -> Image:
    """The output for these rows and columns, from what lies `around` them; of the whole image nothing does."""
    margin = 0 if inner == tuple(slice(0, side) for side in sides) else around()
    outer = [slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(inner, sides, strict=True)]
    rows, columns = (_halves(s, fitted.work.method.multiple) for s in inner)
    found = None
    try:
        found = fitted(read(outer[0], outer[1]))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error) or len(rows) * len(columns) == 1:
            raise
    if found is None:  # here the error is gone, and with it what the network held
        across = [[_tile(fitted, read, sides, (r, c), around) for c in columns] for r in rows]
        return np.concatenate([np.concatenate(row, axis=1) for row in across], axis=0)
    top, left = (s.start - o.start for s, o in zip(inner, outer, strict=True))
    height, width = (s.stop - s.start for s in inner)
    return found[top : top + height, left : left + width]


def _halves(whole: slice, multiple: int) -> list[slice]:
    """The two halves of some rows or columns, in multiples; one where they are too few."""
    middle = whole.start + rounded_down((whole.stop - whole.start) // 2, multiple)
    return [whole] if middle == whole.start else [slice(whole.start, middle), slice(middle, whole.stop)]


def rounded_down(number: int, multiple: int) -> int:
    """The largest multiple that is not above a number."""
    return number // multiple * multiple
