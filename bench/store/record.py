"""A record of one unit of work: what it holds, and when it can be believed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.documents import content, from_json
from ..datasets.errors import InputError, printable
from ..protocol.metrics.registry import DEFAULT
from ..protocol.request import ExternalWeights
from ..protocol.states import State
from ..protocol.units import digest
from .rows import Row, check_value, finite, mean, row_of

SCHEMA = 1


class Record(Struct, kw_only=True):
    """What is known of one unit of work."""

    key: str
    kind: Literal["fit", "score"]
    state: Literal["done", "failed", "diverged"]
    title: str
    label: dict[str, Any]  # how it was asked for: suite, preset, method, noise, seed, training set, test set
    identity: dict[str, Any]  # what determines its numbers
    result: dict[str, Any] = {}
    reason: str = ""
    environment: dict[str, Any] = {}
    schema: Annotated[int, msgspec.Meta(ge=1)] = SCHEMA

    @property
    def external(self) -> ExternalWeights | None:
        """Where the weights came from; None for those trained here."""
        return msgspec.convert(self.result.get("external"), ExternalWeights | None)


class UnreadableError(InputError):
    """A record that is damaged, of a later version, or that this user may not read."""

    def __init__(self, path: Path, kind: Literal["damaged", "foreign", "unreadable"], why: str) -> None:
        self.path, self.state = path, State(kind, printable(f"{'/'.join(path.parts[-4:])}: {why}"))
        fix = "python -m bench run renames it to *.quarantined and computes it again"
        if kind == "unreadable":
            fix = "nothing was changed; ask its owner for the right to read it, or give another store with --store DIR"
        super().__init__(f"{path}: {kind} record: {why}; {fix}")


class _Label(Struct):
    suite: str
    preset: str
    method: str


# Fields with defaults are missing in the first of the committed records: they hold no digest of their rows and of the
# scored weights, and the seconds of a training stand in the record itself.
class _Scored(Struct):
    outputs: dict[str, dict[str, float | None]]  # metric -> mean; and the number of images
    weights: str = ""
    rows: str = ""
    parameters: int | None = None
    warnings: list[str] = []


class _Trained(Struct):
    weights: str
    parameters: int | None = None
    seconds: float | None = None
    quality: list[tuple[int, float]] = []
    external: ExternalWeights | None = None


class _FitIdentity(Struct):
    method: str
    noise: str


class _ScoreIdentity(Struct):
    fit: str
    noise: str
    repeats: int


class _Environment(Struct):
    device: str = ""
    precision: str = ""


@contextmanager
def believing(path: Path) -> Iterator[None]:
    """UnreadableError for a file that the system refuses to read, and for one whose content is damaged."""
    try:
        yield
    except (FileNotFoundError, UnreadableError):
        raise
    except OSError as error:
        raise UnreadableError(path, "unreadable", error.strerror or str(error)) from None
    except (msgspec.DecodeError, InputError, OverflowError) as error:  # too large a file; too large a whole number
        raise UnreadableError(path, "damaged", str(error)) from None


def read_record(path: Path) -> Record:
    """The record in a file; UnreadableError unless it is whole, of a known schema, and its key that of its identity.

    FileNotFoundError: there is no such file.
    """
    with believing(path):
        found = from_json(content(path), dict[str, Any])
        schema = found.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UnreadableError(path, "foreign", f"schema {schema}, this version reads up to {SCHEMA}")
        record = msgspec.convert(found, Record)
        identity, result = {"fit": (_FitIdentity, _Trained), "score": (_ScoreIdentity, _Scored)}[record.kind]
        msgspec.convert(record.label, _Label)
        msgspec.convert(record.environment, _Environment)
        msgspec.convert(record.identity, identity)
        key = digest(record.identity)
        if record.state == "done":
            msgspec.convert(record.result, result)
            _check_means(record)
        if record.key != key:
            raise InputError(f"its identity has the digest {key}")
        if path.parts[-4:-3] != (f"{record.kind}s",) or not path.stem.endswith(f"-{key[:8]}"):
            raise InputError(f"the record of {record.kind} {key}")
    return record


def _check_means(record: Record) -> None:
    """InputError for a score whose means are not of its metrics, or are no numbers that an image can have."""
    known = record.identity.get("metrics", dict.fromkeys(DEFAULT))
    names = {*known, "images"} if isinstance(known, dict) else set()
    for means in record.result["outputs"].values() if record.kind == "score" else ():
        for metric, value in means.items():
            check_value(metric, value)
        if means.keys() != names:
            raise InputError("other metrics than its identity says")


def read_rows(path: Path, record: Record) -> list[Row]:
    """The per-image scores of a done record; UnreadableError unless they are those that it was made of."""
    try:
        with believing(path):
            text = content(path)
            rows = [row_of(from_json(line, dict[str, Any])) for line in text.splitlines()]
    except FileNotFoundError:
        raise UnreadableError(path, "damaged", "the scores of each image are missing") from None
    if any(row.metrics.keys() != rows[0].metrics.keys() for row in rows):
        raise UnreadableError(path, "damaged", "its images have other metrics than each other")
    expected = record.result.get("rows", "")
    if (expected and expected != hashlib.sha256(text).hexdigest()) or summary(rows) != record.result.get("outputs"):
        raise UnreadableError(path, "damaged", "not the scores that its record was made of")
    if len({(row.image, row.repeat, row.output) for row in rows}) != len(rows):
        raise UnreadableError(path, "damaged", "it has two scores of one output of one image")
    return rows


def summary(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Means of the per-image scores of each output (not the PSNR of a mean error), and the number of images.

    An infinite score, of an output that equals the clean image, is left out of its mean: tables name these images.
    """
    result: dict[str, dict[str, float | None]] = {}
    for output in dict.fromkeys(row.output for row in rows):
        mine = [row for row in rows if row.output == output]
        means = {metric: finite(mean([row.value(metric) for row in mine])) for metric in mine[0].metrics}
        result[output] = means | {"images": len(mine)}
    return result
