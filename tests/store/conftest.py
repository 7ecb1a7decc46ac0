"""One filled store for the tests of stores."""

from pathlib import Path

import pytest
from support.exchange import export
from support.tiny import Tiny


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The store of a run with two seeds, which no test changes."""
    place = Tiny(tmp_path_factory.mktemp("filled"))
    place.run("--seeds", "0,1")
    return place


@pytest.fixture
def archive(filled: Tiny, tmp_path: Path) -> Path:
    """All records of the store, with weights."""
    return export(filled, tmp_path / "ours.zip", "--weights")
