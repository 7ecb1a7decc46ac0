"""What files of this folder share: external weights and two trainings; some files have their own under these names."""

from pathlib import Path

import pytest
from support import plugins
from support.cli import finish, start
from support.external import Place, authors_state
from support.tiny import settled
from torch import Tensor


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return authors_state()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two trainings of about three seconds."""
    return plugins.command(tmp_path_factory.mktemp("jobs"), plugins.SLOW, "slow,slower", steps=100)


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process leaves."""
    store = tmp_path_factory.mktemp("one") / "store"
    result = finish(start(*command, "--store", store))
    assert result.code == 0, result.err
    return settled(store)
