"""What a plan leaves out and says so; what a request says that its preset says anyway."""

from pathlib import Path
from typing import Any

import pytest
from support.cli import altered_suite

from bench.datasets.errors import InputError
from bench.methods.gr2r import GR2R
from bench.methods.r2r import R2R
from bench.protocol.plan import Cell, make
from bench.protocol.request import Request
from bench.protocol.suite_files import load


def cell(name: str, **request: Any) -> Cell:
    return next(one for one in make(Request(methods=(name,), **request)).cells if one.name == name)


# ---- noise that a method was not trained for


@pytest.mark.parametrize(
    ("name", "noise", "other"),
    [("pure", "poisson30", "gauss25"), ("bm3d", "gauss25", "poisson30"), ("anscombe", "poisson30", "gauss25")],
)
def test_a_method_is_tested_only_on_noise_for_which_it_is_defined(name: str, noise: str, other: str) -> None:
    one = cell(name, noises=(noise,), tested=(other,))
    assert {score.noise.name for score in one.scores} == {noise}
    assert one.undefined[other].kind == "not defined"
    assert cell("n2c", noises=(noise,), tested=(other,)).undefined == {}


def test_r2r_with_the_counts_thinned_is_gr2r() -> None:
    fit = cell("r2r-thinning", noises=("poisson30",)).fit
    assert fit.method == GR2R(a=0.5**2 / (1 + 0.5**2))


def test_noise_for_which_it_is_defined_is_tested() -> None:
    one = cell("r2r", noises=("gauss25",), tested=("gauss50", "gauss25", "gauss50"))
    assert [score.noise.name for score in one.scores] == ["gauss25", "gauss50"]


def test_no_noise_is_none_to_be_tested_with() -> None:
    with pytest.raises(InputError, match="--tested none"):
        make(Request(tested=("none",)))


def test_a_method_that_fails_to_say_whether_it_applies_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(R2R, "applies", lambda self, noise, channels: 1 / 0)
    state = cell("r2r").excluded
    assert state is not None
    assert "ZeroDivisionError" in state.reason
    assert cell("n2c").excluded is None


# ---- crops


@pytest.mark.parametrize(("name", "possible"), [("nbr2nbr", False), ("n2c", True), ("bm3d", True)])
def test_a_crop_that_a_method_cannot_train_on_excludes_the_method_alone(name: str, possible: bool) -> None:
    state = cell(name, crop=32, noises=("gauss25",)).excluded
    assert (state is None) == possible
    assert state is None or (state.kind == "not possible" and "multiples of 64" in state.reason)


# ---- recipes


@pytest.mark.parametrize(("steps", "optimiser"), [(0, "muon"), (1000, "muon"), (1001, "muon-hidden"), (4001, "adam")])
def test_a_long_training_takes_the_recipe_for_long_ones(steps: int, optimiser: str) -> None:
    assert cell("n2c", steps=steps).fit.recipe.optimiser == optimiser


@pytest.mark.parametrize(("longer", "word"), [("mine", "not more"), ("short", "not more"), ("shrot", "'short'")])
def test_a_recipe_for_longer_trainings_is_one_with_a_higher_limit(longer: str, word: str, tmp_path: Path) -> None:
    numbers = 'schedule = "cycle"\nlr = 1e-3\nbeta2 = 0.9\nweight_decay = 0.0\nmax_steps = 1000'
    new = f'[recipes.mine]\n{numbers}\nlonger = "{longer}"\n[recipes.neighbor2neighbor]'
    with pytest.raises(InputError, match=word):
        load(str(altered_suite(tmp_path, "[recipes.neighbor2neighbor]", new)))


def test_a_candidate_keeps_its_recipe_at_every_length() -> None:
    short, long = (cell("n2c", suite="recipes", preset="muon", steps=steps).fit.recipe for steps in (250, 4000))
    assert short == long
    assert short.identity == load("synthetic").recipes["short"].identity


# ---- normalised requests


@pytest.mark.parametrize(
    "typed",
    [
        {"seeds": (0,)}, {"seeds": (0, 0)}, {"crop": 64}, {"repeats": 1}, {"train": "embedded_train"},
        {"tests": ("embedded_test",)}, {"noises": ("gauss25", "gauss5_50", "poisson30.0", "poisson5_50")},
        {"scoring": "preset"}, {"scoring": "official"},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_preset_says_anyway_is_not_in_the_label(typed: dict[str, Any]) -> None:
    assert Request(**typed).normalised(load("synthetic")) == Request()
    assert make(Request(**typed)).request.label == "mini"


@pytest.mark.parametrize(
    ("suite", "typed"),
    [
        ("synthetic", {"steps": 500}),  # Self2Self has other steps
        ("synthetic", {"seeds": (1,)}),
        ("synthetic", {"seeds": (0, 1)}),
        ("synthetic", {"noises": ("gauss25",)}),
        ("synthetic", {"repeats": 2}),
        ("fluorescence", {"repeats": 1}),  # a set of real frames has one repeat for each
        ("raw", {"scoring": "official"}),
    ],
)
def test_what_changes_something_stays(suite: str, typed: dict[str, Any]) -> None:
    assert Request(suite=suite, **typed).normalised(load(suite)) == Request(suite=suite, **typed)


def test_official_scoring_is_of_8_bits_also_where_the_preset_is_not() -> None:
    (noisy, *_) = make(Request(suite="raw", scoring="official")).cells
    assert {score.scoring.quantise for score in noisy.scores} == {"uint8"}
