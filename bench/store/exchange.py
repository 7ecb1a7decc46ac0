"""Records exchanged between groups: written into one file, and taken from one where they answer our questions."""

import hashlib
import math
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile, ZipInfo

import msgspec
from msgspec import Struct

from .. import __version__
from ..datasets import files
from ..datasets.documents import content, from_json
from ..datasets.errors import DamagedError, InputError, few, printable, unknown
from ..datasets.sets.archives import Limits, extract
from ..datasets.sets.catalogue import entry, references
from ..datasets.sets.find import find
from ..datasets.sets.own_folder import names_folder
from ..protocol import plan
from ..protocol.differences import differences
from ..protocol.request import Request
from ..protocol.states import State
from ..protocol.units import Score, Unit
from .folder import MARK
from .last_runs import Last
from .match import match
from .record import SCHEMA, Record, UnreadableError
from .rows import Row
from .store import Store, stale
from .tensors import read_tensors

MANIFEST = "manifest.json"
PART = r"(?!\.)[A-Za-z0-9._+-]{1,200}"  # the method, the noise, and the name of a file before its suffix
MEMBER = re.compile(
    r"last\.json|fits/PART/PART/PART\.(json|seconds|safetensors)|scores/PART/PART/PART\.(json|seconds|rows\.jsonl)".replace(
        "PART", PART
    )
)
LIMITS = Limits(ratio=20)  # what we write is not compressed; what somebody packed again hardly gets smaller


class Manifest(Struct):
    """What a file of records holds."""

    files: dict[str, str]  # SHA-256 of every member
    schema: int = SCHEMA
    version: str = __version__


class RefusedError(Exception):
    """A record that is not taken; the message says why."""


class Merged(Struct):
    """What became of the records of another store; `refused` and `notes` are sentences."""

    taken: int = 0
    same: int = 0
    refused: list[str] = []
    notes: list[str] = []
    retrained: set[str] = set()  # keys of fits that are others here


def export(store: Store, out: Path, words: str, weights: bool) -> tuple[int, list[str]]:
    """Writes records with their rows and times, on request with weights, as a zip file; the same bytes every time.

    How many records, and which could not be read. InputError: none has these words, or the file cannot be written.
    """
    every, wrong = store.look()
    found = store.find(words)
    keys = {record.key for record in found} | {record.identity.get("fit") for record in found}
    chosen = [record for record in every if record.key in keys and store.whole(record)]
    if not chosen:
        raise unknown("record", words, [record.title for record in every], f"Store: {store.root}.")
    if os.path.lexists(out) and not files.is_file(out):
        raise InputError(f"cannot write {out}: it is there, and not a file")
    with files.output(out, "FILE.zip"):
        files.write(out, lambda temporary: _pack(temporary, _members(store, chosen, weights)))
    rowless = [record.title for record in every if record.key in keys and record not in chosen]
    return len(chosen), [str(error.state) for error in wrong] + [f"{title}: damaged scores" for title in rowless]


def _members(store: Store, records: list[Record], weights: bool) -> Iterator[tuple[str, bytes]]:
    yield "last.json", msgspec.json.encode(store.last.known())
    for record in records:
        paths = [store.path(record), store.path(record, ".seconds")]
        paths += [store.path(record, ".rows.jsonl")] if (record.kind, record.state) == ("score", "done") else []
        paths += [store.path(record, ".safetensors")] if weights and store.weights(record) else []
        yield from ((path.relative_to(store.root).as_posix(), path.read_bytes()) for path in paths if path.is_file())


