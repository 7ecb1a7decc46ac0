"""Test images of a user's own folder that the training has seen are found before the training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import bench, lines, photo, photos
from support.tiny import Tiny

from bench.compute import copies as module
from bench.compute.copies import comparable, copies
from bench.datasets.images import SetImage
from bench.datasets.sets.find import find


def images(folder: Path) -> list[SetImage]:
    return find(f"folder:{folder}").load(None, 3)


@pytest.fixture
def train(tmp_path: Path) -> list[SetImage]:
    return images(photos(tmp_path / "train", "coffee", "chelsea", height=96, width=96))


def test_copies_and_crops_of_training_images_are_named(train: list[SetImage], tmp_path: Path) -> None:
    folder = photos(tmp_path / "test", "astronaut", height=96, width=96)
    Pillow.fromarray(photo("coffee", 96, 96)).save(folder / "copy.png")
    Pillow.fromarray(photo("chelsea", 96, 96)[8:, 4:]).save(folder / "crop.jpg", quality=90)
    (said,) = copies("folder:train", train, "folder:test", images(folder))
    assert "2 of 3" in said
    assert "copy" in said
    assert "crop" in said
    assert "astronaut" not in said


def test_other_images_are_not(train: list[SetImage], tmp_path: Path) -> None:
    assert copies("a", train, "b", images(photos(tmp_path / "test", "astronaut", height=96, width=96))) == []


def test_large_sets_are_searched_for_exact_copies_only(
    train: list[SetImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    monkeypatch.setattr(module, "near_duplicates", lambda sets: pytest.fail("it would take too long"))
    folder = photos(tmp_path / "test", "coffee", height=96, width=96)
    Pillow.fromarray(np.ascontiguousarray(photo("chelsea", 96, 96)[8:])).save(folder / "crop.png")
    found = images(folder)
    assert not comparable(train, found)
    bound, seen = copies("a", train, "b", found)
    assert "only exact copies" in bound
    assert "1 of 2" in seen


def test_a_warning_stands_before_the_training_and_beside_the_number(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    photos(tmp_path / "test", "coffee", height=64, width=64)  # what it trains on
    how = ("--suite", tiny.suite, "--store", tiny.store)
    run = bench("run", "--methods", "n2c", *how, "--threads", 1)
    assert run.code == 0, run.err
    assert "1 of 3 test images" in run.err
    (line,) = (one for one in lines(*how) if one["method"] == "n2c")
    assert any("coffee" in warning for warning in line["warnings"])
    assert "may be too good" in bench("tables", *how).out
    assert not next(one for one in lines(*how) if one["method"] == "noisy")["warnings"]


def test_that_a_search_was_bounded_stands_beside_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    tiny = Tiny(tmp_path)
    assert "only exact copies" in tiny.run("--steps", 1).err
    assert "only exact copies" in tiny.tables().out
