"""SIDD's files through the commands: training, scores and a submission; what is wrong with a file is said by name."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from support.cli import Result, bench, line, lines, refused, rows, snapshot
from support.matlab import clean_blocks, noisy_blocks, save73

from bench.compute.machine import Machine
from bench.datasets.formats import bayer
from bench.datasets.formats.pack import Writer
from bench.datasets.sets import catalogue
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner.execution import load
from bench.store.store import Store

NOISY, GT, BENCHMARK = "ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw", "BenchmarkNoisyBlocksRaw"
SHAPE = (1, 2, 64, 64)  # images other than blocks, as in SIDD: else nobody could tell reversed axes


clean, noisy = clean_blocks, noisy_blocks


def save5(folder: Path, name: str, values: NDArray[Any]) -> Path:
    savemat(folder / f"{name}.mat", {name: values}, do_compression=True)
    return folder / f"{name}.mat"


def sidd(data: Path) -> Path:
    """Validation and benchmark blocks, and a pack of two crops of SIDD Medium."""
    (data / "sidd").mkdir(parents=True)
    for name, values in {NOISY: noisy(*SHAPE), GT: clean(*SHAPE), BENCHMARK: noisy(*SHAPE, seed=9)}.items():
        save5(data / "sidd", name, values)
    with Writer(data / "sidd_medium", "<f4") as writer:
        for scene in (1, 2):
            for frame in (10, 11):
                writer.append(f"{scene:04}_s001/noisy{frame:03}", noisy(144, 144, 1, seed=scene), "GRBG")
                writer.append(f"{scene:04}_s001/clean{frame:03}", clean(144, 144, 1, seed=scene), "GRBG")
        writer.finish("a test")
    return data


@pytest.fixture(scope="module", autouse=True)
def _two_blocks() -> Iterator[None]:
    """The catalogue knows two validation blocks; the developer's BENCH_DATA and BENCH_STORE play no part."""
    known = catalogue.catalogue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "catalogue", lambda: known | {"sidd_val": replace(known["sidd_val"], count=2)})
        patch.delenv("BENCH_DATA", raising=False)
        patch.delenv("BENCH_STORE", raising=False)
        yield


ASKED = ("--suite", "raw", "--preset", "reduced", "--steps", "1")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """(data folder, store, result) of a run."""
    folder = tmp_path_factory.mktemp("sidd")
    data, store = sidd(folder / "data"), folder / "store"
    argv = (*ASKED, "--precision", "float32", "--threads", "1", "--data", data, "--store", store)
    return data, store, bench("run", "--methods", "n2c,n2n", *argv)


# ---- scores


def test_all_of_a_run_is_done(done: tuple[Path, Path, Result]) -> None:
    _, store, result = done
    assert result.code == 0, result.err
    for method in ("noisy", "n2c", "n2n"):
        found = line(lines("--suite", "raw", "--store", store), method=method, test="sidd_val", noise="captured")
        assert (found["state"], found["images"]) == ("done", 2)


def test_blocks_are_scored_as_they_are_stored(done: tuple[Path, Path, Result]) -> None:
    _, store, _ = done
    found = [json.loads(row) for row in rows(store, "noisy captured seed 0 on sidd_val").splitlines()]
    assert [(row["image"], row["repeat"]) for row in found] == [("000-00", 0), ("000-01", 0)]
    error = (noisy(*SHAPE).astype(np.float64) - clean(*SHAPE)).reshape(2, -1)
    assert [row["psnr"] for row in found] == pytest.approx(-10 * np.log10((error**2).mean(1)), abs=1e-9)


def test_v73_files_give_the_same_scores(done: tuple[Path, Path, Result], tmp_path: Path) -> None:
    _, store, _ = done
    save73(tmp_path / "data" / "sidd" / f"{NOISY}.mat", **{NOISY: noisy(*SHAPE)})
    save73(tmp_path / "data" / "sidd" / f"{GT}.mat", **{GT: clean(*SHAPE)})
    assert run(tmp_path / "data", tmp_path / "store").code == 0
    title = "noisy captured seed 0 on sidd_val"
    assert rows(tmp_path / "store", title) == rows(store, title)


def run(data: Path, store: Path, *more: object) -> Result:
    """Scores the noisy blocks."""
    return bench("run", "--methods", "noisy", *ASKED, "--precision", "float32", "--data", data, "--store", store, *more)


# ---- submissions


