"""Several suites on one store, several stores side by side, and which suites and methods a command means."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.cli import bench, photos, refused, snapshot
from support.planted import plant

from bench.protocol.suite_files import load
from bench.runner.run import Outcome, Run

pytestmark = pytest.mark.usefixtures("narrow")
B2U = {"visible": 31.0, "blind": 32.0, "weighted": 33.0}
SIGMA25 = {"noises": ("gauss25",)}
KODAK = SIGMA25 | {"tests": ("kodak",)}  # 24 images, enough for a test to tell rows apart
ON_KODAK = ("--noise", "gauss25", "--test-sets", "kodak")


# ---- several suites and stores


def test_tables_without_arguments_are_those_that_the_store_has(tmp_path: Path) -> None:
    plant(tmp_path, {"noisy": {"noisy": 20.0}}, **SIGMA25)
    plant(tmp_path, {"noisy": {"noisy": 20.0}}, suite="gray", **SIGMA25)
    shown = re.findall(r"^Table (\d)", bench("tables", "--store", tmp_path).out, re.MULTILINE)
    assert shown == ["1", "2"]
    everything = bench("tables", "--suite", "all", "--store", tmp_path).out
    assert re.findall(r"^Table (\d)", everything, re.MULTILINE) == list("12345678")


def test_csv_of_several_tables_is_one_document(tmp_path: Path) -> None:
    argv = ("tables", "--suite", "all", "--store", tmp_path, "--format")
    table = pd.read_csv(io.StringIO(bench(*argv, "csv").out), dtype=str)
    assert {"noise", "set", "method", "sidd_val (paper)", "gauss25 (paper)"} <= set(table.columns)
    assert {one["table"] for one in json.loads(bench(*argv, "json").out)} == set(range(1, 9))


def test_two_stores_side_by_side(tmp_path: Path) -> None:
    plant(tmp_path / "a", {"noisy": {"noisy": 20.0}, "b2u": B2U}, **KODAK)
    plant(tmp_path / "b", {"noisy": {"noisy": 20.0}, "b2u": B2U | {"visible": 31.5}}, **KODAK)
    both = ("--store", tmp_path / "a", "--compare", tmp_path / "b")
    argv = ("tables", "--table", 1, *ON_KODAK, *both, "--format", "json")
    found = json.loads(bench(*argv).out)
    b2u = next(row for row in found if row["method"] == "Blind2Unblind (visible)" and row["difference"])
    assert (b2u[str(tmp_path / "a")], b2u[str(tmp_path / "b")]) == ("31.00/0.850", "31.50/0.850")
    assert (b2u["table"], b2u["difference"], b2u["p"]) == ("1", "+0.50/+0.000", "<0.001")
    assert next(row for row in found if row["method"] == "Noisy input" and row["difference"])["p"] == "1.000"
    assert "no such folder" in refused(*argv[:-3], tmp_path / "c")


def test_a_fit_serves_every_suite_that_asks_for_the_same(tmp_path: Path) -> None:
    train = photos(tmp_path / "train", "astronaut", height=96, width=96)
    tests = photos(tmp_path / "tests", "chelsea")
    asked = ("--noise", "gauss25", "--steps", 1, "--train", f"folder:{train}", "--test-sets", f"folder:{tests}")
    argv = ("run", "--methods", "b2u", "--preset", "reduced", *asked, "--store", tmp_path / "s", "--suite")
    assert bench(*argv, "synthetic").code == 0
    before = snapshot(tmp_path / "s")
    second = bench(*argv, "ablations")
    assert second.code == 0
    assert snapshot(tmp_path / "s") == before
    rows = [row for row in second.out.splitlines() if re.search(r"L_A|GM\+V|lambda_f = 20|eta = 1", row)]
    assert len([row for row in rows if "diverged" in row or re.search(r"\d\d\.\d\d/0\.\d{3}", row)]) >= 4
    assert re.findall(r"^Table (\d)", bench("tables", "--store", tmp_path / "s").out, re.MULTILINE) == list("15678")


# ---- --suite and --methods


def test_all_suites_are_planned_at_once(tmp_path: Path) -> None:
    result = bench("run", "--suite", "all", "--methods", "noisy", "--dry-run", "--store", tmp_path, "--format", "json")
    assert result.code == 0, result.err
    units = [unit["unit"] for unit in json.loads(result.out)]
    for unit in ("noisy gauss25 seed 0 on embedded_test", "noisy captured seed 0 on fmdd_fish4"):
        assert unit in units
    assert not [unit for unit in units if unit.split()[0] not in ("noisy", "blur")]


def test_all_suites_look_for_their_images_before_the_first_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without real captures on this machine the fluorescence suite is left out; without any images nothing runs."""
    monkeypatch.delenv("BENCH_DATA", raising=False)
    done: list[str] = []

    def carry_out(self: Run) -> Outcome:
        done.append(self.plan.suite.name)
        return Outcome(self.store.root, Counter(done=1))

    monkeypatch.setattr(Run, "carry_out", carry_out)
    argv = ("run", "--suite", "all", "--methods", "n2c", "--store", tmp_path)
    result = bench(*argv)
    assert (result.code, done) == (1, ["synthetic", "gray", "raw", "ablations"])
    assert "suite fluorescence is left out: the set 'fmdd_fish4' needs a data folder" in result.err
    result = bench(*argv, "--preset", "reduced")
    assert (result.code, len(done)) == (2, 4)
    assert "the set 'bsds500_train' needs a data folder" in result.err.splitlines()[-1]


def test_all_methods_are_the_rows_that_are_not_optional(tmp_path: Path) -> None:
    argv = ("run", "--methods", "all", "--dry-run", "--store", tmp_path, "--format", "json")
    planned = {unit["unit"].split()[0] for unit in json.loads(bench(*argv).out) if unit["kind"] == "score"}
    rows = load("synthetic").rows
    assert planned == {row.method for row in rows if not row.optional}
    assert "n2v-bsd68" in {row.method for row in rows} - planned


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    argv = ("--dry-run", "--store", tmp_path)
    assert "Did you mean 'b2u-eta0'?" in refused("run", "--suite", "all", "--methods", "b2u-eta00", *argv)
    assert "unknown suite 'grey'" in refused("run", "--suite", "grey", "--methods", "b2u", *argv)
