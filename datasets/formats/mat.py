"""Arrays in MATLAB files of v5 to v7 and v7.3 (HDF5), such as SIDD's images: floats in 0..1, or bytes."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, one_line
from . import mat5

Matrix = NDArray[Any]  # of any number of axes, floats in 0..1 or bytes
Shape = tuple[int, ...]
HDF5 = b"\x89HDF\r\n\x1a\n"
FLOATS = {"single": "float32", "double": "float64"}  # MATLAB's names of what is allowed
BYTES = {"uint8": "uint8"}
LIMIT = 2**28  # elements; the largest arrays of SIDD, its sRGB blocks, have 252 million
ROUNDING = 1e-6  # how far beyond 0..1 a value may be


def read_mat(path: Path, variable: str, ndim: int, kinds: Mapping[str, str] = FLOATS) -> Matrix:
    """A variable of `ndim` axes in MATLAB's order, floats in 0..1 or BYTES; InputError naming the file otherwise."""
    shape, dtype = shape_and_dtype(path, variable, kinds)
    if len(shape) != ndim:
        raise InputError(f"{path}: {variable} has {len(shape)} axes {shape}, expected {ndim}")
    with _readable(path):
        values = _values73(path, variable) if _is_hdf5(path) else _values5(path, variable)
    if values.shape != shape:
        raise InputError(f"{path}: damaged, {variable} holds {values.shape} where its header says {shape}")
    if np.iscomplexobj(values):
        raise InputError(f"{path}: {variable} is complex, expected real numbers in 0..1")
    if kinds is BYTES:
        return values
    low, high = float(values.min()), float(values.max())
    if math.isnan(low) or math.isinf(low) or math.isinf(high):
        raise InputError(f"{path}: {variable} has values that are NaN or infinite, expected 0..1")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"{path}: {variable} has values in {low:g}..{high:g}, expected 0..1 (subtract the black level, "
            f"then divide by the white level minus the black level)"
        )
    return values.astype(dtype, copy=False)  # MATLAB saves whole numbers as bytes, whatever their class


def shape_and_dtype(path: Path, variable: str, kinds: Mapping[str, str] = FLOATS) -> tuple[Shape, np.dtype[Any]]:
    """Shape in MATLAB's order and dtype of a variable, from the headers alone; InputError as `read_mat`."""
    with _readable(path):
        found = _headers73(path) if _is_hdf5(path) else _headers5(path)
    if not found:
        raise InputError(f"{path}: no variables in it, expected {variable} (truncated? copy it again)")
    if variable not in found:
        raise InputError(f"{path}: expected the variable {variable}, found {', '.join(found)}")
    shape, kind = found[variable]
    if kind not in kinds.values():
        allowed = "single or double with values in 0..1" if kinds is FLOATS else "uint8"
        raise InputError(f"{path}: {variable} is {kind}, expected {allowed}")
    if 0 in shape:
        raise InputError(f"{path}: {variable} is empty {shape}")
    if min(shape, default=0) < 0 or math.prod(shape) > LIMIT:
        raise InputError(f"{path}: {variable} claims the size {shape}, more than {LIMIT} numbers (damaged?)")
    return shape, np.dtype(kind)


@contextmanager
def opened73(path: Path) -> Iterator[Any]:
    """An open v7.3 file, to read a struct in it; InputError for another or a damaged file."""
    with _readable(path):
        if not _is_hdf5(path):
            raise InputError(f"{path}: expected a .mat file of MATLAB v7.3")
        with _h5py(path).File(path, "r") as file:
            yield file


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(512 + len(HDF5))  # MATLAB puts 512 bytes of its own before the HDF5 file
    if HDF5 in (head[:8], head[512:]):
        return True
    if head[126:128] in (b"IM", b"MI"):  # the mark of the byte order
        return False
    raise InputError(f"{path}: {'not a .mat file of MATLAB v5 to v7.3' if head else 'an empty file'}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # readers raise anything when a file is damaged
        raise InputError(f"{path}: not readable, truncated or damaged? ({one_line(error)})") from None


def _headers5(path: Path) -> dict[str, tuple[Shape, str]]:
    return {name: (variable.shape, variable.kind) for name, variable in mat5.variables(path).items()}


def _values5(path: Path, variable: str) -> Matrix:
    return mat5.values(path, mat5.variables(path)[variable])


def _headers73(path: Path) -> dict[str, tuple[Shape, str]]:
    h5py = _h5py(path)
    with h5py.File(path, "r") as file:
        return {name: _header73(item, h5py) for name, item in file.items() if not name.startswith("#")}


def _header73(item: Any, h5py: ModuleType) -> tuple[Shape, str]:
    if not isinstance(item, h5py.Dataset):
        return (), "a struct, cell or sparse matrix"
    if item.attrs.get("MATLAB_empty"):  # its sides are stored as its values
        return (0,), FLOATS.get(item.attrs["MATLAB_class"].decode(), "empty")
    return tuple(reversed(item.shape or ())), item.dtype.name


def _values73(path: Path, variable: str) -> Matrix:
    with _h5py(path).File(path, "r") as file:
        values: Matrix = file[variable][()].T
    return values


def _h5py(path: Path) -> ModuleType:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: MATLAB v7.3 files need h5py (pip install 'h5py>=3.11')") from None
    return h5py  # type: ignore[no-any-return]
