"""Frames of one scene: what is fitted to which, and whether they show the same with the same brightness."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from ..datasets.noise.model import Image, Noise
from ..datasets.seeds import frozen
from .held_out import Pair, Trial, digest
from .repeated_frames import SHIFT, SIGNIFICANT, significant

Floats = NDArray[np.float64]
MOST = 2  # frames of each half that methods are applied to
CELL = 16  # side of the cells whose means tell gain and offset [pixels]
SMOOTH = 2.0  # standard deviation of the blur before a shift is measured [pixels]
BEST = 5.0  # standard deviations that the best of all shifts is above none


class Match(NamedTuple):
    """How one frame differs from another: held = gain * given + offset, moved by `shift`."""

    gain: float
    gain_error: float  # standard error
    offset: float  # in 0..1
    brighter: float  # by how much the mean is higher, in 0..1
    brighter_error: float
    shift: tuple[float, float]  # rows and columns [pixels], 0 where chance explains it

    @property
    def unequal_gain(self) -> bool:
        """More than chance, and more than half a percent."""
        return abs(self.gain - 1.0) > max(3.0 * self.gain_error, 0.005)

    @property
    def unequal_brightness(self) -> bool:
        """More than chance."""
        return abs(self.brighter) > 3.0 * self.brighter_error

    @property
    def shifted(self) -> bool:
        """So far that smoother methods look better than they are."""
        return float(np.hypot(*self.shift)) > SHIFT


def trials(scenes: Sequence[Sequence[Image]], noise: Noise | None = None) -> tuple[list[Trial], list[Match]]:
    """Each half of the frames against the mean of the other, and how the frames match.

    Scenes have two or more frames [H, W, C]. The noise must be independent between frames, not within one.
    """
    pairs: tuple[list[Pair], list[Pair]] = ([], [])
    dependent: tuple[set[str], set[str]] = (set(), set())
    matches = []
    for scene, frames in enumerate(scenes):
        halves = (frames[0::2], frames[1::2])
        for half in (0, 1):
            others = halves[1 - half]
            held: Image = np.stack(others).mean(axis=0, dtype=np.float64).astype(np.float32)
            for given in halves[half][:MOST]:
                match = compare(given, held, len(others))
                matches.append(match)
                pairs[half].append(Pair(given, corrected(held, match), scene, 1.0 / (len(others) + 1)))
            dependent[half].update(digest(frame) for frame in others)
    names = ("fitted to odd frames, scored on even ones", "fitted to even frames, scored on odd ones")
    training = [tuple(tuple(frames[half::2]) for frames in scenes) for half in (0, 1)]
    return [
        Trial(names[half], tuple(pairs[half]), training[half], frozenset(dependent[half]), noise) for half in (0, 1)
    ], matches


def compare(given: Image, held: Image, frames: int) -> Match:
    """How `held`, the mean of so many frames, differs from one frame [H, W, C]."""
    cells = np.stack([_cells(given), _cells(held)], axis=1)
    generator = frozen("frames", digest(given), digest(held))
    drawn = (cells[generator.randint(len(cells), size=len(cells))] for _ in range(200))
    gain, gain_error = _gain(cells, frames), float(np.std([_gain(one, frames) for one in drawn]))
    (low, high), difference = cells.mean(axis=0), cells[:, 1] - cells[:, 0]
    error = float(difference.std() / np.sqrt(len(difference)))
    return Match(gain, gain_error, float(high - gain * low), float(high - low), error, shift_between(given, held))


def corrected(held: Image, match: Match) -> Image:
    """`held` with the brightness of the other frame, where they differ by more than chance."""
    if match.unequal_gain:
        return ((held - match.offset) / match.gain).astype(np.float32)
    return (held - match.brighter).astype(np.float32) if match.unequal_brightness else held


def _cells(image: NDArray[np.floating]) -> Floats:
    """Means of square cells, all channels alike."""
    side = max(1, min(CELL, *(length // 2 for length in image.shape[:2])))
    height, width = (length // side for length in image.shape[:2])
    whole = image[: height * side, : width * side].astype(np.float64)
    means: Floats = whole.reshape(height, side, width, side, -1).mean(axis=(1, 3)).ravel()
    return means


def _gain(cells: Floats, frames: int) -> float:
    """Deming's slope: both frames have noise, that of the mean of `frames` 1 / frames times the variance."""
    (xx, xy), (_, yy) = np.cov(cells.T)
    rest = yy - xx / frames
    slope = (rest + np.sqrt(rest**2 + 4.0 * xy**2 / frames)) / (2.0 * xy) if xy > 0.0 else np.nan
    return float(slope) if np.isfinite(slope) and slope > 0.0 else 1.0


