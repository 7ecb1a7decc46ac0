"""What a store can do without: found, listed, and removed only where nobody works on it."""

import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from msgspec import Struct

from .store import QUARANTINED, Store, stale, unwritable

OLD = 3600.0  # seconds after which a temporary file's writer is taken for dead
KEY = re.compile("[0-9a-f]{24}")


class Found(Struct, frozen=True):
    """A file that can go, as it was when it was listed."""

    path: Path
    size: int  # bytes
    changed: int  # nanoseconds


def find(store: Store, kind: str) -> list[Found]:
    """The regular files of a kind; nothing is followed, nothing changed."""
    return [found for path in sorted(KINDS[kind](store)) if (found := _look(path))]


def remove(store: Store, found: Sequence[Found]) -> list[Path]:
    """Removes files that are still as they were listed and whose unit nobody works on; those that stayed.

    InputError for a store that cannot be written.
    """
    try:
        return [one.path for one in found if not _remove(store, one)]
    except OSError as error:
        raise unwritable(store.root, error) from None


def _look(path: Path) -> Found | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return Found(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _remove(store: Store, one: Found) -> bool:
    key, lock = KEY.match(one.path.name), one.path
    if lock.suffix != ".lock":
        if key is None:
            return _unlink(store, one)
        lock = store.root / "claims" / f"{key[0]}.lock"
    new = not lock.exists()
    try:
        with FileLock(lock, timeout=0):
            if new or lock == one.path:
                lock.unlink()  # who opened it just now finds it gone, or does a unit twice, with the same result
            return lock == one.path or _unlink(store, one)
    except Timeout:
        return False


def _unlink(store: Store, one: Found) -> bool:
    if _look(one.path) != one:
        return False
    one.path.unlink()
    for folder in one.path.parents:  # those of a merge that was killed
        if not _is_temporary(store, folder) or any(folder.iterdir()):
            break
        folder.rmdir()
    return True


def _is_temporary(store: Store, path: Path) -> bool:
    return any(part.endswith(".tmp") for part in path.relative_to(store.root).parts)


def _temporary(store: Store) -> Iterator[Path]:
    """What processes left that were killed."""
    for path in store.root.rglob("*"):
        left = _is_temporary(store, path) or path.suffix in (".note", ".stop")
        if left and (found := _look(path)) and time.time() - found.changed / 1e9 > OLD:
            yield path


def _checkpoints(store: Store) -> Iterator[Path]:
    """Those of trainings that are done."""
    done = {record.key for record in store.find("") if (record.kind, record.state) == ("fit", "done")}
    paths = [*store.root.glob("fits/*.checkpoint"), *store.root.glob("fits/*.before")]
    yield from (path for path in paths if path.stem in done)


def _quarantined(store: Store) -> Iterator[Path]:
    """Records that could not be read, and what belonged to them."""
    yield from store.root.rglob(f"*{QUARANTINED}")


def _stale(store: Store) -> Iterator[Path]:
    """Scores of other weights than their fit has now."""
    records = {record.key: record for record in store.find("")}
    for record in records.values():
        if record.kind == "score" and stale(record, records.get(record.identity["fit"])):
            yield from (store.path(record), store.path(record, ".rows.jsonl"))


def _claims(store: Store) -> Iterator[Path]:
    """Lock files that nobody holds; a run makes them again."""
    for path in store.root.glob("claims/*.lock"):
        with suppress(Timeout), FileLock(path, timeout=0):
            yield path


KINDS: dict[str, Callable[[Store], Iterator[Path]]] = {
    "temporary": _temporary,
    "checkpoints": _checkpoints,
    "quarantined": _quarantined,
    "stale": _stale,
    "claims": _claims,
}
