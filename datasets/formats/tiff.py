"""TIFF: integers and floats of any size, stacks of ImageJ and OME, BigTIFF, tiled and compressed."""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries, TiffWriter

from ..errors import InputError
from .image_format import AXES, TYPES, ImageFile, register_format
from .raster import Raster

IN_MEMORY = 2**30  # bytes of a compressed image; a larger one is unpacked into a temporary file
BLOCK = 2**22  # values that are copied at once
LOSSLESS = (5, 8, 32773, 32946, 34925, 50000)  # LZW, deflate (two codes), PackBits, LZMA, Zstandard
OME = {"float32": b"float", "float64": b"double"}  # where OME's name of a type is another
INTENSITIES = (0, 1, 2, 32803, 34892)  # gray (two ways round), RGB, mosaics
JPEG = (6, 7, 33007)
ALPHA = (1, 2)  # among extra samples: associated and not
WRITTEN = {
    254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 282, 283, 284, 296, 305, 306, 317, 320, 322, 323,
    324, 325, 330, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 34665, 34675, 34853, 40965,
}  # fmt: skip  # tags that are written anew, or that point to a place in the old file

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a file is read or refused, in one line


@register_format
class Tiff(Raster):
    """Files that tifffile reads; `read`, which catalogue sets use, is that of Pillow."""

    suffixes = (".tif", ".tiff")
    writes = TYPES

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) from the header alone."""
        if not _is_tiff(path):
            return super().size(path)
        with TiffFile(path) as file:
            page = file.pages.first
            return page.imagewidth, page.imagelength

    def open(self, path: Path) -> ImageFile:
        """The one image or stack of a file."""
        if not _is_tiff(path):
            raise InputError(f"{path}: not a TIFF by its content; give it the suffix that belongs to it")
        with TiffFile(path) as file:
            series, notes = _only(file, path)
            page = series.keyframe
            _check_colours(page, file.is_imagej, path)
            alpha = "S" in series.axes and len(page.extrasamples) == 1 and page.extrasamples[0] in ALPHA
            return ImageFile(_array(file, series, path), _axes(series), alpha, notes)

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Writes an array; if `like` is a TIFF, with its tiles, compression and metadata."""
        if not _is_tiff(like):
            _write_new(path, file)
            return
        with TiffFile(like) as old:
            series, _ = _only(old, like)
            if series.dataoffset is not None and series.dtype == file.array.dtype.newbyteorder("="):
                shutil.copyfile(like, path)
                _overwrite(path, file.array, series.dataoffset, old.byteorder)
            else:
                _write_pages(path, file.array, old, series)


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _check_colours(page: TiffPage, imagej: bool, path: Path) -> None:
    """InputError for values that are no intensities; ImageJ writes look-up tables for display as palettes."""
    kind = page.photometric
    decoded = kind == PHOTOMETRIC.YCBCR and page.compression in JPEG  # to RGB
    if not (decoded or kind in INTENSITIES or (kind == PHOTOMETRIC.PALETTE and imagej)):
        raise InputError(f"{path}: colours as {getattr(kind, 'name', kind)}; convert it to RGB or gray first")


def _only(file: TiffFile, path: Path) -> tuple[TiffPageSeries, tuple[str, ...]]:
    """The image or stack of a file, and notes on what else is in it; InputError for several images."""
    whole = [series for series in file.series if not series.keyframe.is_reduced]
    if len(whole) != 1:
        shapes = ", ".join("x".join(map(str, series.shape)) for series in whole[:3])
        raise InputError(f"{path}: {len(whole)} images ({shapes}) in one file; save each as a file of its own")
    if whole[0].is_multifile:
        raise InputError(f"{path}: an OME-TIFF whose planes are in several files; save it as one file")
    smaller = len(file.series) > 1 or len(whole[0].levels) > 1
    return whole[0], ("its smaller copies (a pyramid or thumbnails) are not denoised",) if smaller else ()


def _axes(series: TiffPageSeries) -> str:
    """The axes that the file names; pages of a file that names none are frames."""
    axes: str = series.axes.replace("I", "T") if "T" not in series.axes else series.axes
    return axes if set(axes) <= set(AXES) and len(set(axes)) == len(axes) else ""


def _array(file: TiffFile, series: TiffPageSeries, path: Path) -> NDArray[Any]:
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(file.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape)
    array: NDArray[Any] = series.asarray(out="memmap" if series.nbytes > IN_MEMORY else None)
    return array


