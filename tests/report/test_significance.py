"""Who is best, and whether one may say so: Wilcoxon, Holm, intervals, and their error rates."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from bench.datasets.errors import InputError
from bench.report.significance import EXACT, holm, image_means, interval, marks, p_value, why_unmarked
from bench.store.rows import Row

Scores = Mapping[str, Mapping[str, float]]


def row(image: str, psnr: float | None, repeat: int = 0, output: str = "denoised") -> Row:
    return Row(image, repeat, 25.0, output, {"psnr": psnr, "ssim": 0.9})


def per_image(*values: float) -> dict[str, float]:
    return {f"image{i}": value for i, value in enumerate(values)}


def simulated(rng: np.random.Generator, images: int, *gains: float) -> Scores:
    """Rows on images of very unequal difficulty [dB], with a gain each and noise of 0.2 dB of their own."""
    difficulty = rng.normal(30.0, 3.0, images)
    return {f"row{i}": per_image(*(difficulty + gain + rng.normal(0.0, 0.2, images))) for i, gain in enumerate(gains)}


# ---- one number per image


def test_repeats_and_seeds_are_averaged_within_each_image() -> None:
    seeds = [
        [row("a", 30.0), row("a", 32.0, 1), row("b", 20.0), row("b", 20.0, 1), row("a", 1.0, output="other")],
        [row("b", 24.0), row("b", 24.0, 1), row("a", 34.0), row("a", 36.0, 1)],
    ]
    assert image_means(seeds, "denoised") == {"a": 33.0, "b": 22.0}


def test_an_output_equal_to_the_clean_image_is_infinite() -> None:
    assert image_means([[row("a", None), row("a", 30.0, 1), row("b", 20.0), row("b", 20.0, 1)]], "denoised") == {
        "a": math.inf,
        "b": 20.0,
    }


@pytest.mark.parametrize(
    "seeds",
    [[], [[]], [[row("a", 30.0, output="other")]], [[row("a", 30.0)], []], [[row("a", 30.0)], [row("a", 30.0, 1)]]],
)
def test_no_mean_over_holes(seeds: list[list[Row]]) -> None:
    with pytest.raises(InputError, match="denoised"):
        image_means(seeds, "denoised")


# ---- intervals


def test_interval_is_student_s() -> None:
    values = [30.0, 31.5, 29.0, 33.0]
    assert interval(values) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    low, high = interval([0.0, 2.0])
    assert (low, high) == pytest.approx((1.0 - 12.7062, 1.0 + 12.7062), abs=1e-4)  # t(0.975, 1), standard error 1


@pytest.mark.parametrize("values", [[], [30.0], [30.0, math.inf]])
def test_interval_undefined(values: list[float]) -> None:
    assert all(math.isnan(end) for end in interval(values))


# ---- the test


@pytest.mark.parametrize("images", [6, 14, 24, EXACT])
def test_p_is_scipy_s_exact_one(images: int) -> None:
    a, b = simulated(np.random.default_rng(images), images, 0.0, 0.05).values()
    x, y = np.array(list(a.values())), np.array(list(b.values()))
    greater = stats.wilcoxon(y, x, method="exact", alternative="greater").pvalue
    assert p_value(a, b) == pytest.approx(stats.wilcoxon(x, y, method="exact").pvalue)
    assert p_value(b, a, "greater") == pytest.approx(greater)


def test_p_is_the_normal_approximation_for_many_images() -> None:
    a, b = simulated(np.random.default_rng(0), EXACT + 1, 0.0, 0.02).values()
    x, y = np.array(list(a.values())), np.array(list(b.values()))
    assert p_value(a, b) == stats.wilcoxon(x, y, method="asymptotic", correction=True).pvalue
    assert p_value(a, b) == pytest.approx(stats.wilcoxon(x, y, method="exact").pvalue, rel=0.05)


def test_pairs_go_by_image_not_by_order() -> None:
    a = per_image(1.0, 12.0, 23.0, 34.0, 45.0, 56.0)
    b = {image: a[image] - 0.1 * (i + 1) for i, image in enumerate(reversed(a))}
    assert p_value(a, b) == 2 / 2**6


def test_images_without_a_difference_are_dropped() -> None:
    a, b = per_image(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), per_image(0.9, 1.8, 2.7, 3.6, 4.5, 5.4)
    assert p_value(a | {"same": 7.0, "clean": math.inf}, b | {"same": 7.0, "clean": math.inf}) == p_value(a, b)
    assert p_value(a, a) == 1.0


def test_an_infinite_difference_has_the_highest_rank() -> None:
    a, b = per_image(math.inf, 2.0, 3.0, 4.0, 5.0, 6.0), per_image(1.0, 2.1, 3.2, 4.3, 5.4, 6.5)
    assert p_value(a, b) == p_value(a | {"image0": 99.0}, b)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (1, 1, 2, 3, 3, 3), (2, 1, 1, 5, 2, 2, 4)])
def test_ties_are_exact_too(sizes: tuple[int, ...]) -> None:
    """Against a count over all signs of the same differences."""
    nothing, sums = per_image(*[0.0] * len(sizes)), {}
    for signs in itertools.product((-1, 1), repeat=len(sizes)):
        differences = np.array(signs) * sizes
        sums[signs] = stats.rankdata(sizes)[differences > 0].sum()
    for signs, positive in sums.items():
        above, below = (np.mean([sign * other >= sign * positive for other in sums.values()]) for sign in (1, -1))
        p = p_value(per_image(*(np.array(signs) * sizes)), nothing)
        assert p == pytest.approx(min(1.0, 2.0 * above, 2.0 * below))


def test_unpaired_scores_are_refused() -> None:
    with pytest.raises(InputError, match="B: no score of image1"):
        p_value(per_image(1.0, 2.0), per_image(1.0))
    with pytest.raises(InputError, match="any image"):
        p_value({}, {})


# ---- Holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x 0.01, 2 x 0.03, then at least that
    assert holm([0.02, 0.005, 0.6, 0.03]) == pytest.approx([0.06, 0.02, 0.6, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_holm_is_between_the_raw_values_and_bonferroni_s() -> None:
    raw = np.random.default_rng(0).random(20) ** 3
    adjusted = np.array(holm(list(raw)))
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1.0, 20 * raw)).all()
    assert (np.argsort(raw) == np.lexsort((raw, adjusted))).all()


# ---- marks


def test_a_planted_difference_is_found() -> None:
    scores = simulated(np.random.default_rng(0), 24, 0.0, 1.0, 0.5, 0.0)
    assert marks(scores) == {"row1": "best", "row2": "second"}
    assert why_unmarked(scores) == ""


def test_second_needs_a_difference_too() -> None:
    assert marks(simulated(np.random.default_rng(0), 24, 0.0, 1.0, 0.0, 0.0)) == {"row1": "best"}


def test_no_second_without_a_best() -> None:
    scores = simulated(np.random.default_rng(0), 24, 1.0, 1.0, 0.0)
    assert marks(scores) == {}
    assert "does not tell row" in why_unmarked(scores)


def test_a_higher_mean_that_one_image_makes_is_not_best() -> None:
    """The signed ranks say the other one, significantly: neither is best."""
    b = [20.0 + i for i in range(20)]
    a = [value - 0.1 - 0.01 * i for i, value in enumerate(b[:19])] + [99.0]
    scores = {"a": per_image(*a), "b": per_image(*b)}
    assert np.mean(a) > np.mean(b)
    assert p_value(scores["a"], scores["b"]) < 0.05
    assert marks(scores) == {}


def test_identical_rows_share_no_mark() -> None:
    one, other, _ = simulated(np.random.default_rng(0), 24, 1.0, 0.0, 0.0).values()
    scores = {"a": one, "b": one, "c": other}
    assert marks(scores) == {}
    assert "does not tell a from b" in why_unmarked(scores)


@pytest.mark.parametrize(("rows", "needed"), [(2, 6), (3, 7), (5, 8), (18, 10)])
def test_so_many_images_are_needed_and_enough(rows: int, needed: int) -> None:
    def clear(images: int) -> Scores:
        return {f"row{r}": per_image(*(30.0 + r + 0.01 * r * i for i in range(images))) for r in range(rows)}

    assert marks(clear(needed))[f"row{rows - 1}"] == "best"
    assert marks(clear(needed - 1)) == {}
    said = why_unmarked(clear(needed - 1))
    for words in (f"{rows} rows", f"at least {needed} images", f"there are {needed - 1}"):
        assert words in said


def test_one_row_is_no_contest() -> None:
    for scores in ({}, {"a": per_image(1.0, 2.0)}):
        assert marks(scores) == {}
        assert "one row only" in why_unmarked(scores)


def test_two_rows_have_no_second() -> None:
    assert marks(simulated(np.random.default_rng(0), 24, 1.0, 0.0)) == {"row0": "best"}


def test_a_row_that_lacks_an_image_is_refused() -> None:
    with pytest.raises(InputError, match="b: no score of image2"):
        marks({"a": per_image(1.0, 2.0, 3.0), "b": per_image(1.0, 2.0)})


@pytest.mark.parametrize(("rows", "truth"), [(2, 0), (3, 0), (6, 0), (4, 1)])
def test_false_marks_are_rarer_than_the_level(rows: int, truth: int) -> None:
    """`truth` rows, none or one, are better indeed; any other mark is an error."""
    rng, runs = np.random.default_rng(1), 300
    gains = [1.0] * truth + [0.0] * (rows - truth)
    right = {"row0": "best"} if truth else {}
    wrong = sum(not marks(simulated(rng, 12, *gains)).items() <= right.items() for _ in range(runs))
    assert wrong / runs <= 0.05
