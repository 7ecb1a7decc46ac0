"""MATLAB files are read exactly as stored, in MATLAB's order of axes, or refused by name."""

import random
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, matlab, savemat
from scipy.sparse import csc_array
from support.matlab import PREAMBLE, mosaic, save73

from bench.datasets.errors import InputError
from bench.datasets.formats import mat, mat5
from bench.datasets.formats.mat import read_mat, shape_and_dtype

Save = Callable[..., None]


def save5(path: Path, **variables: Any) -> None:
    savemat(path, variables, appendmat=False)


def save7(path: Path, **variables: Any) -> None:
    savemat(path, variables, appendmat=False, do_compression=True)


FORMATS = pytest.mark.parametrize("save", [save5, save7, save73], ids=["v5", "v7", "v7.3"])


def refused(path: Path, variable: str = "x", ndim: int = 2) -> str:
    with pytest.raises(InputError) as caught:
        read_mat(path, variable, ndim)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@FORMATS
@pytest.mark.parametrize("shape", [(6, 8), (3, 2, 4, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_come_back_in_matlabs_order(tmp_path: Path, save: Save, shape: tuple[int, ...], dtype: type) -> None:
    stored = mosaic(*shape).astype(dtype)
    save(tmp_path / "a.MAT", x=stored, other=np.arange(3))
    np.testing.assert_array_equal(read_mat(tmp_path / "a.MAT", "x", len(shape)), stored, strict=True)
    assert shape_and_dtype(tmp_path / "a.MAT", "x") == (shape, np.dtype(dtype))


@pytest.mark.parametrize("save", [save5, save73], ids=["v5", "v7.3"])
def test_the_other_byte_order_is_read_too(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a.mat", x=mosaic(6, 8).astype(">f4"))
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "x", 2), mosaic(6, 8), strict=True)


def test_a_double_array_that_matlab_stored_as_bytes_is_a_double_array(tmp_path: Path) -> None:
    save5(tmp_path / "a.mat", x=np.zeros((2, 4)))
    content = bytearray((tmp_path / "a.mat").read_bytes())
    tag = content.index(struct.pack("<II", 9, 64))  # miDOUBLE, 64 bytes; MATLAB itself writes miUINT8, 8 bytes
    content[tag:] = struct.pack("<II", 2, 8) + bytes([0, 1] * 4)
    content[132:136] = struct.pack("<I", len(content) - 136)
    (tmp_path / "a.mat").write_bytes(content)
    expected = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float64)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "x", 2), expected, strict=True)


REFUSED: list[tuple[str, Any, str]] = [
    ("uint16", np.ones((4, 6), np.uint16), "x is uint16, expected single or double"),
    ("int8", np.ones((4, 6), np.int8), "x is int8, expected"),
    ("NaN", np.where(mosaic(4, 6) > 0.9, np.nan, mosaic(4, 6)), "NaN or infinite"),
    ("inf", np.full((4, 6), np.inf, np.float32), "NaN or infinite"),
    ("-inf", np.array([[0.0, -np.inf]]), "NaN or infinite"),
    ("levels", mosaic(4, 6) * 1023, "values in [0-9.]+..9[0-9.]+, expected 0..1"),
    ("negative", mosaic(4, 6) - np.float32(0.9), "values in -0.[0-9]+..0.0[0-9]+, expected 0..1"),
    ("axes", mosaic(4, 6, 2), r"x has 3 axes \(4, 6, 2\), expected 2"),
    ("empty", np.zeros((0, 6), np.float32), r"x is empty"),
    ("complex", mosaic(4, 6) + 1j, "complex"),
]


@FORMATS
@pytest.mark.parametrize(("values", "reason"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_other_values_are_refused(tmp_path: Path, save: Save, values: NDArray[Any], reason: str) -> None:
    if save is save73 and values.size == 0:
        with h5py.File(tmp_path / "a.mat", "w") as file:  # MATLAB stores the sides of an empty array instead
            file["x"] = np.array([0, 6], np.uint64)
            file["x"].attrs.update({"MATLAB_empty": np.uint8(1), "MATLAB_class": np.bytes_("single")})
    else:
        save(tmp_path / "a.mat", x=values)
    with pytest.raises(InputError, match=reason):
        read_mat(tmp_path / "a.mat", "x", 2)
    refused(tmp_path / "a.mat")


@pytest.mark.parametrize("beyond", [-1e-7, 1e-7])
def test_a_rounding_beyond_the_range_is_kept(tmp_path: Path, beyond: float) -> None:
    stored = np.array([[beyond, 1 + beyond]])
    save5(tmp_path / "a.mat", x=stored)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "x", 2), stored)


