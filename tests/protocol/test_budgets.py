"""Budgets: what a preset gives single methods; the window that is scored; what names the images that are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.cli import altered_suite, refused

from bench.compute.image_cache import kept
from bench.compute.machine import Machine
from bench.compute.noisy_images import Noisy, centre_crop, noisy_images
from bench.compute.scoring import compare, evaluate
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.model import parse
from bench.methods.classical.noisy import Noisy as NoisyInput
from bench.methods.n2c import N2C
from bench.methods.self2self import Self2Self
from bench.protocol.plan import Cell, make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.protocol.suite_files import decode
from bench.protocol.suites import Budget, Recipe
from bench.protocol.units import Fit, Score

OLD = "[presets.mini.budgets.self2self]\nsteps = 150\nbatch = 1\ncentre_crop = 128\n"
ASKED = ("--methods", "self2self", "--noise", "gauss25", "--dry-run")
Planned = Callable[..., dict[str, Cell]]


def budget(name: str, text: str) -> str:
    return f"[presets.mini.budgets.{name}]\n{text}\n"


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """The cells by method of a suite in which `text` replaces self2self's budget in mini."""
    made = iter(range(100))

    def ask(text: str, *methods: str, **request: Any) -> dict[str, Cell]:
        folder = tmp_path / str(next(made))  # another name each time: suites are read once
        folder.mkdir()
        suite = str(altered_suite(folder, OLD, text))
        plan = make(Request(suite=suite, methods=methods or ("self2self", "n2c"), noises=("gauss25",), **request))
        return {cell.name: cell for cell in plan.cells}

    return ask


@pytest.fixture
def score(work: Callable[..., Fit], photos: Path) -> Score:
    """A test of the noisy input itself."""
    fit = work(NoisyInput())
    return Score(
        fit=fit, test=f"folder:{photos}", noise=fit.noise, repeats=2, padding="next",
        scoring=Scoring(),
    )  # fmt: skip


# ---- what a budget reaches


def test_a_budget_reaches_the_fit_and_the_score(planned: Planned) -> None:
    cells = planned(budget("self2self", 'steps = 7\nbatch = 2\nrecipe = "self2self"\ncentre_crop = 96'))
    fit, (score,) = cells["self2self"].fit, cells["self2self"].scores
    assert (fit.steps, fit.batch, score.centre_crop) == (7, 2, 96)
    assert (fit.recipe.schedule, fit.recipe.lr, fit.recipe.beta2) == ("constant", 1e-4, 0.999)
    assert score.fit == fit


def test_other_methods_keep_the_preset_s(planned: Planned) -> None:
    cells = planned(budget("self2self", 'steps = 7\nbatch = 2\nrecipe = "self2self"\ncentre_crop = 96'))
    for name in ("n2c", "noisy", "blur"):
        fit, (score,) = cells[name].fit, cells[name].scores
        assert (fit.steps, fit.batch, fit.recipe.schedule, score.centre_crop) == (300, 4, "cycle", 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("steps = 7", (7, 4, "cycle", 0)), ("batch = 1", (300, 1, "cycle", 0)),
     ("centre_crop = 64", (300, 4, "cycle", 64)),
     ('recipe = "paper"', (300, 4, "halving", 0)), ("", (300, 4, "cycle", 0))],
)  # fmt: skip
def test_what_a_budget_leaves_out_is_the_preset_s(
    text: str, expected: tuple[int, int, str, int], planned: Planned
) -> None:
    cell = planned(budget("self2self", text))["self2self"]
    found = (cell.fit.steps, cell.fit.batch, cell.fit.recipe.schedule, cell.scores[0].centre_crop)
    assert found == expected


def test_a_configuration_has_its_own_budget_or_its_method_s(planned: Planned) -> None:
    text = budget("n2v", "steps = 7") + budget("n2v-library", "steps = 8")
    cells = planned(text, "n2v", "n2v-bsd68", "n2v-library")
    assert [cells[name].fit.steps for name in ("n2v", "n2v-bsd68", "n2v-library")] == [7, 7, 8]


