"""Executes one unit of work into the store: all that an engine sees."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from safetensors.torch import load as tensors_of
from torch import nn

from ..compute import training
from ..compute.copies import copies
from ..compute.cost import Cost, Costs
from ..compute.machine import Machine, environment
from ..compute.noisy_images import centre_crop
from ..compute.sanity import DivergedError
from ..compute.scoring import evaluate
from ..compute.step import Stopped, build
from ..datasets.errors import InputError, few, one_line, printable
from ..datasets.images import SetImage
from ..datasets.sets.find import find
from ..datasets.sets.own_folder import names_folder, short_name
from ..methods.guard import guarded
from ..protocol.metrics.registry import find_metric
from ..protocol.units import Fit, Score, Unit
from ..store.checkpoint import forget
from ..store.names import kind
from ..store.record import Record, summary
from ..store.rows import Row, infinite
from ..store.store import Store
from ..store.tensors import write_tensors
from .display import clock


class Watch(Struct):
    """Who follows a unit: its progress, and whether it should stop."""

    fit: Callable[[training.Report], None] = lambda report: None
    score: Callable[[float, int], None] = lambda done, total: None
    stop: Callable[[], bool] = lambda: False


class Sets:
    """The image sets of one process, each read and checked once."""

    def __init__(self, data: Path | None) -> None:
        self.data = data
        self._loaded: dict[tuple[str, int], list[SetImage]] = {}
        self._copies: dict[tuple[str, str, int, int], list[str]] = {}

    def __call__(self, name: str, channels: int) -> list[SetImage]:
        """The images of a set; InputError if they are not what the catalogue says, or cannot be used."""
        return self._chosen(name, channels, 0)[0]

    def used_by(self, unit: Unit) -> list[SetImage]:
        """The images that a unit trains on or is scored on; InputError as above."""
        return self._chosen(*_asked(unit))[0]

    def left_out(self, unit: Unit) -> list[str]:
        """Which images of its set a unit does not use, and why, in a sentence; none if it uses all."""
        if left_out := self._chosen(*_asked(unit))[1]:
            return [f"{len(left_out)} images of {short_name(_asked(unit)[0])} are left out: {few(left_out, '; ')}"]
        return []

    def copies(self, unit: Unit) -> list[str]:
        """Which test images the training has seen, and what was not searched for them.

        The catalogue knows its own sets; what is compared here are folders of a user.
        """
        if isinstance(unit, Fit) or not unit.fit.method.has_weights() or unit.fit.weights:
            return []
        train, test = unit.fit.train, unit.test
        if not (names_folder(train) or names_folder(test)) or find(train).overlaps(find(test)):
            return []
        place = (train, test, unit.fit.channels, unit.fit.crop)
        if place not in self._copies:
            self._copies[place] = copies(train, self.used_by(unit.fit), test, self.used_by(unit))
        return self._copies[place]

    def _chosen(self, name: str, channels: int, least: int) -> tuple[list[SetImage], list[str]]:
        image_set = find(name)
        if (name, channels) not in self._loaded:
            self._loaded[name, channels] = image_set.load(self.data, channels)
        found, left_out = image_set.chosen(self._loaded[name, channels], least)
        if not found:
            raise InputError(f"{name}: no image of {len(left_out)} can be used: {few(left_out, '; ')}")
        return found, left_out


def _asked(unit: Unit) -> tuple[str, int, int]:
    """The image set of a unit, its channels, and the fewest pixels that a side of its images must have."""
    return (unit.train, unit.channels, unit.crop) if isinstance(unit, Fit) else (unit.test, unit.fit.channels, 0)


def execute(
    unit: Unit, label: dict[str, Any], store: Store, machine: Machine, sets: Sets, watch: Watch, again: bool = False
) -> Record:
    """Trains or scores, and writes the record; what a method's code raises becomes a failed or diverged one.

    `again`: stored images are not used; images and a done record are replaced when all is computed.
    InputError: wrong input or an unwritable store. Stopped: `watch` said so; nothing is written.
    """
    record = _record(unit, label, machine)
    rows: list[Row] = []
    seconds = megabytes = None
    try:
        with guarded(Exception, Stopped):
            if isinstance(unit, Fit):
                record.result, seconds = _fit(unit, store, machine, sets, watch)
            else:
                rows, digest, cost = _score(unit, store, machine, sets, watch, again)
                seconds, megabytes = cost or (None, None)
                record.result = {"outputs": summary(rows)} | ({"weights": digest} if digest else {})
                said = [*sets.left_out(unit), *sets.copies(unit)]
                if warnings := said + _warnings_of(unit, sets.used_by(unit)):
                    record.result["warnings"] = warnings
                if unit.fit.method.per_image():
                    record.result["parameters"] = parameters(build(unit.fit.method, unit.fit.planes, 1.0, 0))
    except InputError:
        raise
    except Exception as error:  # a method's code may raise anything; the other cells go on
        record.state = "diverged" if isinstance(error, DivergedError) else "failed"
        ours = type(error).__module__.startswith("bench.")
        record.reason = printable(str(error) if ours else one_line(error))
    store.write(unit, record, rows, seconds, megabytes, again)
    if isinstance(unit, Fit) and record.state == "done":
        forget(store.path(unit, ".checkpoint"))
    return record


def failed(unit: Unit, label: dict[str, Any], store: Store, machine: Machine, reason: str, again: bool) -> Record:
    """Writes the record of a unit that could not say itself why it failed."""
    record = _record(unit, label, machine)
    record.state, record.reason = "failed", reason
    store.write(unit, record, again=again)
    return record


def _record(unit: Unit, label: dict[str, Any], machine: Machine) -> Record:
    return Record(
        key=unit.key,
        kind=kind(unit),
        state="done",
        title=unit.title,
        label=label,
        identity=unit.identity,
        environment=environment(machine),
    )


def describe(unit: Unit, record: Record, store: Store) -> str:
    """How a unit ended, in a few words."""
    if record.state != "done":
        old = store.whole(unit)
        kept = "; its earlier result stays" if old is not None and old.state == "done" else ""
        return f"{record.state}: {record.reason}{kept}"
    if isinstance(unit, Fit):
        return f"trained in {clock(store.seconds(unit, record) or 0.0)}"
    outputs, method, first = record.result["outputs"], unit.fit.method, find_metric(unit.metrics[0])
    name, chosen = method.primary().name, not method.learns() and len(outputs) > 1
    if chosen:  # as in tables, which show the best of trivial outputs
        name = max(outputs, key=lambda name: first.sign * infinite(outputs[name][first.name]))
    values = [(find_metric(metric), infinite(outputs[name][metric])) for metric in unit.metrics]
    text = ", ".join(f"{metric.heading} {metric.shown(value)}" for metric, value in values)
    return f"{text} (output {name}, the best of {len(outputs)})" if chosen else text


def _fit(unit: Fit, store: Store, machine: Machine, sets: Sets, watch: Watch) -> tuple[dict[str, Any], float]:
    checkpoint = store.path(unit, ".checkpoint")
    set_images = sets.used_by(unit)
    trained = training.train(unit, set_images, machine, checkpoint, watch.fit, watch.stop)
    weights = store.path(unit, ".safetensors")
    write_tensors(weights, trained.net.state_dict(), {"key": unit.key, "identity": unit.identity})
    result = {
        "parameters": parameters(trained.net),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "history": trained.history,
        "quality": trained.quality,
        "warnings": [*trained.warnings, *sets.left_out(unit)],
        "compiled": machine.compiles(unit.steps),
    }
    return result, trained.seconds


def _score(
    unit: Score, store: Store, machine: Machine, sets: Sets, watch: Watch, again: bool
) -> tuple[list[Row], str, Cost | None]:
    """The rows, the digest of the weights that they were made with, and the cost of an image without such weights."""
    net, digest = load(unit.fit, store, machine)
    folder = store.new_images(unit) if again else store.images(unit)
    costs = None if unit.fit.method.has_weights() else Costs(machine.device)
    rows = evaluate(unit, net, sets.used_by(unit), machine, watch.score, watch.stop, folder, costs)
    if any(math.isnan(value) for row in rows for value in row.metrics.values() if value is not None):
        raise DivergedError("an output has values that are not finite")
    if again:
        store.replace_images(unit)
    return rows, digest, costs.median() if costs else None


def _warnings_of(unit: Score, set_images: list[SetImage]) -> list[str]:
    """What the method says of images whose outputs cannot be trusted, with their names."""
    found: dict[str, list[str]] = {}
    for set_image in set_images:
        sides = centre_crop(set_image.pixels, unit.centre_crop).shape[:2]
        height, width = (side if unit.fit.view == "plain" else side // 2 for side in sides)
        found.setdefault(unit.fit.method.warning(height, width, unit.fit.planes), []).append(set_image.name)
    return [f"{few(names)}: {text}" for text, names in found.items() if text]


def parameters(net: nn.Module) -> int:
    """The number of trained numbers."""
    return sum(parameter.numel() for parameter in net.parameters())


def load(fit: Fit, store: Store, machine: Machine) -> tuple[nn.Module | None, str]:
    """The trained network for float32 inference and the digest of its weights; None where a set has no network."""
    if not fit.method.has_weights():
        return None, ""
    weights = store.weights(fit)
    if weights is None:
        raise RuntimeError(f"the weights of {fit.title} are not those of its record; train it again with --force")
    content = weights.read_bytes()  # once: another process may train the fit again meanwhile
    net = build(fit.method, fit.planes, 1.0, 0)
    net.load_state_dict(tensors_of(content))
    return machine.place(net, precision="float32").eval(), hashlib.sha256(content).hexdigest()
