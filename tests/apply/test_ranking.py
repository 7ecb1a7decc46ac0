"""Rankings of denoisers whose errors are known, on scenes that are known."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy
from support.noisy_scenes import scene as photograph

from bench.apply import frames
from bench.apply.calibration import Calibration, calibrate
from bench.apply.frames import compare
from bench.apply.held_out import Trial, digest, outputs
from bench.apply.ranking import Candidate, Fragile, contradiction, cross_checks, rank, recorrupted
from bench.apply.recorruption import Variance
from bench.apply.repeated_frames import SHIFT, repeats
from bench.apply.scores import Scores, kendall
from bench.datasets.errors import InputError

SIGMA = 0.1
VARIANCE = Variance(0.0, SIGMA**2)


class Function:
    """A denoiser fitted to these images."""

    def __init__(self, apply: Callable[[np.ndarray], np.ndarray], images: frozenset[str] = frozenset()) -> None:
        self.apply, self.images = apply, images

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.apply(image).astype(np.float32)


def candidate(name: str, apply: Callable[[np.ndarray], np.ndarray]) -> Candidate:
    return Candidate(name, lambda trial: Function(apply), "nothing")


def blur(width: float) -> Candidate:
    return candidate(f"blur {width:g}", lambda y: scipy.ndimage.gaussian_filter(y, (width, width, 0)))


BLURS = [blur(width) for width in (0.0, 0.5, 1.0, 2.0, 4.0)]


def scene(size: int = 96, seed: int = 0) -> np.ndarray:
    smooth = scipy.ndimage.gaussian_filter(np.random.RandomState(seed).standard_normal((size, size)), 3.0, mode="wrap")
    return (0.5 + 0.1 * smooth / smooth.std())[..., None].astype(np.float32)


def white(x: np.ndarray, seed: int) -> np.ndarray:
    return (x + SIGMA * np.random.RandomState(seed).standard_normal(x.shape)).astype(np.float32)


def risks(x: np.ndarray) -> dict[str, float]:
    """The errors that are to be expected: the mean over noise."""
    return true_errors([white(x, seed) for seed in range(500, 516)], x)


def true_errors(images: list[np.ndarray], x: np.ndarray) -> dict[str, float]:
    source = Trial("", (), (), frozenset())
    return {one.name: float(np.mean([np.square(one.fit(source)(y) - x).mean() for y in images])) for one in BLURS}


def test_one_image() -> None:
    x = scene()
    y = white(x, 1)
    found = rank(BLURS, recorrupted([y], VARIANCE), 96, 96)
    true = risks(x)
    assert kendall([row.mse for row in found.rows], [true[row.method] for row in found.rows])[0] >= 0.8
    for a in true:
        for b in true:
            assert found.scores.difference(a, b).sign in (0, np.sign(true[a] - true[b]))
    assert found.rows[0].mse == pytest.approx(min(true.values()), rel=0.5)
    assert found.rows[-1].rank > 1
    assert cross_checks(BLURS, Trial("", (), ((y,),), frozenset()), VARIANCE, found.scores, 96, 96)[0] == {
        "Stein's unbiased estimate": "",
        "the masked loss": "",
    }


def test_two_frames_with_noise_that_is_correlated_within_them() -> None:
    """Recorruption would take the noise for signal; frames do not, as their noise is independent of each other."""
    x = scene()
    rows = [np.random.RandomState(seed).standard_normal((96, 1, 1)) * SIGMA for seed in (10, 11)]
    pair = [(white(x, seed) + row).astype(np.float32) for seed, row in zip((1, 2), rows, strict=True)]
    trials, _ = frames.trials([pair])
    found = rank(BLURS, trials, 96, 96)
    true = true_errors(pair, x)
    assert found.rows[0].method == min(true, key=lambda name: true[name])
    for name in true:
        difference = found.scores.difference(name, "blur 0")
        assert difference.low <= true[name] - true["blur 0"] <= difference.high


def test_intervals_of_differences_hold_the_true_one() -> None:
    held = []
    for seed in range(8):
        x = scene(seed=seed)
        y = white(x, 100 + seed)
        found = rank(BLURS, recorrupted([y], VARIANCE), 96, 96)
        true = risks(x)
        for i, a in enumerate(true):
            for b in list(true)[:i]:
                difference = found.scores.difference(a, b)
                held.append(difference.low <= true[a] - true[b] <= difference.high)
    assert np.mean(held) >= 0.9


def test_a_network_is_not_scored_on_what_it_was_fitted_to() -> None:
    """The planted mistake: the weights come from the image itself, from what is held out, or from the other split."""
    y = white(scene(), 1)
    one, other = recorrupted([y], VARIANCE)
    for seen in (y, one.pairs[0].held, other.pairs[0].given, other.pairs[0].held):
        cheat = Function(lambda image: image, frozenset({digest(seen)}))
        with pytest.raises(InputError, match="was fitted to 1 of the images"):
            outputs("cheat", cheat, one, 96, 96)
    assert outputs("honest", Function(lambda image: image, frozenset({digest(one.pairs[0].given)})), one, 96, 96)


def test_the_mistake_would_win() -> None:
    """Why it is refused: what returns the held-out pixels that it was fitted to has no error at all."""
    y = white(scene(), 1)
    trials = recorrupted([y], VARIANCE)

    def memory(trial: Trial) -> Function:
        return Function(lambda image: trial.pairs[0].held)

    found = rank([*BLURS, Candidate("memory", memory, "image")], trials, 96, 96)
    assert found.rows[0].method == "memory"


def test_a_frame_is_not_scored_by_what_was_fitted_to_it() -> None:
    pair = [white(scene(), seed) for seed in (1, 2)]
    trials, _ = frames.trials([pair])
    cheat = Function(lambda image: image, frozenset({digest(pair[1])}))
    with pytest.raises(InputError, match="its score would be too good"):
        outputs("cheat", cheat, trials[0], 96, 96)
    outputs("cheat", cheat, trials[1], 96, 96)


def test_equal_methods_are_tied() -> None:
    y = white(scene(), 1)
    twins = [blur(1.0), candidate("twin", lambda y: scipy.ndimage.gaussian_filter(y, (1.0, 1.0, 0)) + 1e-5), blur(0.0)]
    found = rank(twins, recorrupted([y], VARIANCE), 96, 96)
    assert [row.rank for row in found.rows] == [1, 1, 3]
    assert "equally good" in found.verdict


def test_more_pixels_must_tell_the_first_from_the_next() -> None:
    """Of three that are tied, first and last differ most; that they could be told apart decides nothing."""

    def rough(name: str, level: float) -> Candidate:
        texture = level * np.random.RandomState(ord(name)).standard_normal((96, 96, 1))
        return candidate(name, lambda y: scipy.ndimage.gaussian_filter(y, (2.0, 2.0, 0)) + texture)

    three = [rough("a", 0.0), rough("b", 1e-4), rough("c", 4e-3)]
    found = rank(three, recorrupted([white(scene(), 1)], VARIANCE), 96, 96)
    assert [row.rank for row in found.rows] == [1, 1, 1]
    assert "more than a hundred times as many pixels" in found.verdict


def test_no_decibels_where_an_error_may_be_zero() -> None:
    x = scene()
    found = rank([candidate("truth", lambda y: x), blur(4.0)], recorrupted([white(x, 1)], VARIANCE), 96, 96)
    assert found.rows[0].method == "truth"
    assert "not known" in found.verdict
    assert "nan" not in found.verdict


def test_one_that_fails_is_left_out() -> None:
    def wrong(y: np.ndarray) -> np.ndarray:
        raise RuntimeError("no memory")

    bad = [candidate("broken", wrong), candidate("nan", lambda y: np.full_like(y, np.nan))]
    found = rank([*BLURS, *bad], recorrupted([white(scene(), 1)], VARIANCE), 96, 96)
    assert found.failed == {
        "broken": "RuntimeError: no memory",
        "nan": "ValueError: it returned NaN or infinite values",
    }
    assert len(found.rows) == len(BLURS)
    with pytest.raises(InputError, match="broken failed: RuntimeError: no memory"):
        rank([*BLURS[:1], *bad], recorrupted([white(scene(), 1)], VARIANCE), 96, 96)


def test_fewer_than_two_methods() -> None:
    with pytest.raises(InputError, match="expected two or more"):
        rank(BLURS[:1], recorrupted([white(scene(), 1)], VARIANCE), 96, 96)


def test_the_level_at_which_another_method_would_win_is_told() -> None:
    y = white(scene(), 1)
    source = Trial("", (), ((y,),), frozenset())
    two = [blur(0.75), blur(2.5)]

    def best(sigma: float) -> tuple[str, Fragile | None]:
        found = rank(two, recorrupted([y], Variance(0.0, sigma**2)), 96, 96)
        return found.rows[0].method, cross_checks(two, source, Variance(0.0, sigma**2), found.scores, 96, 96).fragile

    levels = np.linspace(0.05, 0.15, 21)
    winners = [best(level)[0] for level in levels]
    turn = next(i for i in range(20) if winners[i] != winners[i + 1])
    _, fragile = best(levels[turn] * 0.92)
    assert fragile is not None
    assert (fragile.method, fragile.better_than) == (winners[turn + 1], winners[turn])
    assert fragile.factor == pytest.approx((levels[turn] + levels[turn + 1]) / 2 / (levels[turn] * 0.92), abs=0.04)
    assert best(levels[turn] * 0.5)[1] is None


def test_contradiction_needs_a_method_of_rank_one() -> None:
    def scores(errors: tuple[float, ...]) -> Scores:
        noise = np.random.RandomState(0).standard_normal((1, 64, 64)) * 0.01
        return Scores.of(("a", "b", "c"), [np.array(errors)[:, None, None] + noise])

    assert contradiction(scores((1.0, 2.0, 3.0)), scores((1.0, 3.0, 2.0))) == ""
    assert contradiction(scores((1.0, 2.0, 3.0)), scores((2.0, 1.0, 3.0))) == "b is better than a"


def test_frames_of_unequal_gain_and_moved_ones() -> None:
    x = scene(128)
    moved = scipy.ndimage.shift(x, (1.4, -0.8, 0), order=3, mode="wrap")
    plain, gained, shifted = white(x, 1), white(1.2 * x - 0.05, 2), white(moved, 3)
    found = compare(plain, gained, 1)
    assert found.unequal_gain
    assert not found.shifted
    assert found.gain == pytest.approx(1.2, abs=4 * found.gain_error)
    assert not compare(plain, white(x, 4), 1).unequal_gain
    assert compare(plain, shifted, 1).shift == pytest.approx((1.4, -0.8), abs=0.2)


SCENES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "flat": lambda y, x: 0.5 + 0.0 * x,
    "stripes": lambda y, x: 0.5 + 0.2 * np.sin(x / 5.0),
    "ramp": lambda y, x: 0.2 + 0.6 * x / x.max(),
    "spots": lambda y, x: 0.3 + sum(0.1 * np.exp(-((y - c) ** 2 + (x - 2 * c) ** 2) / 8.0) for c in (20, 37, 55)),
}


@pytest.mark.parametrize("size", [64, 128, 200])
@pytest.mark.parametrize("kind", SCENES)
def test_frames_that_never_moved_are_not_shifted(kind: str, size: int) -> None:
    x = SCENES[kind](*np.mgrid[:size, :size])[..., None]
    for seed in range(6):
        one, other = white(x, 2 * seed), white(x, 2 * seed + 1)
        assert not compare(one, other, 1).shifted
        assert repeats([one[..., 0], other[..., 0]], black=0.0).movement.shift <= SHIFT


@pytest.mark.parametrize("places", [(0.0, 0.45), (0.0, 0.2, 0.4, 0.6), (0.2, -0.1)])
def test_a_shift_is_the_distance_of_two_frames(places: tuple[float, ...]) -> None:
    """The noise card and the ranking have one limit, so they measure one quantity."""
    still = photograph("camera")
    moved = [scipy.ndimage.shift(still, (by, -0.5 * by), order=3, mode="nearest")[8:-8, 8:-8] for by in places]
    noisy = [plane + 0.02 * np.random.RandomState(i).standard_normal(plane.shape) for i, plane in enumerate(moved)]
    farthest = [noisy[int(np.argmin(places))][..., None], noisy[int(np.argmax(places))][..., None]]
    between = float(np.hypot(*compare(*(one.astype(np.float32) for one in farthest), 1).shift))
    assert repeats(noisy, black=0.0).movement.shift == pytest.approx(between, abs=0.06)


@pytest.mark.parametrize("shift", [(0.5, 0.0), (1.5, -0.8), (20.0, -3.0)])
@pytest.mark.parametrize("name", ["astronaut", "coins", "camera"])
def test_photographs_that_moved_are_shifted(name: str, shift: tuple[float, float]) -> None:
    still = photograph(name)
    moved = scipy.ndimage.shift(still, shift, order=3, mode="nearest")
    one, other = (white(x[25:125, 25:125, None], seed) for seed, x in enumerate((still, moved)))
    found = compare(one, other, 1)
    assert found.shifted
    assert found.shift == pytest.approx(shift, abs=0.25)


def test_stripes_that_moved_are_shifted() -> None:
    y, x = np.mgrid[:128, :128]
    one, other = (white(SCENES["stripes"](y, x + by)[..., None], by) for by in (0, 2))
    assert compare(one, other, 1).shift == pytest.approx((0.0, -2.0), abs=0.2)


def test_unequal_gain_does_not_change_the_order() -> None:
    x = scene()
    pair = [white(x, 1), (1.15 * white(x, 2) + 0.02).astype(np.float32)]
    trials, matches = frames.trials([pair])
    assert all(match.unequal_gain for match in matches)
    true = true_errors([pair[0]], x)
    assert [row.method for row in rank(BLURS, trials, 96, 96).rows] == sorted(true, key=lambda name: true[name])


def test_calibration() -> None:
    y = white(scene(), 1)
    found = calibrate(BLURS, rank(BLURS, recorrupted([y], VARIANCE), 96, 96), VARIANCE, [])
    assert found is not None
    assert found.trusted
    assert found.tau > 0.9
    assert found.pairs == 10 * found.rankings


@pytest.mark.parametrize(
    ("tau", "coverage", "trusted"),
    [
        (1.0, 0.95, True),
        (1.0, 0.85, True),  # 6 of 40 miss: with 2 expected, chance does that once in 70 rankings
        (1.0, 0.80, False),
        (0.79, 1.0, False),
        (0.81, 1.0, True),
        (float("nan"), 0.95, True),  # no pair differs visibly
    ],
)
def test_a_ranking_is_trusted_unless_it_fails_more_than_by_chance(tau: float, coverage: float, trusted: bool) -> None:
    assert Calibration(tau, 40, 20, coverage, 4).trusted == trusted


def test_residuals_tell_what_was_taken() -> None:
    x = scene()
    x[32:64, 32:64] += 0.3
    found = rank([*BLURS, candidate("truth", lambda y: x)], recorrupted([white(x, 1)], VARIANCE), 96, 96)
    rows = {row.method: row.residual for row in found.rows}
    assert rows["truth"].power == pytest.approx(1.0, abs=0.05)
    assert not rows["truth"].remarks
    assert rows["blur 0"].power == pytest.approx(0.0, abs=1e-6)
    assert rows["blur 4"].power > 1.2
    assert rows["blur 4"].edges > rows["truth"].edges + 0.3
    assert rows["blur 4"].correlation > 0.1


def test_a_changed_mean_is_told() -> None:
    y = white(scene(), 1)
    found = rank([candidate("darker", lambda y: 0.95 * y), blur(1.0)], recorrupted([y], VARIANCE), 96, 96)
    remarks = {row.method: " ".join(row.remarks) for row in found.rows}
    assert "changes the mean by -5.0 %" in remarks["darker"]
    assert "mean" not in remarks["blur 1"]


def test_kendall() -> None:
    assert kendall([1, 2, 3], [1, 2, 3]) == (1.0, 3)
    assert kendall([3, 2, 1], [1, 2, 3]) == (-1.0, 3)
    assert kendall([2, 1, 3], [1, 1.05, 3], 0.1) == (1.0, 2)
