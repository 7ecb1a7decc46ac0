"""The file for the SIDD server is like the noisy one, and written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from support.matlab import mosaic

from bench.apply import submission
from bench.apply.submission import About, write_submission
from bench.datasets.errors import InputError
from bench.datasets.formats.mat import layout

ABOUT = About("bench", "its authors", "its paper", "nowhere")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_submission_is_like_the_noisy_file(tmp_path: Path, dtype: type) -> None:
    savemat(tmp_path / "BenchmarkNoisyBlocksRaw.mat", {"BenchmarkNoisyBlocksRaw": mosaic(2, 3, 4, 4).astype(dtype)})
    shape, kind = layout(tmp_path / "BenchmarkNoisyBlocksRaw.mat", "BenchmarkNoisyBlocksRaw")
    denoised = 2 * mosaic(2, 3, 4, 4, seed=1) - np.float32(0.5)
    write_submission(path := tmp_path / "SubmitRaw.mat", denoised, shape, kind, 1.5, ABOUT)
    found = loadmat(path, squeeze_me=True)
    np.testing.assert_array_equal(found["DenoisedBlocksRaw"], np.clip(denoised, 0, 1).astype(dtype), strict=True)
    assert found["TimeMPRaw"] == 1.5
    assert found["OptionalData"].dtype.names == ("MethodName", "Authors", "PaperTitle", "Venue")
    assert found["OptionalData"].item() == ABOUT
    assert sorted(file.name for file in tmp_path.iterdir()) == ["BenchmarkNoisyBlocksRaw.mat", "SubmitRaw.mat"]


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
    with pytest.raises(InputError, match=r"nowhere.SubmitRaw\.mat: cannot be written"):
        write_submission(
            tmp_path / "nowhere" / "SubmitRaw.mat", mosaic(1, 1, 2, 2), (1, 1, 2, 2), np.dtype("<f4"), 1.0, ABOUT
        )
