"""This version derives the key of every committed record again: moves and new names in the code change none."""

from pathlib import Path

import pytest

from bench.store.match import match
from bench.store.store import Store

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured"
STORES = sorted({path.parents[1] for path in MEASURED.glob("**/scores/*.json")})


def test_there_are_committed_records() -> None:
    assert len(STORES) >= 7


@pytest.mark.parametrize("folder", STORES, ids=lambda folder: folder.name)
def test_every_committed_record_has_the_key_that_this_version_derives(folder: Path) -> None:
    store = Store(folder)
    records, unreadable = store.look()
    assert unreadable == []
    units = match(records, store.last().requests.values(), store.digests())
    assert {record.title: str(units[record.key]) for record in records if isinstance(units[record.key], str)} == {}
    assert all(units[record.key].key == record.key for record in records)  # type: ignore[union-attr]
