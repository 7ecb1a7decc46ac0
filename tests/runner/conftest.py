"""What the tests of external weights share; other files of this folder have a `place` of their own."""

from pathlib import Path

import pytest
from support.external import Place, authors_state
from torch import Tensor


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return authors_state()
