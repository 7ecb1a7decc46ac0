"""Where the golden vectors are; another folder of the same layout: GOLDEN_DIR=... python -m pytest tests/golden."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
FORMULAS = ("laine", "anscombe_chen")  # made from formulas, where the other files are made by the official functions


@cache
def golden(name: str) -> dict[str, Array]:
    """All arrays of NAME.npz; skips the module if another folder has no such file of formulas."""
    other = os.environ.get("GOLDEN_DIR")
    path = Path(other or Path(__file__).parent / "vectors") / f"{name}.npz"
    if other and name in FORMULAS and not path.exists():
        pytest.skip(f"no {path.name} in {path.parent}", allow_module_level=True)
    with np.load(path) as file:
        return dict(file)


def matching(name: str, prefix: str) -> list[str]:
    """What follows `prefix` in the array names of NAME.npz."""
    return [key.removeprefix(prefix) for key in golden(name) if key.startswith(prefix)]


def cases(name: str) -> list[dict[str, float]]:
    """The rows of `cases` by column name."""
    arrays = golden(name)
    return [dict(zip(arrays["cases_columns"].tolist(), row, strict=True)) for row in arrays["cases"].tolist()]
