"""DND in its files: noisy colour photographs without clean ones, and the boxes in them that its server scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..formats.mat import opened73, read_mat
from ..noise.model import Image

INFO, IMAGES, VARIABLE = "info.mat", "images_srgb", "InoisySRGB"
Boxes = NDArray[np.int64]  # [box, 4]: first row, first column, last row and last column, counted from 1


def image_boxes(folder: Path) -> list[Boxes]:
    """The boxes of every image, from <folder>/info.mat; InputError for a file that has none."""
    path = folder / INFO
    with opened73(path) as file:
        if "info" not in file or "boundingboxes" not in file["info"]:
            raise InputError(f"{path}: expected a struct info with the field boundingboxes")
        found = [np.asarray(file[one][()]).T for one in file["info"]["boundingboxes"][()].ravel()]
    for number, boxes in enumerate(found, 1):
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.array_equal(boxes, boxes.astype(np.int64)):
            raise InputError(f"{path}: the boxes of image {number} have the shape {boxes.shape}, expected (boxes, 4)")
    return [boxes.astype(np.int64) for boxes in found]


def image_path(folder: Path, number: int) -> Path:
    """The file of an image, counted from 1."""
    return folder / IMAGES / f"{number:04}.mat"


def crops(folder: Path, number: int, boxes: Boxes) -> Iterator[tuple[str, Image]]:
    """(name "iiii-bb" by image and box from 1, noisy [H, W, 3] in 0..1) of one image; InputError naming the file."""
    path = image_path(folder, number)
    pixels = read_mat(path, VARIABLE, 3)
    height, width, channels = pixels.shape
    if channels != 3:
        raise InputError(f"{path}: shape {pixels.shape}, expected (H, W, 3)")
    for b, (top, left, bottom, right) in enumerate(boxes.tolist(), 1):
        if not (0 < top <= bottom <= height and 0 < left <= right <= width):
            raise InputError(f"{path}: {height}x{width}, but {INFO} has a box {top}, {left}, {bottom}, {right} in it")
        yield f"{number:04}-{b:02}", np.ascontiguousarray(pixels[top - 1 : bottom, left - 1 : right], np.float32)
