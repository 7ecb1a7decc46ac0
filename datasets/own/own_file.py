"""One file of a user: its frames as images in 0..1, and denoised frames put back as they were stored."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import InputError, one_line
from ..formats.image_format import AXES, ImageFile, format_of, opened

Values = NDArray[np.floating[Any]]
Range = tuple[float, float]
Kind = Literal["keep", "float32"]
ALL = slice(None)
IN_MEMORY = 2**28  # bytes; a larger output grows in a file
BLOCK = 2**22  # values that are converted at once
SAMPLE = 2**16  # values of a file that percentiles are taken from
TIFF = ".tif"  # can hold values of every type


class OwnFile:
    """The frames of a file: all indices of its axes T and Z and, if channels are denoised one by one, of C and S."""

    range: Range  # the values that stand for 0 and 1
    origin: str  # of the range, in words
    seen: Range  # the smallest and the largest value

    def __init__(self, path: Path, name: str, axes: str = "", each: bool = False) -> None:
        file = _file(path, _stamp(path))
        self.path, self.name, self.each = path, name, each
        self.dtype = file.array.dtype.newbyteorder("=")
        self.shape: tuple[int, ...] = file.array.shape
        self.axes = _axes(file, path, axes)
        self.alpha = file.alpha and self.axes.find("S") == file.axes.find("S")  # else it was asked for as a channel
        self.notes = file.notes

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of indices of every axis, opacity left out."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return sizes | {"S": sizes["S"] - 1} if self.alpha else sizes

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) of every frame."""
        return self.sizes["Y"], self.sizes["X"]

    @property
    def channels(self) -> int:
        """The channels of every frame."""
        return 1 if self.each else self._size("CS")

    @property
    def count(self) -> int:
        """The number of frames."""
        return self._size("TZCS" if self.each else "TZ")

    @property
    def array(self) -> NDArray[Any]:
        """All values as stored, with their opacity."""
        array = _file(self.path, _stamp(self.path)).array
        if array.shape != self.shape or array.dtype.newbyteorder("=") != self.dtype:
            raise InputError(f"{self.path}: another image than before; it was changed meanwhile")
        return array

    @property
    def type_range(self) -> Range | None:
        """What a type of 8 or 16 bits can hold; None for other types, of whose range images use a small part."""
        if self.dtype.kind == "f" or self.dtype.itemsize > 2:
            return None
        limits = np.iinfo(self.dtype)
        return float(limits.min), float(limits.max)

    def survey(self) -> NDArray[Any]:
        """Looks at all values: sets `seen`, and returns a sample; InputError if one is not finite."""
        low, high, sample = np.inf, -np.inf, list[NDArray[Any]]()
        step = max(1, self.count * self.sides[0] * self.sides[1] * self.channels // SAMPLE)
        for block in self.blocks():
            smallest, largest = float(block.min()), float(block.max())
            if not np.isfinite([smallest, largest]).all():
                raise InputError(f"{self.path}: values that are NaN or infinite; replace them by numbers first")
            low, high = min(low, smallest), max(high, largest)
            sample.append(block.reshape(-1)[::step])
        self.seen = (low, high)
        return np.concatenate(sample)

    def stored(self, i: int, rows: slice = ALL) -> NDArray[Any]:
        """Frame i [H, W, C], or some of its rows, as stored."""
        index, order, shape = self._place(i, rows)
        picked = self.array[index].transpose(order)
        return picked.reshape(*picked.shape[:2], shape).astype(self.dtype, copy=False)

    def frame(self, i: int, rows: slice = ALL) -> NDArray[np.float32]:
        """(stored - low) / (high - low) of frame i [H, W, C], or of some of its rows, not clipped."""
        low, high = self.range
        height = len(range(*rows.indices(self.sides[0])))
        made = np.empty((height, self.sides[1], self.channels), np.float32)
        first = rows.indices(self.sides[0])[0]
        for top, bottom in self._blocks(height):
            stored = self.stored(i, slice(first + top, first + bottom))
            made[top:bottom] = (stored.astype(np.float64) - low) / (high - low)
        return made

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All values as stored, in pieces [h, W, C] that fit in memory."""
        for i in range(self.count):
            for top, bottom in self._blocks(self.sides[0]):
                yield self.stored(i, slice(top, bottom))

    def output(self, dtype: Kind = "keep") -> str:
        """The name of its output: its own where that format can hold the values, else that of a TIFF."""
        wanted = self.dtype.name if dtype == "keep" else dtype
        name = Path(self.name)
        return str(name if wanted in format_of(name).writes else name.with_suffix(TIFF))

    def write(self, path: Path, frames: Iterable[Values], dtype: Kind = "keep", overwrite: bool = False) -> None:
        """Writes all frames [H, W, C] in 0..1 as `writing` does."""
        with self.writing(path, dtype, overwrite) as output:
            for i, frame in enumerate(frames):
                output.put(i, 0, frame)

    @contextmanager
    def writing(self, path: Path, dtype: Kind = "keep", overwrite: bool = False) -> Iterator["Output"]:
        """Takes frames or strips of them, then writes them with the type, axes, opacity and metadata of this file.

        The file is at `path` only when it is whole. InputError for a file that exists already or cannot be written.
        """
        if path.exists() and (not overwrite or path.samefile(self.path)):
            way_out = "choose another --out" if path.samefile(self.path) else "--overwrite replaces it"
            raise InputError(f"{path}: exists already; {way_out}")
        kind, image_format = self.dtype if dtype == "keep" else np.dtype(dtype), format_of(path)
        if kind.name not in image_format.writes:
            raise InputError(f"{path}: such a file cannot hold {kind}; expected {path.with_suffix(TIFF).name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _room(self.shape, kind, path) as array:
                output = Output(self, array)
                yield output
                output.complete()
                file = _file(self.path, _stamp(self.path))._replace(array=array, axes=self.axes, alpha=self.alpha)
                write = files.write_folder if image_format.as_folder else files.write
                with _damage_named(self.path):
                    write(path, lambda temporary: image_format.write(temporary, file, self.path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None

    def place(self, array: NDArray[Any], i: int, rows: slice) -> NDArray[Any]:
        """The view [h, W, ...] of frame i in an array of this file's shape; its other axes are C and S."""
        index, order, _ = self._place(i, rows)
        return array[index].transpose(order)

    def _place(self, i: int, rows: slice) -> tuple[tuple[int | slice, ...], list[int], int]:
        """Where a frame lies: the index of every axis, the order of the axes that remain as YXCS, and C * S."""
        chosen = "TZCS" if self.each else "TZ"
        one_by_one = [letter for letter in self.axes if letter in chosen]
        numbers = np.unravel_index(i, [self.sizes[letter] for letter in one_by_one])
        at: dict[str, int | slice] = {"Y": rows, "S": slice(self.sizes.get("S", 0))}
        at |= {letter: int(number) for letter, number in zip(one_by_one, numbers, strict=True)}
        left = [letter for letter in self.axes if letter not in one_by_one]
        order = [left.index(letter) for letter in "YXCS" if letter in left]
        return tuple(at.get(letter, ALL) for letter in self.axes), order, self.channels

    def _blocks(self, height: int) -> Iterator[tuple[int, int]]:
        rows = max(1, BLOCK // (self.sides[1] * self.channels))
        return ((top, min(top + rows, height)) for top in range(0, height, rows))

    def _size(self, letters: str) -> int:
        return math.prod(self.sizes.get(letter, 1) for letter in letters)


class Output:
    """The pixels of a file that is being written."""

    def __init__(self, own: OwnFile, array: NDArray[Any]) -> None:
        self.own, self.array, self.rows = own, array, 0

    def put(self, i: int, top: int, values: Values) -> None:
        """Stores rows [h, W, C] in 0..1 of frame i from row `top` on; integers are rounded and clipped."""
        height = self.own.sides[0]
        if values.shape[1:] != (self.own.sides[1], self.own.channels) or top + len(values) > height:
            raise ValueError(f"{values.shape} at row {top} of frames {(*self.own.sides, self.own.channels)}")
        for first, last in self.own._blocks(len(values)):
            place = self.own.place(self.array, i, slice(top + first, top + last))
            place[...] = self._stored(values[first:last]).reshape(place.shape)
        self.rows += len(values)

    def complete(self) -> None:
        """Puts opacity in its place; ValueError if rows are missing."""
        if self.rows != self.own.count * self.own.sides[0]:
            raise ValueError(f"{self.rows} rows of {self.own.count} frames with {self.own.sides[0]} rows each")
        if self.own.alpha:
            opacity = tuple(-1 if letter == "S" else ALL for letter in self.own.axes)
            self.array[opacity] = self.own.array[opacity]

    def _stored(self, values: Values) -> NDArray[Any]:
        low, high = self.own.range
        made = values.astype(np.float64) * (high - low) + low
        if not np.isfinite(made).all():
            raise InputError(f"{self.own.path}: its denoised image has values that are NaN or infinite")
        if self.array.dtype.kind == "f":
            limits = np.finfo(self.array.dtype)
            return made.clip(limits.min, limits.max).astype(self.array.dtype)
        return _integers(np.rint(made), self.array.dtype)


def _integers(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Whole numbers clipped to the type; float64 would round the largest number of 64 bits up, beyond the type."""
    limits = np.iinfo(dtype)
    made = values.clip(limits.min, limits.max)
    high = made >= float(limits.max)
    return np.where(high, limits.max, np.where(high, 0.0, made).astype(dtype)).astype(dtype)


def _axes(file: ImageFile, path: Path, asked: str) -> str:
    """The axes asked for if the array has as many, else those that the file names."""
    shape = "x".join(map(str, file.array.shape))
    axes = asked if len(asked) == file.array.ndim else file.axes
    if not axes:
        say = {3: "ZYX", 4: "ZCYX", 5: "TZCYX"}.get(file.array.ndim, "YX")
        raise InputError(
            f"{path}: its {file.array.ndim} axes {shape} have no names; give --axes {say}, or folder:PATH@{say}"
        )
    if not {"Y", "X"} <= set(axes):
        raise InputError(f"{path}: axes {axes} {shape}; expected rows Y and columns X among them (--axes)")
    return axes


def checked_axes(text: str) -> str:
    """The axes in capital letters; InputError for unknown or repeated ones, or if Y or X is missing."""
    axes = text.upper()
    if set(axes) - set(AXES) or len(set(axes)) < len(axes) or (axes and not {"Y", "X"} <= set(axes)):
        raise InputError(f"--axes {text}: expected Y, X and others of {AXES}, each once, such as ZYX or TCYX")
    return axes


def _stamp(path: Path) -> tuple[int, int]:
    try:
        known = path.stat()
    except OSError:
        return (0, 0)  # opening it says what is wrong
    return known.st_mtime_ns, known.st_size


@lru_cache(maxsize=2)
def _file(path: Path, stamp: tuple[int, int]) -> ImageFile:
    """An open file; the last two are kept, with what was unpacked of them."""
    return opened(path)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns any error of a library that copies metadata into an InputError that names the file."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        raise InputError(f"{path}: its metadata cannot be copied ({one_line(error)}); save it anew first") from None


@contextmanager
def _room(shape: tuple[int, ...], dtype: np.dtype[Any], beside: Path) -> Iterator[NDArray[Any]]:
    """An array to fill, in memory or, if it is large, in a file beside the output."""
    size = math.prod(shape) * dtype.itemsize
    if size <= IN_MEMORY:
        yield np.empty(shape, dtype)
        return
    path = beside.with_name(f"{beside.name}.{uuid4().hex[:8]}.tmp")
    try:
        with path.open("wb") as file:  # here a full disk is an error; in mapped memory it would be a signal
            for start in range(0, size, BLOCK):
                file.write(bytes(min(BLOCK, size - start)))
            os.fsync(file.fileno())
        yield np.memmap(path, dtype, "r+", shape=shape)
    finally:
        path.unlink(missing_ok=True)
