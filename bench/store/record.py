"""A record of one unit of work: what it holds, and when it can be believed."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.documents import content, from_json
from ..datasets.errors import InputError, printable
from ..protocol.metrics.registry import DEFAULT
from ..protocol.request import ExternalWeights
from ..protocol.units import digest
from .rows import Row, finite, row_of

SCHEMA = 1


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
    schema: Annotated[int, msgspec.Meta(ge=1)] = SCHEMA

    @property
    def external(self) -> ExternalWeights | None:
        """Where the weights came from; None for those trained here."""
        return msgspec.convert(self.result.get("external"), ExternalWeights | None)


class UnreadableError(InputError):
    """A record that is damaged, or of a later version; `state` says so in a table."""

    def __init__(self, path: Path, state: Literal["damaged", "foreign"], why: str) -> None:
        super().__init__(f"{path}: {state} record: {why}; python -m bench run sets it aside and does its work again")
        self.path, self.state = path, printable(f"{state}: {path.parent.name}/{path.name}: {why}")


class _Label(Struct):
    suite: str
    preset: str
    method: str


class _Scored(Struct):
    outputs: dict[str, dict[str, float | None]]  # metric -> mean; and the number of images
    weights: str = ""
    rows: str = ""
    parameters: int | None = None


class _Trained(Struct):
    weights: str
    parameters: int | None = None
    seconds: float | None = None
    quality: list[tuple[int, float]] = []
    external: ExternalWeights | None = None


class _Environment(Struct):
    device: str = ""
    precision: str = ""


def read_record(path: Path) -> Record:
    """The record in a file; UnreadableError unless it is whole, of a known schema, and its key that of its identity."""
    try:
        found = from_json(content(path), dict[str, Any])
        schema = found.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UnreadableError(path, "foreign", f"schema {schema}, this version reads up to {SCHEMA}")
        record = msgspec.convert(found, Record)
        msgspec.convert(record.label, _Label)
        msgspec.convert(record.environment, _Environment)
        if record.state == "done":
            msgspec.convert(record.result, _Trained if record.kind == "fit" else _Scored)
        key = digest(record.identity)
    except FileNotFoundError:
        raise
    except (msgspec.DecodeError, OSError, OverflowError) as error:  # the last: whole numbers of more than 64 bits
        raise UnreadableError(path, "damaged", str(error)) from None
    if (f"{record.kind}s", record.key) != (path.parent.name, path.stem):
        raise UnreadableError(path, "damaged", f"the record of {record.kind} {record.key}")
    if (record.kind, record.state) == ("score", "done") and not _has_its_metrics(record):
        raise UnreadableError(path, "damaged", "other metrics than its identity says")
    if record.key != key:
        raise UnreadableError(path, "damaged", f"its identity has the digest {key}")
    return record


def _has_its_metrics(record: Record) -> bool:
    known = record.identity.get("metrics", dict.fromkeys(DEFAULT))
    names = {*known, "images"} if isinstance(known, dict) else set()
    return all(mean.keys() == names for mean in record.result["outputs"].values())


def read_rows(path: Path, record: Record) -> list[Row]:
    """The per-image scores of a done record; UnreadableError unless they are those that it was made of."""
    try:
        text = content(path)
        rows = [row_of(from_json(line, dict[str, Any])) for line in text.splitlines()]
    except (msgspec.DecodeError, OSError) as error:
        raise UnreadableError(path, "damaged", str(error)) from None
    told = record.result.get("rows", "")  # records of earlier versions do not tell
    if (told and told != hashlib.sha256(text).hexdigest()) or summary(rows) != record.result.get("outputs"):
        raise UnreadableError(path, "damaged", "not the scores that its record was made of")
    return rows


def summary(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Means of the per-image scores of each output (not the PSNR of a mean error), and the number of images."""
    result: dict[str, dict[str, float | None]] = {}
    for output in dict.fromkeys(row.output for row in rows):
        mine = [row for row in rows if row.output == output]
        means = {metric: finite(sum(row.value(metric) for row in mine) / len(mine)) for metric in mine[0].metrics}
        result[output] = means | {"images": len(mine)}
    return result
