"""The files that the DND server scores: a method's output for the boxes of every photograph, in sRGB."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from ..datasets import files
from ..datasets.errors import InputError
from ..datasets.noise.model import Image
from ..datasets.sets import dnd

TRACK = {"israw": False, "eval_version": "1.0"}  # what the server's own scripts write beside the images


def check_folder(target: Path) -> None:
    """InputError unless the target is new or an empty folder: DND's photographs have the names of the files."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target}: there already; expected the name of a new folder")


def submit_boxes(
    folder: Path, target: Path, denoise: Callable[[Image], Image], report: Callable[[int, int, str], None]
) -> None:
    """Writes 0001.mat ... into a new folder: `Idenoised`, a cell of the denoised boxes, clamped to 0..1.

    InputError for NaN, or for a folder that cannot be written.
    """
    images = dnd.image_boxes(folder)
    total = sum(map(len, images))

    def write(folder_now: Path) -> None:
        folder_now.mkdir()
        done = 0
        for number, boxes in enumerate(images, 1):
            cell = np.empty((1, len(boxes)), dtype=object)
            for b, (name, noisy) in enumerate(dnd.crops(folder, number, boxes)):
                cell[0, b] = np.clip(denoise(noisy), 0.0, 1.0)
                if np.isnan(cell[0, b]).any():
                    raise InputError(f"{name}: the denoised image has NaN; expected numbers, clamped to 0..1 here")
                done += 1
                report(done, total, "boxes")
            savemat(folder_now / f"{number:04}.mat", {"Idenoised": cell} | TRACK)

    with files.output(target):
        files.write_folder(target, write)
