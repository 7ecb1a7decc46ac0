"""The file for the SIDD server is like the noisy one, and written whole or not at all."""

import csv
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from support.matlab import mosaic, save73

from bench.apply import submission
from bench.apply.submission import About, write_submission
from bench.datasets.errors import InputError
from bench.datasets.formats.mat import shape_and_dtype
from bench.datasets.sets import sidd

ABOUT = About("bench", "its authors", "its paper", "nowhere")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_submission_is_like_the_noisy_file(tmp_path: Path, dtype: type) -> None:
    savemat(tmp_path / "BenchmarkNoisyBlocksRaw.mat", {"BenchmarkNoisyBlocksRaw": mosaic(2, 3, 4, 4).astype(dtype)})
    shape, kind = shape_and_dtype(tmp_path / "BenchmarkNoisyBlocksRaw.mat", "BenchmarkNoisyBlocksRaw")
    denoised = 2 * mosaic(2, 3, 4, 4, seed=1) - np.float32(0.5)
    write_submission(path := tmp_path / "SubmitRaw.mat", denoised, shape, kind, 1.5, ABOUT)
    found = loadmat(path, squeeze_me=True)
    np.testing.assert_array_equal(found["DenoisedBlocksRaw"], np.clip(denoised, 0, 1).astype(dtype), strict=True)
    assert found["TimeMPRaw"] == 1.5
    assert found["OptionalData"].dtype.names == ("MethodName", "Authors", "PaperTitle", "Venue")
    assert found["OptionalData"].item() == ABOUT
    assert sorted(file.name for file in tmp_path.iterdir()) == ["BenchmarkNoisyBlocksRaw.mat", "SubmitRaw.mat"]


def csv_blocks(path: Path, shape: tuple[int, ...], dtype: type) -> tuple[list[str], np.ndarray]:
    """The IDs of a submission as they stand there, and its blocks."""
    with path.open(newline="") as file:
        csv.field_size_limit(2**30)
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["ID", "BLOCK"]
    blocks = [np.frombuffer(b64decode(row["BLOCK"], validate=True), dtype).reshape(shape[2:]) for row in rows]
    return [row["ID"] for row in rows], np.stack(blocks).reshape(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_csv_of_raw_blocks_holds_their_bytes(tmp_path: Path, dtype: type) -> None:
    shape = (2, 3, 4, 6)
    denoised = 2 * mosaic(*shape, seed=1) - np.float32(0.5)
    write_submission(path := tmp_path / "SubmitRaw.csv", denoised, shape, np.dtype(dtype), 1.5, ABOUT)
    numbers, blocks = csv_blocks(path, shape, dtype)
    assert numbers == ["0", "1", "2", "3", "4", "5"]
    np.testing.assert_array_equal(blocks, np.clip(denoised, 0, 1).astype(dtype), strict=True)


def test_the_csv_of_colour_blocks_holds_rounded_bytes(tmp_path: Path) -> None:
    shape = (40, 32, 4, 4, 3)
    stored = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    off = np.float32(0.49 / 255) * np.where(stored % 2, 1, -1)  # to be rounded back
    write_submission(path := tmp_path / "s.csv", stored / np.float32(255) + off, shape, stored.dtype, 1.5, ABOUT)
    numbers, blocks = csv_blocks(path, shape, np.uint8)
    assert numbers == [str(number) for number in range(1280)]
    np.testing.assert_array_equal(blocks, stored, strict=True)


def test_colour_blocks_are_read_as_they_are_stored(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 5, 3), np.uint8)
    savemat(path := tmp_path / "BenchmarkNoisyBlocksSrgb.mat", {path.stem: stored})
    save73(other := tmp_path / "new" / path.name, **{path.stem: stored})
    for file in (path, other):
        found = [(name, image) for name, image, _ in sidd.blocks(file, None)]
        assert [name for name, _ in found] == ["000-00", "000-01", "000-02", "001-00", "001-01", "001-02"]
        np.testing.assert_array_equal([image for _, image in found], stored.reshape(6, 5, 5, 3), strict=True)
    savemat(path, {path.stem: stored.astype(np.float32)})
    with pytest.raises(InputError, match="is float32, expected uint8"):
        sidd.blocks(path, None)
    savemat(path, {path.stem: stored[..., :2]})
    with pytest.raises(InputError, match=r"expected \(images, blocks, H, W, 3\)"):
        sidd.blocks(path, None)


@pytest.mark.parametrize("wrong", [mosaic(2, 3, 4, 6), mosaic(6, 4, 4), np.full((2, 3, 4, 4), np.nan)])
def test_a_wrong_submission_leaves_the_earlier_one(tmp_path: Path, wrong: np.ndarray) -> None:
    (tmp_path / "SubmitRaw.mat").write_bytes(b"earlier")
    with pytest.raises(InputError, match=r"expected \(2, 3, 4, 4\)|NaN"):
        write_submission(tmp_path / "SubmitRaw.mat", wrong, (2, 3, 4, 4), np.dtype("<f4"), 1.0, ABOUT)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("SubmitRaw.mat", b"earlier")]


def test_a_submission_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, content: object, appendmat: bool) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "SubmitRaw.mat").write_bytes(b"earlier")
    monkeypatch.setattr(submission, "savemat", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        write_submission(tmp_path / "SubmitRaw.mat", mosaic(1, 1, 2, 2), (1, 1, 2, 2), np.dtype("<f4"), 1.0, ABOUT)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("SubmitRaw.mat", b"earlier")]


def test_a_submission_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*nowhere.SubmitRaw\.mat"):
        write_submission(
            tmp_path / "nowhere" / "SubmitRaw.mat", mosaic(1, 1, 2, 2), (1, 1, 2, 2), np.dtype("<f4"), 1.0, ABOUT
        )