@pytest.mark.parametrize("values", [{"a": 1.0}, "text", np.array([[{}]]), True, csc_array(np.eye(3))], ids=type)
def test_what_is_no_array_of_numbers_is_refused_in_v5(tmp_path: Path, values: Any) -> None:
    save5(tmp_path / "a.mat", x=values)
    assert "expected single or double" in refused(tmp_path / "a.mat")


def test_what_is_no_array_of_numbers_is_refused_in_v73(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["x/field"] = 1.0
        file["letters"] = np.bytes_("text")
        file["references"] = np.array([file["x"].ref], h5py.ref_dtype)
    for variable in ("x", "letters", "references"):
        assert "expected single or double" in refused(tmp_path / "a.mat", variable)


@FORMATS
def test_a_missing_variable_is_named_with_what_there_is(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a.mat", ValidationNoisyBlocksRaw=mosaic(4, 6), y=mosaic(4, 6))
    message = refused(tmp_path / "a.mat", "ValidationNoisyBlockRaw")
    assert "expected the variable ValidationNoisyBlockRaw, found ValidationNoisyBlocksRaw, y" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"<html>404</html>" * 99, "not a .mat file"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM", "no variables in it"),
        (PREAMBLE + bytes(384), "truncated"),
    ],
)
def test_what_is_no_mat_file_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "a.mat").write_bytes(content)
    assert reason in refused(tmp_path / "a.mat")


@FORMATS
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, save: Save, share: float) -> None:
    save(tmp_path / "a.mat", x=mosaic(40, 60))
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "a.mat")


def huge5(path: Path) -> None:
    save5(path, x=mosaic(6, 8))
    content = path.read_bytes()
    path.write_bytes(
        content.replace(struct.pack("<II", 6, 8) + b"\1\0\1\0x", struct.pack("<II", 10**6, 10**6) + b"\1\0\1\0x")
    )


def huge73(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**6, 10**6), np.float32, chunks=(64, 64))


@pytest.mark.parametrize("save", [huge5, huge73])
def test_an_absurd_size_is_refused_before_anything_is_allocated(tmp_path: Path, save: Callable[[Path], None]) -> None:
    save(tmp_path / "a.mat")
    tracemalloc.start()
    message = refused(tmp_path / "a.mat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert r"claims the size (1000000, 1000000)" in message
    assert peak < 2**21


def test_a_size_that_does_not_fit_the_data_is_refused(tmp_path: Path) -> None:
    save5(tmp_path / "a.mat", x=mosaic(6, 8))
    content = (tmp_path / "a.mat").read_bytes()
    assert content.count(struct.pack("<II", 6, 8)) == 2  # the tag of the flags, the sides
    head, tail = content[:160], content[160:]
    (tmp_path / "a.mat").write_bytes(head + tail.replace(struct.pack("<II", 6, 8), struct.pack("<II", 6, 9), 1))
    assert "damaged" in refused(tmp_path / "a.mat")


@FORMATS
def test_damaged_bytes_give_an_array_or_an_input_error(tmp_path: Path, save: Save) -> None:
    save(path := tmp_path / "a.mat", x=mosaic(6, 8))
    content, draw, refusals = path.read_bytes(), random.Random(0), list[str]()
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_mat(path, "x", 2)
        except InputError as error:
            refusals.append(str(error))
    assert refusals
    assert all(str(path) in error for error in refusals)


def test_without_h5py_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save73(tmp_path / "a.mat", x=mosaic(4, 6))
    save5(tmp_path / "b.mat", x=mosaic(4, 6))
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install 'h5py>=3.11'" in refused(tmp_path / "a.mat")
    assert read_mat(tmp_path / "b.mat", "x", 2).shape == (4, 6)


def test_the_limit_lets_sidds_largest_arrays_through() -> None:
    assert mat.LIMIT > 40 * 32 * 256 * 256


MATLABS = Path(matlab.__file__).parent / "tests" / "data"


@pytest.mark.skipif(not MATLABS.is_dir(), reason="scipy is installed without its tests' files")
def test_files_that_matlab_wrote_are_read_as_scipy_reads_them() -> None:
    found = 0
    for path in sorted(MATLABS.glob("test*_[67].1_*.mat")):
        for name, variable in mat5.variables(path).items():
            if variable.kind in ("float32", "float64"):
                np.testing.assert_array_equal(mat5.values(path, variable), loadmat(path)[name])
                found += 1
    assert found > 5
