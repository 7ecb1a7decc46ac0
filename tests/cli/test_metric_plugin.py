"""A newcomer's metric: one file and one line of a suite make it a column, what rows are compared by, and a key."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import altered_suite, bench, line, photos, refused

from bench.protocol import suite_files
from bench.protocol.metrics import registry

METRIC = """
import numpy as np
from bench import Metric, register_metric

def worst(output, clean, scoring):
    return np.abs(output - clean).max() * 255 / scoring.data_range

register_metric(Metric("worst", "0..255", False, worst, digits=1))
"""


class Place:
    """A suite of one's own with the metric, and a store that it was run on."""

    def __init__(self, folder: Path) -> None:
        self.plugin = folder / "worst.py"
        self.plugin.write_text(METRIC, encoding="utf-8")
        old = 'title = "Synthetic noise in sRGB"\n'
        suite = altered_suite(folder, old, f'{old}metrics = ["psnr", "mae", "worst"]\nprimary = "worst"\n')
        test = photos(folder / "test", "chelsea", "coffee")
        asked = ("--suite", suite, "--noise", "gauss25", "--test-sets", f"folder:{test}")
        self.argv = (*asked, "--plugin", self.plugin, "--store", folder / "store")
        result = bench("run", "--methods", "noisy", *self.argv)
        assert result.code == 0, result.err

    def lines(self) -> list[dict[str, Any]]:
        """The numbers of `tables --format json`."""
        found: list[dict[str, Any]] = json.loads(bench("tables", *self.argv, "--format", "json").out)
        return [one for one in found if one["state"] == "done"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("metric"))


def test_it_is_a_column(place: Place) -> None:
    text = bench("tables", *place.argv, "--long", "--format", "csv").out
    noisy = next(csv.DictReader(io.StringIO(text)))
    assert ("PSNR (dB)" in noisy, "SSIM" in noisy) == (True, False)
    assert 60 < float(noisy["worst (0..255)"]) <= 255
    assert 10 < float(noisy["MAE (0..255)"]) < 25
    assert "PSNR (dB)/MAE (0..255)/worst (0..255)" in bench("tables", *place.argv, "--format", "md").out


def test_lower_is_better_where_it_says_so(place: Place) -> None:
    blur = line(place.lines(), method="blur")
    assert blur["oracle"]
    path = next(path for path in (place.plugin.parent / "store" / "scores").rglob("*.json") if "blur" in str(path))
    outputs = json.loads(path.read_bytes())["result"]["outputs"]
    assert blur["output"] == min(outputs, key=lambda name: float(outputs[name]["worst"]))


def test_rows_on_disk_are_flat(place: Place) -> None:
    rows = next((place.plugin.parent / "store" / "scores").rglob("*.rows.jsonl"))
    keys = ["image", "repeat", "level", "output", "mae", "psnr", "worst"]
    assert list(json.loads(rows.read_bytes().splitlines()[0])) == keys


def test_another_function_is_another_key(place: Place) -> None:
    before = {one["keys"][0] for one in place.lines()}
    assert bench("run", "--methods", "noisy", *place.argv).code == 0
    assert {one["keys"][0] for one in place.lines()} == before
    place.plugin.write_text(METRIC.replace(".max()", ".mean()"), encoding="utf-8")
    assert place.lines() == []
    place.plugin.write_text(METRIC, encoding="utf-8")


def test_without_its_file_it_is_not_known(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.METRICS.entries, "worst", raising=False)
    suite_files.decode.cache_clear()  # as in a new process
    argv = [word for word in place.argv if word not in ("--plugin", place.plugin)]
    assert "worst" in refused("tables", *argv)


def test_a_metric_that_is_not_available_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    old = 'title = "Synthetic noise in sRGB"\n'
    suite = altered_suite(tmp_path, old, f'{old}metrics = ["psnr", "lpips"]\n')
    argv = ("--suite", suite, "--noise", "gauss25", "--store", tmp_path / "store")
    result = bench("run", "--methods", "noisy", *argv)
    assert result.code == 2
    assert "metric 'lpips' is not available" in result.err
    assert bench("tables", *argv).code == 0