def test_a_centre_crop_of_the_preset_is_of_every_row_without_its_own(tmp_path: Path) -> None:
    suite = altered_suite(tmp_path, "[presets.mini]\n", "[presets.mini]\ncentre_crop = 64\n")
    plan = make(Request(suite=str(suite), methods=("self2self", "n2c"), noises=("gauss25",)))
    crops = {cell.name: cell.scores[0].centre_crop for cell in plan.cells}
    assert crops == {"noisy": 64, "blur": 64, "n2c": 64, "self2self": 128}


def test_asked_steps_are_for_all_methods(planned: Planned) -> None:
    text = budget("self2self", 'steps = 7\nbatch = 2\nrecipe = "self2self"\ncentre_crop = 96')
    cells = planned(text, steps=5)
    assert {cell.fit.steps for cell in cells.values()} == {5}
    fit, (score,) = cells["self2self"].fit, cells["self2self"].scores
    assert (fit.batch, fit.recipe.schedule, score.centre_crop) == (2, "constant", 96)  # the rest of the budget stands


@pytest.mark.parametrize(
    ("text", "name", "nearest"),
    [
        (budget("self2sel", "steps = 7"), "self2sel", "self2self"),
        (budget("n2v-libary", "steps = 7"), "n2v-libary", "n2v-library"),
        (budget("self2self", 'recipe = "shrt"'), "shrt", "short"),
        (budget("self2self", "step = 7"), "step", "steps"),
        (budget("self2self", "centre_cro = 7"), "centre_cro", "centre_crop"),
    ],
    ids=["method", "configuration", "recipe", "steps", "window"],
)
def test_unknown_names_in_budgets_are_refused_with_the_nearest(
    text: str, name: str, nearest: str, tmp_path: Path
) -> None:
    said = refused("run", *ASKED, "--suite", altered_suite(tmp_path, OLD, text), "--store", tmp_path / "store")
    assert name in said
    assert f"Did you mean '{nearest}'?" in said
    assert "mine.toml" in said


def test_a_suite_without_budgets_gives_none(tmp_path: Path) -> None:
    text = altered_suite(tmp_path, OLD, "").read_bytes()
    preset = decode(text, "mine.toml").presets["mini"]
    assert "self2self" not in preset.budgets
    assert Budget() == Budget(steps=0, batch=0, recipe="", centre_crop=0)


# ---- the window


def test_a_window_changes_the_score_s_key_and_none_does_not(planned: Planned) -> None:
    texts = ("", "centre_crop = 0", "centre_crop = 64", "centre_crop = 96")
    whole, none, some, other = (planned(budget("self2self", text))["self2self"].scores[0] for text in texts)
    assert whole.key == none.key
    assert len({whole.key, some.key, other.key}) == 3
    assert len({one.fit.key for one in (whole, none, some, other)}) == 1
    assert "window" not in whole.identity


@pytest.mark.parametrize(
    ("shape", "side", "top", "left"),
    [((10, 20, 3), 4, 3, 8), ((11, 21, 1), 4, 3, 8), ((11, 21, 3), 5, 3, 8), ((10, 20, 3), 10, 0, 5)],
)
def test_the_window_is_the_centre(shape: tuple[int, ...], side: int, top: int, left: int) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(centre_crop(image, side), image[top : top + side, left : left + side])