def shift_between(given: Image, held: Image) -> tuple[float, float]:
    """The rows and columns by which the scene moved, 0 where chance explains it: least squares along the gradient."""
    a, b = (scipy.ndimage.gaussian_filter(one.mean(axis=2, dtype=np.float64), SMOOTH) for one in (given, held))
    shift = _whole_shift(a, b)
    for _ in range(5):
        moved = scipy.ndimage.shift(a, shift, order=3, mode="nearest")
        inner = _inner(shift, a.shape)
        parts = _parts(moved)[inner]  # gain and offset are free
        solved = np.linalg.lstsq(parts.reshape(-1, 4), -b[inner].ravel(), rcond=None)[0]
        shift = shift + np.clip(solved[:2] / (solved[2] or 1.0), -1.0, 1.0)
    rows, columns = significant(shift, _errors(parts, _parts(b)[inner], -b[inner] - parts @ solved))
    return float(rows), float(columns)


def _whole_shift(a: Floats, b: Floats) -> Floats:
    """The whole pixels by which the correlation of edges is highest; none where that explains b by chance alone."""
    spectra = [np.fft.rfft2(scipy.ndimage.laplace(one)) for one in (a, b)]
    correlation = np.fft.irfft2(spectra[1] * np.conj(spectra[0]), s=a.shape)
    peak = np.unravel_index(int(correlation.argmax()), a.shape)
    shift = np.array([p - n if p > n // 2 else p for p, n in zip(peak, a.shape, strict=True)], dtype=np.float64)
    inner = _inner(shift, a.shape)
    plain, best = (_rest(np.roll(a, by, axis=(0, 1))[inner], b[inner]) for by in ((0, 0), peak))
    gained = float((np.square(plain) - np.square(best)).mean())
    chance = _scatter((2.0 * best * (plain - best))[..., None])
    return shift if gained > BEST * chance[0] else np.zeros(2)


def _rest(a: Floats, b: Floats) -> Floats:
    """What is left of b after a is fitted to it by a gain and an offset."""
    a, b = a - a.mean(), b - b.mean()
    return np.asarray(b - a * ((a * b).sum() / max(float(np.square(a).sum()), 1e-300)))


def _parts(plane: Floats) -> Floats:
    """[H, W, 4]: the gradient along rows and columns, -plane and 1."""
    return np.stack([*np.gradient(plane), -plane, np.ones_like(plane)], axis=2)


def _errors(parts: Floats, others: Floats, rest: Floats) -> Floats:
    """Standard errors [2] of the shift from least squares with parts [H, W, 4] that leaves `rest`.

    They are infinite along a direction without structure: the noise of `others`, the parts of the other frame, is
    independent, so that the products of both hold the scene alone.
    """
    inverse = np.linalg.pinv(parts.reshape(-1, 4).T @ others.reshape(-1, 4) / rest.size)
    errors = _scatter((parts * rest[..., None]) @ inverse.T)
    structure = (parts * others).mean(axis=(0, 1))
    chance = _scatter(parts[..., :2] * np.stack(list(np.gradient(rest)), axis=2))
    return np.where(structure[:2] > SIGNIFICANT * chance, errors[:2], np.inf)


def _scatter(parts: Floats) -> Floats:
    """The standard error of the mean of each part [H, W, K] if that should be 0, from cells that are independent."""
    means = _cells(parts).reshape(-1, parts.shape[2])
    return np.asarray(np.sqrt(np.square(means).sum(axis=0)) / len(means))


def _inner(shift: Floats, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The rows and columns that both frames show."""
    margins = [min(int(abs(s)) + 8, n // 3) for s, n in zip(shift, shape, strict=True)]
    return tuple(slice(m, n - m) for m, n in zip(margins, shape, strict=True))
