"""The commands end to end, on photographs: run, tables, show, methods, env, and the public functions."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import pandas as pd
import pytest
from support.cli import (
    SHARED,
    Result,
    bench,
    finish,
    line,
    lines,
    needs_shared_data,
    photos,
    record,
    refused,
    rows,
    same,
    snapshot,
    start,
    weights,
)

from bench import Method, register, run, tables
from bench.datasets import images

FORMATS = ("terminal", "md", "latex", "csv", "json")
GAUSS = ("--noise", "gauss25", "--steps", "2")


class Done(NamedTuple):
    """A finished run, to be looked at; what changes a store works on a copy."""

    store: Path
    tests: Path
    command: tuple[str, ...]  # without --store
    result: Result


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Two methods on the packaged photographs, two steps each."""
    folder = tmp_path_factory.mktemp("done")
    tests = photos(folder / "tests", "astronaut", "coffee")
    command = ("run", "--methods", "b2u,n2c", *GAUSS, "--test-sets", f"folder:{tests}")
    result = bench(*command, "--store", folder / "store")
    assert result.code == 0, result.err
    return Done(folder / "store", tests, command, result)


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    return shutil.copytree(done.store, tmp_path / "store")


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
    argv = ("--test-sets", f"folder:{many}", "--dry-run", "--store", tmp_path / "new", "--format", "json")
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
    assert (found["state"], found["metrics"]) == ("not run", {})


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


# ---- tables


def test_tables_print_the_last_run(done: Done) -> None:
    found = lines("--store", done.store)
    psnr = line(found, noise="gauss25", method="b2u", output="visible", test=f"folder:{done.tests}")["metrics"]["psnr"]
    stored = record(done.store, "score", "b2u")["result"]["outputs"]["visible"]["psnr"]
    assert psnr == stored


def test_tables_of_the_same_request_print_what_run_printed(done: Done) -> None:
    asked = (*GAUSS, "--test-sets", f"folder:{done.tests}")
    assert bench("tables", *asked, "--store", done.store).out == done.result.out


def test_noise_narrows_the_last_run(done: Done) -> None:
    found = lines("--noise", "gauss25", "--store", done.store)
    assert {one["noise"] for one in found} == {"gauss25"}
    assert line(found, method="b2u", output="visible", test=f"folder:{done.tests}")["state"] == "done"