def _overwrite(path: Path, array: NDArray[Any], offset: int, byteorder: str) -> None:
    """Writes an array over the one that begins at the offset."""
    flat, dtype = array.reshape(-1), array.dtype.newbyteorder(byteorder)  # type: ignore[arg-type]
    with path.open("r+b") as file:
        file.seek(offset)
        for start in range(0, flat.size, BLOCK):
            file.write(flat[start : start + BLOCK].astype(dtype).tobytes())


def _write_pages(path: Path, array: NDArray[Any], old: TiffFile, series: TiffPageSeries) -> None:
    """Page by page, each with the tags of the old one."""
    planes = array.reshape(-1, *series.keyframe.shape)
    big = old.is_bigtiff or array.nbytes > 2**32 - 2**25
    with TiffWriter(path, bigtiff=big, byteorder=old.byteorder, shaped=False) as new:
        for number, plane in enumerate(planes):
            page = series.pages[number] if number < len(series.pages) else None
            tags = _tags(page.aspage(), array.dtype) if page is not None else {}
            new.write(plane, **_storage(series.keyframe, array.dtype), **tags, metadata=None)


def _storage(page: TiffPage, dtype: np.dtype[Any]) -> dict[str, Any]:
    """How the pixels of a page are stored, as arguments of `TiffWriter.write`."""
    lossless, same = page.compression in LOSSLESS, page.dtype == dtype.newbyteorder("=")
    found = {
        "photometric": PHOTOMETRIC.RGB if page.photometric == PHOTOMETRIC.YCBCR else page.photometric,
        "planarconfig": page.planarconfig if page.samplesperpixel > 1 else None,
        "extrasamples": page.extrasamples or None,
        "tile": page.tile if page.is_tiled else None,
        "compression": None if page.compression == 1 else page.compression if lossless else "zlib",
        "predictor": page.predictor if lossless and same and page.predictor != 1 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tags(page: TiffPage, dtype: np.dtype[Any]) -> dict[str, Any]:
    """The tags of a page that do not say how its pixels are stored, as arguments of `TiffWriter.write`."""
    extra = [
        (tag.code, tag.dtype, tag.count, _raw(page, tag.code), False) for tag in page.tags if tag.code not in WRITTEN
    ]
    found = {
        "description": _described(_raw(page, 270), page, dtype),
        "software": _raw(page, 305) or False,
        "datetime": page.tags.valueof(306),
        "iccprofile": page.tags.valueof(34675),
        "colormap": page.colormap,
        "subfiletype": page.subfiletype,
        "extratags": extra,
    }
    if 282 in page.tags and 283 in page.tags:
        found |= {"resolution": (page.tags[282].value, page.tags[283].value), "resolutionunit": page.resolutionunit}
    return {name: value for name, value in found.items() if value is not None}


def _raw(page: TiffPage, code: int) -> bytes | None:
    """The value of a tag as it lies in the file; None if there is no such tag."""
    if code not in page.tags:
        return None
    tag = page.tags[code]
    handle = page.parent.filehandle
    handle.seek(tag.valueoffset)
    return bytes(handle.read(tag.valuebytecount))


def _described(text: bytes | None, page: TiffPage, dtype: np.dtype[Any]) -> bytes | None:
    """The description, in that of OME with the new type of the values."""
    if text is None or not page.is_ome or page.dtype == dtype.newbyteorder("="):
        return text
    text = re.sub(rb' SignificantBits="[0-9]+"', b"", text)
    name = OME.get(dtype.name, dtype.name.encode())
    return re.sub(rb' Type="(u?int[0-9]+|float|double)"', b' Type="' + name + b'"', text)


def _write_new(path: Path, file: ImageFile) -> None:
    """Writes an OME-TIFF if OME knows the type and the order of the axes, else a TIFF whose axes tifffile names."""
    ome = file.array.dtype.name in (*OME, "uint8", "uint16", "uint32", "int8", "int16", "int32")
    ome = ome and file.axes.endswith(("YX", "YXS"))
    colour = file.axes.endswith("S") and file.array.shape[-1] in (3, 4)
    photometric = PHOTOMETRIC.RGB if colour else PHOTOMETRIC.MINISBLACK
    about: dict[str, Any] = {"axes": file.axes}
    for letter, size in file.micrometres.items() if ome else ():
        about |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": "µm"}
    with TiffWriter(path, ome=ome, bigtiff=file.array.nbytes > 2**32 - 2**25) as new:
        new.write(file.array, photometric=photometric, metadata=about)
