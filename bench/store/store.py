"""The store: one JSON record per unit of work, written whole or not at all; claims; weights and rows beside them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct, structs

from ..datasets import files
from ..datasets.documents import content, from_json
from ..datasets.errors import InputError
from ..datasets.sets.digests import SetDigests
from ..protocol.plan import Plan
from ..protocol.request import Request
from ..protocol.units import Fit, Score, Unit
from .checkpoint import forget
from .record import Record, UnreadableError, read_record, read_rows
from .rows import Row

QUARANTINED = ".quarantined"  # ends the names of files that could not be read


class Last(Struct, omit_defaults=True):
    """The last run of every suite on a store."""

    folders: dict[str, str] = {}  # digests of the folders of images that it knew
    requests: dict[str, Request] = {}
    request: Request | None = None  # of stores that were made when there was one suite


def default() -> Path:
    """$BENCH_STORE, else results/runs of the checkout, else of the current folder."""
    if os.environ.get("BENCH_STORE"):
        return Path(os.environ["BENCH_STORE"])
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "results" / "runs"


def existing(root: Path | None) -> "Store":
    """The store to read: a folder, or the default; InputError if one was named that is not there."""
    if root and not root.is_dir():
        raise InputError(f"--store {root}: no such folder")
    return Store(root or default())


class Store:
    """Records under one folder; several runs may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: set[str] = set()  # scores whose rows were found to be whole

    def open(self) -> None:
        """Makes the folders; InputError if nothing can be written there."""
        try:
            for name in ("fits", "scores", "claims"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "claims" / f"probe.{uuid4().hex[:8]}.tmp"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise unwritable(self.root, error) from None

    def path(self, unit: Unit | Record, suffix: str = ".json") -> Path:
        """Where a unit keeps its record, `.safetensors`, `.checkpoint`, `.seconds` or `.rows.jsonl`."""
        return self.root / f"{kind(unit)}s" / f"{unit.key}{suffix}"

    def images(self, unit: Score) -> Path:
        """The folder of the denoised images of a method that keeps them."""
        return self.root / "images" / unit.images_key

    def read(self, unit: Unit | Record) -> Record | None:
        """The record of a unit; None if there is none, UnreadableError if it is damaged or of a later version."""
        try:
            return read_record(self.path(unit))
        except FileNotFoundError:
            return None

    def whole(self, unit: Unit | Record) -> Record | None:
        """The record of a unit; None also if it, or the rows that it vouches for, cannot be read."""
        try:
            return self.examine(unit)
        except UnreadableError:
            return None

    def quarantine(self, unit: Unit) -> str:
        """Renames the files of a unit whose record or rows cannot be read; which, and why, or empty."""
        try:
            self.examine(unit)
            return ""
        except UnreadableError as error:
            wrong = error
        try:
            for suffix in (".json", ".rows.jsonl", ".seconds", ".safetensors"):
                path = self.path(unit, suffix)
                if path.exists():
                    path.rename(_free(path))
        except OSError as error:
            raise unwritable(self.root, error) from None
        return f"{unit.title}: {wrong.state}; set aside as *{QUARANTINED}"

    def discard(self, unit: Unit) -> None:
        """Deletes what a unit must not begin with that is done again from its start; the record stays until then."""
        try:
            if isinstance(unit, Score):
                shutil.rmtree(self.images(unit), ignore_errors=True)
            else:
                forget(self.path(unit, ".checkpoint"))
                self.path(unit, ".safetensors").unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.root, error) from None

    def examine(self, unit: Unit | Record) -> Record | None:
        """The record of a unit; None if there is none, UnreadableError if it or its rows cannot be read."""
        record = self.read(unit)
        if record and (record.kind, record.state) == ("score", "done") and unit.key not in self._read:
            read_rows(self.path(unit, ".rows.jsonl"), record)
            self._read.add(unit.key)  # a run asks for the same records again and again
        return record

    def weights(self, fit: Fit | Record) -> Path | None:
        """The weights of a training that succeeded; None if they are missing or not those of its record."""
        record = fit if isinstance(fit, Record) else self.whole(fit)
        path = self.root / "fits" / f"{fit.key}.safetensors"
        if record is None or record.state != "done" or not path.is_file():
            return None
        stat = path.stat()
        return path if _sha256(path, stat.st_mtime_ns, stat.st_size) == record.result["weights"] else None

    def look(self) -> tuple[list[Record], list[UnreadableError]]:
        """All records, fits first, and what cannot be read."""
        records, wrong = [], []
        for path in sorted([*self.root.glob("fits/*.json"), *self.root.glob("scores/*.json")]):
            try:
                records.append(read_record(path))
            except UnreadableError as error:
                wrong.append(error)
            except FileNotFoundError:
                continue  # a run has just set it aside
        return records, wrong

    def find(self, words: str) -> list[Record]:
        """All records that can be read whose key starts with `words` or whose title has them all; fits first."""
        asked = set(words.split())
        return [r for r in self.look()[0] if r.key.startswith(words) or asked <= set(r.title.split())]

    def rows(self, unit: Score | Record) -> list[Row]:
        """The per-image scores of a done unit; UnreadableError if they are not those of its record."""
        record = self.read(unit)
        return read_rows(self.path(unit, ".rows.jsonl"), record) if record else []

    def seconds(self, fit: Fit | Record, record: Record) -> float | None:
        """How long a training took; records of earlier versions hold it themselves."""
        path = self.path(fit, ".seconds")
        try:
            return float(path.read_text())
        except (OSError, ValueError):  # not there, or damaged: it stands beside the numbers, no more
            return record.result.get("seconds")

    def write(self, unit: Unit, record: Record, rows: Sequence[Row] = (), seconds: float | None = None) -> None:
        """Time and rows first, then the record that vouches for them; a record is the same in every run."""
        if seconds is not None:
            self._write(self.path(unit, ".seconds"), f"{seconds:.1f}\n".encode())
        if rows:
            text = b"\n".join(msgspec.json.encode(row.flat) for row in rows) + b"\n"
            self._write(self.path(unit, ".rows.jsonl"), text)
            record = structs.replace(record, result=record.result | {"rows": hashlib.sha256(text).hexdigest()})
        self._write(self.path(unit), msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")

    def remember(self, plan: Plan) -> None:
        """What was asked for last, so that `tables` shows it when nothing else is asked, from the records alone."""
        folders = plan.digests.folders
        self._note(lambda last: Last(last.folders | folders, last.requests | {plan.request.suite: plan.request}))

    def adopt(self, other: Last) -> None:
        """What another store was asked for, where this one was not."""
        self._note(lambda last: Last(other.folders | last.folders, other.requests | last.requests))

    def _note(self, change: Callable[[Last], Last]) -> None:
        try:
            with FileLock(self.root / "claims" / "last.lock"):  # other runs note theirs
                self._write(self.root / "last.json", msgspec.json.encode(change(self.last())) + b"\n")
        except OSError as error:
            raise unwritable(self.root, error) from None

    def last_request(self, suite: str) -> Request | None:
        """The request of the last run of a suite here."""
        return self.last().requests.get(suite)

    def digests(self) -> SetDigests:
        """Digests of image sets, of folders that are gone as the last runs knew them."""
        return SetDigests(self.last().folders)

    def asked(self) -> set[str]:
        """The suites that were run here, if only on what others had computed."""
        return set(self.last().requests)

    def last(self) -> Last:
        """What was asked for last, by suite; InputError if its file is damaged."""
        path = self.root / "last.json"
        try:
            last = from_json(content(path), Last) if path.is_file() else Last()
        except (msgspec.DecodeError, OSError) as error:
            raise InputError(f"{path}: damaged ({error}); move it away and run the same command again") from None
        if last.request is not None:
            last = Last(last.folders, {last.request.suite: last.request})
        return last

    def note(self, key: str) -> Path:
        """Where the process that works on a unit notes its progress."""
        return self.root / "claims" / f"{key}.note"

    def notes(self) -> set[str]:
        """The keys of units that are worked on, or whose process died."""
        return {path.stem for path in self.root.glob("claims/*.note")}

    def claimed(self, key: str) -> bool:
        """Whether a process works on a unit now."""
        lock = FileLock(self.root / "claims" / f"{key}.lock")
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
        """Whether this process may work on the unit (or its key); the system releases the claim of a dead one."""
        key = unit if isinstance(unit, str) else unit.key
        lock = FileLock(self.root / "claims" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise unwritable(self.root, error) from None
        try:
            yield True
        finally:
            lock.release()

    def _write(self, path: Path, content: bytes) -> None:
        try:
            files.write(path, lambda temporary: temporary.write_bytes(content))
        except OSError as error:
            raise unwritable(self.root, error) from None


@cache
def _sha256(path: Path, mtime: int, size: int) -> str:
    return files.sha256(path)


def _free(path: Path) -> Path:
    """A name to set a file aside under, that no file has."""
    names = (f"{path.name}.{number}{QUARANTINED}" if number else f"{path.name}{QUARANTINED}" for number in count())
    return next(free for name in names if not (free := path.with_name(name)).exists())


def kind(unit: Unit | Record) -> Literal["fit", "score"]:
    """The kind of a unit or record."""
    if isinstance(unit, Record):
        return unit.kind
    return "fit" if isinstance(unit, Fit) else "score"


def unwritable(root: Path, error: OSError) -> InputError:
    """The error for a store that cannot be written."""
    return InputError(f"cannot write to the store {root}: {error.strerror or error}; give another with --store DIR")


def stale(score: Record, fit: Record | None) -> bool:
    """Whether a score is of other weights than its fit has now; records of earlier versions do not tell."""
    made, now = (record.result.get("weights") if record else None for record in (score, fit))
    return None not in (made, now) and made != now
