"""A folder of other vectors need not have those of our formulas; each of the official ones is missed."""

from pathlib import Path

import pytest

from .conftest import golden


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDEN_DIR", str(tmp_path))


@pytest.mark.parametrize("name", ["laine", "anscombe_chen"])
def test_vectors_of_formulas_may_be_missing(name: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"no {name}.npz"):
        golden.__wrapped__(name)


def test_official_vectors_may_not_be_missing() -> None:
    with pytest.raises(FileNotFoundError, match=r"nbr\.npz"):
        golden.__wrapped__("nbr")
