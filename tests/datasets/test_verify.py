"""Every image of a set is named with what is right or wrong with it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.sets import SMALL, small_set

from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import read
from bench.datasets.formats.pack import PIXELS, Writer
from bench.datasets.sets import image_set
from bench.datasets.sets.find import find_known
from bench.datasets.sets.image_set import Finding


@pytest.fixture
def data(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a complete small set."""
    small_set(photos, monkeypatch)
    return photos.parent


def found(data: Path, name: str = SMALL) -> dict[str, Finding]:
    return {Path(finding.name).name: finding for finding in find_known(name).verify(data)}


def states(data: Path, name: str = SMALL) -> dict[str, str]:
    return {file: finding.state for file, finding in found(data, name).items()}


def test_a_complete_set_is_ok_file_by_file(data: Path) -> None:
    assert states(data) == dict.fromkeys(["astronaut", "chelsea", "coffee", "noise"], "ok")


@pytest.mark.parametrize("suffix", ["bmp", "tiff"])
def test_a_lossless_copy_in_another_format_is_ok(data: Path, suffix: str) -> None:
    path = data / "photos" / "coffee.png"
    Pillow.fromarray(read(path)).save(path.with_suffix(f".{suffix}"))
    path.unlink()
    assert set(states(data).values()) == {"ok"}


def test_each_wrong_file_is_named_with_its_own_fault(data: Path) -> None:
    folder = data / "photos"
    pixels = read(folder / "astronaut.png").copy()
    pixels[0, 0, 0] ^= 1
    Pillow.fromarray(pixels).save(folder / "astronaut.png")
    with Pillow.open(folder / "chelsea.png") as image:
        image.resize((40, 36)).save(folder / "chelsea.png")
    (folder / "coffee.png").write_bytes((folder / "coffee.png").read_bytes()[:100])
    (folder / "noise.jpg").rename(folder / "stranger.jpg")
    result = found(data)
    assert {file: finding.state for file, finding in result.items()} == {
        "astronaut": "altered",
        "chelsea": "other shape",
        "coffee": "unreadable",
        "noise": "missing",
        "stranger.jpg": "extra",
    }
    assert "shape (36, 40, 3), expected (72, 80, 3)" in result["chelsea"].detail
    assert all(str(folder / f"{stem}.png") in result[stem].detail for stem in ("astronaut", "chelsea", "coffee"))


def test_equal_pixels_of_another_shape_are_another_shape(data: Path) -> None:
    path = data / "photos" / "coffee.png"
    Pillow.fromarray(read(path).reshape(80, 72, 3)).save(path)
    assert states(data)["coffee"] == "other shape"


def test_other_pixels_from_the_same_bytes_are_the_decoders_fault(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_set, "read", lambda path: read(path) ^ np.uint8(path.suffix == ".jpg"))
    assert states(data) == {"astronaut": "ok", "chelsea": "ok", "coffee": "ok", "noise": "decoder differs"}


def test_a_part_of_a_set_is_judged_by_its_own_images(data: Path) -> None:
    (data / "photos" / "chelsea.png").unlink()  # belongs to the other part
    (data / "photos" / "coffee.png").unlink()
    assert states(data, "part") == {"astronaut": "ok", "coffee": "missing"}


def test_all_is_missing_where_there_is_no_folder(data: Path, tmp_path: Path) -> None:
    assert set(states(tmp_path / "elsewhere").values()) == {"missing"}
    assert find_known(SMALL).summary(tmp_path / "elsewhere") == (0, 4)


def test_a_set_that_is_chosen_by_its_sides_is_counted(data: Path) -> None:
    assert list(states(data, "sized").values()) == ["ok"] * 3  # noise.jpg is smaller
    (data / "photos" / "coffee.png").write_bytes(b"")
    result = find_known("sized").verify(data)
    assert [finding.state for finding in result] == ["ok", "ok", "unreadable", "missing"]
    assert "2 images with both sides in 64..96, expected 3" in result[-1].detail


def test_the_summary_counts_by_name_without_opening(data: Path) -> None:
    (data / "photos" / "coffee.png").unlink()
    (data / "photos" / "chelsea.png").write_bytes(b"")
    assert [find_known(name).summary(data) for name in (SMALL, "part", "sized")] == [(3, 1), (1, 1), (3, 0)]


def test_no_data_folder_at_all(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert find_known(SMALL).summary(None) == (0, 4)
    with pytest.raises(InputError, match="--data DIR"):
        find_known(SMALL).verify(None)


def test_packaged_sets_are_verified_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert {finding.state for finding in find_known("embedded_test").verify(None)} == {"ok"}
    assert find_known("embedded_test").summary(None) == (3, 0)


@pytest.mark.parametrize("name", ["sidd_medium", "ilsvrc2012_val"])
def test_a_pack_is_verified_pixel_by_pixel(name: str, tmp_path: Path) -> None:
    """A prepared set is there, and a changed byte in its pixels is found."""
    scene = ["scene_s0/noisy010", "scene_s0/noisy011", "scene_s0/clean010", "scene_s0/clean011"]
    raw = name == "sidd_medium"
    folder = find_known(name).place(tmp_path)
    with Writer(folder, "<f4" if raw else "|u1") as writer:
        for image in scene if raw else ["one"]:
            writer.append(image, np.full((8, 8, 1) if raw else (300, 256, 3), 0.5 if raw else 7, writer.dtype))
        writer.finish("a test")
    assert find_known(name).summary(tmp_path).found == 1
    (finding,) = find_known(name).verify(tmp_path)
    assert (finding.state == "ok") == raw
    assert ("expected 44328" in finding.detail) == (not raw)
    pixels = bytearray((folder / PIXELS).read_bytes())
    pixels[5] ^= 1
    (folder / PIXELS).write_bytes(pixels)
    (finding,) = find_known(name).verify(tmp_path)
    assert finding.state == "unreadable"
    assert "damaged" in finding.detail