def test_tables_read_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("--noise", "gauss25", "--store", tmp_path / "s")
    printed = bench("run", "--methods", "noisy", *argv)

    def gone(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(images, "read", gone)
    assert bench("tables", *argv).out == printed.out


def test_tables_work_when_images_and_weights_are_gone(tests: Path, tmp_path: Path) -> None:
    argv = ("--noise", "gauss25", "--steps", "2", "--test-sets", f"folder:{tests}", "--store", tmp_path / "s")
    printed = bench("run", "--methods", "n2c", *argv)
    shutil.rmtree(tests)
    for path in (tmp_path / "s" / "fits").rglob("*.safetensors"):
        path.unlink()
    result = bench("tables", *argv)
    assert (result.code, result.out) == (0, printed.out), result.err


@needs_shared_data
def test_tables_and_a_done_run_need_no_data_folder(tmp_path: Path) -> None:
    argv = ("--noise", "gauss25", "--test-sets", "set14", "--store", tmp_path / "s")
    printed = bench("run", "--methods", "noisy", *argv, "--data", SHARED)
    assert "14 noisy images" in " ".join(printed.out.split())
    assert bench("tables", *argv).out == printed.out
    assert bench("run", "--methods", "noisy", *argv, "--data", tmp_path).out == printed.out


def test_tables_of_an_empty_store_show_the_published_numbers(tmp_path: Path) -> None:
    found = lines("--table", "1", "--store", tmp_path)
    assert {one["state"] for one in found} == {"not run", "not defined"}
    assert line(found, noise="gauss25", method="n2c", test="kodak")["published"]["psnr"] == 32.43
    assert {one["noise"] for one in found} == {"gauss25", "gauss5_50", "poisson30", "poisson5_50"}
    assert not list(tmp_path.iterdir())


def test_unknown_table_is_refused(done: Done) -> None:
    assert "Allowed: 1" in refused("tables", "--table", "9", "--store", done.store)


def test_cost_columns(done: Done) -> None:
    asked = (*GAUSS, "--test-sets", f"folder:{done.tests}", "--long", "--format", "csv", "--store", done.store)
    table = pd.read_csv(io.StringIO(bench("tables", *asked).out), dtype=str)
    table = table[table["set"] == f"folder:{done.tests}"].set_index("method")
    column = table["parameters"].str.replace(",", "")
    assert column["Blind2Unblind (visible)"] == column["Baseline, N2C"] == "1102371"
    outputs = ("visible", "blind", "weighted")
    assert [table["passes"][f"Blind2Unblind ({output})"] for output in outputs] == ["1", "4", "5"]
    assert table["train s"]["Baseline, N2C"].isdigit()


# ---- formats

COMMANDS: dict[str, Callable[[Done], tuple[object, ...]]] = {
    "run": lambda done: (*done.command, "--store", done.store),
    "dry run": lambda done: (*done.command, "--dry-run", "--store", done.store / "new"),
    "tables": lambda done: ("tables", "--store", done.store),
    "show": lambda done: ("show", "gauss25", "--store", done.store),
    "methods": lambda done: ("methods",),
    "env": lambda done: ("env",),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_format_parses(done: Done, command: str, form: str) -> None:
    result = bench(*COMMANDS[command](done), "--format", form)
    assert result.code == 0, result.err
    if form == "json":
        assert json.loads(result.out)
    elif form == "csv":
        assert len(pd.read_csv(io.StringIO(result.out))) > 1
    elif form == "latex":
        assert 1 <= result.out.count(r"\bottomrule") <= result.out.count(r"\toprule")  # a long table repeats its head
    elif form == "md":
        body = [row for row in result.out.splitlines() if row.startswith("|")]
        assert len(body) > 2
        assert len({row.count("|") for row in body}) == 1
    else:
        assert re.search("╭|^----", result.out, re.MULTILINE)


def test_forced_dry_run_lists_every_unit(done: Done) -> None:
    plan = json.loads(bench(*done.command, "--force", "--dry-run", "--store", done.store, "--format", "json").out)
    assert [unit["kind"] for unit in plan].count("fit") == 2
    assert [unit["kind"] for unit in plan].count("score") == 4


# ---- methods, show, env


@pytest.mark.parametrize(
    ("name", "outputs", "supervision", "paper"),
    [
        ("n2c", ["denoised"], "clean", "Laine"),
        ("n2n", ["denoised"], "pair", "Noise2Noise"),
        ("nbr2nbr", ["denoised"], "noisy", "Neighbor2Neighbor"),
        ("b2u", ["visible", "blind", "weighted"], "noisy", "Blind2Unblind"),
    ],
)
def test_methods_as_json(name: str, outputs: list[str], supervision: str, paper: str) -> None:
    found: list[dict[str, Any]] = json.loads(bench("methods", "--format", "json").out)
    method = next(method for method in found if method["name"] == name)
    assert (method["outputs"], method["supervision"], method["knowledge"]) == (outputs, supervision, "blind")
    assert paper in method["paper"]


def test_show_by_the_start_of_a_key(done: Done) -> None:
    key = record(done.store, "fit", "n2c")["key"]
    shown = json.loads(bench("show", key[:10], "--format", "json", "--store", done.store).out)
    assert (shown["key"], shown["title"]) == (key, "n2c gauss25 seed 0")


def test_show_by_words_of_the_title(done: Done) -> None:
    shown = json.loads(bench("show", "b2u gauss25 seed 0 on", "--format", "json", "--store", done.store).out)
    assert (shown["kind"], shown["state"]) == ("score", "done")
    assert shown["environment"]["versions"]["torch"]


def test_show_lists_several_matches(done: Done) -> None:
    result = bench("show", "gauss25", "--store", done.store)
    assert [record(done.store, kind, "b2u")["key"] in result.out for kind in ("fit", "score")] == [True, True]


def test_show_of_an_unknown_cell_names_the_nearest(done: Done) -> None:
    assert "Did you mean 'n2c gauss25 seed 0'?" in refused("show", "n2c gaus25 seed 0", "--store", done.store)


def test_env_names_versions_and_machine() -> None:
    facts = json.loads(bench("env", "--format", "json").out)
    assert {"torch", "numpy", "scikit-image"} <= facts["versions"].keys()
    assert {"bench", "python", "platform", "commit", "device", "precision", "threads"} <= facts.keys()


@pytest.mark.parametrize(("argv", "code"), [(("methods",), 0), (("methodz",), 2), (("--help",), 0)])
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
