"""OME-Zarr of versions 0.4 and 0.5, and plain arrays of Zarr; needs the extra `zarr`."""

import math
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AbsentError, InputError
from .image_format import AXES, TYPES, ImageFile, ImageFormat, register_format

IN_MEMORY = 2**30  # bytes; a larger image is unpacked into a temporary file
SLAB = 2**26  # bytes that are copied at once


@register_format
class OmeZarr(ImageFormat):
    """A folder with an image of OME-Zarr at full resolution, or with one array."""

    suffixes = (".zarr",)
    writes = TYPES
    as_folder = True

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) from the metadata alone; of an array without named axes, its last two sides."""
        array, axes, _ = _image(path)
        height, width = (array.shape[(axes or "YX").index(letter) - len(axes or "YX")] for letter in "YX")
        return width, height

    def open(self, path: Path) -> ImageFile:
        """The image, its axes as the metadata name them."""
        array, axes, smaller = _image(path)
        notes = ("its smaller copies (a pyramid) and labels are neither denoised nor written",) if smaller else ()
        return ImageFile(_unpacked(array), axes, False, notes)

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Writes an array with the chunks and metadata of `like`, and with its compression if the type is the same."""
        zarr, name, (old, _, _) = _zarr(like), None, _image(like)
        source = zarr.open(like, mode="r")
        version = source.metadata.zarr_format
        if isinstance(source, zarr.Group):
            about, name = deepcopy(_about(source)), _first(source)
            scale = about.get("ome", about)["multiscales"][0]
            scale["datasets"] = scale["datasets"][:1]
            zarr.create_group(path, zarr_format=version, attributes=about)
        if file.array.dtype == old.dtype:
            new = zarr.from_array(path, name=name, data=old, write_data=False)
        else:
            kind = {"shape": old.shape, "dtype": file.array.dtype, "chunks": old.chunks}
            new = zarr.create_array(path, name=name, zarr_format=version, **kind)
        for slab in _slabs(old):
            new[slab] = file.array[slab]


def _image(path: Path) -> tuple[Any, str, bool]:
    """The array at full resolution, its axes, and whether there is more beside it; InputError for no image."""
    zarr = _zarr(path)
    source = zarr.open(path, mode="r")
    if not isinstance(source, zarr.Group):
        return source, "YX" if source.ndim == 2 else "", False
    about = _about(source)
    scales = about.get("ome", about).get("multiscales", [])
    if len(scales) != 1:
        raise InputError(f"{path}: {len(scales)} images of OME-Zarr in it; expected one")
    named = [axis["name"] if isinstance(axis, dict) else axis for axis in scales[0].get("axes", [])]
    axes = "".join(named).upper()
    return source[_first(source)], axes if set(axes) <= set(AXES) else "", len(list(source)) > 1


def _about(group: Any) -> dict[str, Any]:
    return dict(group.attrs.asdict())


def _first(group: Any) -> str:
    """The path of the array at full resolution."""
    about = _about(group)
    name: str = about.get("ome", about)["multiscales"][0]["datasets"][0]["path"]
    return name


def _unpacked(array: Any) -> NDArray[Any]:
    """The values in memory or, of a large image, in a temporary file."""
    size = math.prod(array.shape) * array.dtype.itemsize
    if size <= IN_MEMORY:
        return np.asarray(array[...])
    with TemporaryFile() as file:
        for start in range(0, size, SLAB):  # here a full disk is an error; in mapped memory it would be a signal
            file.write(bytes(min(SLAB, size - start)))
        file.flush()
        made = np.memmap(file, array.dtype, "r+", shape=array.shape)
    for slab in _slabs(array):
        made[slab] = array[slab]
    return made


def _slabs(array: Any) -> list[slice]:
    """Parts along the first axis that are whole chunks."""
    chunk = array.chunks[0]
    bytes_each = math.prod(array.shape[1:]) * array.dtype.itemsize * chunk
    step = max(1, SLAB // max(1, bytes_each)) * chunk
    return [slice(start, start + step) for start in range(0, array.shape[0], step)]


def _zarr(path: Path) -> ModuleType:
    try:
        return import_module("zarr")
    except ImportError:
        raise AbsentError(f"{path}: needs zarr (pip install 'blind2unblind-bench[zarr]')") from None
