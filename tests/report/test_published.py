"""What others published is shown on request only, marked with its provenance, and never as the paper's."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from support.cli import bench, lines

from bench.protocol.suite_files import load, suites
from bench.report.published import LEVELS, Other, others, published, with_tables
from bench.report.published import _with_metrics as with_metrics

ALL = [one for suite in suites() for one in others(suite)]


def test_every_number_has_a_source_and_a_level() -> None:
    assert {one.method for one in ALL} >= {"prompt-sid", "zs-n2n", "noise2vst", "sst-gp", "dip", "blind2sound"}
    assert {one.suite for one in ALL} == {"synthetic", "raw", "fluorescence", "srgb"}
    for one in ALL:
        assert one.level in LEVELS
        assert one.source
        assert 20 < one.metrics["psnr"] < 60
        assert one.noise in load(one.suite).noises
    places = [(one.suite, one.noise, one.label, one.set) for one in ALL]
    assert len(set(places)) == len(places)


def test_an_ssim_that_was_not_published_is_no_number() -> None:
    row = {name: "x" for name in Other.__struct_fields__ if name != "metrics"}
    assert with_metrics(row | {"psnr": "51.55", "ssim": ""})["metrics"] == {"psnr": 51.55}


def test_no_default_table_has_numbers_of_others(tmp_path: Path) -> None:
    found = lines("--suite", "all", "--store", tmp_path)
    assert all(line["other"] is None for line in found)
    assert "others" not in bench("tables", "--suite", "all", "--store", tmp_path).out


@pytest.mark.parametrize("table", [1, 3, 4])
def test_numbers_of_others_stand_in_rows_and_columns_of_their_own(tmp_path: Path, table: int) -> None:
    argv = ("tables", "--table", table, "--store", tmp_path)
    shown = pd.read_csv(io.StringIO(bench(*argv, "--published", "all", "--format", "csv").out), dtype=str)
    plain = pd.read_csv(io.StringIO(bench(*argv, "--format", "csv").out), dtype=str)
    columns = [name for name in shown if name.endswith(" (others)")]
    theirs = shown[columns].notna().any(axis=1)
    assert columns
    assert shown.loc[theirs, columns].stack().dropna().str.fullmatch(r"[\d.]+(/[\d.]+)? \[(paper|image|note)\]").all()
    assert shown.loc[theirs, [name for name in shown if name.endswith("(paper)")]].isna().all(axis=None)
    pd.testing.assert_frame_equal(shown.loc[~theirs, plain.columns].reset_index(drop=True), plain)
    numbers = sum(len(one.metrics) > 0 for one in ALL if (one.suite, one.noise) in groups(table))
    assert shown.loc[theirs, columns].notna().sum(axis=None) == numbers


def groups(table: int) -> set[tuple[str, str]]:
    """(suite, noise) of a table of the paper."""
    suite = next(name for name in with_tables() if str(table) in load(name).tables)
    return {(suite, noise) for noise, *_ in published(table)}


def test_every_format_marks_them_and_names_the_source(tmp_path: Path) -> None:
    for form in ("terminal", "md", "html", "latex"):
        argv = ("tables", "--table", 1, "--published", "all", "--store", tmp_path, "--format", form)
        out = " ".join(bench(*argv).out.split())
        assert re.search(r"32\.41/0\.883 ({\[}|\[)image", out)
        assert "second hand" in out
        assert "huaqlili" in out
    found = lines("--table", 1, "--published", "all", "--store", tmp_path)
    one = next(line for line in found if line["method"] == "prompt-sid" and line["test"] == "kodak")
    assert (one["published"], one["other"]["level"], one["state"]) == (None, "image", "not run")
