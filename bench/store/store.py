"""The store: one JSON record per unit of work, written whole or not at all; claims; weights and rows beside them."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from glob import escape
from pathlib import Path

import msgspec
from msgspec import structs

from ..datasets import files
from ..datasets.errors import InputError
from ..datasets.sets.catalogue import entry
from ..datasets.sets.own_folder import names_folder
from ..protocol.units import Fit, Score, Unit
from .checkpoint import before, forget
from .folder import QUARANTINED, Folder, encoded
from .last_runs import LastRuns
from .record import Record, UnreadableError, read_record, read_rows
from .rows import Row

FAILED = ".failed.tmp"  # how a done unit failed when it was computed again


def default() -> Path:
    """$BENCH_STORE, else results/runs of the current folder."""
    return Path(os.environ.get("BENCH_STORE") or Path("results", "runs"))


def existing(root: Path | None) -> "Store":
    """The store to read: a folder, or the default; InputError if one was named that is not there."""
    if root and not files.is_folder(root):
        raise InputError(f"--store {root}: no such folder")
    return Store(root or default())


class Store(Folder):
    """Records under one folder; several runs may share it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.last = LastRuns(self)
        self._whole: set[str] = set()  # scores whose rows were found to be whole

    def read(self, unit: Unit | Record) -> Record | None:
        """The record of a unit; None if there is none, UnreadableError if it or its rows cannot be believed."""
        record = self._record(unit)
        if record and (record.kind, record.state) == ("score", "done") and unit.key not in self._whole:
            self._rows(unit, record)
            self._whole.add(unit.key)  # a run asks for the same records again and again
        return record

    def whole(self, unit: Unit | Record) -> Record | None:
        """The record of a unit; None also if it or its rows cannot be believed."""
        try:
            return self.read(unit)
        except UnreadableError:
            return None

    def _record(self, unit: Unit | Record) -> Record | None:
        path = self.path(unit)
        try:
            record = read_record(path)
        except FileNotFoundError:
            return None
        if isinstance(unit, Score) and record.state == "done":
            images = {name: mean["images"] for name, mean in record.result["outputs"].items()}
            most = max(images.values(), default=0)
            counted = most if names_folder(unit.test) else entry(unit.test).count * unit.repeats
            if images != {output.name: counted for output in unit.fit.method.outputs}:
                raise UnreadableError(path, "damaged", "scores of other outputs, or of another number of images")
        return record

    def quarantine(self, unit: Unit) -> str:
        """Renames the files of a unit whose record or rows are damaged or foreign; which, and why, or empty.

        InputError for files that this user may not read: they are perhaps whole.
        """
        try:
            self.read(unit)
            return ""
        except UnreadableError as error:
            wrong = error
        if wrong.state.kind == "unreadable":
            raise wrong
        for suffix in (".json", ".rows.jsonl", ".seconds", ".safetensors", FAILED):
            self.set_aside(self.path(unit, suffix))
        return f"{unit.title}: {wrong.state}; renamed to *{QUARANTINED}"

    def discard(self, unit: Unit) -> None:
        """Deletes temporary files of a unit, whose claim is held; how it failed stays until it is computed again."""
        with self.writing():
            record = self.path(unit)
            for left in record.parent.glob(f"{escape(record.stem)}.*.tmp"):
                if left != self._beside(unit):  # without it, the unit would seem to be computed: see `made`
                    left.unlink(missing_ok=True)

    def begin_anew(self, unit: Unit) -> None:
        """Deletes what a unit that was interrupted would continue with, unless another process works on it."""
        left = self.new_images(unit) if isinstance(unit, Score) else self.path(unit, ".checkpoint")
        if left.exists() or before(left).exists():
            with self.writing(), self.claim(unit) as mine:
                if mine and isinstance(unit, Score):
                    shutil.rmtree(left, ignore_errors=True)
                elif mine:
                    forget(left)

    def new_images(self, unit: Score) -> Path:
        """The folder of images that are computed again, until all are there."""
        return self.inside("images", f"{unit.images_key}.tmp")

    def replace_images(self, unit: Score) -> None:
        """Puts the images that were computed again into the place of the old ones, which are deleted last."""
        new, images, old = self.new_images(unit), self.images(unit), self.inside("images", f"{unit.images_key}.old.tmp")
        with self.writing():
            if new.is_dir():
                shutil.rmtree(old, ignore_errors=True)  # of a process that was killed here
                if images.is_dir():
                    images.rename(old)
                new.rename(images)
                shutil.rmtree(old, ignore_errors=True)

    def _rows(self, unit: Unit | Record, record: Record) -> list[Row]:
        path = self.path(unit, ".rows.jsonl")
        rows = read_rows(path, record)
        of_image = Counter((row.image, row.output) for row in rows)
        if set(of_image.values()) != {record.identity["repeats"]}:
            raise UnreadableError(path, "damaged", "an image lacks some of its noisy versions")
        return rows

    def weights(self, fit: Fit | Record) -> Path | None:
        """The weights of a training that succeeded; None if they are missing or not those of its record."""
        record = fit if isinstance(fit, Record) else self.whole(fit)
        path = self.path(fit, ".safetensors")
        if record is None or record.state != "done" or not files.is_file(path):
            return None
        try:
            stat = path.stat()
            return path if _sha256(path, stat.st_mtime_ns, stat.st_size) == record.result["weights"] else None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}; nothing was changed") from None

    def look(self) -> tuple[list[Record], list[UnreadableError]]:
        """All records, fits first, and what cannot be read, last.json among it."""
        records: list[Record] = []
        paths, wrong = self.record_files()
        for path in paths:
            try:
                self.inside(path.relative_to(self.root).as_posix())
                records.append(read_record(path))
            except UnreadableError as error:
                wrong.append(error)
            except InputError:
                wrong.append(UnreadableError(path, "unreadable", "a link, which a store does not follow"))
            except FileNotFoundError:
                continue  # a run has just quarantined it
        try:
            self.last.read()
        except UnreadableError as error:
            wrong.append(error)
        return records, wrong

    def find(self, words: str) -> list[Record]:
        """All records that can be read whose key starts with `words` or whose title has them all; fits first."""
        asked = set(words.split())
        return [r for r in self.look()[0] if r.key.startswith(words) or asked <= set(r.title.split())]

    def rows(self, unit: Score | Record) -> list[Row]:
        """The per-image scores of a done unit; UnreadableError if they are not those of its record."""
        record = self._record(unit)
        return self._rows(unit, record) if record else []

    def seconds(self, fit: Unit | Record, record: Record) -> float | None:
        """How long a training took, or an image of a score: no part of the record, which is the same in every run."""
        cost = self._cost(fit)
        return cost[0] if cost else record.result.get("seconds")

    def megabytes(self, score: Score | Record) -> float | None:
        """How much memory an image of a score took, where that was measured."""
        return self._cost(score)[1] if len(self._cost(score)) > 1 else None

    def _cost(self, unit: Unit | Record) -> list[float]:
        try:
            return list(map(float, self.path(unit, ".seconds").read_text().split()))
        except (OSError, ValueError):  # not there, or damaged: it stands beside the numbers, no more
            return []

    def write(
        self,
        unit: Unit,
        record: Record,
        rows: Sequence[Row] = (),
        seconds: float | None = None,
        megabytes: float | None = None,
        again: bool = False,
    ) -> None:
        """Cost and rows first, then the record that vouches for them; a record is the same in every run.

        `again`: a record that is not done stands beside a done one and does not replace it.
        """
        old = self.whole(unit) if again and record.state != "done" else None
        if old is not None and old.state == "done":
            self.write_file(self._beside(unit), encoded(record))
            return
        if seconds is not None:
            cost = f"{seconds:.1f}" if isinstance(unit, Fit) else f"{seconds:.3g}"
            cost += "" if megabytes is None else f" {megabytes:.0f}"
            self.write_file(self.path(unit, ".seconds"), f"{cost}\n".encode())
        if rows:
            text = b"\n".join(encoded(row.flat) for row in rows) + b"\n"
            self.write_file(self.path(unit, ".rows.jsonl"), text)
            record = structs.replace(record, result=record.result | {"rows": hashlib.sha256(text).hexdigest()})
        self.write_file(self.path(unit), msgspec.json.format(encoded(record), indent=1) + b"\n")
        with self.writing():
            self._beside(unit).unlink(missing_ok=True)

    def _beside(self, unit: Unit) -> Path:
        """The file that says how a unit failed; `write` deletes it once the unit's next record is stored."""
        return self.path(unit, FAILED)

    def failed_again(self, unit: Unit) -> Record | None:
        """How the last computation ended that did not replace a done record; None if it did."""
        with suppress(OSError, msgspec.DecodeError):
            path = self._beside(unit)
            if path.stat().st_mtime_ns == self.made(unit):  # else a process was killed before it deleted the file
                return msgspec.json.decode(path.read_bytes(), type=Record)
        return None

    def made(self, unit: Unit) -> int:
        """When the last computation of a unit ended [ns]; 0 if none has."""
        found = 0
        for path in (self.path(unit), self._beside(unit)):
            with suppress(OSError):
                found = max(found, path.stat().st_mtime_ns)
        return found


@cache
def _sha256(path: Path, mtime: int, size: int) -> str:
    return files.sha256(path)


def stale(score: Record, fit: Record | None) -> bool:
    """Whether a score is of other weights than its fit has now, as far as both records name their weights."""
    made, now = (record.result.get("weights") if record else None for record in (score, fit))
    return None not in (made, now) and made != now
