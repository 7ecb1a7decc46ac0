"""NumPy's .npy files."""

from pathlib import Path

import numpy as np

from .image_format import TYPES, ImageFile, ImageFormat, register_format


@register_format
class Npy(ImageFormat):
    """An array of numbers, memory-mapped; two axes are rows and columns, and more have no names in the file."""

    suffixes = (".npy",)
    writes = TYPES

    def open(self, path: Path) -> ImageFile:
        """The array as it is."""
        array = np.load(path, mmap_mode="r")
        return ImageFile(array, "YX" if array.ndim == 2 else "")

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Writes the array; such a file holds nothing else."""
        with path.open("wb") as target:  # np.save would add a suffix to a temporary name
            np.save(target, file.array)
