"""Files that a store can do without: found, listed, and removed only where nobody works on their unit."""

import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from ..datasets.errors import InputError
from ..protocol.units import images_key
from .checkpoint import before
from .folder import MARK, QUARANTINED
from .store import FAILED, Store, stale

OLD = 3600.0  # seconds after which nobody writes a temporary file any more


class Found(Struct, frozen=True):
    """A file that can go, as it was when it was listed."""

    path: Path
    size: int  # bytes
    changed: int  # nanoseconds
    key: str  # of the unit that it belongs to; empty: of none


def find(store: Store, kind: str) -> list[Found]:
    """The files of a kind; InputError for a folder that is not a store."""
    if not store.marked():
        raise InputError(f"{store.root}: no store, as it has no {MARK}; nothing was removed")
    return sorted((found for path, key in KINDS[kind](store) if (found := _look(path, key))), key=lambda one: one.path)


def remove(store: Store, found: Sequence[Found]) -> list[Path]:
    """Removes files that are still as they were listed and whose unit nobody works on; those that stayed.

    InputError for a store that cannot be written.
    """
    stayed = []
    for one in found:
        with store.writing(), store.claim(one.key or "clean") as mine:
            if mine and _look(one.path, one.key) == one:
                one.path.unlink()
            else:
                stayed.append(one.path)
    return stayed


def _look(path: Path, key: str) -> Found | None:
    """A regular file; nothing behind a link is looked at."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return Found(path, status.st_size, status.st_mtime_ns, key) if stat.S_ISREG(status.st_mode) else None


Files = Iterator[tuple[Path, str]]


def _temporary(store: Store) -> Files:
    """What processes left that were killed; how a unit failed when it was computed again is no such file."""
    scores = [record for record in store.find("") if record.kind == "score"]
    scores.sort(key=lambda record: store.claimed(record.key))  # of several with the same images, one that is worked on
    owners = {f"{images_key(record.identity)}.tmp": record.key for record in scores}
    for path in store.root.rglob("*"):
        parts = path.relative_to(store.root).parts
        left = any(part.endswith(".tmp") for part in parts) or path.suffix == ".note"
        found = _look(path, "") if left and not path.name.endswith(FAILED) else None
        if found and time.time() - found.changed / 1e9 > OLD:
            yield path, next((owners[part] for part in parts if part in owners), "")


def _checkpoints(store: Store) -> Files:
    """Those of trainings that are done."""
    for record in store.find(""):
        if (record.kind, record.state) == ("fit", "done"):
            checkpoint = store.path(record, ".checkpoint")
            yield from ((path, record.key) for path in (checkpoint, before(checkpoint)))


def _quarantined(store: Store) -> Files:
    """Records that could not be read, and what belonged to them."""
    yield from ((path, "") for path in store.root.rglob(f"*{QUARANTINED}"))


def _stale(store: Store) -> Files:
    """Scores of other weights than their fit has now."""
    records = {record.key: record for record in store.find("")}
    for record in records.values():
        if record.kind == "score" and stale(record, records.get(record.identity["fit"])):
            yield from ((store.path(record, suffix), record.key) for suffix in (".json", ".rows.jsonl"))


KINDS: dict[str, Callable[[Store], Files]] = {
    "temporary": _temporary,
    "checkpoints": _checkpoints,
    "quarantined": _quarantined,
    "stale": _stale,
}
