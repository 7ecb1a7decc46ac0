"""Makes packs of training sets that are too large to decode at every use; an interrupted call can be repeated."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..formats.image_format import listing, size
from ..formats.mat import read_mat, shape_and_dtype
from ..formats.pack import HEADER, DType, Pack, Writer
from ..formats.raster import read_rgb
from .layouts.packs import in_range
from .sidd import FRAMES, Instance, Space, crop_corners, instances

SIDES = (256, 512)  # the range of both sides of the photographs
CROP = 512  # side of the crops of a frame
Report = Callable[[int, int], None]  # images done, of how many


class Planned(NamedTuple):
    """An image that is to be packed."""

    name: str
    read: Callable[[], NDArray[Any]]  # [H, W, C]
    pattern: str = ""


def prepare_ilsvrc(source: Path, target: Path, report: Report, expected: int = 44_328) -> Pack:
    """ILSVRC2012 validation images with both sides in SIDES, RGB uint8 by `read_rgb`; InputError for another count."""
    what = f"{expected} ILSVRC2012 validation images with sides in {SIDES[0]}..{SIDES[1]}, RGB"
    return _prepared(target, "|u1", what, partial(_photographs, source, expected), report)


def prepare_sidd(source: Path, target: Path, report: Report, expected: int = 160) -> Pack:
    """Crops of SIDD Medium Raw, float32 [CROP, CROP, 1]; InputError for another count of scene instances.

    Four images per crop: <scene>_s<nnn>/noisy010, noisy011, clean010, clean011; nnn counts `crop_corners` from 1.
    """
    what = f"{expected} scene instances of SIDD Medium Raw in crops of {CROP}, float32"
    return _prepared(target, "<f4", what, partial(_frames, source, expected, RAW), report)


def prepare_sidd_srgb(source: Path, target: Path, report: Report, expected: int = 160) -> Pack:
    """Crops of SIDD Medium Srgb, uint8 [CROP, CROP, 3], which overlap by 128 pixels as those of AP-BSN."""
    what = f"{expected} scene instances of SIDD Medium Srgb in crops of {CROP}, uint8"
    return _prepared(target, "|u1", what, partial(_frames, source, expected, SRGB), report)


def _prepared(target: Path, dtype: DType, source: str, plan: Callable[[], list[Planned]], report: Report) -> Pack:
    if not (target / HEADER).exists():
        planned = plan()
        try:
            _write(target, dtype, source, planned, report)
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error}); repeat the command, it will continue") from None
    pack = Pack(target)
    if pack.header.source != source:
        raise InputError(f"{target}: holds {pack.header.source}, not {source}; choose another folder")
    return pack


def _write(target: Path, dtype: DType, source: str, planned: list[Planned], report: Report) -> None:
    with Writer(target, dtype) as writer:
        done = len(writer.names)
        if writer.names != [image.name for image in planned[:done]]:
            raise InputError(f"{target}: was begun with other images; delete it or choose another folder")
        for number, image in enumerate(planned[done:], done + 1):
            writer.append(image.name, image.read(), image.pattern)
            report(number, len(planned))
        writer.finish(source)


def _photographs(source: Path, expected: int) -> list[Planned]:
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    planned = []
    for stem, path in listing(source).items():
        if in_range(path, *SIDES):
            planned.append(Planned(stem, partial(read_rgb, path)))
    if len(planned) != expected:
        raise InputError(f"{source}: {len(planned)} images with sides in {SIDES[0]}..{SIDES[1]}, expected {expected}")
    return planned


class Frames(NamedTuple):
    """How the frames of SIDD Medium are read and cut."""

    space: Space
    shape: Callable[[Path], tuple[int, ...]]  # from a header
    read: Callable[[Path], NDArray[Any]]  # [H, W, C]
    multiple: int  # of the sides
    step: int  # between crops


def _mosaic(path: Path) -> NDArray[Any]:
    return read_mat(path, "x", 2).astype(np.float32, copy=False)[..., None]


RAW = Frames("RAW", lambda path: shape_and_dtype(path, "x")[0], _mosaic, multiple=2, step=256)  # whole Bayer quads
SRGB = Frames("SRGB", lambda path: size(path)[::-1], read_rgb, multiple=1, step=384)


def _frames(source: Path, expected: int, frames: Frames) -> list[Planned]:
    found = instances(source, frames.space)
    if len(found) != expected:
        raise InputError(f"{source}: {len(found)} scene instances, expected {expected}")
    once = frames._replace(read=lru_cache(maxsize=2 * len(FRAMES))(frames.read))  # keeps the frames of one instance
    planned: list[Planned] = []
    for instance in found:
        planned += _crops(instance, once)
    return planned


def _crops(instance: Instance, how: Frames) -> Iterator[Planned]:
    kinds = {"noisy": instance.noisy, "clean": instance.clean}
    frames = {
        f"{kind}{frame}": path for kind, paths in kinds.items() for frame, path in zip(FRAMES, paths, strict=True)
    }
    height, width = _common_size(list(frames.values()), how)
    for number, (top, left) in enumerate(crop_corners(height, width, CROP, how.step), 1):
        for kind, path in frames.items():
            pixels = partial(_crop, how.read, path, top, left)
            yield Planned(f"{instance.scene}_s{number:03}/{kind}", pixels, instance.pattern)


def _common_size(paths: list[Path], how: Frames) -> tuple[int, int]:
    first, *others = paths
    shape = how.shape(first)
    for path in others:
        if how.shape(path) != shape:
            raise InputError(f"{path}: shape {how.shape(path)}, but {first.name} of the same scene has {shape}")
    if len(shape) != 2 or any(side % how.multiple for side in shape):
        raise InputError(f"{first}: shape {shape}, expected (H, W) with even sides (whole Bayer quads)")
    return shape[0], shape[1]


def _crop(read: Callable[[Path], NDArray[Any]], path: Path, top: int, left: int) -> NDArray[Any]:
    return np.ascontiguousarray(read(path)[top : top + CROP, left : left + CROP])
