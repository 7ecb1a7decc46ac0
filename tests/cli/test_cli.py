"""Runs end to end, on photographs: the command, and the public function."""

import ast
import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from support.cli import (
    Done,
    bench,
    finish,
    line,
    lines,
    photos,
    record,
    refused,
    rows,
    same,
    snapshot,
    start,
    weights,
)

from bench import Method, __version__, register, run, tables
from bench.api import options
from bench.cli.main import main
from bench.datasets.errors import InputError

pytestmark = pytest.mark.usefixtures("narrow")
GAUSS = ("--noise", "gauss25", "--steps", "2")


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A folder with one small photograph."""
    return photos(tmp_path / "tests", "chelsea")


# ---- run


def test_run_prints_measured_beside_published(done: Done) -> None:
    whole = bench("tables", "--all", "--store", done.store).out
    row = next(row for row in whole.splitlines() if "Blind2Unblind (visible)" in row)
    assert "32.27/0.880" in row
    assert len(re.findall(r"\d+\.\d\d/\d\.\d{3}", row)) == 4  # measured, and three sets of the paper


def test_run_scores_the_noisy_input(done: Done) -> None:
    row = next(row for row in done.result.out.splitlines() if "Noisy input" in row)
    psnr = float(re.findall(r"(\d+\.\d\d)/", row)[0])
    assert psnr == pytest.approx(20.2, abs=0.7)  # sigma 25, clipped


@pytest.mark.parametrize("words", ["Table 1", "[mini, steps=2", "Suite synthetic v1", "crops of 64"])
def test_caption_says_what_was_run(done: Done, words: str) -> None:
    assert words in done.result.out


def test_methods_that_were_not_run_say_so(done: Done) -> None:
    assert "NBR2NBR" not in done.result.out
    whole = bench("tables", "--all", "--store", done.store).out
    row = next(row for row in whole.splitlines() if " NBR2NBR " in row)
    assert "not run" in row
    assert "32.08/0.879" in row


def test_second_run_computes_nothing_and_prints_the_same(done: Done) -> None:
    before = snapshot(done.store)
    again = bench(*done.command, "--store", done.store)
    assert (again.code, again.out) == (0, done.result.out)
    assert snapshot(done.store) == before


def test_force_computes_the_same_again(done: Done, copy: Path) -> None:
    before = snapshot(copy)
    assert bench(*done.command, "--force", "--store", copy).out == done.result.out
    after = snapshot(copy)
    assert after.keys() == before.keys()
    assert all(after[name][0] > before[name][0] for name in after)  # everything was written again
    rewritten = [name for name in after if name.endswith(".rows.jsonl")]
    assert [after[name][1] for name in rewritten] == [before[name][1] for name in rewritten]
    for method in ("b2u", "n2c"):
        assert same(weights(copy, method), weights(done.store, method))


def test_dry_run_prints_the_plan_and_writes_nothing(done: Done, tmp_path: Path) -> None:
    result = bench(*done.command, "--dry-run", "--store", tmp_path / "new")
    assert result.code == 0
    for unit in ("noisy gauss25 seed 0 on folder:", "b2u gauss25 seed 0 ", "n2c gauss25 seed 0 on folder:"):
        assert unit in result.out
    assert "6 units to do, 0 done already" in result.err
    assert not (tmp_path / "new").exists()


def test_dry_run_of_a_done_run_is_empty(done: Done) -> None:
    result = bench(*done.command, "--dry-run", "--store", done.store, "--format", "json")
    assert json.loads(result.out) == []
    assert "0 units to do, 6 done already" in result.err


def test_dry_run_estimates_the_scoring_of_a_folder(done: Done, tmp_path: Path) -> None:
    many = photos(tmp_path / "many", "astronaut", "chelsea", "coffee", height=260, width=260)
    argv = (
        "--test-sets",
        f"folder:{many}",
        "--repeats",
        100,
        "--dry-run",
        "--store",
        tmp_path / "new",
        "--format",
        "json",
    )
    plan = json.loads(bench("run", "--methods", "b2u", *GAUSS, *argv).out)
    assert next(unit["estimated"] for unit in plan if unit["kind"] == "score" and "b2u" in unit["unit"]) != "0s"


def test_another_test_set_trains_nothing(done: Done, copy: Path, tests: Path) -> None:
    before = snapshot(copy)
    both = f"folder:{done.tests},folder:{tests}"
    assert bench(*done.command[:-1], both, "--store", copy).code == 0
    after = snapshot(copy)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"scores"}


def test_scores_do_not_depend_on_the_other_test_sets(done: Done, copy: Path, tests: Path, tmp_path: Path) -> None:
    both = f"folder:{tests},folder:{done.tests}"  # in the other order, and in one go
    assert bench(*done.command[:-1], both, "--store", tmp_path / "other").code == 0
    for method in ("noisy", "b2u", "n2c"):
        title = f"{method} gauss25 seed 0 on folder:{done.tests}"
        assert rows(tmp_path / "other", title) == rows(done.store, title)


def test_fits_do_not_depend_on_the_other_cells(done: Done, tests: Path, tmp_path: Path) -> None:
    argv = ("--noise", "poisson30,gauss25", "--steps", "2", "--test-sets", f"folder:{tests}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "n2c,nbr2nbr", *argv).code == 0
    assert same(weights(tmp_path / "s", "n2c gauss25"), weights(done.store, "n2c gauss25"))


def test_other_options_give_other_records(done: Done, copy: Path) -> None:
    before = snapshot(copy)
    command = ("run", "--methods", "n2c", "--noise", "gauss25", "--steps", "3", "--test-sets", f"folder:{done.tests}")
    assert bench(*command, "--store", copy).code == 0
    after = snapshot(copy)
    assert {name: after[name] for name in before} == before
    assert len([name for name in after.keys() - before.keys() if name.endswith(".json")]) == 2  # a fit and its score


def test_repeats_are_counted_and_labelled(tests: Path, tmp_path: Path) -> None:
    argv = ("--noise", "gauss25", "--repeats", "3", "--test-sets", f"folder:{tests}", "--store", tmp_path / "s")
    result = bench("run", "--methods", "noisy", *argv)
    assert "[mini, repeats=3" in result.out
    found = [json.loads(row) for row in rows(tmp_path / "s", "noisy").splitlines()]
    assert [row["repeat"] for row in found] == [0, 1, 2]
    assert len({row["psnr"] for row in found}) == 3


def test_seeds_give_mean_and_standard_deviation(done: Done, copy: Path) -> None:
    command = ("run", "--methods", "n2c", *GAUSS, "--seeds", "0,1", "--test-sets", f"folder:{done.tests}")
    result = bench(*command, "--store", copy)
    assert "seeds=0+1" in result.out
    psnrs = [record(copy, "score", f"n2c gauss25 seed {s}")["result"]["outputs"]["denoised"]["psnr"] for s in (0, 1)]
    assert psnrs[0] != psnrs[1]
    found = line(lines("--store", copy), noise="gauss25", method="n2c", test=f"folder:{done.tests}")
    assert (found["seeds"], found["metrics"]["psnr"], found["std"]["psnr"]) == (2, mean(psnrs), stdev(psnrs))
    row = next(row for row in result.out.splitlines() if "N2C" in row)
    assert f"{mean(psnrs):.2f}±{stdev(psnrs):.2f}/" in row


def test_no_mean_over_a_missing_seed(done: Done) -> None:
    asked = ("--steps", "2", "--seeds", "0,5", "--test-sets", f"folder:{done.tests}", "--store", done.store)
    found = line(lines(*asked), noise="gauss25", method="n2c", test=f"folder:{done.tests}")
    assert (found["state"], found["metrics"]) == ("partly run", {})


def test_a_name_given_twice_counts_once(done: Done, copy: Path) -> None:
    command = ("run", "--methods", "n2c,n2c", "--noise", "gauss25,gauss25", "--steps", "2", "--seeds", "0,0")
    assert bench(*command, "--test-sets", f"folder:{done.tests},folder:{done.tests}", "--store", copy).code == 0
    found = line(lines("--store", copy), noise="gauss25", method="n2c", test=f"folder:{done.tests}")
    assert (found["seeds"], found["std"]) == (1, {})


def test_noisy_images_alone_train_b2u_and_say_why_not_the_others(tmp_path: Path) -> None:
    noisy = photos(tmp_path / "noisy", "astronaut", "chelsea", height=64, width=80)
    argv = ("--noise", "none", "--train", f"folder:{noisy}", "--steps", "2", "--store", tmp_path / "s")
    result = bench("run", "--methods", "n2c,n2n,b2u", *argv)
    assert result.code == 2, result.err
    assert record(tmp_path / "s", "fit", "b2u none")["state"] == "done"
    assert len(list((tmp_path / "s" / "fits").rglob("*.json"))) == 1
    for method, needs in (("n2c", "clean images"), ("n2n", "two noisy frames")):
        reason = next(row for row in result.err.splitlines() if row.startswith(f"bench: error: {method} none:"))
        assert "not possible" in reason
        assert needs in reason


def test_progress_names_cells_loss_and_quality(done: Done) -> None:
    assert "[1/6]" in done.result.err
    assert "b2u gauss25 seed 0" in done.result.err
    assert "cells: 4 done" in done.result.err


@pytest.mark.slow
@pytest.mark.parametrize(("argv", "code"), [(("methodz",), 2), (("methods",), 0), (("--help",), 0)])
def test_exit_codes_of_a_process(argv: tuple[str, ...], code: int, tmp_path: Path) -> None:
    result = finish(start(*argv, cwd=tmp_path))
    assert result.code == code
    assert "Traceback" not in result.err


# ---- Python


def test_public_functions_run_and_tabulate(tests: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"noises": ["gauss25"], "steps": 2, "tests": [f"folder:{tests}"], "quiet": True}
    outcome = run(["n2c"], store=tmp_path / "s", **options)
    assert (outcome.code, outcome.states["done"]) == (0, 3)
    table = tables(store=tmp_path / "s").set_index(["noise", "method"])
    stored = record(tmp_path / "s", "score", "n2c")["result"]["outputs"]["denoised"]
    assert table[f"folder:{tests}"]["gauss25", "Baseline, N2C"] == f"{stored['psnr']:.2f}/{stored['ssim']:.3f}"


def test_public_run_is_the_command(done: Done, copy: Path) -> None:
    before = snapshot(copy)
    run(["b2u", "n2c"], noises=["gauss25"], steps=2, tests=[f"folder:{done.tests}"], store=copy, quiet=True)
    assert snapshot(copy) == before


def test_public_names_are_the_classes_of_the_rooms() -> None:
    from bench.methods.base import Method as method
    from bench.methods.registry import register as decorator

    assert Method is method
    assert register is decorator


# ---- options


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        (("--jobs", "3"), {"threads": 2}),  # cores divided by jobs
        (("--compile",), {"compile": True}),
        (("--no-compile",), {"compile": False}),
    ],
)
def test_what_is_asked_of_the_machine(
    more: tuple[str, ...], asked: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(**known: object) -> None:
        raise InputError(str(known))

    monkeypatch.setattr(options, "cores", lambda: 6)
    monkeypatch.setattr(options, "choose", choose)
    found = refused("run", "--methods", "n2c", *GAUSS, *more, "--store", tmp_path)
    assert asked.items() <= ast.literal_eval(found.removeprefix("bench: error: ")).items()
