"""The folder of a store: where each unit keeps its files, who works on it, and that nothing is written elsewhere."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

import msgspec
from filelock import FileLock, Timeout

from ..datasets import files
from ..datasets.errors import InputError
from ..protocol.units import Score, Unit
from .names import DIGITS, stem
from .record import SCHEMA, Record, UnreadableError, read_record

MARK = "bench-store.json"  # says that a folder is a store: only in one are files removed
QUARANTINED = ".quarantined"  # ends the names of files that could not be read
PATIENCE = 0.1  # seconds in which a claim that somebody only looks at is free again
FRESH = 1.0  # seconds for which the names of the records are not listed again


class Folder:
    """The paths and the claims of a store; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed = -FRESH
        self._named: dict[str, list[Path]] = {}  # the records by the digits in their names

    def open(self) -> None:
        """Makes the folders; InputError if nothing can be written there."""
        with self.writing():
            for name in ("fits", "scores", "claims"):
                self.inside(name).mkdir(parents=True, exist_ok=True)
            probe = self.inside("claims", f"probe.{uuid4().hex[:8]}.tmp")
            probe.write_bytes(b"")
            probe.unlink()
        if not self.marked():
            self.write_file(self.inside(MARK), msgspec.json.encode({"schema": SCHEMA}) + b"\n")

    def marked(self) -> bool:
        """Whether the folder is known to be a store."""
        return files.is_file(self.root / MARK)

    def inside(self, *parts: str) -> Path:
        """A path in the store; InputError for a link, as what lies behind it is not the store's."""
        path = self.root
        for part in "/".join(parts).split("/"):
            path /= part
            if path.is_symlink():
                raise InputError(f"{path} is a link, and a store follows none: move its files here, or use --store DIR")
        return path

    def path(self, unit: Unit | Record, suffix: str = ".json") -> Path:
        """Where a unit keeps its record, `.safetensors`, `.checkpoint`, `.seconds` or `.rows.jsonl`."""
        own = stem(unit)
        if not os.path.lexists(self.root / f"{own}.json"):  # perhaps recorded under another name: the key decides
            for other in self._names().get(unit.key[:DIGITS], ()):
                with suppress(UnreadableError, FileNotFoundError):
                    if read_record(other).key == unit.key:
                        own = other.relative_to(self.root).as_posix().removesuffix(".json")
        return self.inside(f"{own}{suffix}")

    def _names(self) -> dict[str, list[Path]]:
        if time.monotonic() - self._listed >= FRESH:
            self._named = {}
            for path in self.record_files()[0]:
                self._named.setdefault(path.stem[-DIGITS:], []).append(path)
            self._listed = time.monotonic()
        return self._named

    def record_files(self) -> tuple[list[Path], list[UnreadableError]]:
        """The files of all records, fits first, and the folders that cannot be read."""
        found: list[Path] = []
        wrong: list[UnreadableError] = []

        def note(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                wrong.append(UnreadableError(Path(error.filename), "unreadable", error.strerror or str(error)))

        for name in ("fits", "scores"):
            for folder, inner, names in os.walk(self.inside(name), onerror=note):  # links to folders are not followed
                links = [path for path in (Path(folder, one) for one in inner) if path.is_symlink()]
                wrong += [
                    UnreadableError(link, "unreadable", "a link, which a store does not follow") for link in links
                ]
                found += sorted(Path(folder, one) for one in names if one.endswith(".json"))
        return found, wrong

    def images(self, unit: Score) -> Path:
        """The folder of the denoised images of a method that keeps them."""
        return self.inside("images", unit.images_key)

    def note(self, key: str) -> Path:
        """Where the process that works on a unit notes its progress."""
        return self.inside("claims", f"{key}.note")

    def claimed(self, key: str) -> bool:
        """Whether a process works on a unit now."""
        path = self.inside("claims", f"{key}.lock")
        if not files.is_file(path):
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # a store that can only be read
            return False
        lock.release()
        return False

    @contextmanager
    def claim(self, unit: Unit | str) -> Iterator[bool]:
        """Whether this process may work on the unit (or its key); the system releases the claim of a dead one.

        Nobody deletes the file of a claim: another process might be about to lock it.
        """
        key = unit if isinstance(unit, str) else unit.key
        lock = FileLock(self.inside("claims", f"{key}.lock"))
        try:
            if not isinstance(unit, str):  # weights and checkpoints are written there
                self.path(unit).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 10)  # `claimed` holds it for an instant
        except Timeout:
            yield False
            return
        except OSError as error:
            raise unwritable(self.root, error) from None
        self._listed = -FRESH  # another process may have just ended this unit
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """InputError for what the system refuses to write."""
        try:
            yield
        except OSError as error:
            raise unwritable(self.root, error) from None

    def write_file(self, path: Path, content: bytes) -> None:
        """A file that is whole or not there; InputError."""
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, lambda temporary: temporary.write_bytes(content))

    def set_aside(self, path: Path) -> None:
        """Renames a file that could not be read, if it is there, to a name that no file has."""
        with self.writing():
            if path.exists():
                names = (f"{path.name}{f'.{number}' if number else ''}{QUARANTINED}" for number in count())
                path.rename(next(free for name in names if not (free := path.with_name(name)).exists()))


def encoded(value: object) -> bytes:
    """JSON; InputError for a name that is not UTF-8, such as that of a folder of images."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the name {error.object!r} is not UTF-8, and records are; rename the file or folder"
        ) from None


def unwritable(root: Path, error: OSError) -> InputError:
    """The error for a store that cannot be written."""
    return InputError(f"cannot write to the store {root}: {error.strerror or error}; give another with --store DIR")
