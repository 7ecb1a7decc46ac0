"""What the records of a store say of one line of a table."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

from ..datasets.errors import printable
from ..datasets.sets.find import find
from ..protocol.metrics.registry import find_metric
from ..protocol.states import State
from ..protocol.units import Fit, Score
from ..store.record import Record, UnreadableError
from ..store.rows import infinite
from ..store.store import Store, stale
from .lines import NOT_RUN, Line
from .significance import image_means, interval

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
    values: list[dict[str, float]] = []
    rows = []
    line.keys = tuple(score.key for score in scores)
    for score in scores:
        if line.output == "best":
            line.output = _best(store, score, primary) or line.output
            line.oracle, line.passes = True, score.fit.method.passes().get(line.output)
        found = _read(store, score, line)
        if isinstance(found, State):
            line.state = found
            return {}
        values.append(found)
        rows.append(store.rows(score))
        line.centre_crop = score.centre_crop
    line.state, line.seeds = State("done"), len(values)
    columns = {name: [one[name] for one in values] for name in values[0]}
    line.metrics = {name: mean(column) for name, column in columns.items()}
    sign = find_metric(primary).sign
    line.worst = min(columns[primary], key=lambda value: sign * value)
    if len(values) > 1:
        line.std = {name: stdev(column) for name, column in columns.items()}
    images = image_means(rows, line.output, find(line.test).photograph, primary)
    low, high = interval(list(images.values()))
    line.low, line.high = (None, None) if math.isnan(low) else (low, high)
    return images


def _read(store: Store, score: Score, line: Line) -> dict[str, float] | State:
    """The means of one seed, or why there are none."""
    fit = store.read(score.fit)
    if fit is not None:
        line.trained = True
        line.parameters, line.seconds = fit.result.get("parameters"), store.seconds(score.fit, fit)
        line.environment = _environment(fit)
        if fit.state != "done":
            return State(fit.state, printable(fit.reason))
    record = store.read(score)
    if record is None:
        reason = score.fit.method.unavailable()
        return State("skipped", printable(reason)) if reason else NOT_RUN
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
    line.parameters = line.parameters or record.result.get("parameters")
    return {name: infinite(means[name]) for name in score.metrics}


def _environment(record: Record) -> dict[str, str]:
    versions = record.environment.get("versions")
    known = record.environment | {"torch": versions.get("torch") if isinstance(versions, dict) else None}
    return {name: printable(str(known[name])) for name in ENVIRONMENT if known.get(name)}


def _best(store: Store, score: Score, primary: str) -> str | None:
    """The output with the best primary metric on a test set: a choice by an oracle, for trivial baselines."""
    record = store.read(score)
    outputs = record.result.get("outputs", {}) if record else {}
    sign = find_metric(primary).sign
    return max(outputs, key=lambda name: sign * infinite(outputs[name][primary]), default=None)
