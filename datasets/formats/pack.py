"""A pack: many images in one memory-mapped file, read with no decoding, written image by image and resumable.

pixels.bin holds the images one after another and index.jsonl has a line for each. pack.json is written last, with the
digest of the index, so a folder that has it holds a whole pack.
"""

import hashlib
import math
import os
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import numpy as np
from filelock import FileLock, Timeout
from msgspec import Struct
from numpy.typing import NDArray

from .. import files
from ..documents import content, from_json
from ..errors import InputError
from .image_format import digest

DType = Literal["|u1", "<f4"]  # numpy's names of uint8 and float32
PIXELS, INDEX, HEADER = "pixels.bin", "index.jsonl", "pack.json"


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One image of a pack."""

    name: str
    offset: int  # bytes
    shape: tuple[int, int, int]  # [H, W, C]
    sha256: str  # of the pixels
    pattern: str = ""  # Bayer pattern of a mosaic


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """What a whole pack is."""

    dtype: DType
    count: int
    digest: str  # SHA-256 of the index, and so of all pixels
    source: str


class Pack:
    """The images of a whole pack; InputError for a folder that holds none, a part of one or a damaged one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.header = folder, _header(folder)
        self.entries = self._entries()
        self.names = [entry.name for entry in self.entries]
        expected = _end(self.entries, self.header.dtype)
        size = (folder / PIXELS).stat().st_size if (folder / PIXELS).is_file() else 0
        if size != expected:
            raise InputError(f"{folder / PIXELS}: {size} bytes, expected {expected} (truncated?); prepare it again")
        self._pixels = np.memmap(folder / PIXELS, self.header.dtype, mode="r")

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, i: int) -> NDArray[Any]:
        """Image i as a read-only view [H, W, C] of the file."""
        entry = self.entries[i]
        start = entry.offset // self._pixels.itemsize
        return self._pixels[start : start + math.prod(entry.shape)].reshape(entry.shape)

    def verify(self) -> None:
        """Reads every pixel; InputError naming the first image that is not what was written."""
        for i, entry in enumerate(self.entries):
            if digest(self[i]) != entry.sha256:
                raise InputError(f"{self.folder / PIXELS}: damaged, {entry.name} has other pixels; prepare it again")

    def _entries(self) -> list[Entry]:
        path = self.folder / INDEX
        index = content(path) if path.is_file() else b""
        if hashlib.sha256(index).hexdigest() != self.header.digest:
            raise InputError(f"{path}: damaged, not the index that {HEADER} was written for; prepare it again")
        try:
            entries = [from_json(line, Entry) for line in index.splitlines()]
        except msgspec.DecodeError as error:
            raise InputError(f"{path}: damaged ({error}); prepare it again") from None
        ends = accumulate((_bytes(entry, self.header.dtype) for entry in entries), initial=0)
        for entry, end in zip(entries, ends, strict=False):
            if entry.offset != end or min(entry.shape) < 1:
                raise InputError(f"{path}: damaged, {entry.name!r} does not begin at byte {end}; prepare it again")
        return entries


class Writer:
    """Appends images to a pack; after a process was killed, the next one goes on behind the last whole image."""

    def __init__(self, folder: Path, dtype: DType) -> None:
        self.folder, self.dtype = folder, dtype
        if (folder / HEADER).exists():
            raise InputError(f"{folder}: holds a whole pack already; delete it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{folder}: another process is writing this pack") from None
        entries = self._recovered()
        self.names = [entry.name for entry in entries]
        self._offset = _end(entries, dtype)
        self._pixels: IO[bytes] = (folder / PIXELS).open("ab")
        self._index: IO[bytes] = (folder / INDEX).open("ab")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._pixels.close()
        self._index.close()
        self._lock.release()

    def append(self, name: str, pixels: NDArray[Any], pattern: str = "") -> None:
        """Adds an image [H, W, C]; InputError for pixels of another dtype."""
        if pixels.dtype != np.dtype(self.dtype) or pixels.ndim != 3:
            raise InputError(f"{name}: {pixels.dtype} {pixels.shape}; this pack holds {self.dtype} [H, W, C]")
        height, width, channels = pixels.shape
        self._pixels.write(np.ascontiguousarray(pixels).data)
        _flush(self._pixels)  # an index line must never promise pixels that are not there
        entry = Entry(name, self._offset, (height, width, channels), digest(pixels), pattern)
        self._index.write(_line(entry))
        self._index.flush()
        self._offset += pixels.nbytes
        self.names.append(name)

    def finish(self, source: str) -> None:
        """Declares the pack whole; `source` says what it was made from."""
        _flush(self._index)
        index = hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest()
        header = msgspec.json.encode(Header(self.dtype, len(self.names), index, source))
        files.write(self.folder / HEADER, lambda temporary: temporary.write_bytes(header))

    def _recovered(self) -> list[Entry]:
        """The images that are whole; what follows them in the files is cut off."""
        pixels, index = self.folder / PIXELS, self.folder / INDEX
        pixels.touch()
        index.touch()
        entries = _whole(index.read_bytes(), pixels.stat().st_size, self.dtype)
        os.truncate(pixels, _end(entries, self.dtype))
        os.truncate(index, sum(len(_line(entry)) for entry in entries))
        return entries


def _header(folder: Path) -> Header:
    path = folder / HEADER
    try:
        return from_json(content(path), Header)
    except FileNotFoundError:
        begun = (folder / INDEX).is_file()
        what = "an unfinished pack; run the command that began it again" if begun else "no pack in this folder"
        raise InputError(f"{folder}: {what}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete the folder and prepare it again") from None


def _whole(index: bytes, size: int, dtype: DType) -> list[Entry]:
    """The images before the first torn or wrong line, or the first whose pixels are not all among `size` bytes."""
    entries: list[Entry] = []
    end = 0
    for line in index.splitlines(keepends=True):
        try:
            entry = from_json(line, Entry)
        except msgspec.DecodeError:
            break
        start, end = end, end + _bytes(entry, dtype)
        if entry.offset != start or end > size or line != _line(entry):
            break
        entries.append(entry)
    return entries


def _line(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _bytes(entry: Entry, dtype: DType) -> int:
    return math.prod(entry.shape) * np.dtype(dtype).itemsize


def _end(entries: list[Entry], dtype: DType) -> int:
    return sum(_bytes(entry, dtype) for entry in entries)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
