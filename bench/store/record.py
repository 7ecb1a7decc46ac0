"""A record of one unit of work: what it holds, and when it can be believed."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.documents import content, from_json
from ..datasets.errors import InputError, printable
from ..protocol.request import ExternalWeights
from ..protocol.units import digest
from .rows import Row, infinite

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


class _Mean(Struct):
    psnr: float | None
    ssim: float
    images: int


class _Scored(Struct):
    outputs: dict[str, _Mean]
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
    if record.key != key:
        raise UnreadableError(path, "damaged", f"its identity has the digest {key}")
    return record


def read_rows(path: Path, record: Record) -> list[Row]:
    """The per-image scores of a done record; UnreadableError unless they are those that it was made of."""
    try:
        text = content(path)
        rows = [from_json(line, Row) for line in text.splitlines()]
    except (msgspec.DecodeError, OSError) as error:
        raise UnreadableError(path, "damaged", str(error)) from None
    told = record.result.get("rows", "")  # records of earlier versions do not tell
    if (told and told != hashlib.sha256(text).hexdigest()) or summary(rows) != record.result.get("outputs"):
        raise UnreadableError(path, "damaged", "not the scores that its record was made of")
    return rows


def summary(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Means of the per-image scores of each output (not the PSNR of a mean error)."""
    result: dict[str, dict[str, float | None]] = {}
    for output in dict.fromkeys(row.output for row in rows):
        mine = [row for row in rows if row.output == output]
        decibels = sum(infinite(row.psnr) for row in mine) / len(mine)
        result[output] = {
            "psnr": None if decibels == float("inf") else decibels,
            "ssim": sum(row.ssim for row in mine) / len(mine),
            "images": len(mine),
        }
    return result
