"""The store: one JSON record per unit of work, written whole or not at all; claims; weights and rows beside them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from .datasets import files
from .datasets.catalogue import file_digest, folder_digests, remember_folders
from .datasets.documents import content, from_json
from .datasets.errors import InputError
from .evaluation import Row
from .plan import Fit, Imported, Plan, Request, Score, Unit

SCHEMA = 1
T = TypeVar("T")


class Record(Struct, kw_only=True):
    """What is known of one unit of work."""

    key: str
    kind: Literal["fit", "score"]
    state: Literal["done", "failed", "diverged"]
    title: str
    label: dict[str, Any]  # how it was asked for: suite, preset, method, noise, seed, test set
    identity: dict[str, Any]  # what determines its numbers
    result: dict[str, Any] = {}
    reason: str = ""
    environment: dict[str, Any] = {}
    schema: int = SCHEMA

    @property
    def imported(self) -> Imported | None:
        """Where the weights came from; None for those trained here. InputError for a damaged record."""
        try:
            return msgspec.convert(self.result.get("imported"), Imported | None)
        except msgspec.ValidationError as error:
            raise InputError(f"record {self.key}: damaged ({error}); move it away") from None


class Last(Struct, omit_defaults=True):
    """The last run of every suite on a store."""

    folders: dict[str, str] = {}  # digests of the folders of images that it knew
    requests: dict[str, Request] = {}
    request: Request | None = None  # of stores that were made when there was one suite


def default() -> Path:
    """$BENCH_STORE, else results/runs of the checkout, else of the current folder."""
    if os.environ.get("BENCH_STORE"):
        return Path(os.environ["BENCH_STORE"])
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "results" / "runs"


class Store:
    """Records under one folder; several runs may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Makes the folders; InputError if nothing can be written there."""
        try:
            for name in ("fits", "scores", "claims"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "claims" / f"probe.{os.getpid()}.tmp"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise unwritable(self.root, error) from None

    def path(self, unit: Unit, suffix: str = ".json") -> Path:
        """Where a unit keeps its record, `.safetensors`, `.checkpoint`, `.seconds` or `.rows.jsonl`."""
        return self.root / f"{kind(unit)}s" / f"{unit.key}{suffix}"

    def images(self, unit: Score) -> Path:
        """The folder of the denoised images of a method that keeps them."""
        return self.root / "images" / unit.images_key

    def read(self, unit: Unit) -> Record | None:
        """The record of a unit; None if there is none, InputError if it is damaged."""
        return self._decode(self.path(unit)) if self.path(unit).is_file() else None

    def weights(self, fit: Fit | Record) -> Path | None:
        """The weights of a training that succeeded; None if they are missing or not those of its record."""
        record = fit if isinstance(fit, Record) else self.read(fit)
        path = self.root / "fits" / f"{fit.key}.safetensors"
        if record is None or record.state != "done" or not path.is_file():
            return None
        stat = path.stat()
        return path if _sha256(path, stat.st_mtime_ns, stat.st_size) == record.result["weights"] else None

    def find(self, words: str) -> list[Record]:
        """All records whose key starts with `words` or whose title has them all; fits first."""
        paths = sorted([*self.root.glob("fits/*.json"), *self.root.glob("scores/*.json")])
        records: list[Record] = [self._decode(path) for path in paths]
        asked = set(words.split())
        return [r for r in records if r.key.startswith(words) or asked <= set(r.title.split())]

    def rows(self, unit: Score) -> list[Row]:
        """The per-image scores of a done unit."""
        path = self.path(unit, ".rows.jsonl")
        with _undamaged(path):
            return [from_json(line, Row) for line in content(path).splitlines()]

    def seconds(self, fit: Fit, record: Record) -> float | None:
        """How long a training took; records of earlier versions hold it themselves."""
        path = self.path(fit, ".seconds")
        return float(path.read_text()) if path.is_file() else record.result.get("seconds")

    def write(self, unit: Unit, record: Record, rows: Sequence[Row] = (), seconds: float | None = None) -> None:
        """Time and rows first, then the record that vouches for them; a record is the same in every run."""
        if seconds is not None:
            self._write(self.path(unit, ".seconds"), f"{seconds:.1f}\n".encode())
        if rows:
            self._write(self.path(unit, ".rows.jsonl"), b"\n".join(map(msgspec.json.encode, rows)) + b"\n")
        self._write(self.path(unit), msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")

    def remember(self, plan: Plan) -> None:
        """What was asked for last, so that `tables` shows it when nothing else is asked, from the records alone."""
        with FileLock(self.root / "claims" / "last.lock"):  # other runs remember theirs
            last = self._last()
            last.requests[plan.request.suite] = plan.request
            last.folders |= folder_digests()
            self._write(self.root / "last.json", msgspec.json.encode(last) + b"\n")

    def last_request(self, suite: str) -> Request | None:
        """The request of the last run of a suite here."""
        last = self._last()
        remember_folders(last.folders)
        return last.requests.get(suite)

    def asked(self) -> set[str]:
        """The suites that were run here, if only on what others had computed."""
        return set(self._last().requests)

    def _last(self) -> Last:
        path = self.root / "last.json"
        last = self._decode(path, Last) if path.is_file() else Last()
        if last.request is not None:
            last = Last(last.folders, {last.request.suite: last.request})
        return last

    def note(self, key: str) -> Path:
        """Where the process that works on a unit notes its progress."""
        return self.root / "claims" / f"{key}.note"

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
    def claim(self, unit: Unit) -> Iterator[bool]:
        """Whether this process may work on the unit; the system releases the claim of a dead one."""
        lock = FileLock(self.root / "claims" / f"{unit.key}.lock")
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

    @staticmethod
    def _decode(path: Path, kind: type[T] = Record) -> T:  # type: ignore[assignment]
        with _undamaged(path):
            found = from_json(content(path), kind)
        if isinstance(found, Record) and found.schema > SCHEMA:
            raise InputError(f"{path}: a record of schema {found.schema}; this version reads up to {SCHEMA}: update it")
        return found


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, OSError) as error:
        raise InputError(f"{path}: damaged record ({error}); move it away and run the same command again") from None


@cache
def _sha256(path: Path, mtime: int, size: int) -> str:
    return file_digest(path)


def kind(unit: Unit) -> Literal["fit", "score"]:
    """The kind of a unit."""
    return "fit" if isinstance(unit, Fit) else "score"


def unwritable(root: Path, error: OSError) -> InputError:
    """The error for a store that cannot be written."""
    return InputError(f"cannot write to the store {root}: {error.strerror or error}; give another with --store DIR")


def stale(score: Record, fit: Record | None) -> bool:
    """Whether a score is of other weights than its fit has now; records of earlier versions do not tell."""
    made, now = (record.result.get("weights") if record else None for record in (score, fit))
    return None not in (made, now) and made != now