def submission(done: tuple[Path, Path, Result], target: Path, *more: object, methods: str = "n2c") -> list[object]:
    data, store, _ = done
    given = {"--suite": "raw", "--preset": "reduced", "--steps": "1", "--output": "denoised", "--threads": "1"}
    given |= {"--precision": "float32", "--blocks": data / "sidd"}  # type: ignore[dict-item]
    pairs = [item for pair in given.items() if pair[0] not in more for item in pair]
    return ["submit", "--methods", methods, "--out", target, "--store", store, *pairs, *more]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_submission_holds_the_clamped_outputs_for_all_blocks(
    done: tuple[Path, Path, Result], tmp_path: Path, machine: Machine, dtype: type
) -> None:
    stored = noisy(*SHAPE, seed=9).astype(dtype)
    save5(tmp_path, BENCHMARK, stored)
    words = {"--authors": "A. One", "--title": "A paper", "--venue": "Here"}
    argv = [item for pair in words.items() for item in pair]
    result = bench(*submission(done, tmp_path / "Submit.mat", "--blocks", tmp_path, *argv))
    assert (result.code, result.out) == (0, f"{tmp_path / 'Submit.mat'}\n"), result.err
    found = loadmat(tmp_path / "Submit.mat", squeeze_me=True)
    (cell,) = (
        c for c in make(Request(suite="raw", preset="reduced", methods=("n2c",), steps=1)).cells if c.name == "n2c"
    )
    net, _ = load(cell.fit, Store(done[1]), machine)
    assert net is not None
    expected = np.empty(SHAPE, np.float32)
    for i, b in np.ndindex(SHAPE[:2]):
        planes = torch.from_numpy(bayer.pack(stored[i, b, :, :, None].astype(np.float32))).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected[i, b] = bayer.unpack(net(planes)[0].permute(1, 2, 0).numpy())[..., 0]
    assert expected.min() < 0 or expected.max() > 1  # so that there is something to clamp
    blocks = loadmat(tmp_path / "Submit.mat")["DenoisedBlocksRaw"]
    np.testing.assert_array_equal(blocks, np.clip(expected, 0, 1).astype(dtype), strict=True)
    assert found["TimeMPRaw"] > 0
    assert found["OptionalData"].dtype.names == ("MethodName", "Authors", "PaperTitle", "Venue")
    assert found["OptionalData"].item() == ("n2c", "A. One", "A paper", "Here")


def test_a_csv_holds_the_blocks_of_the_older_format(done: tuple[Path, Path, Result], tmp_path: Path) -> None:
    for name in ("Submit.mat", "Submit.csv"):
        result = bench(*submission(done, tmp_path / name))
        assert (result.code, result.out) == (0, f"{tmp_path / name}\n"), result.err
    numbers, blocks = csv_blocks(tmp_path / "Submit.csv")
    assert numbers == ["0", "1"]
    np.testing.assert_array_equal(blocks.reshape(SHAPE), loadmat(tmp_path / "Submit.mat")["DenoisedBlocksRaw"])


def csv_blocks(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """The IDs and blocks of a submission."""
    rows = [row.split(",") for row in path.read_text(encoding="ascii").splitlines()]
    assert rows[0] == ["ID", "BLOCK"]
    return [number for number, _ in rows[1:]], np.stack([np.frombuffer(b64decode(b), "<f4") for _, b in rows[1:]])


@pytest.mark.parametrize(
    ("methods", "more", "says"),
    [
        ("n2c", ("--out", "Submit.txt"), "expected a name that ends in .csv or .mat"),
        ("n2c", ("--steps", "2"), "no weights of n2c captured seed 0"),
        ("nbr2nbr", (), "train it first with python -m bench run"),
        ("n2c", ("--output", "weighted"), "unknown output of n2c 'weighted'"),
        ("n2c", ("--blocks", "nowhere"), "nowhere/BenchmarkNoisyBlocksRaw.mat: no such file"),
        ("n2c", ("--out", "nowhere/Submit.mat"), "no folder nowhere"),
        ("n2c,n2n", (), "2 cells; expected one method"),
        ("n2c", ("--seeds", "0,1"), "2 cells; expected one method"),
        ("noisy", (), "0 cells; expected one method"),
        ("n2c", ("--preset", "mini"), "on real frames"),
        ("n2d", (), "unknown method 'n2d'"),
    ],
)
def test_what_cannot_be_submitted_is_refused(
    done: tuple[Path, Path, Result], tmp_path: Path, methods: str, more: tuple[str, ...], says: str
) -> None:
    before = snapshot(done[1])
    assert says in refused(*submission(done, tmp_path / "Submit.mat", *more, methods=methods))
    assert not list(tmp_path.iterdir())
    assert snapshot(done[1]) == before


# ---- files that are not SIDD's


def reversed_axes(path: Path) -> None:
    """As a program that is not MATLAB writes HDF5: nobody turns the axes back."""
    with h5py.File(path, "w") as file:
        file[path.stem] = clean(*SHAPE)


def with_nan(*shape: int) -> NDArray[np.float32]:
    values = clean(*shape)
    values[-1, -1, -1, -1] = np.nan
    return values


def holding(values: NDArray[Any], variable: str = "") -> Callable[[Path], object]:
    """Writes these values, under the name of the file unless another is given."""
    return lambda path: savemat(path, {variable or path.stem: values})


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "no such file"),
    "wrong variable": (holding(clean(*SHAPE), "x"), "found x"),
    "wrong number of axes": (holding(clean(2, 64, 64)), "has 3 axes (2, 64, 64), expected 4"),
    "wrong axes": (holding(clean(64, 64, 2, 3)), "shape (64, 64, 2, 3), expected (images, blocks, H, W)"),
    "HDF5 with reversed axes": (reversed_axes, "its axes are probably reversed"),
    "NaN": (holding(with_nan(*SHAPE)), "has values that are NaN or infinite, expected 0..1"),
    "uint16": (holding((clean(*SHAPE) * 1023).astype(np.uint16)), "is uint16, expected single or double"),
    "raw levels": (holding(clean(*SHAPE) * 1023), "expected 0..1 (subtract the black level"),
    "odd sides": (holding(clean(1, 2, 63, 63)), "blocks of 63x63, expected even sides (whole Bayer quads)"),
    "a page": (lambda path: path.write_text("<html>404 Not Found</html>" * 20), "not a .mat file of MATLAB"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:9000]), "not readable, truncated or damaged?"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
}