def _pack(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    """Members in their order under one date, and not compressed: every machine writes the same bytes."""
    manifest = Manifest({})
    with ZipFile(path, "w") as archive:
        for name, text in members:
            archive.writestr(ZipInfo(name), text)
            manifest.files[name] = hashlib.sha256(text).hexdigest()
        archive.writestr(ZipInfo(MANIFEST), msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def merge(source: Path, store: Store) -> Merged:
    """Takes what a store, or a file of `export`, has and this store has not, and says what is refused.

    InputError: no such file, one that is damaged or unsafe, or a store that cannot be written.
    """
    store.open()
    if files.is_folder(source):
        if not Store(source).marked():
            raise InputError(f"{source}: no store, as it has no {MARK}")
        return _merge(Store(source), store)
    if not files.is_file(source):
        raise InputError(f"{source}: no such file")
    with store.writing(), TemporaryDirectory(prefix="merge", suffix=".tmp", dir=store.root) as folder:
        unpack(source, Path(folder))
        return _merge(Store(Path(folder)), store)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a file of `export` after checks of every name, size and digest; InputError."""
    paths = {path.relative_to(folder).as_posix(): path for path in extract(archive, folder, LIMITS)}
    path = paths.pop(MANIFEST, None)
    if path is None:
        raise DamagedError(f"{archive}: no {MANIFEST} in it; expected a file of python -m bench export")
    try:
        manifest = from_json(content(path), Manifest)
    except msgspec.DecodeError as error:
        raise DamagedError(f"{archive}: {MANIFEST}: {error}") from None
    if manifest.schema > SCHEMA:
        raise InputError(f"{archive}: schema {manifest.schema}, this version reads up to {SCHEMA}: update it")
    strange = sorted({*paths} ^ {*manifest.files}) + [name for name in paths if not MEMBER.fullmatch(name)]
    if strange:
        raise DamagedError(f"{archive}: its manifest and its members differ, or are no records: {few(strange)}")
    altered = [name for name, path in paths.items() if files.sha256(path) != manifest.files[name]]
    if altered:
        raise DamagedError(f"{archive}: other bytes than its manifest says: {few(altered)}")


def _merge(theirs: Store, ours: Store) -> Merged:
    records, wrong = theirs.look()
    merged = Merged(refused=[str(error.state) for error in wrong])
    last, own = theirs.last.known(), ours.last.known()
    digests = (last | own).digests
    units = match(records, [*own.requests.values(), *last.requests.values()], digests)
    images = cache(image_names)
    suites: set[str] = set()  # of what both have now
    for record in records:  # fits first
        if record.state == "failed":
            continue  # a run here tries again
        try:
            unit = units[record.key]
            if isinstance(unit, State):
                raise RefusedError(str(unit))
            theirs.read(unit)
            if isinstance(unit, Score) and record.state == "done":
                check_images(theirs.rows(unit), images(unit.test, unit.fit.channels))
            _take(record, unit, theirs, ours, merged)
        except UnreadableError as error:
            merged.refused.append(str(error.state))
        except (RefusedError, DamagedError) as error:
            merged.refused.append(printable(f"{record.title}: {error}"))
        else:
            suites.add(record.label["suite"])
    if suites:
        asked = {name: one for name, one in last.requests.items() if name == one.suite and _suite(one) in suites}
        ours.last.adopt(Last(last.folders | digests.folders, asked))  # of a folder that is here, what it is
    return merged


def _suite(request: Request) -> str:
    """The name of the suite of a request that came with a file; empty if no table can be made of it."""
    try:
        return plan.make(request).suite.name
    except InputError:
        return ""


def image_names(test: str, channels: int) -> set[str]:
    """The names of a test set's images; empty if they are not known here."""
    if names_folder(test):
        image_set = find(test)
        here = image_set.folder is not None and files.is_folder(image_set.folder)
        return {image.name for image in image_set.load(None, channels)} if here else set()
    return {reference.stem for reference in references(test)} if entry(test).layout == "images" else set()


def check_images(rows: list[Row], images: set[str]) -> None:
    """RefusedError for scores of other images than these, if any are known."""
    if images and {row.image for row in rows} != images:
        raise RefusedError("scores of other images than its test set has")


def _take(record: Record, unit: Unit, theirs: Store, ours: Store, merged: Merged) -> None:
    """Takes one record, unless ours is the same; RefusedError says why not."""
    with ours.claim(unit) as mine:
        if not mine:
            raise RefusedError("a run works on it now; merge again later")
        known = ours.whole(unit)
        new = known is None or known.state == "failed"
        if known is not None and not new and not _agree(_numbers(known), _numbers(record)):
            merged.retrained.add(record.key)
            what = few(differences(_numbers(record), _numbers(known)))
            raise RefusedError(f"other numbers than the record here, which stays: {what}")
        if isinstance(unit, Score) and (unit.fit.key in merged.retrained or stale(record, ours.whole(unit.fit))):
            raise RefusedError("scored with other weights than its fit has here")
        if new:
            merged.notes += filter(None, [ours.quarantine(unit)])
            _copy_weights(record, unit, theirs, ours)
            rows = theirs.rows(record) if record.kind == "score" and record.state == "done" else []
            ours.write(unit, record, rows, theirs.seconds(record, record), theirs.megabytes(record))
        elif ours.weights(record) is None:
            _copy_weights(record, unit, theirs, ours)
    merged.taken, merged.same = merged.taken + new, merged.same + (not new)


def _numbers(record: Record) -> dict[str, object]:
    """What must agree in two records of one key; times and machines may differ."""
    name = "weights" if record.kind == "fit" else "outputs"
    return {"state": record.state, name: record.result.get(name)}


def _agree(one: object, other: object) -> bool:
    """Whether they are equal, numbers but for rounding, which differs between processors."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(value, other[name]) for name, value in one.items())
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other


def _copy_weights(record: Record, unit: Unit, theirs: Store, ours: Store) -> None:
    """Copies the weights of a fit, if they came with it; RefusedError if they are not those of its record."""
    source = theirs.path(record, ".safetensors")
    if record.kind != "fit" or not files.is_file(source):
        return
    if theirs.weights(record) is None or read_tensors(source)[1].get("key") != record.key:
        raise RefusedError("its weights are not those of its record")
    with ours.writing():
        files.write(ours.path(unit, ".safetensors"), lambda temporary: shutil.copyfile(source, temporary))
