"""Near-duplicates between image sets: photographs that share a region, at the same size or at half of it.

The product of two spectra is the correlation of two band-passed images at all shifts. It is normalised by the energies
of both images inside their overlap. Shifts are found at half resolution and confirmed at full resolution. Images that
are turned are not found, nor is a scene that was scanned twice with other distortions (barbara).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, groupby

import numpy as np
import scipy
from msgspec import Struct
from numpy.typing import NDArray

from ..images import SetImage, unit

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
NamedSet = tuple[str, Sequence[SetImage]]
Box = tuple[int, int, int, int]  # top, left, height, width

LUMINANCE = np.array([0.2989, 0.5870, 0.1140], np.float32)  # of MATLAB's rgb2gray
REDUCTIONS = ((1, 1), (1, 2), (2, 1))  # of the first and the second image

SIDE = 32  # least sides of an overlap in the search [half pixels]; of a shorter image, its whole side
LEAST = 16  # images with a shorter side are not searched [half pixels]
CONTRAST = 4.0  # gray levels under which a detail fades, so that noise in a flat region is no texture
TEXTURE = 0.2  # least root mean square of a band-passed overlap that could score 1

# Highest score of two unrelated images: 0.72 in the search, 0.61 confirmed (kodak with bsds500_train: 28,800
# comparisons, the 60 best of each scale confirmed; set12 with bsd400: 0.66 and 0.45). Lowest of a true pair: 0.97
# and 0.95 (peppers, another scan), and 0.85 and 0.81 for a crop at odd offsets stored as JPEG at quality 10.
CANDIDATE = 0.6
SAME = 0.75

BLOCK = 2**20  # pixels of half-size images that are compared at a time, and no more than 32 images


class Overlap(Struct, frozen=True):
    """Two images that show a region of the same photograph."""

    first_set: str
    first: str
    second_set: str
    second: str
    scale: float  # pixels of the second per pixel of the first, along each axis: 0.5, 1 or 2
    share: float  # of the first's area
    box: Box  # the region in the first [pixels]
    score: float  # normalised correlation of the band-passed region


class _Block(Struct):
    """Images of one shape, by their index in the set."""

    indices: list[int]
    bands: dict[int, Floats]  # [N, H, W], by reduction; at half the resolution of the reduced images


def near_duplicates(
    sets: Sequence[tuple[str, Sequence[SetImage]]], report: Callable[[int, int], None] = lambda done, total: None
) -> list[Overlap]:
    """The overlaps between named sets, of a set given twice also within it; `report(done, total)` counts pairs."""
    done, total = 0, sum(len(first) * len(second) for (_, first), (_, second) in combinations(sets, 2))
    found = []
    for first, second in combinations(sets, 2):
        best: dict[tuple[int, int], Overlap] = {}
        blocks = list(_blocks(first[1]))
        for block, other in ((block, other) for block in _blocks(second[1]) for other in blocks):
            for i, j, overlap in _overlaps(first, second, other, block):
                best[i, j] = max(overlap, best.get((i, j), overlap), key=lambda one: one.score)
            done += len(other.indices) * len(block.indices)
            report(done, total)
        found += [best[pair] for pair in sorted(best)]
    return found


def _overlaps(first: NamedSet, second: NamedSet, some: _Block, others: _Block) -> Iterator[tuple[int, int, Overlap]]:
    """Confirmed overlaps of the images of two blocks, by their indices in the sets."""
    for i, j, reductions, shift in _candidates(some, others):
        if first[0] == second[0] and i >= j:
            continue
        score, share, box = _confirm(first[1][i], second[1][j], reductions, shift)
        if score > SAME:
            names = (first[0], first[1][i].name, second[0], second[1][j].name)
            yield i, j, Overlap(*names, reductions[1] / reductions[0], share, box, score)


def _blocks(set_images: Sequence[SetImage]) -> Iterator[_Block]:
    shapes = [set_image.pixels.shape[:2] for set_image in set_images]
    for (height, width), group in groupby(sorted(range(len(set_images)), key=shapes.__getitem__), shapes.__getitem__):
        indices, count = list(group), min(32, 1 + 4 * BLOCK // (height * width))
        for start in range(0, len(indices), count):
            some = indices[start : start + count]
            halves = [_half(_luminance(set_images[i])) for i in some]
            bands = {1: np.stack([_band(x) for x in halves]), 2: np.stack([_band(_half(x)) for x in halves])}
            yield _Block(some, bands)


def _luminance(set_image: SetImage) -> Floats:
    pixels: Floats = unit(set_image.pixels) * np.float32(255.0)
    return pixels @ LUMINANCE if pixels.shape[-1] == 3 else pixels[..., 0]


def _half(x: Floats) -> Floats:
    height, width = (side // 2 for side in x.shape)
    mean: Floats = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return mean


def _band(x: Floats) -> Floats:
    """Details at equal contrast everywhere, so that a single strong edge does not decide."""
    detail = scipy.ndimage.gaussian_filter(x, 0.7) - scipy.ndimage.gaussian_filter(x, 3.0)
    return np.asarray(detail / (np.sqrt(scipy.ndimage.gaussian_filter(detail**2, 6.0)) + CONTRAST), np.float32)


def _candidates(first: _Block, second: _Block) -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    """Pairs that may overlap: indices, reductions, and the shift [half pixels] from first to second."""
    for reductions in REDUCTIONS:
        a, b = first.bands[reductions[0]], second.bands[reductions[1]]
        least = min(SIDE, *a.shape[1:], *b.shape[1:])
        if least < LEAST:
            continue
        for i, correlations in zip(first.indices, _correlations(a, b, least), strict=True):
            flat = correlations.reshape(len(b), -1)
            for n in np.flatnonzero(flat.max(axis=1) > CANDIDATE):
                y, x = divmod(int(flat[n].argmax()), correlations.shape[2])
                yield i, second.indices[n], reductions, (y + least - b.shape[1], x + least - b.shape[2])


def _correlations(a: Floats, b: Floats, least: int) -> Iterator[Floats]:
    """Each of `a` [N, H, W] with all of `b` [M, h, w] at every shift of an overlap with sides >= least: [M, Y, X]."""
    (y, top, bottom), (x, left, right) = (_spans(a.shape[i], b.shape[i], least) for i in (1, 2))
    own = _norms(a, top, bottom, left, right)
    others = _norms(b, top - y, bottom - y, left - x, right - x)
    # cyclic: at this size only overlaps below `least` fold back, onto each other
    size = [scipy.fft.next_fast_len(a.shape[i] + b.shape[i] - least, real=True) for i in (1, 2)]
    spectra = scipy.fft.rfft2(b[:, ::-1, ::-1], size)  # flipped, so that the product is a correlation
    inside = np.s_[:, least - 1 : least - 1 + len(y), least - 1 : least - 1 + len(x)]
    for image, norm in zip(a, own, strict=True):
        yield scipy.fft.irfft2(scipy.fft.rfft2(image, size) * spectra, size)[inside] / (norm * others)


def _spans(length: int, other: int, least: int) -> tuple[Integers, Integers, Integers]:
    """Along one axis, every shift of the second image, and where the overlap starts and ends in the first."""
    shift = np.arange(least - other, length - least + 1)
    return shift, np.maximum(shift, 0), np.minimum(shift + other, length)


def _norms(x: Floats, top: Integers, bottom: Integers, left: Integers, right: Integers) -> Floats:
    """Root energy of `x` [N, H, W] inside every overlap, from a table of sums: [N, Y, X]."""
    sums = np.pad(np.cumsum(np.cumsum(x**2, axis=1, dtype=np.float64), axis=2), ((0, 0), (1, 0), (1, 0)))
    rows = sums[:, bottom] - sums[:, top]
    floor = TEXTURE**2 * np.outer(bottom - top, right - left)
    return np.sqrt(np.maximum(rows[:, :, right] - rows[:, :, left], floor)).astype(np.float32)


def _confirm(
    first: SetImage, second: SetImage, reductions: tuple[int, int], shift: tuple[int, int]
) -> tuple[float, float, Box]:
    """Score at full resolution, share of the first, and box, of the best shift within 2 pixels of the candidate."""
    a, b = (
        _luminance(set_image) if reduction == 1 else _half(_luminance(set_image))
        for set_image, reduction in zip((first, second), reductions, strict=True)
    )
    p, q, steps = _band(a), _band(b), range(-2, 3)
    nearby: list[tuple[float, Box]] = [_score(p, q, 2 * shift[0] + y, 2 * shift[1] + x) for y in steps for x in steps]
    score, box = max(nearby)
    top, left, height, width = (reductions[0] * side for side in box)
    area = first.pixels.shape[0] * first.pixels.shape[1]
    return score, height * width / area, (top, left, height, width)


def _score(a: Floats, b: Floats, y: int, x: int) -> tuple[float, Box]:
    """Normalised correlation where b [h, w], moved by (y, x), overlaps a [H, W]; and where that is."""
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + b.shape[0], a.shape[0]), min(x + b.shape[1], a.shape[1])
    p, q = a[top:bottom, left:right], b[top - y : bottom - y, left - x : right - x]
    floor = TEXTURE**2 * p.size
    energies = [max(float(np.sum(x**2)), floor) for x in (p, q)]
    return float(np.sum(p * q)) / math.sqrt(math.prod(energies)), (top, left, bottom - top, right - left)
