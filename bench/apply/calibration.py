"""The same ranking where the truth is known: noise like the images' own, put on the best method's output.

The denoisers stay as they are; the noise is new, so that they were not fitted to it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import scipy
from msgspec import Struct
from numpy.typing import NDArray

from ..datasets.noise.model import Image
from ..datasets.seeds import frozen
from .held_out import Pair, Trial, squared
from .ranking import Candidate, Ranking, held_out, measured, recorrupted
from .recorruption import Variance
from .scores import Scores, kendall

Floats = NDArray[np.float64]
REPEATS = 4  # rankings of new noise
PIXELS = 2**16  # that each of them looks at
MISS, UNLIKELY, RIGHT = 0.05, 0.01, 0.8  # share of intervals that miss, chance that is too small, least Kendall's tau
VISIBLE = 0.1  # dB: differences that the order must show


class Calibration(Struct):
    """How often the ranking was right."""

    tau: float  # Kendall's, over pairs that truly differ by more than 0.1 dB; NaN where there are none
    pairs: int  # of methods, over all rankings
    visible: int  # of them that truly differ by more than 0.1 dB
    coverage: float  # share of the 95 % intervals of differences that contain the true one
    rankings: int

    @property
    def trusted(self) -> bool:
        """Whether order and intervals can be believed: no more intervals miss than chance explains."""
        missed = round((1.0 - self.coverage) * self.pairs)
        by_chance = scipy.stats.binomtest(missed, self.pairs, MISS, alternative="greater").pvalue
        return bool(by_chance >= UNLIKELY) and not self.tau < RIGHT


def calibrate(
    candidates: Sequence[Candidate], ranking: Ranking, variance: Variance | None, noise: Sequence[Image]
) -> Calibration | None:
    """Ranks the methods on new noise of this variance, or where it is None on fields of noise [H, W, C] of the frames.

    Methods that train a network for every image take no part; None if fewer than two others are left.
    """
    fast = [one for one in candidates if one.trains_on != "image" and one.name in ranking.denoisers]
    if len(fast) < 2:
        return None
    clean, names = _truths(ranking), [candidate.name for candidate in fast]
    runs = [_once(fast, ranking, clean, variance, noise, repeat) for repeat in range(REPEATS)]
    true = {name: float(np.mean([errors[name] for _, errors in runs])) for name in names}  # expected, not of one draw
    decibels = [_db(true[name]) for name in names]
    taus = [kendall([_db(scores.mse(name)) for name in names], decibels, VISIBLE) for scores, _ in runs]
    covered = [contains(scores, true, a, b) for scores, _ in runs for a, b in combinations(names, 2)]
    visible = taus[0][1]
    tau = float(np.mean([value for value, _ in taus])) if visible else float("nan")
    return Calibration(tau, len(covered), visible * REPEATS, float(np.mean(covered)), REPEATS)


def contains(estimated: Scores, true: Mapping[str, float], a: str, b: str) -> bool:
    """Whether the interval of a difference contains the true one."""
    difference = estimated.difference(a, b)
    return difference.low <= true[a] - true[b] <= difference.high


def _db(mse: float) -> float:
    return 10.0 * float(np.log10(max(mse, 1e-12)))


def _truths(ranking: Ranking) -> list[Image]:
    """The best method's outputs, as many as fit."""
    best = ranking.rows[0].method
    found, pixels = list[Image](), 0
    for crop in ranking.crops:
        if found and pixels + crop[best][..., 0].size > PIXELS:
            break
        found.append(crop[best])
        pixels += crop[best][..., 0].size
    return found


def _once(
    candidates: Sequence[Candidate],
    ranking: Ranking,
    clean: Sequence[Image],
    variance: Variance | None,
    noise: Sequence[Image],
    repeat: int,
) -> tuple[Scores, dict[str, float]]:
    """The scores of one ranking, and the true errors at the noise that the images have."""
    height, width = (max(image.shape[axis] for image in clean) for axis in (0, 1))
    draws = frozen("calibration", repeat)
    sources = [synthetic(image, variance, draws) for image in clean] if variance else []
    trials = recorrupted(sources, variance) if variance else _frames(clean, noise, draws)
    maps, true = dict[str, list[list[Floats]]](), dict[str, float]()
    for candidate in candidates:
        denoise = ranking.denoisers[candidate.name]
        found, maps[candidate.name] = measured(candidate, [denoise] * len(trials), trials, height, width)
        outputs = [[denoise(y) for y in sources]] if variance else found
        errors = [squared(f, x).ravel() for images in outputs for f, x in zip(images, clean, strict=True)]
        true[candidate.name] = float(np.concatenate(errors).mean())
    return held_out(maps, trials, height, width), true


def synthetic(clean: Image, variance: Variance, draws: np.random.RandomState) -> Image:
    """A noisy image [H, W, C]: photons where there is a gain, and Gaussian noise for the rest of the variance."""
    x: Floats = clean.astype(np.float64)
    black = max(0.0, -variance.floor / variance.gain) if variance.gain > 0.0 else 0.0
    read = np.sqrt(max(variance.floor, 0.0))
    if variance.gain > 0.0:
        x = np.asarray(black + variance.gain * draws.poisson(np.maximum(x - black, 0.0) / variance.gain))
    noisy: Image = (x + read * draws.standard_normal(clean.shape)).astype(np.float32)
    return noisy


def _frames(clean: Sequence[Image], noise: Sequence[Image], draws: np.random.RandomState) -> list[Trial]:
    """Two frames of each image, whose noise is that of real frames from other places: correlated as theirs is."""
    pairs: tuple[list[Pair], list[Pair]] = ([], [])
    for scene, x in enumerate(clean):
        first, second = (x + _moved(noise, x.shape, draws) for _ in range(2))
        pairs[0].append(Pair(first, second, scene, 0.5))
        pairs[1].append(Pair(second, first, scene, 0.5))
    return [Trial(f"synthetic frames {half + 1}", tuple(pairs[half]), (), frozenset()) for half in (0, 1)]


def _moved(noise: Sequence[Image], shape: tuple[int, ...], draws: np.random.RandomState) -> Image:
    """A field of noise of this shape, from a random one of the given, begun anew at its border."""
    field = noise[draws.randint(len(noise))]
    moved = np.roll(field, (draws.randint(field.shape[0]), draws.randint(field.shape[1])), axis=(0, 1))
    repeats = (-(-shape[0] // field.shape[0]), -(-shape[1] // field.shape[1]), 1)
    return np.tile(moved, repeats)[: shape[0], : shape[1]]
