"""A key is everything that determines a number and nothing else; rooms know only the rooms below."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow
from support.tiny import HEAD, SHORT

from bench.compute.machine import Machine
from bench.compute.noisy_images import noisy_images
from bench.datasets.images import SetImage
from bench.datasets.noise.model import parse
from bench.methods.n2c import N2C
from bench.methods.networks.unet import UNetConfig
from bench.protocol import units
from bench.protocol.plan import Plan, make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit, Score
from bench.runner.display import Display
from bench.runner.execution import Sets
from bench.runner.run import Run
from bench.store.store import Store

SUITE = (
    HEAD
    + 'noises = ["gauss25", "gauss5_50"]\n'
    + SHORT.replace("crop = 64", "crop = 32")
    + """batch = 2
steps = 2
epochs = 2
recipe = "one"
CHANGES
[presets.mini.fields.n2c.net]
width = 4
[presets.mini.fields.b2u]
s = 2
net = { width = 4 }
"""
)


@pytest.fixture
def tiny(photos: Path, tmp_path: Path) -> Callable[..., Plan]:
    """The plan of a request on a tiny suite tested on the photos upside down; `changes` are lines of its preset."""
    turned = tmp_path / "turned"
    turned.mkdir()
    for path in photos.iterdir():
        Pillow.fromarray(np.asarray(Pillow.open(path))[::-1]).save(turned / path.name)
    made = iter(range(100))

    def ask(changes: str = "", **request: Any) -> Plan:
        path = tmp_path / f"suite{next(made)}.toml"  # another name each time: suites are read once
        text = SUITE.replace("TRAIN", photos.as_posix()).replace("TEST", turned.as_posix())
        path.write_text(text.replace("CHANGES", changes))
        return make(Request(suite=str(path), **({"methods": ("n2c", "b2u")} | request)))

    return ask


@pytest.fixture
def score(tiny: Callable[..., Plan]) -> Score:
    return next(cell.scores[0] for cell in tiny().cells if cell.name == "n2c")


def fits(made: Plan) -> list[str]:
    return [cell.fit.key for cell in made.cells]


def scores(made: Plan) -> list[str]:
    return [score.key for cell in made.cells for score in cell.scores]


# ---- what a key depends on


@pytest.mark.parametrize(
    "asked",
    [
        {"tests": ("kodak", "set14")},
        {"repeats": 3},
        {"changes": 'padding = "square"'},
        {"changes": 'scoring = { quantise = "float", data_range = 1.0 }'},
    ],
    ids=["tests", "repeats", "padding", "scoring"],
)
def test_what_is_only_scored_trains_nothing_again(asked: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    assert fits(tiny(**asked)) == fits(tiny())
    assert not set(scores(tiny(**asked))) & set(scores(tiny()))


def test_a_name_given_to_a_configuration_is_no_identity(score: Score) -> None:
    other = msgspec.structs.replace(score.fit, name="mine")
    assert other.key == score.fit.key


FIT_CHANGES: dict[str, Any] = {
    "seed": 1, "steps": 3, "epochs": 3, "batch": 3, "crop": 64, "noise": parse("gauss26"), "train_noise": "fixed",
    "train": "embedded_train", "method": N2C(net=UNetConfig(width=5)), "channels": 1, "view": "bayer",
    "recipe": Recipe(schedule="cycle", lr=2e-3, beta2=0.95, weight_decay=0.0), "weights": "0" * 64,
}  # fmt: skip


@pytest.mark.parametrize("field", [*FIT_CHANGES])
def test_whatever_changes_the_weights_changes_both_keys(field: str, score: Score) -> None:
    if field == "channels":  # sets whose images need not be read as gray
        fit = msgspec.structs.replace(score.fit, train="embedded_train")
        score = msgspec.structs.replace(score, fit=fit, test="embedded_test")
    other = msgspec.structs.replace(score.fit, **{field: FIT_CHANGES[field]})
    assert other.key != score.fit.key
    assert msgspec.structs.replace(score, fit=other).key != score.key


def test_every_field_of_a_fit_but_its_name_has_been_changed() -> None:
    """A new field must be thought about here."""
    assert {*FIT_CHANGES, "name", "digests"} == set(Fit.__struct_fields__)


@pytest.mark.parametrize("field", [*FIT_CHANGES])
def test_weights_external_weights_are_known_by_themselves_and_by_what_the_method_does_with_them(
    field: str, score: Score
) -> None:
    fit = msgspec.structs.replace(score.fit, weights="1" * 64, train="")
    other = msgspec.structs.replace(fit, **{field: FIT_CHANGES[field]})
    assert (other.key != fit.key) == (field in ("weights", "method", "noise", "view"))


@pytest.mark.parametrize("field", sorted({*Recipe.__struct_fields__} - {"max_steps", "longer"}))
def test_every_field_of_a_recipe_counts(field: str, score: Score) -> None:
    muon = msgspec.structs.replace(score.fit.recipe, optimiser="muon")
    words = {"schedule": "halving", "optimiser": "adam"}
    recipe = msgspec.structs.replace(muon, **{field: words.get(field) or getattr(muon, field) + 0.01})
    keys = {msgspec.structs.replace(score.fit, recipe=one).key for one in (muon, recipe)}
    assert len(keys) == 2


def test_limits_and_fields_of_an_optimiser_that_is_not_used_do_not_count(score: Score) -> None:
    unused = {"kernel_lr": 0.5, "momentum": 0.5, "kernel_decay": 0.5, "max_steps": 9, "longer": "paper"}
    recipe = msgspec.structs.replace(score.fit.recipe, **unused)
    assert msgspec.structs.replace(score.fit, recipe=recipe).key == score.fit.key


@pytest.mark.parametrize(
    ("where", "weights", "changed"),
    [
        ("TRAINING_REVISION", "", (True, True)),
        ("SCORING_REVISION", "", (False, True)),
        ("TRAINING_REVISION", "1" * 64, (False, False)),
        ("SCORING_REVISION", "1" * 64, (True, True)),
        ("revision", "", (True, True)),
    ],
)
def test_a_raised_revision_changes_the_keys_of_what_it_gives_other_numbers(
    where: str, weights: str, changed: tuple[bool, bool], score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> tuple[str, str]:
        fit = msgspec.structs.replace(score.fit, weights=weights)
        return fit.key, msgspec.structs.replace(score, fit=fit).key

    before, owner = keys(), N2C if where == "revision" else units
    monkeypatch.setattr(owner, where, getattr(owner, where) + 1)
    assert tuple(one != other for one, other in zip(keys(), before, strict=True)) == changed


def test_altered_training_pixels_change_the_fit(tiny: Callable[..., Plan], photos: Path) -> None:
    before = tiny()
    assert fits(before)  # keys are computed when asked for: now
    pixels = np.asarray(Pillow.open(photos / "coffee.png")).copy()
    pixels[0, 0, 0] ^= 1
    Pillow.fromarray(pixels).save(photos / "coffee.png")
    pairs = zip(before.cells, tiny().cells, strict=True)
    assert all((old.fit.key == new.fit.key) == (old.name in ("noisy", "blur")) for old, new in pairs)


SCORE_CHANGES: dict[str, Any] = {
    "repeats": 2, "padding": "square", "test": "kodak", "centre_crop": 48,
    "scoring": Scoring(quantise="float"), "noise": parse("gauss50"), "metrics": ("psnr",),
}  # fmt: skip


@pytest.mark.parametrize("field", [*SCORE_CHANGES])
def test_whatever_changes_a_score_changes_its_key(field: str, score: Score) -> None:
    assert msgspec.structs.replace(score, **{field: SCORE_CHANGES[field]}).key != score.key


def test_every_field_of_a_score_has_been_changed() -> None:
    """`fit` above."""
    assert {*SCORE_CHANGES, "fit"} == set(Score.__struct_fields__)


def test_methods_that_never_fit_are_scored_once_for_all_trainings(tiny: Callable[..., Plan]) -> None:
    noisy = [
        [cell.fit.key for cell in made.cells if cell.name == "noisy"]
        for made in (tiny(), tiny("seeds = [3, 4]"), tiny(steps=9), tiny(train="embedded_train"))
    ]
    assert all(keys == noisy[0] for keys in noisy)


def test_all_units_of_a_plan_have_keys_of_their_own(tiny: Callable[..., Plan]) -> None:
    keys = fits(made := tiny("seeds = [0, 1]", tests=("kodak", "bsd300"))) + scores(made)
    assert len(keys) == len(set(keys)) == 12 + 24


def test_keys_are_frozen() -> None:
    """Committed records are found by these; a key that changes without a change of meaning orphans them."""
    cells = make(Request(methods=("b2u",), noises=("gauss25",))).cells
    identity = cells[-1].fit.identity | {"revision": [1, 1]}
    assert sorted(identity) == sorted(
        ["method", "fields", "revision", "noise", "seed", "train", "train_noise", "crop", "batch", "steps", "epochs",
         "recipe"]
    )  # fmt: skip
    assert units.digest({"b": [1, 2.5, "x"], "a": {"d": None, "c": True}}) == "5ccd52c83105ca4ef6eac61e"


# ---- the same numbers from any order, on any machine


def carried_out(made: Plan, root: Path, machine: Machine | None = None) -> dict[str, bytes]:
    """Every file of the store's fits and scores by name."""
    outcome = Run(
        made, Store(root), machine or Machine("cpu", "float32", 1), Sets(None), Display(quiet=True)
    ).carry_out()
    assert outcome.code == 0
    files = [path for kind in ("fits", "scores") for path in sorted((root / kind).rglob("*.*")) if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def test_scores_do_not_depend_on_the_order_of_the_cells(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    made = tiny(noises=("gauss5_50",))
    turned = msgspec.structs.replace(made, cells=made.cells[::-1])
    one, two = carried_out(made, tmp_path / "1"), carried_out(turned, tmp_path / "2")
    same = [name for name in one if name.endswith((".rows.jsonl", ".safetensors"))]
    assert len(same) == 4 + 2  # noisy, blur, n2c, b2u; the last two have weights
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in same)


def test_methods_are_scored_on_the_same_noisy_pixels(tiny: Callable[..., Plan], set_images: list[SetImage]) -> None:
    cells = tiny(noises=("gauss5_50",), repeats=2).cells
    first, *others = [[noisy.image for noisy in noisy_images(cell.scores[0], set_images)] for cell in cells]
    assert (len(first), len(others)) == (6, 3)  # noisy; blur, n2c, b2u
    for pixels in others:
        assert all(np.array_equal(one, two) for one, two in zip(pixels, first, strict=True))


def test_another_machine_or_precision_finds_the_same_records(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    made = tiny(methods=("n2c",), noises=("gauss25",))
    first = carried_out(made, tmp_path / "s")
    assert carried_out(made, tmp_path / "s", Machine("cpu", "bf16", 2)) == first


def test_a_perfect_output_has_a_score_that_can_be_read(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    """Noise below half a gray value is rounded away: the noisy image scores as the clean one."""
    made = tiny(methods=(), noises=("gauss0.05",))
    carried_out(made, tmp_path / "s")
    assert len(Store(tmp_path / "s").rows(made.cells[0].scores[0])) == 3
