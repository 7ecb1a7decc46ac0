"""Numbers of a suite or a request that can only be slips are refused with their range; shared names stand once."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from support.cli import altered_suite

from bench.datasets import documents
from bench.datasets.errors import InputError
from bench.protocol.limits import LIMITS
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.protocol.suite_files import decode, load, shared, suites
from bench.protocol.suites import Budget, Configuration


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("steps = 300", f"steps = {10**15}", "steps"),
        ("epochs = 100", f"epochs = {10**9}", "epochs"),
        ("batch = 4\nsteps = 300", f"batch = {10**12}\nsteps = 300", "batch"),
        ("channels = 3", f"channels = {10**9}", "channels"),
        ("crop = 64\nbatch = 4\nsteps = 300", "crop = 65600\nbatch = 4\nsteps = 300", "crop"),
        ("repeats = { kodak = 10", f"repeats = {{ kodak = {10**15}", "repeats.kodak"),
        ("lr = 3e-4", "lr = inf", "lr"),
        ("lr = 3e-4", "lr = nan", "lr"),
        ("crop_factor = 2", "crop_factor = 1000", "crop_factor"),
        ("centre_crop = 128", "centre_crop = 10", "centre_crop"),
    ],
)
def test_a_suite_s_number_out_of_range_is_refused(old: str, new: str, key: str, tmp_path: Path) -> None:
    text = altered_suite(tmp_path, old, new).read_bytes()
    low, high = LIMITS[key.partition(".")[0]]
    with pytest.raises(InputError, match=rf"mine\.toml: {key} = .*; allowed: {low:,} to {high:,}"):
        decode(text, "mine.toml")


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", -1), ("steps", 10**30), ("repeats", 10**15), ("seeds", (0, -1)), ("repeats", -2)],
)
def test_a_request_s_number_out_of_range_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{field} = -?\d+; allowed: "):
        Request(**{field: value})


@pytest.mark.parametrize("range_", [0.0, -1.0, float("nan"), float("inf")])
def test_a_data_range_is_a_positive_number(range_: float) -> None:
    with pytest.raises(InputError, match="data_range"):
        Scoring(quantise="float", data_range=range_)


def test_nothing_given_is_no_slip() -> None:
    assert Budget() == Budget(steps=0, centre_crop=0)
    assert Request(steps=0, repeats=0, seeds=()) == Request()


@pytest.mark.parametrize(
    "text",
    [b"a" + b".a" * 40_000 + b" = 1", b"a = '" + b"x" * 3000 + b"'", b"a = 1 # x\n" * 200_000],
    ids=["dots", "line", "size"],
)
def test_a_text_that_would_take_gigabytes_is_not_parsed(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents.tomllib, "loads", lambda text: pytest.fail("it was parsed"))
    with pytest.raises(msgspec.DecodeError, match="allowed"):
        documents.from_toml(text, dict)


# ---- what presets and recipes share


def test_a_preset_like_another_one_has_its_other_keys(tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "[presets.reduced]", '[presets.other]\nlike = "mini"\ncrop = 96\n[presets.reduced]')
    found = load(str(path)).presets
    assert found["other"] == structs.replace(found["mini"], crop=96)


@pytest.mark.parametrize("like", ['"minu"', '"reduced"', '["mini"]'], ids=["unknown", "later", "list"])
def test_a_preset_is_like_an_earlier_one_by_name(like: str, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "[presets.reduced]", f"[presets.other]\nlike = {like}\n[presets.reduced]")
    with pytest.raises(InputError, match=r"mine\.toml: .*presets\.other.*mini"):
        load(str(path))


# ---- what several suites share


def test_every_suite_can_name_the_shared_recipes_and_configurations() -> None:
    for name in suites():
        assert shared("recipes").items() <= load(name).recipes.items()
        assert shared("configurations").items() <= load(name).configurations.items()
    assert shared("recipes")["short"].optimiser == "muon"
    assert shared("configurations")["b2u-rmv"] == Configuration("b2u", {"mapper": "rm"})


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("[recipes.neighbor2neighbor]", "[recipes.short]", "recipes.short"),
        ("[configurations.n2v-library]", "[configurations.b2u-rm]", "configurations.b2u-rm"),
    ],
)
def test_a_name_that_stands_twice_is_refused(old: str, new: str, name: str, tmp_path: Path) -> None:
    text = altered_suite(tmp_path, old, new).read_bytes()
    with pytest.raises(InputError, match=name):
        decode(text, "mine.toml")


# ---- rows


def test_a_row_s_output_is_one_of_its_method_before_anything_is_computed(tmp_path: Path) -> None:
    path = altered_suite(tmp_path, 'output = "visible"', 'output = "visibel"')
    with pytest.raises(InputError, match=r"'visibel'.*Did you mean 'visible'"):
        make(Request(suite=str(path)))