@pytest.mark.parametrize("shape", [(3, 50, 3), (50, 11, 1), (11, 10, 4), (1, 1, 3), (12, 12, 3)])
def test_the_window_of_a_smaller_image_is_what_there_is_of_it(shape: tuple[int, ...]) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)
    cut = centre_crop(image, 12)
    assert cut.shape == (min(shape[0], 12), min(shape[1], 12), shape[2])
    top, left = (max(0, side - 12) // 2 for side in shape[:2])
    np.testing.assert_array_equal(cut, image[top:, left:][:12, :12])


def test_no_window_is_the_whole_image() -> None:
    image = np.zeros((7, 9, 3))
    assert centre_crop(image, 0) is image


def test_the_window_sees_the_whole_image_s_noise(score: Score, set_images: list[SetImage]) -> None:
    whole = list(noisy_images(score, set_images))
    cut = list(noisy_images(msgspec.structs.replace(score, centre_crop=32), set_images))
    assert len(whole) == len(cut) == 2 * len(set_images)
    for one, other in zip(whole, cut, strict=True):
        assert (one.name, one.level) == (other.name, other.level)
        np.testing.assert_array_equal(centre_crop(one.image, 32), other.image)


def test_the_window_of_noisy_and_clean_are_compared(score: Score, set_images: list[SetImage], machine: Machine) -> None:
    score = msgspec.structs.replace(score, centre_crop=32)
    found = evaluate(score, None, set_images, machine)
    for row, noisy in zip(found, noisy_images(score, set_images), strict=True):
        clean = noisy.set_image.pixels[20:52, 24:56]  # of 72x80
        assert noisy.image.shape == clean.shape
        assert row.metrics == compare(noisy.image, clean, Scoring())
        assert float(np.std(noisy.image - unit(clean))) == pytest.approx(25 / 255, rel=0.1)


def test_a_noisy_image_is_named_by_its_content_and_repeat(score: Score, set_images: list[SetImage]) -> None:
    names = [noisy.name for noisy in noisy_images(score, set_images)]
    assert len(set(names)) == len(names) == 6
    renamed = Noisy(SetImage("other", set_images[0].path, 3), 1, np.zeros((1, 1, 3), np.float32), 25.0)
    assert renamed.name == (set_images[0].digest, 1) == names[3]


# ---- kept images


CHANGES: dict[str, Any] = {
    "test": "embedded_test", "repeats": 3, "centre_crop": 64, "padding": "square",
    "noise": parse("gauss50"),
}  # fmt: skip


@pytest.mark.parametrize("field", [*CHANGES])
def test_whatever_changes_an_image_changes_where_it_is_kept(field: str, score: Score) -> None:
    assert msgspec.structs.replace(score, **{field: CHANGES[field]}).images_key != score.images_key


@pytest.mark.parametrize("scoring", [Scoring(quantise="float"), Scoring(quantise="float", data_range=1.0)])
def test_the_scoring_alone_does_not(scoring: Scoring, score: Score) -> None:
    other = msgspec.structs.replace(score, scoring=scoring)
    assert other.key != score.key
    assert other.images_key == score.images_key


def test_the_fit_does(score: Score, work: Callable[..., Fit]) -> None:
    recipe = Recipe(schedule="constant", lr=1e-4, beta2=0.999, weight_decay=0.0)
    fits = [work(N2C()), work(N2C(), seed=1), work(N2C(), "gauss26"), work(N2C(), steps=7), work(N2C(), recipe=recipe)]
    keys = {msgspec.structs.replace(score, fit=fit).images_key for fit in [score.fit, *fits]}
    assert len(keys) == 6


def test_every_field_of_a_score_has_been_changed() -> None:
    """A new field must be thought about here."""
    assert {*CHANGES, "scoring", "metrics", "fit"} == set(Score.__struct_fields__)


@pytest.mark.parametrize("content", [None, b"", b"garbage", "cut"])
def test_a_kept_image_is_computed_once_unless_it_is_damaged(
    content: bytes | str | None, score: Score, work: Callable[..., Fit], set_images: list[SetImage], tmp_path: Path
) -> None:
    score = msgspec.structs.replace(score, fit=work(Self2Self()))
    noisy = next(noisy_images(score, set_images))
    calls: list[int] = []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"denoised": noisy.image}

    first = kept(score, noisy, tmp_path / "images", compute)
    (path,) = (tmp_path / "images").iterdir()
    if content is not None:
        path.write_bytes(path.read_bytes()[:100] if isinstance(content, str) else content)
    again = kept(score, noisy, tmp_path / "images", compute)
    assert len(calls) == (1 if content is None else 2)
    np.testing.assert_array_equal(first["denoised"], noisy.image)
    np.testing.assert_array_equal(again["denoised"], noisy.image)


def test_other_methods_keep_nothing(score: Score, set_images: list[SetImage], tmp_path: Path) -> None:
    noisy = next(noisy_images(score, set_images))
    kept(score, noisy, tmp_path / "images", lambda: {"denoised": noisy.image})
    assert not (tmp_path / "images").exists()
