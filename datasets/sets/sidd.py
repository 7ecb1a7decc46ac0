"""SIDD in its files: frames of the Medium set, validation and benchmark blocks, in raw-RGB and sRGB."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..errors import InputError
from ..formats.image_format import Stored
from ..formats.mat import BYTES, FLOATS, Matrix, read_mat

PATTERNS = {"GP": "BGGR", "IP": "RGGB", "S6": "GRBG", "N6": "BGGR", "G4": "BGGR"}  # of phones, by their code in names
FRAMES = ("010", "011")  # the two frames that the Medium set has of every scene instance
Space = Literal["RAW", "SRGB"]
SUFFIXES: dict[Space, str] = {"RAW": "MAT", "SRGB": "PNG"}


class Instance(NamedTuple):
    """The frames of one scene instance in the order of FRAMES: HDF5 files with variable `x`, or PNG files."""

    scene: str
    pattern: str  # "" if no name tells the phone
    noisy: tuple[Path, ...]
    clean: tuple[Path, ...]  # each aligned to its frame


def pattern_of(name: str) -> str:
    """The Bayer pattern of the phone whose code is in a name such as 0001_001_S6_00100_00060_3200_L, else ""."""
    return next((PATTERNS[part] for part in re.split(r"[\W_]+", name) if part in PATTERNS), "")


def blocks(noisy: Path, clean: Path | None) -> Iterator[tuple[str, Stored, Stored | None]]:
    """(name, noisy [H, W, 1 or 3], clean or None) of every block; InputError names the file.

    A file whose name ends in Srgb has colour blocks in bytes, any other one mosaics of floats.
    """
    observed = _block_file(noisy)
    truth = None if clean is None else _block_file(clean)
    if truth is not None and truth.shape != observed.shape:
        raise InputError(f"{clean}: shape {truth.shape}, but {noisy.name} has {observed.shape}")
    return (
        (block_name(i, b), _block(observed, i, b), None if truth is None else _block(truth, i, b))
        for i, b in np.ndindex(observed.shape[:2])
    )


def block_name(i: int, b: int) -> str:
    """Such as 000-31; image and block are counted from 0."""
    return f"{i:03}-{b:02}"


def is_srgb(path: Path) -> bool:
    """Whether a file of blocks has 8-bit colour, by its name."""
    return path.stem.endswith("Srgb")


def _block_file(path: Path) -> Matrix:
    values = read_mat(path, path.stem, 5, BYTES) if is_srgb(path) else read_mat(path, path.stem, 4, FLOATS)
    height, width = values.shape[2:4]
    if is_srgb(path) and values.shape[4] != 3:
        raise InputError(f"{path}: shape {values.shape}, expected (images, blocks, H, W, 3)")
    if height != width:
        raise InputError(
            f"{path}: shape {values.shape}, expected (images, blocks, H, W) with square blocks: its axes are "
            f"probably reversed (HDF5 written by another program than MATLAB?)"
        )
    if height % 2 and not is_srgb(path):
        raise InputError(f"{path}: blocks of {height}x{width}, expected even sides (whole Bayer quads)")
    return values


def _block(values: Matrix, i: int, b: int) -> Stored:
    """[H, W, 1 or 3], floats in 0..1 or bytes."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values[i, b])
    return np.ascontiguousarray(values[i, b, :, :, None], np.float32)


def instances(folder: Path, space: Space = "RAW") -> list[Instance]:
    """The scene instances of <folder>/**/<scene>_<NOISY|GT>_RAW_<nnn>.MAT, or SRGB and PNG, sorted.

    InputError for incomplete ones.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    name = rf"(?P<scene>[^.].*)_(?P<kind>NOISY|GT)_{space}_(?P<frame>\d{{3}})\.{SUFFIXES[space]}"
    pattern = re.compile(name, re.IGNORECASE)
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(folder.rglob("*")):
        if match := pattern.fullmatch(path.name):
            frames = found.setdefault(match["scene"], {})
            frame = (match["kind"].upper(), match["frame"])
            if frame in frames:
                raise InputError(f"{path}: the same frame as {frames[frame]}; keep one of them")
            frames[frame] = path
    if not found:
        wanted = f"<scene>_NOISY_{space}_<nnn>.{SUFFIXES[space]}"
        raise InputError(f"{folder}: no frames {wanted} in it (unpack SIDD Medium there)")
    return [_instance(scene, space, frames) for scene, frames in sorted(found.items())]


def _instance(scene: str, space: Space, frames: dict[tuple[str, str], Path]) -> Instance:
    wanted = [(kind, frame) for kind in ("NOISY", "GT") for frame in FRAMES]
    where = next(iter(frames.values())).parent
    if missing := [frame for frame in wanted if frame not in frames]:
        raise InputError(f"{where}: scene {scene} has no {_names(missing, space)}; expected {_names(wanted, space)}")
    if surplus := [frame for frame in frames if frame not in wanted]:
        also = f"{_names(surplus, space)}; expected {_names(wanted, space)} only"
        raise InputError(f"{where}: scene {scene} also has {also}")
    noisy, clean = (tuple(frames[kind, frame] for frame in FRAMES) for kind in ("NOISY", "GT"))
    return Instance(scene, pattern_of(f"{where.name}_{scene}"), noisy, clean)


def _names(frames: Sequence[tuple[str, str]], space: Space) -> str:
    return ", ".join(f"{kind}_{space}_{frame}" for kind, frame in frames)


def crop_corners(height: int, width: int, side: int = 512, step: int = 256) -> list[tuple[int, int]]:
    """(top, left) of crops on a grid, the last ones flush with the end, rows outer; InputError if none fits."""
    if min(height, width) < side:
        raise InputError(f"a frame of {height}x{width} is smaller than a crop of {side}x{side}")
    rows, columns = ([*range(0, length - side, step), length - side] for length in (height, width))
    return [(top, left) for top in rows for left in columns]
