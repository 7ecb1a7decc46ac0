"""Images of a user's own: arrays of every type, files of them, and what comes back."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bench.datasets.own.collection import collect
from bench.datasets.own.own_file import OwnFile

INTEGERS = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
FLOATS = ("float16", "float32", "float64")


def values(dtype: str, *shape: int, seed: int = 0) -> NDArray[Any]:
    """Random values of a type; those of 16 bits and more as of a 12-bit camera."""
    draw = np.random.default_rng(seed)
    if dtype in FLOATS:
        return draw.normal(100.0, 20.0, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return draw.integers(max(limits.min, -4000), min(limits.max, 4096), shape).astype(dtype)


def tiff(path: Path, array: NDArray[Any], **options: Any) -> Path:
    """A TIFF; without words of tifffile's in it if no axes are named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, array, **({"metadata": None} | options))
    return path


def one(path: Path, **options: Any) -> OwnFile:
    """The only file of a collection."""
    (own,) = collect([path], **options).files
    return own


def returned(own: OwnFile, folder: Path, **options: Any) -> Path:
    """The file that comes of writing back the frames as they were read."""
    path = folder / own.output(options.get("dtype", "keep"))
    own.write(path, (own.frame(i) for i in range(own.count)), **options)
    return path


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())
