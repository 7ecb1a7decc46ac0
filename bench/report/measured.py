"""What the records of a store say of one line of a table."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

from ..datasets.errors import few, printable
from ..datasets.sets.find import find
from ..protocol.metrics.registry import find_metric
from ..protocol.states import State
from ..protocol.units import Fit, Score
from ..store.checkpoint import continued
from ..store.record import Record, UnreadableError
from ..store.rows import Row, infinite
from ..store.rows import mean as mean_score
from ..store.store import Store, stale
from .significance import image_means, interval
from .table_lines import NOT_RUN, Line

ENVIRONMENT = ("processor", "device", "precision", "torch", "commit")


def measure(store: Store, line: Line, scores: Sequence[Score], primary: str) -> dict[str, float]:
    """Fills in what the records of all seeds say, without a mean over a hole; the primary metric of each image."""
    try:
        return _measure(store, line, scores, primary)
    except UnreadableError as error:
        line.state = error.state
        return {}


def trained(store: Store, fits: Sequence[Fit]) -> State:
    """How the trainings stand of what cannot be scored, as there are no clean images."""
    try:
        records = [store.read(fit) for fit in fits]
    except UnreadableError as error:
        return error.state
    return State("trained") if all(record and record.state == "done" for record in records) else NOT_RUN


def _measure(store: Store, line: Line, scores: Sequence[Score], primary: str) -> dict[str, float]:
    found = []
    for score in scores:
        if line.output == "best":
            record = store.read(score)
            known = store.rows(score) if record and record.state == "done" else []
            line.output = _best(known, primary) or line.output
            line.oracle, line.passes = True, score.fit.method.passes().get(line.output)
        found.append(_read(store, score, line))
    values = [one for one in found if not isinstance(one, State)]
    if len(values) < len(found):
        _explain_hole(line, scores, found)
        return {}
    rows = [store.rows(score) for score in scores]
    line.state, line.seeds, line.centre_crop = State("done"), len(values), scores[-1].centre_crop
    columns = {name: [one[name] for one in values] for name in values[0]}
    line.metrics = {name: mean(column) for name, column in columns.items()}
    sign = find_metric(primary).sign
    line.worst = min(columns[primary], key=lambda value: sign * value)
    if len(values) > 1:
        line.std = {name: stdev(column) for name, column in columns.items()}
    line.warnings += infinite_images(rows, line.output, primary)
    images = image_means(rows, line.output, find(line.test).photograph, primary)
    low, high = interval([value for value in images.values() if not math.isinf(value)])
    line.low, line.high = (None, None) if math.isnan(low) else (low, high)
    return images


def _explain_hole(line: Line, scores: Sequence[Score], found: Sequence[dict[str, float] | State]) -> None:
    """Why the seeds have no mean: one of them went wrong, or was not run."""
    wrong = [one for one in found if isinstance(one, State) and one != NOT_RUN]
    missing = [str(score.fit.seed) for score, one in zip(scores, found, strict=True) if one == NOT_RUN]
    line.state = wrong[0] if wrong else NOT_RUN
    if not wrong and len(missing) < len(scores):
        line.state = State("partly run", f"a mean needs all {len(scores)} seeds; not run: {', '.join(missing)}")
        line.images = line.seconds = line.image_seconds = line.image_megabytes = None


def _read(store: Store, score: Score, line: Line) -> dict[str, float] | State:
    """The means of one seed, or why there are none."""
    fit = store.read(score.fit)
    if fit is not None:
        line.trained = True
        line.parameters, line.seconds = fit.result.get("parameters"), store.seconds(score.fit, fit)
        line.environment = _environment(fit)
        if fit.state != "done":
            line.keys += (fit.key,)
            return State(fit.state, printable(fit.reason))
    record = store.read(score)
    if record is None:
        reason = score.fit.method.unavailable()
        return State("skipped", printable(reason)) if reason else NOT_RUN
    line.keys += (record.key,)
    line.environment = line.environment or _environment(record)
    line.command = printable(str(record.label.get("command") or line.command))
    if record.state != "done":
        return State(record.state, printable(record.reason))
    if stale(record, fit):
        return State("stale", "scored with other weights than the training has now; run it again")
    means = record.result["outputs"].get(line.output)
    if means is None:
        known = ", ".join(record.result["outputs"])
        return State("damaged", printable(f"record {record.key} has no output {line.output!r}; it has {known}"))
    line.images = means["images"]
    if fit is not None and (said := continued(fit.result.get("warnings", []))):
        line.seconds, line.warnings = None, tuple(dict.fromkeys([*line.warnings, *map(printable, said)]))
    line.image_seconds, line.image_megabytes = store.seconds(score, record), store.megabytes(score)
    line.warnings = tuple(dict.fromkeys([*line.warnings, *map(printable, record.result.get("warnings", []))]))
    line.parameters = line.parameters or record.result.get("parameters")
    return {name: infinite(means[name]) for name in score.metrics}


def _environment(record: Record) -> dict[str, str]:
    versions = record.environment.get("versions")
    known = record.environment | {"torch": versions.get("torch") if isinstance(versions, dict) else None}
    return {name: printable(str(known[name])) for name in ENVIRONMENT if known.get(name)}


def infinite_images(seeds: Sequence[Sequence[Row]], output: str, metric: str) -> tuple[str, ...]:
    """A sentence that names the images without a finite score, if there are any."""
    rows = [row for one in seeds for row in one if row.output == output]
    images = [printable(image) for image in dict.fromkeys(row.image for row in rows if math.isinf(row.value(metric)))]
    if not images:
        return ()
    name = find_metric(metric).heading
    return (f"{name} is infinite for {few(images)}, as the output equals the clean image; the mean is over the others",)


def _best(rows: Sequence[Row], primary: str) -> str | None:
    """The output with the best primary metric: a choice by an oracle, for trivial baselines.

    Means over the noisy images of which every output has a finite score, or over all if there is none.
    """
    unknown = {(row.image, row.repeat) for row in rows if math.isinf(row.value(primary))}
    known = [row for row in rows if (row.image, row.repeat) not in unknown]
    values: dict[str, list[float]] = {}
    for row in known or rows:
        values.setdefault(row.output, []).append(row.value(primary))
    sign = find_metric(primary).sign
    return max(values, key=lambda output: sign * mean_score(values[output]), default=None)
