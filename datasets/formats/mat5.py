"""MATLAB v5 to v7 files, every count in them checked before it is used.

scipy 1.17 ends the process (SIGSEGV) on 9 of 400 files with one wrong byte, and no digests of SIDD's files are known.

After 128 bytes of text come elements, each of a tag (type, bytes) and data. The elements of a file are matrices,
plain or packed by zlib. A matrix consists of elements, too: flags, sides, name and numbers. The numbers have any type
that can hold them.
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXT, HEADER = 128, 2**12  # bytes before the first element; more than a matrix has before its numbers
MATRIX, PACKED = 14, 15
TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
}  # 16: UTF-8
CLASSES = {
    1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix", 6: "float64", 7: "float32",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
OPAQUE, COMPLEX = 17, 0x800  # a class without sides; a flag


class Variable(NamedTuple):
    """A matrix: what it claims to be, and where it lies."""

    name: str
    shape: tuple[int, ...]
    kind: str
    order: str  # of bytes, as struct writes it
    packed: bool
    offset: int  # bytes, of the matrix in the file
    size: int  # bytes, in the file
    header: int  # bytes, before the numbers


def variables(path: Path) -> dict[str, Variable]:
    """The variables of a file by name, from the headers alone; ValueError, struct.error or zlib.error for damage."""
    with path.open("rb") as file:
        order = "<" if file.read(TEXT).endswith(b"IM") else ">"
        found = [_variable(file, order, *element) for element in _elements(file, order)]
    return {variable.name: variable for variable in found if variable.name}  # MATLAB's own have none


def values(path: Path, variable: Variable) -> NDArray[Any]:
    """The numbers of a variable whose size was checked; ValueError, struct.error or zlib.error for damage."""
    most = variable.header + 16 + 8 * math.prod(variable.shape)
    with path.open("rb") as file:
        matrix = _matrix(file, variable.packed, variable.offset, variable.size, most)
    kind, data, _ = _part(matrix, variable.order, variable.header)
    stored = np.frombuffer(data, variable.order + TYPES[kind]).reshape(variable.shape, order="F")
    with np.errstate(over="ignore"):  # what is too large for its class becomes infinite
        return stored.astype(variable.kind)


def _elements(file: IO[bytes], order: str) -> Iterator[tuple[bool, int, int]]:
    """(packed, offset, size) of the elements of a file."""
    at, end = TEXT, os.fstat(file.fileno()).st_size
    while at < end:
        file.seek(at)
        kind, size = struct.unpack(f"{order}II", file.read(8))
        if kind not in (MATRIX, PACKED) or at + 8 + size > end:
            raise ValueError(f"an element of type {kind} and {size} bytes, {end - at - 8} are left")
        yield kind == PACKED, at + 8, size
        at += 8 + size


def _variable(file: IO[bytes], order: str, packed: bool, offset: int, size: int) -> Variable:
    matrix = _matrix(file, packed, offset, size, HEADER)
    _, data, at = _part(matrix, order, 0)
    flags, _ = struct.unpack(f"{order}II", data)
    shape: tuple[int, ...] = ()
    if flags & 0xFF != OPAQUE:
        _, data, at = _part(matrix, order, at)
        shape = struct.unpack(f"{order}{len(data) // 4}i", data)
    _, data, at = _part(matrix, order, at)
    kind = CLASSES.get(flags & 0xFF, "an object") + (", complex" if flags & COMPLEX else "")
    return Variable(data.tobytes().decode("ascii"), shape, kind, order, packed, offset, size, at)


def _matrix(file: IO[bytes], packed: bool, offset: int, size: int, most: int) -> memoryview:
    """The first `most` bytes of a matrix, which its header or all its numbers need."""
    file.seek(offset)
    if not packed:
        return memoryview(file.read(min(size, most)))
    inflated = zlib.decompressobj()
    matrix = memoryview(inflated.decompress(file.read(min(size, 2 * most + 64)), most + 8))
    if len(matrix) < most + 8 and not inflated.eof:
        raise ValueError("a packed matrix without its end")
    return matrix[8:]  # its own tag


def _part(matrix: memoryview, order: str, at: int) -> tuple[int, memoryview, int]:
    """(type, data, offset of the next) of the element of a matrix that begins at an offset."""
    kind, size = struct.unpack_from(f"{order}II", matrix, at)
    if kind >> 16:  # up to four bytes lie in the tag itself
        kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    else:
        start, end = at + 8, at + 8 + (size + 7) // 8 * 8
    if kind not in TYPES or start + size > min(end, len(matrix)):
        raise ValueError(f"a part of type {kind} and {size} bytes, {max(0, len(matrix) - start)} are left")
    return kind, matrix[start : start + size], end
