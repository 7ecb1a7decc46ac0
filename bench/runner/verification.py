"""Stored weights and images scored again: how far the numbers of today are from the records."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from msgspec import Struct

from ..compute.machine import Machine
from ..compute.scoring import evaluate
from ..datasets.errors import DamagedError, InputError, one_line, printable
from ..datasets.images import SetImage
from ..protocol.metrics.registry import find_metric
from ..protocol.units import Score
from ..store.match import match
from ..store.record import Record, UnreadableError, summary
from ..store.rows import Row, infinite
from ..store.store import Store, stale
from ..store.tensors import read_tensors
from .execution import Sets, load

ALLOWED = {"psnr": 0.01, "ssim": 1e-4}  # differences of an image; on one machine there are none at all
OTHERS = 1e-3  # of another metric, as a part of its value


LEGEND = {
    "same": "no image differs by more than 0.01 dB and 0.0001 of SSIM from the record",
    "recomputed": "the same; there are no stored weights or images, so all was computed again",
    "differs": "some image differs by more; the columns of differences show the largest one",
    "wrong": "the record is not of what is stored beside it",
    "left out": "what it was made of is not here",
}  # what the verdicts mean


class Verification(Struct, kw_only=True):
    """One score of a store, recorded and of today."""

    title: str
    verdict: Literal["same", "recomputed", "differs", "wrong", "left out"]  # recomputed: without stored weights
    reason: str = ""
    metric: str = "psnr"  # of the next two
    recorded: float = 0.0  # mean of the primary output
    now: float = 0.0
    apart: dict[str, float] = {}  # metric -> largest difference over all images and outputs

    @property
    def compared(self) -> bool:
        """Whether there are numbers of today."""
        return self.verdict in ("same", "recomputed", "differs")

    @property
    def wrong(self) -> bool:
        """Whether the record is not what its weights give."""
        return self.verdict in ("differs", "wrong")

    @property
    def row(self) -> dict[str, str]:
        """Its columns in a table."""
        if not self.compared:
            return {"score": self.title, "recorded": "", "now": "", "difference": "", "result": str(self)}
        shown = find_metric(self.metric).shown
        numbers = {
            "recorded": shown(self.recorded),
            "now": shown(self.now),
            "difference": f"{self.apart[self.metric]:.2f}",
        }
        others = {
            f"{find_metric(name).label} difference": f"{apart:.4f}"
            for name, apart in self.apart.items()
            if name != self.metric
        }
        return {"score": self.title, **numbers, **others, "result": str(self)}

    def __str__(self) -> str:
        """Such as `wrong: other weights than the record of its fit has`."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict


def verify(store: Store, words: str, machine: Machine, sets: Sets) -> Iterator[Verification]:
    """Scores again what the done scores with these words were made of; the store stays as it is."""
    every, damaged = store.look()
    last = store.last.known()
    units = match(every, last.requests.values(), last.digests)
    for error in damaged:
        if all(word in str(error.path.relative_to(store.root)) for word in words.split()):
            yield Verification(title=error.path.name, verdict="wrong", reason=str(error.state))
    records = store.find(words)
    titles = Counter((record.kind, record.title) for record in records)
    for record in records:
        unit = units[record.key]
        if (record.kind, record.state) != ("score", "done"):
            continue
        if isinstance(unit, Score):
            one = _verified(store, record, unit, machine, sets)
        else:
            one = Verification(title=record.title, verdict="left out", reason=str(unit))
        again = titles[record.kind, record.title] > 1  # with other steps, or under another evaluation protocol
        one.title = printable(f"{record.title} [{record.label['preset']}]" if again else record.title)
        yield one


def _verified(store: Store, record: Record, unit: Score, machine: Machine, sets: Sets) -> Verification:
    title = printable(record.title)
    try:
        if obstacle := _obstacle(store, record, unit):
            return Verification(title=title, verdict=obstacle[0], reason=obstacle[1])
        recorded = store.rows(unit)
    except (UnreadableError, DamagedError) as error:
        return Verification(title=title, verdict="wrong", reason=str(error))
    try:
        set_images = sets.used_by(unit)
    except InputError as error:
        return Verification(title=title, verdict="left out", reason=str(error))
    try:
        rows, again = _rows(store, unit, machine, set_images)
    except InputError as error:  # a metric's package or weights that are not here
        return Verification(title=title, verdict="left out", reason=str(error))
    except Exception as error:  # weights of another network, a method's code
        return Verification(title=title, verdict="wrong", reason=one_line(error))
    return _compared(unit.title, unit.fit.method.primary().name, recorded, rows, again)


def _obstacle(store: Store, record: Record, unit: Score) -> tuple[Literal["wrong", "left out"], str] | None:
    """Why there is nothing to score again; DamagedError for a stored image that cannot be read."""
    fit, images = unit.fit, sorted(store.images(unit).glob("*.safetensors"))
    if lacking := fit.method.unavailable():
        return "left out", lacking
    for path in images:
        read_tensors(path)
    if fit.method.per_image() and len(images) != len({(row.image, row.repeat) for row in store.rows(unit)}):
        return "left out", "not all of its images are in the store"
    if not fit.method.has_weights():
        return None
    if not store.path(fit, ".safetensors").is_file():
        return "left out", "no weights in the store"
    if store.weights(fit) is None:
        return "wrong", "other weights than the record of its fit has"
    return ("wrong", "scored with other weights than its fit has now") if stale(record, store.whole(fit)) else None


def _rows(store: Store, unit: Score, machine: Machine, set_images: list[SetImage]) -> tuple[list[Row], bool]:
    """The scores of today, and whether images had to be computed without stored weights."""
    with TemporaryDirectory() as folder:  # what is missing is computed, but not kept
        stored = list(store.images(unit).glob("*.safetensors"))
        for path in stored:
            (Path(folder) / path.name).symlink_to(path.resolve())
        rows = evaluate(unit, load(unit.fit, store, machine)[0], set_images, machine, folder=Path(folder))
    return rows, not unit.fit.method.has_weights() and len(stored) < len({(row.image, row.repeat) for row in rows})


def _compared(title: str, primary: str, recorded: list[Row], rows: list[Row], again: bool) -> Verification:
    was, now = ({(row.image, row.repeat, row.output): row for row in one} for one in (recorded, rows))
    if was.keys() != now.keys():
        return Verification(title=title, verdict="wrong", reason="scores of other images or outputs")
    metrics = list(recorded[0].metrics)
    pairs = {name: [(was[one].value(name), now[one].value(name)) for one in was] for name in metrics}
    metric = "psnr" if "psnr" in metrics else metrics[0]
    before, today = (infinite(summary(one)[primary][metric]) for one in (recorded, rows))
    near = all(_near(name, pairs[name]) for name in metrics)
    return Verification(
        title=title,
        verdict=("recomputed" if again else "same") if near else "differs",
        metric=metric,
        recorded=before,
        now=today,
        apart={name: max(_apart(*pair) for pair in pairs[name]) for name in metrics},
    )


def _near(metric: str, pairs: list[tuple[float, float]]) -> bool:
    """Whether no image differs by more than allowed; False for what is not a number."""
    return all(_apart(was, now) <= ALLOWED.get(metric, OTHERS * max(1.0, abs(was))) for was, now in pairs)


def _apart(was: float, now: float) -> float:
    return 0.0 if was == now else abs(was - now)
