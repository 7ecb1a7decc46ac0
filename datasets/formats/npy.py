"""NumPy's .npy files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .image_format import TYPES, ImageFile, ImageFormat, register_format


@register_format
class Npy(ImageFormat):
    """An array of numbers, memory-mapped; two axes are rows and columns, the meaning of more is not in the file."""

    suffixes = (".npy",)
    writes = TYPES

    def read(self, path: Path) -> NDArray[Any]:
        """Refused: what the array's values mean has to be said."""
        raise InputError(f"{path}: an array without the range of its values")

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) of an array [H, W]; InputError for more axes, whose meaning is not in the file."""
        height, width = np.load(path, mmap_mode="r").shape[:2]
        return width, height

    def open(self, path: Path) -> ImageFile:
        """The array as it is."""
        array = np.load(path, mmap_mode="r")
        return ImageFile(array, "YX" if array.ndim == 2 else "")

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """The array alone, which is all that such a file holds."""
        with path.open("wb") as target:  # np.save would add a suffix to a temporary name
            np.save(target, file.array)
