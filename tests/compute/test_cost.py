"""The cost of an image: what is measured, where it is kept, and that tables of zero-shot methods show it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.cli import bench, photos

from bench.compute import cost
from bench.compute.cost import Costs
from bench.compute.machine import Machine
from bench.compute.scoring import evaluate
from bench.datasets.images import SetImage
from bench.protocol.scoring import Scoring
from bench.protocol.units import Fit, Score


def test_seconds_and_memory_are_medians_over_the_images() -> None:
    costs = Costs("cpu")

    def compute(megabytes: int, seconds: float) -> int:
        held = np.ones(megabytes * 2**17)
        time.sleep(seconds)
        return len(held)

    for megabytes in (300, 60, 300):
        assert costs.of(lambda size=megabytes: compute(size, 0.05), True) == megabytes * 2**17  # type: ignore[misc]
    found = costs.median()
    assert found is not None
    assert found.seconds >= 0.05
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert found.megabytes is not None
        assert 200 < found.megabytes < 500


def test_where_the_system_says_nothing_there_is_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "CLEAR", tmp_path / "none" / "clear_refs")
    costs = Costs("cpu")
    assert costs.median() is None
    costs.of(lambda: None, True)
    found = costs.median()
    assert found is not None
    assert found.megabytes is None


@pytest.mark.parametrize(
    ("name", "threads", "measured"), [("blur", 1, True), ("blur", 3, False), ("bm3d", 3, False), ("zs-n2n", 3, True)]
)
def test_memory_is_measured_where_no_other_image_is_computed(
    name: str, threads: int, measured: bool, work: Callable[..., Fit], set_images: list[SetImage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What trains nothing is computed in several threads, which share the peak of the process."""
    monkeypatch.setattr(Costs, "_start", lambda self: 1.0)
    monkeypatch.setattr(Costs, "_peak", lambda self: 61.0)
    fit, costs = work(name, steps=1), Costs("cpu")
    asked = Score(
        fit=fit, test=fit.train, noise=fit.noise, repeats=1, padding="next", scoring=Scoring(), centre_crop=16
    )
    evaluate(asked, None, set_images, Machine(threads=threads), costs=costs)
    assert len(costs.seconds) == len(set_images)
    found = costs.median()
    assert found is not None
    assert found.megabytes == (60.0 if measured else None)


def test_the_zero_shot_table_shows_the_cost_of_an_image(tmp_path: Path) -> None:
    """Also of a store that was exported and merged."""
    tests = photos(tmp_path / "test", "chelsea", "astronaut", height=32, width=40, gray=True)
    argv = ("--suite", "zeroshot", "--noise", "gauss25", "--test-sets", f"folder:{tests}")
    result = bench("run", *argv, "--methods", "zs-n2n", "--steps", 2, "--threads", 1, "--store", tmp_path / "a")
    assert result.code == 0, result.err
    shown = bench("tables", "--suite", "zeroshot", "--store", tmp_path / "a", "--format", "csv")
    heads, *rows = shown.out.splitlines()
    assert "s/image" in heads
    assert any("ZS-N2N" in row for row in rows)
    assert bench("export", tmp_path / "a.zip", "--store", tmp_path / "a").code == 0
    assert bench("merge", tmp_path / "a.zip", "--store", tmp_path / "b").code == 0
    files = [[path.read_text() for path in sorted((tmp_path / one / "scores").rglob("*.seconds"))] for one in "ab"]
    assert files[0] == files[1] != []
    seconds = [float(text.split()[0]) for text in files[0]]
    assert all(second >= 0.0 for second in seconds)
