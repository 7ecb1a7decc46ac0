"""Which row of a table is best: paired tests over the images, never the larger mean alone."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..store.rows import Row

LEVEL = 0.05
EXACT = 100  # images up to which the test's exact distribution is used; BSD300's test set has as many
Scores = Mapping[str, Mapping[str, float]]  # row -> image -> PSNR [dB]


def image_means(
    seeds: Sequence[Sequence[Row]],
    output: str,
    photograph: Callable[[str], str] = lambda image: image,
    metric: str = "psnr",
) -> dict[str, float]:
    """A metric of each photograph, the mean over seeds, repeats, blocks; InputError where a seed lacks some."""
    drawn = [{(row.image, row.repeat): row.value(metric) for row in rows if row.output == output} for rows in seeds]
    if not any(drawn) or any(scores.keys() != drawn[0].keys() for scores in drawn):
        counts = ", ".join(str(len(scores)) for scores in drawn)
        raise InputError(
            f"output {output!r} has scores of {counts or 'no'} noisy images; every seed must have the same, and some"
        )
    values = defaultdict(list)
    for scores in drawn:
        for (image, _), value in scores.items():
            values[photograph(image)].append(value)
    return {image: fmean(found) for image, found in values.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean over images by Student's t; NaN for fewer than 2 values or an infinite one."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def p_value(
    a: Mapping[str, float], b: Mapping[str, float], alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Wilcoxon's signed-rank test of a - b, paired by image; InputError where one lacks an image of the other.

    Images without a difference are dropped; p = 1 if none is left. Tied differences share their mean rank. Exact
    up to `EXACT` differences, ties included; above, scipy's normal approximation, corrected for ties and continuity.
    """
    _check_paired({"A": a, "B": b})
    differences = np.array([a[image] - b[image] for image in a if a[image] != b[image]])  # inf equals inf
    if not differences.size:
        return 1.0
    if differences.size > EXACT:
        normal = scipy.stats.wilcoxon(differences, alternative=alternative, method="asymptotic", correction=True)
        return float(normal.pvalue)
    less, greater = _tails(differences)
    return greater if alternative == "greater" else min(1.0, 2.0 * min(less, greater))


def _tails(differences: NDArray[np.float64]) -> tuple[float, float]:
    """P(W+ <= w) and P(W+ >= w) for the observed w, if each sign is a coin's; unlike scipy's, exact with ties too."""
    ranks = scipy.stats.rankdata(np.abs(differences))
    doubled = np.rint(2.0 * ranks).astype(int)  # whole numbers, as mean ranks are not
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        chances = (chances + np.roll(chances, rank)) / 2.0  # what wraps around is zero
    observed = doubled[differences > 0].sum()
    return float(chances[: observed + 1].sum()), float(chances[observed:].sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given (Holm 1979): max over j <= i of (m - j + 1) p_(j), at most 1."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def marks(scores: Scores) -> dict[str, str]:
    """Row -> "best" or "second", where the test says so; InputError where a row lacks an image of another.

    The row with the highest mean is best if it beats every other one after Holm over these comparisons; given a best,
    the next one is second if it beats every row below it, after Holm over those.
    """
    ranking, marked = _ranking(scores), {}
    for place, mark in enumerate(("best", "second")):
        row, below = ranking[place : place + 1], ranking[place + 1 :]
        if not below or _not_beaten(scores, row[0], below):
            break
        marked[row[0]] = mark
    return marked


def why_unmarked(scores: Scores) -> str:
    """Why no row is best, in the words of a table's note; "" where one is."""
    if len(scores) < 2:
        return "no best is marked: there is one row only"
    first, *others = _ranking(scores)
    images, needed = len(scores[first]), 1 + math.ceil(math.log2(len(others) / LEVEL))
    if images < needed:  # Holm's first step: m 2^(1 - n) > 5 %, even if all differences have one sign
        there = "there is 1" if images == 1 else f"there are {images}"
        test = f"a paired test among {len(scores)} rows needs at least {needed} images"
        return f"no best is marked: {test}, and {there}"
    equals = _not_beaten(scores, first, others)
    return f"no best is marked: the test does not tell {first} from {', '.join(equals)}" if equals else ""


def _not_beaten(scores: Scores, row: str, others: Sequence[str]) -> list[str]:
    """Those that a row does not beat; doubling the one-sided p is the two-sided test with its direction."""
    two_sided = [min(1.0, 2.0 * p_value(scores[row], scores[other], "greater")) for other in others]
    return [other for other, p in zip(others, holm(two_sided), strict=True) if p > LEVEL]


def _ranking(scores: Scores) -> list[str]:
    """The rows, the highest mean first; over the images of which all rows have a finite score, if there are any."""
    _check_paired(scores)
    images = list(next(iter(scores.values()), {}))
    known = [image for image in images if all(math.isfinite(row[image]) for row in scores.values())]
    return sorted(scores, key=lambda row: -fmean(scores[row][image] for image in known or images))


def _check_paired(scores: Scores) -> None:
    images = dict.fromkeys(image for row in scores.values() for image in row)
    for name, row in scores.items():
        missing = [image for image in images if image not in row]
        if missing or not images:
            raise InputError(
                f"{name}: no score of {', '.join(missing) or 'any image'}; paired tests need the same images"
            )
