"""Where the golden vectors are; another folder of the same layout: GOLDEN_DIR=... python -m pytest tests/golden."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@cache
def golden(name: str) -> dict[str, Array]:
    """All arrays of NAME.npz."""
    folder = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parent / "vectors")
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def matching(name: str, prefix: str) -> list[str]:
    """What follows `prefix` in the array names of NAME.npz."""
    return [key.removeprefix(prefix) for key in golden(name) if key.startswith(prefix)]


def cases(name: str) -> list[dict[str, float]]:
    """The rows of `cases` by column name."""
    arrays = golden(name)
    return [dict(zip(arrays["cases_columns"].tolist(), row, strict=True)) for row in arrays["cases"].tolist()]
