"""A user's files as the commands meet them: the right result, or one line with the way out; the other files go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import bench, refused


def frame(dtype: str = "uint16", *channels: int) -> NDArray[Any]:
    """A noisy ramp [64, 64] or [64, 64, channels]."""
    ramp = np.linspace(100, 200 if dtype == "uint8" else 3000, 64 * 64).reshape(64, 64)
    noisy = ramp[(..., *(None for _ in channels))] + np.random.default_rng(0).normal(0, 8, (64, 64, *channels))
    return noisy.clip(0, 255 if dtype == "uint8" else 4095).astype(dtype)


def tiff(path: Path, array: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack", **({"metadata": None} | options))


GOOD: dict[str, Callable[[Path], object]] = {
    "signed": lambda folder: tiff(folder / "a.tif", frame("int16")),
    "six channels": lambda folder: tiff(folder / "a.tif", frame("uint16", 6), planarconfig="contig"),
    "webp only": lambda folder: Pillow.fromarray(frame("uint8", 3)).save(folder / "a.webp", lossless=True),
    "odd names": lambda folder: tiff(folder / "Zellen ä, Nr. 2" / "α β,γ.tif", frame()),
    "black": lambda folder: tiff(folder / "a.tif", np.zeros((64, 64), np.uint16)),
    "constant": lambda folder: tiff(folder / "a.tif", np.full((64, 64), 7, np.uint16)),
}


@pytest.mark.parametrize("kind", GOOD)
def test_unusual_files_are_read(kind: str, tmp_path: Path) -> None:
    GOOD[kind](tmp_path)
    result = bench("noise", tmp_path, "--recursive")
    assert result.code == 0, result.err
    assert "1 file, " in result.err


def test_one_readable_file_of_eight_goes_on(tmp_path: Path) -> None:
    tiff(tmp_path / "good.tif", frame())
    for i in range(7):
        (tmp_path / f"bad{i}.tif").write_text("a poem")
    result = bench("noise", tmp_path)
    assert result.code == 1
    assert sum(f"bad{i}.tif: not a TIFF" in result.err for i in range(7)) == 7


NOTHING: dict[str, tuple[Callable[[Path], object], str]] = {
    "sub-folders only": (lambda folder: tiff(folder / "day" / "a.tif", frame()), "--recursive"),
    "NaN only": (lambda folder: tiff(folder / "a.tif", np.full((64, 64), np.nan)), "NaN or infinite"),
    "no axes": (lambda folder: np.save(folder / "a.npy", np.zeros((3, 64, 64))), "--axes ZYX"),
    "empty folder": (lambda folder: None, "no images in it"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_where_nothing_can_be_done_a_line_says_the_way_out(kind: str, tmp_path: Path) -> None:
    make, says = NOTHING[kind]
    make(tmp_path)
    assert says in refused("noise", tmp_path)


def test_ranges_and_axes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", frame())
    for option, value in (("--range", "5"), ("--range", "9,3"), ("--axes", "ABC"), ("--channels", "two")):
        assert option in refused("noise", tmp_path, option, value)
    assert bench("noise", tmp_path, "--range=-5,4095").code == 0
