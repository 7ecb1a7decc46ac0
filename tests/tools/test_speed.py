"""The measurement of scoring: both loops give the same scores."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import api
from bench.datasets.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    for i, size in enumerate([(40, 33, 3), (32, 32, 3), (20, 48, 3), (40, 40, 3)]):
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(tmp_path / f"{i}.png")
    return f"folder:{tmp_path}"


@pytest.mark.parametrize("method", ["blur", "n2c"])
def test_scoring_is_compared_on_the_sets_that_are_asked_for(method: str, folder: str) -> None:
    (table,) = api.speed([method], tests=["embedded_test"] * (method == "blur") + [folder], threads=1, quiet=True)
    assert list(table["test"])[-1] == folder
    assert (table["scores differ by (dB)"].astype(float) < 1e-3).all()
    assert (table["ratio"].astype(float) > 0).all()


def test_jobs_have_their_own_work() -> None:
    with pytest.raises(InputError, match="--test-sets"):
        api.speed(jobs=2, tests=["kodak"])
