"""What the commands print of a finished run: tables, show, methods, env, in every format."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.cli import (
    Done,
    bench,
    line,
    lines,
    photos,
    record,
    refused,
)
from support.sets import SMALL, small_set

from bench.datasets import images
from bench.datasets.sets import catalogue

pytestmark = pytest.mark.usefixtures("narrow")
FORMATS = ("terminal", "md", "latex", "csv", "json")
GAUSS = ("--noise", "gauss25", "--steps", "2")


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A folder with one small photograph."""
    return photos(tmp_path / "tests", "chelsea")


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


def test_tables_work_when_images_and_weights_are_gone(tests: Path, tmp_path: Path) -> None:
    argv = ("--noise", "gauss25", "--steps", "2", "--test-sets", f"folder:{tests}", "--store", tmp_path / "s")
    printed = bench("run", "--methods", "n2c", *argv)
    shutil.rmtree(tests)
    for path in (tmp_path / "s" / "fits").rglob("*.safetensors"):
        path.unlink()
    result = bench("tables", *argv)
    assert (result.code, result.out) == (0, printed.out), result.err


def test_tables_and_a_done_run_read_no_image_of_a_set(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, references = catalogue.catalogue(), catalogue._references()
    small_set(photos, monkeypatch)
    ours, of_ours = catalogue.catalogue(), catalogue._references()
    monkeypatch.setattr(catalogue, "catalogue", lambda: known | ours)
    monkeypatch.setattr(catalogue, "_references", lambda: references | of_ours)
    argv = ("--noise", "gauss25", "--test-sets", SMALL, "--store", tmp_path / "s")
    printed = bench("run", "--methods", "noisy", *argv, "--data", tmp_path)
    assert "(4 noisy images)" in " ".join(printed.out.split()), printed.err

    def gone(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(images, "read", gone)
    assert bench("tables", *argv).out == printed.out
    done = bench("run", "--methods", "noisy", *argv, "--data", tmp_path / "none")
    assert (done.code, done.out) == (0, printed.out), done.err


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
    assert column["Blind2Unblind (visible)"] == column["Baseline, N2C"]
    assert column["Baseline, N2C"] == str(record(done.store, "fit", "n2c")["result"]["parameters"])
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
