"""DND's files: the boxes of every photograph, and what is said of files that are not DND's."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from support.matlab import dnd, mosaic, save73

from bench.datasets.errors import InputError
from bench.datasets.sets import catalogue
from bench.datasets.sets.dnd import crops, image_boxes
from bench.datasets.sets.find import find

BOXES = [[[1, 1, 16, 16], [3, 9, 18, 24]], [[5, 2, 20, 17], [1, 5, 16, 20]]]  # of two photographs


def photograph(number: int) -> np.ndarray:
    return mosaic(20, 24, 3, seed=number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return dnd(tmp_path / "data" / "dnd_2017", BOXES, [photograph(1), photograph(2)])


def test_crops_are_what_lies_in_the_boxes(folder: Path) -> None:
    boxes = image_boxes(folder)
    assert [one.tolist() for one in boxes] == BOXES
    found = dict(crops(folder, 2, boxes[1]))
    assert list(found) == ["0002-01", "0002-02"]
    np.testing.assert_array_equal(found["0002-01"], photograph(2)[4:20, 1:17], strict=True)
    np.testing.assert_array_equal(found["0002-02"], photograph(2)[0:16, 4:20], strict=True)


def test_the_set_has_every_crop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue.catalogue()
    monkeypatch.setattr(catalogue, "catalogue", lambda: known | {"dnd": replace(known["dnd"], count=4)})
    data, the_set = folder.parent, find("dnd")
    found = the_set.load(data, 3)
    assert [image.name for image in found] == ["0001-01", "0001-02", "0002-01", "0002-02"]
    np.testing.assert_array_equal(found[1].pixels, photograph(1)[2:18, 8:24], strict=True)
    assert not any(image.frames for image in found)
    assert the_set.summary(data) == (4, 0)
    (folder / "images_srgb" / "0002.mat").unlink()
    assert the_set.summary(data) == (2, 2)
    with pytest.raises(InputError, match=r"0002\.mat: no such file"):
        the_set.load(data, 3)


def test_the_set_without_a_photograph_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="4 images of the set 'dnd', expected 1000"):
        find("dnd").load(folder.parent, 3)


@pytest.mark.parametrize(
    ("boxes", "pixels", "says"),
    [
        ([[1, 1, 21, 16]], photograph(1), "20x24, but info.mat has a box 1, 1, 21, 16"),
        ([[0, 1, 16, 16]], photograph(1), "box 0, 1, 16, 16"),
        ([[1, 1, 16, 16.5]], photograph(1), "the boxes of image 1"),
        ([[1, 1, 16]], photograph(1), r"shape \(1, 3\), expected \(boxes, 4\)"),
        ([[1, 1, 16, 16]], photograph(1)[..., :2], r"expected \(H, W, 3\)"),
        ([[1, 1, 16, 16]], 255 * photograph(1), r"expected 0\.\.1"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, boxes: object, pixels: np.ndarray, says: str) -> None:
    folder = dnd(tmp_path, [boxes], [pixels])
    with pytest.raises(InputError, match=says):
        list(crops(folder, 1, image_boxes(folder)[0]))


def test_another_info_file_is_refused_by_name(tmp_path: Path) -> None:
    save73(tmp_path / "info.mat", nlf=mosaic(2, 2))
    with pytest.raises(InputError, match=r"info\.mat: expected a struct info with the field boundingboxes"):
        image_boxes(tmp_path)
    (tmp_path / "info.mat").write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(InputError, match=r"info\.mat: not a \.mat file"):
        image_boxes(tmp_path)
