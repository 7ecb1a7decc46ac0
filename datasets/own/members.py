"""The images of a folder that is used as a set: files, noisy/ beside clean/, or SCENE/frame-* with repeated frames."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from ..errors import InputError, few
from ..files import is_folder
from ..formats.image_format import Stored, listing
from ..images import SetImage, unit
from .collection import FRAME
from .own_file import OwnFile, Range

NOISY, CLEAN = "noisy", "clean"


class Reading(NamedTuple):
    """How files are understood."""

    channels: int  # of the images that are made of them
    axes: str = ""  # of arrays with as many axes
    value_range: Range | None = None  # of files that are not 8-bit gray or RGB


def members(folder: Path, how: Reading) -> list[SetImage]:
    """The images of a folder, some with real noisy frames; InputError if two have one name.

    An image that cannot be read raises its error when its pixels are used.
    """
    found = _found(folder, how)
    counted = Counter(image.name for image in found)
    for image in found:
        if counted[image.name] > 1:
            same = few([str(other.path) for other in found if other.name == image.name])
            raise InputError(f"{same}: each has an image named {image.name!r}; rename one of the files")
    return found


def _found(folder: Path, how: Reading) -> list[SetImage]:
    if _is_paired(folder):
        return _pairs(folder, how)
    if files := listing(folder):
        return [image for stem, path in files.items() for image in _images(stem, path, how)]
    return [_scene(scene, paths, how) for scene, paths in _scenes(folder).items()]


def sources(folder: Path) -> list[Path]:
    """The files of a folder that its images are made of; InputError if there are none."""
    if _is_paired(folder):
        found = [path for kind in (CLEAN, NOISY) for path in listing(folder / kind).values()]
    else:
        found = list(listing(folder).values()) or [path for paths in _scenes(folder).values() for path in paths]
    if not found:
        inside = sorted(path.name for path in folder.iterdir() if is_folder(path))
        hint = f", but sub-folders ({few(inside)}); name one of them, or see docs/data.md" if inside else ""
        raise InputError(f"{folder}: no images in it{hint}")
    return found


def _is_paired(folder: Path) -> bool:
    return is_folder(folder / NOISY) and is_folder(folder / CLEAN)


def _scenes(folder: Path) -> dict[str, list[Path]]:
    """The repeated frames in each sub-folder that has some."""
    inside = sorted(path for path in folder.iterdir() if is_folder(path))
    frames = {path.name: [one for one in listing(path).values() if one.name.startswith(FRAME)] for path in inside}
    return {scene: paths for scene, paths in frames.items() if paths}


def _images(stem: str, path: Path, how: Reading) -> list[SetImage]:
    """The image of a file as it is stored, if that is 8-bit gray or RGB or floats in 0..1; else its frames."""
    plain = SetImage(stem, path, how.channels)
    try:
        _ = plain.pixels
        return [plain]
    except InputError as refused:
        try:
            own = _own(stem, path, how)
            if own.alpha:  # a network must not learn what lies behind it
                raise refused
        except InputError as error:
            return [_broken(stem, path, how, error)]
    names = [stem] if own.count == 1 else [f"{stem}-{i}" for i in range(own.count)]
    return [SetImage(name, path, how.channels, decode=partial(own.frame, i)) for i, name in enumerate(names)]


def _own(stem: str, path: Path, how: Reading) -> OwnFile:
    own = OwnFile(path, stem, how.axes)
    own.survey()
    low, high = own.seen
    if own.channels not in (1, how.channels):
        raise InputError(f"{path}: {own.channels} channels, but this suite has {how.channels}; save each as a file")
    if how.value_range:
        own.range = how.value_range
    elif own.type_range:
        own.range = own.type_range
    elif low >= 0.0 and high <= 1.0:
        own.range = (0.0, 1.0)
    else:
        raise InputError(
            f"{path}: {own.dtype} values {low:g}..{high:g}; say which ones stand for black and white: "
            f"folder:PATH@{low:g}..{high:g}"
        )
    return own


def _pairs(folder: Path, how: Reading) -> list[SetImage]:
    """Each clean image with the noisy one, or the stack of noisy ones, of the same name."""
    noisy, clean, found = listing(folder / NOISY), listing(folder / CLEAN), list[SetImage]()
    for stem in sorted({*noisy, *clean}):
        if stem not in noisy or stem not in clean:
            path = noisy.get(stem) or clean[stem]
            missing = CLEAN if stem in noisy else NOISY
            found.append(_broken(stem, path, how, InputError(f"{path}: no file of this name in {missing}/")))
            continue
        targets, frames = _images(stem, clean[stem], how), _images(stem, noisy[stem], how)
        each = [frames] if len(targets) == 1 else [[frame] for frame in frames]
        if len(each) != len(targets):
            error = InputError(f"{noisy[stem]}: {len(frames)} frames, but {len(targets)} in {CLEAN}/")
            targets, each = [_broken(stem, noisy[stem], how, error)], [[]]
        found += [_joined(target, some, how) for target, some in zip(targets, each, strict=True)]
    return found


def _joined(clean: SetImage, frames: Sequence[SetImage], how: Reading) -> SetImage:
    """A clean image with its noisy frames."""
    try:
        for frame in frames:
            if frame.pixels.shape != clean.pixels.shape:
                shapes = [" x ".join(map(str, one.pixels.shape)) for one in (frame, clean)]
                raise InputError(f"{frame.path}: {shapes[0]}, but its clean image is {shapes[1]}")
    except InputError as error:
        return _broken(clean.name, clean.path, how, error)
    clean.frames = tuple(frames)
    return clean


def _scene(name: str, paths: Sequence[Path], how: Reading) -> SetImage:
    """The mean of repeated frames, with the frames; each is compared with the mean of the others."""
    frames = [frame for path in paths for frame in _images(path.stem, path, how)]
    try:
        if len(frames) < 2:
            raise InputError(f"{paths[0]}: the only frame of its scene; expected two or more")
        if len(shapes := {frame.pixels.shape for frame in frames}) > 1:
            raise InputError(f"{paths[0].parent}: frames of different sizes {few([str(one) for one in shapes])}")
        total = np.sum([unit(frame.pixels) for frame in frames], axis=0, dtype=np.float64)
    except InputError as error:
        return _broken(name, paths[0], how, error)

    def others(frame: SetImage) -> Stored:
        return np.asarray((total - unit(frame.pixels)) / (len(frames) - 1), np.float32)

    for frame in frames:
        frame.clean = SetImage(f"{frame.name}-others", frame.path, how.channels, decode=partial(others, frame))
    mean = np.asarray(total / len(frames), np.float32)
    return SetImage.decoded(name, paths[0], mean, how.channels, frames=tuple(frames))


def _broken(name: str, path: Path, how: Reading, error: InputError) -> SetImage:
    def fail() -> NoReturn:
        raise error

    decode: Callable[[], Stored] = fail
    return SetImage(name, path, how.channels, decode=decode)