@pytest.mark.parametrize("name", [NOISY, GT, BENCHMARK])
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_by_name(done: tuple[Path, Path, Result], tmp_path: Path, kind: str, name: str) -> None:
    damage, says = WRONG[kind]
    data = sidd(tmp_path / "data")
    damage(data / "sidd" / f"{name}.mat")
    if name == BENCHMARK:
        message = refused(*submission(done, tmp_path / "Submit.mat", "--blocks", data / "sidd"))
        assert not (tmp_path / "Submit.mat").exists()
    else:
        argv = ("--precision", "float32", "--data", data, "--store", tmp_path / "store")
        message = refused("run", "--methods", "n2c", *ASKED, *argv)
        assert snapshot(tmp_path / "store") == {}
    assert str(data / "sidd" / f"{name}.mat") in message
    assert says in message


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({GT: (1, 2, 32, 32)}, f"{GT}.mat: shape (1, 2, 32, 32), but {NOISY}.mat has (1, 2, 64, 64)"),
        ({GT: (1, 1, 64, 64)}, f"{GT}.mat: shape (1, 1, 64, 64), but {NOISY}.mat has (1, 2, 64, 64)"),
        ({NOISY: (1, 3, 64, 64), GT: (1, 3, 64, 64)}, "sidd: 3 images of the set 'sidd_val', expected 2"),
        ({NOISY: (1, 2, 8, 8), GT: (1, 2, 8, 8)}, "8x8 is too small to be scored"),
    ],
)
def test_other_blocks_than_the_set_has_are_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], says: str
) -> None:
    data = sidd(tmp_path / "data")
    for name, shape in shapes.items():
        save5(data / "sidd", name, clean(*shape))
    message = refused(
        "run", "--methods", "n2c", *ASKED, "--precision", "float32", "--data", data, "--store", tmp_path / "s"
    )
    assert f"{data}" in message
    assert says in message
    assert snapshot(tmp_path / "s") == {}


@pytest.mark.parametrize("folder", ["sidd", "sidd_medium"])
def test_a_missing_folder_says_how_to_get_the_set(tmp_path: Path, folder: str) -> None:
    data = sidd(tmp_path / "data")
    (data / folder).rename(tmp_path / "elsewhere")
    message = refused(
        "run", "--methods", "n2c", *ASKED, "--precision", "float32", "--data", data, "--store", tmp_path / "s"
    )
    assert f"no folder {folder}/ there; get: " in message


def test_blocks_of_phones_that_are_not_told_cannot_be_turned(tmp_path: Path) -> None:
    cells = make(Request(suite="raw", preset="reduced", methods=("b2u-aligned", "b2u"))).cells
    excluded = {cell.name: cell.excluded for cell in cells}
    state = excluded["b2u-aligned"]
    assert state is not None
    assert state.kind == "not possible"
    assert "sidd_val" in state.reason
    assert excluded["b2u"] is None
