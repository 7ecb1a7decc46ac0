"""This version derives the key of every committed record again: moves and new names in the code change none."""

from pathlib import Path

import pytest

from bench.protocol.states import State
from bench.protocol.units import Score
from bench.store.exchange import check_images, image_names
from bench.store.match import match
from bench.store.names import stem
from bench.store.store import Store

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured"
STORES = sorted({path.parents[3] for path in MEASURED.glob("**/scores/*/*/*.json")})


def test_there_are_committed_records() -> None:
    assert {path.name for path in STORES} >= {"baselines", "bm3d", "mini"}


@pytest.mark.parametrize("folder", STORES, ids=lambda folder: folder.name)
def test_every_committed_record_has_the_key_and_the_name_that_this_version_derives(folder: Path) -> None:
    store = Store(folder)
    records, unreadable = store.look()
    assert unreadable == []
    assert store.marked()
    units = match(records, store.last.known().requests.values(), store.last.known().digests)
    for record in records:
        unit = units[record.key]
        assert getattr(unit, "key", unit) == record.key
        assert not isinstance(unit, State)
        assert store.path(unit) == store.path(record) == folder / f"{stem(unit)}.json"
        assert store.read(unit) == record
        if isinstance(unit, Score):
            check_images(store.rows(unit), image_names(unit.test, unit.fit.channels))
