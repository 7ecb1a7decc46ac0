"""`bench data`: what sets there are, what is found of them, what is wrong, how to get them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import Result, bench, photo, refused
from support.sets import SMALL, small_set

from bench.api import sets as data_commands
from bench.datasets import files
from bench.datasets.formats.image_format import digest, read
from bench.datasets.sets import catalogue
from bench.datasets.sets import overview as data_module
from bench.datasets.sets.catalogue import Entry, Reference


def data(*argv: object) -> tuple[Result, pd.DataFrame]:
    """A command with its table."""
    result = bench("data", *argv, "--format", "json")
    return result, pd.DataFrame(json.loads(result.out)) if result.out else pd.DataFrame()


def states(frame: pd.DataFrame) -> dict[str, str]:
    """The state of every image that is named."""
    return {row.image: row.state for row in frame.itertuples() if row.image}


def use_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that took the catalogue by name get the one that a test put in its place."""
    for module in (data_commands, data_module):
        monkeypatch.setattr(module, "catalogue", catalogue.catalogue)


@pytest.fixture
def root(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a complete small set."""
    small_set(photos, monkeypatch)
    use_catalogue(monkeypatch)
    return photos.parent


# ---- list and show


def test_list_names_every_set_with_what_is_found(tmp_path: Path) -> None:
    result, frame = data("list", "--data", tmp_path)
    assert result.code == 0
    assert list(frame["set"]) == list(catalogue.catalogue())
    found = frame.set_index("set")["found"]
    assert found[["embedded_train", "embedded_test", "embedded_gray_test"]].tolist() == ["all there"] * 3
    assert found[["kodak", "ilsvrc2012_val", "sidd_medium", "fmdd_fish"]].tolist() == ["missing"] * 4


def test_list_counts_a_part_of_a_set(root: Path) -> None:
    (root / "photos" / "coffee.png").unlink()
    _, frame = data("list", "--data", root)
    assert frame.set_index("set")["found"][SMALL] == "3 of 4"


def test_list_needs_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    result, frame = data("list")
    assert result.code == 0
    assert dict(zip(frame["set"], frame["found"], strict=True))["kodak"] == "missing"


def test_show_says_where_a_set_comes_from_and_where_it_belongs(tmp_path: Path) -> None:
    facts = data("show", "sidd_medium", "--data", tmp_path)[1].set_index("what")["value"]
    assert facts["lies in"] == str(tmp_path / "sidd_medium")
    assert facts["found"] == "0, missing 160"
    assert "data prepare sidd_medium" in facts["get"]
    assert facts["licence"]
    inside = data("show", "embedded_test")[1].set_index("what")["value"]
    assert inside["lies in"] == "an installed package"
    assert "get" not in inside


def test_show_wants_one_known_set() -> None:
    assert "Did you mean 'kodak'?" in refused("data", "show", "kodek")
    assert "2 image sets named; expected one" in refused("data", "show", "kodak", "set14")
    assert "0 image sets named" in refused("data", "show")


# ---- verify


def test_verify_of_a_right_set(root: Path) -> None:
    result, frame = data("verify", SMALL, "--data", root)
    assert (result.code, list(frame["state"])) == (0, ["4 ok, 0 not"])


def test_verify_of_packaged_sets_needs_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    result, frame = data("verify", "embedded_test")
    assert (result.code, list(frame["state"])) == (0, ["3 ok, 0 not"])


def test_a_copy_in_another_format_is_right_and_a_resized_one_is_named(root: Path) -> None:
    folder = root / "photos"
    Pillow.fromarray(read(folder / "coffee.png")).save(folder / "coffee.bmp")
    (folder / "coffee.png").unlink()
    assert data("verify", SMALL, "--data", root)[0].code == 0
    with Pillow.open(folder / "chelsea.png") as image:
        image.resize((40, 36)).save(folder / "chelsea.png")
    result, frame = data("verify", SMALL, "--data", root)
    assert result.code == 1
    assert states(frame) == {"chelsea": "other shape"}
    assert "shape (36, 40, 3), expected (72, 80, 3)" in frame["what"].iloc[1]
    assert frame["state"].iloc[0] == "3 ok, 1 not"


def test_one_wrong_set_of_two_is_a_failure(root: Path) -> None:
    (root / "photos" / "noise.jpg").unlink()  # in the whole set, not in its part
    result, frame = data("verify", "part", SMALL, "--data", root)
    assert result.code == 1
    assert states(frame) == {"noise": "missing"}


def test_a_set_that_is_not_there_is_missing(tmp_path: Path) -> None:
    result, frame = data("verify", "fmdd_fish", "--data", tmp_path)
    assert result.code == 1
    assert states(frame) == {"fmdd_fish": "missing"}


def test_verify_without_a_set_a_known_name_or_a_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert "name one or more image sets" in refused("data", "verify")
    assert "Did you mean 'set12'?" in refused("data", "verify", "embedded_test", "sett12")
    assert "needs a data folder" in refused("data", "verify", "kodak")


# ---- near-duplicates


def two_sets(folder: Path, monkeypatch: pytest.MonkeyPatch, images: Mapping[str, NDArray[Any]]) -> None:
    """A set of one image for each."""
    entries, references = {}, {}
    for name, pixels in images.items():
        (folder / name).mkdir()
        Pillow.fromarray(pixels).save(folder / name / "set_image.png")
        entries[name] = Entry(title=name, role="test", channels=3, count=1, source="here", licence="none", folder=name)
        file = files.sha256(folder / name / "set_image.png")
        references[name] = [Reference("set_image", *pixels.shape, digest(pixels), file)]
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setattr(catalogue, "_references", lambda: references)
    use_catalogue(monkeypatch)


def test_a_photograph_in_two_sets_is_reported_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = photo("chelsea", 200, 320)
    two_sets(tmp_path, monkeypatch, {"first": whole[:150, :200].copy(), "second": whole[37:, 83:].copy()})
    result, frame = data("verify", "first", "second", "--data", tmp_path)
    assert result.code == 0  # both are what they should be
    overlap = frame.iloc[-1]
    assert (overlap["set"], overlap["image"], overlap["state"]) == ("first", "set_image", "overlaps")
    share = 113 * 117 / (150 * 200)
    assert overlap["what"] == f"second/set_image: {share:.0%} of it, rows 37..149, columns 83..199"


def test_other_photographs_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_sets(tmp_path, monkeypatch, {"first": photo("chelsea", 150, 200), "second": photo("coffee", 150, 200)})
    assert "overlaps" not in list(data("verify", "first", "second", "--data", tmp_path)[1]["state"])


def test_a_wrong_set_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop = photo("chelsea", 150, 200)
    two_sets(tmp_path, monkeypatch, {"first": crop, "second": crop})
    Pillow.fromarray(crop[:100]).save(tmp_path / "second" / "set_image.png")
    result, frame = data("verify", "first", "second", "--data", tmp_path)
    assert result.code == 1
    assert states(frame) == {"set_image": "other shape"}


# ---- fetch and prepare


@pytest.mark.parametrize(
    ("name", "how", "where"),
    [
        ("urban100", "SelfExSR", "urban100"),
        ("ilsvrc2012_val", "ILSVRC2012_img_val.tar", "ilsvrc2012_val"),
        ("fmdd_fish", "gt/<view>/avg50.png", "fmdd/Confocal_FISH"),
        ("sidd_val", "ValidationNoisyBlocksRaw.mat", "sidd"),
    ],
)
def test_fetch_of_a_set_without_addresses_says_how_to_place_it(name: str, how: str, where: str, tmp_path: Path) -> None:
    result, frame = data("fetch", name, "--data", tmp_path)
    assert result.code == 1
    (row,) = frame.to_dict("records")
    assert (row["set"], row["result"]) == (name, "failed")
    assert "no address to download from" in row["why"]
    assert how in row["why"]
    assert f"they belong into {tmp_path / where}" in row["why"]
    assert "move it away" not in row["why"]


def test_fetch_of_what_is_there_does_nothing(root: Path) -> None:
    result, frame = data("fetch", SMALL, "--data", root)
    assert (result.code, frame["result"].iloc[0]) == (0, "all there")


def test_fetch_needs_a_place_and_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert "give --data DIR, or set BENCH_DATA" in refused("data", "fetch", "kodak")
    assert "Did you mean 'kodak'?" in refused("data", "fetch", "urban100", "kodac", "--data", tmp_path)


def test_prepare_says_what_it_lacks(tmp_path: Path) -> None:
    argv = ("--data", tmp_path / "data")
    assert "--source DIR is missing" in refused("data", "prepare", "sidd_medium", *argv)
    source = (*argv, "--source", tmp_path)
    assert "unknown image set 'sidd_mediun'. Did you mean 'sidd_medium'?" in refused(
        "data", "prepare", "sidd_mediun", *source
    )
    assert "unknown set to prepare 'kodak'" in refused("data", "prepare", "kodak", *source)
    assert "expected one" in refused("data", "prepare", "sidd_medium", "ilsvrc2012_val", *source)
    assert not (tmp_path / "data").exists()


def test_a_mirror_is_asked_for(root: Path) -> None:
    (root / "photos" / "coffee.png").unlink()
    result, frame = data("fetch", SMALL, "--mirror", "ftp://x", "--data", root)
    assert result.code == 1
    assert "mirror 'ftp://x'" in frame["why"].iloc[0]
