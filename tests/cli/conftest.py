"""What the tests of commands share: a finished run, and a store that refused commands leave as it is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Done, bench, narrow_networks, photos, snapshot


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Two methods on the packaged photographs, two steps each."""
    folder = tmp_path_factory.mktemp("done")
    tests = photos(folder / "tests", "astronaut", "coffee")
    command = ("run", "--methods", "b2u,n2c", "--noise", "gauss25", "--steps", "2", "--test-sets", f"folder:{tests}")
    with narrow_networks():
        result = bench(*command, "--store", folder / "store")
    assert result.code == 0, result.err
    return Done(folder / "store", tests, command, result)


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    return shutil.copytree(done.store, tmp_path / "store")


@pytest.fixture(scope="session")
def chelsea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small photograph."""
    return photos(tmp_path_factory.mktemp("work") / "tests", "chelsea", height=64)


@pytest.fixture(scope="session")
def filled(chelsea: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the record of a run."""
    store = tmp_path_factory.mktemp("filled") / "store"
    argv = ("--noise", "gauss25", "--steps", "1", "--test-sets", f"folder:{chelsea}", "--store", store)
    with narrow_networks():
        assert bench("run", "--methods", "n2c", *argv).code == 0
    return store


@pytest.fixture
def untouched(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of that store, which no refused command may touch."""
    mine = shutil.copytree(filled, tmp_path_factory.mktemp("copy") / "store")
    before = snapshot(mine)
    yield mine
    assert snapshot(mine) == before


@pytest.fixture
def beside_photographs(chelsea: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small training set at hand; the developer's BENCH_DATA and BENCH_STORE play no part."""
    monkeypatch.chdir(chelsea.parent)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.delenv("BENCH_STORE", raising=False)
