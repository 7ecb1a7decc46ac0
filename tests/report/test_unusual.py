"""Images whose statistics are unusual: a black one, whose score is infinite, and ones too small for a noise level."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import bench, line, lines
from support.tiny import Tiny

from bench.methods.classical import bm3d
from bench.report.measured import _best, infinite_images
from bench.report.significance import _ranking
from bench.store.record import summary
from bench.store.rows import Row


def rows(**scores: list[float | None]) -> list[Row]:
    """Output -> the PSNR of each image."""
    return [
        Row(f"image{i}", 0, 25.0, output, {"psnr": value, "ssim": 0.5})
        for output, values in scores.items()
        for i, value in enumerate(values)
    ]


def test_a_mean_is_over_the_finite_scores() -> None:
    found = summary(rows(a=[30.0, None, 32.0], b=[None, None, None], c=[1.0, 2.0, 6.0]))
    assert {output: one["psnr"] for output, one in found.items()} == {"a": 31.0, "b": None, "c": 3.0}
    assert {one["images"] for one in found.values()} == {3}


def test_the_oracle_compares_outputs_on_the_same_images() -> None:
    assert _best(rows(narrow=[30.0, None], wide=[31.0, 90.0]), "psnr") == "wide"
    assert _best(rows(narrow=[31.0, 50.0], wide=[30.0, None]), "psnr") == "narrow"
    assert _best(rows(narrow=[None], wide=[None]), "psnr") == "narrow"
    assert _best([], "psnr") is None


def test_infinite_images_are_named_for_their_own_output() -> None:
    found = rows(a=[30.0, None], b=[30.0, 31.0])
    (text,) = infinite_images([found], "a", "psnr")
    assert "image1" in text
    assert "image0" not in text
    assert infinite_images([found], "b", "psnr") == ()


def test_the_ranking_is_by_images_that_tell() -> None:
    scores = {"a": {"1": 30.0, "2": math.inf}, "b": {"1": 31.0, "2": 40.0}}
    assert _ranking(scores) == ["b", "a"]


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_a_black_image_among_others_is_named_and_the_rows_stay_finite(tiny: Tiny) -> None:
    """Poisson noise leaves black as it is: the noisy input and every blur equal the clean image."""
    Pillow.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tiny.folder / "test" / "black.png")
    result = tiny.run("--noise", "poisson30")
    shown = lines("--suite", tiny.suite, "--store", tiny.store)
    assert all(isinstance(one["metrics"]["psnr"], float) for one in shown if one["state"] == "done")
    noisy = line(shown, method="noisy", noise="poisson30")
    assert noisy["images"] == 3
    assert "black" in noisy["warnings"][0]
    assert noisy["low"] < noisy["metrics"]["psnr"] < noisy["high"]
    assert line(shown, method="n2c", noise="poisson30")["warnings"] == []
    assert "black" in result.out


@pytest.mark.parametrize(
    ("height", "width", "channels", "known"),
    [(128, 128, 3, True), (300, 451, 3, True), (64, 64, 3, False), (32, 32, 3, False), (64, 64, 1, True),
     (32, 40, 1, False), (7, 300, 1, False), (64, 64, 4, True), (32, 32, 4, False)],
)  # fmt: skip
def test_bm3d_says_for_which_sizes_it_knows_no_noise_level(height: int, width: int, channels: int, known: bool) -> None:
    assert (bm3d.BM3D().warning(height, width, channels) == "") == known


def test_a_row_with_images_too_small_for_a_noise_level_is_warned_of(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in filters, to save time."""
    monkeypatch.setattr(bm3d, "missing", lambda: None)
    monkeypatch.setattr(bm3d, "collaborative", lambda y, sigma: y * 0.9)
    result = tiny.run(methods="bm3d")
    (text,) = line(lines("--suite", tiny.suite, "--store", tiny.store), method="bm3d")["warnings"]
    assert "astronaut, chelsea" in text
    assert "noise level" in text
    assert "noise level" in bench(*tiny.command(methods="bm3d")).out
    assert "noise level" in result.out
