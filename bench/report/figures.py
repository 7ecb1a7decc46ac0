"""The figures of a store: comparison crops, the steps of a method, curves of training, the metric against cost."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..compute.machine import Machine
from ..datasets.errors import InputError, few
from ..datasets.sets.own_folder import short_name, short_names
from ..protocol.metrics.registry import find_metric
from ..protocol.plan import BASELINES, Plan
from ..protocol.suites import training_sets
from ..protocol.units import Score
from ..runner.execution import Sets
from ..store.store import Store
from . import curves, figure_entries, panels
from .curves import Curve, Point
from .figure_entries import Box, Entry
from .images import CLEAN, images_of, listed, recorded, scored
from .panels import Panel
from .style import save
from .table_lines import Line

MACHINE = ("processor", "cores", "device", "threads", "precision")  # what seconds depend on


class Made(NamedTuple):
    """A figure's file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


class Skipped(NamedTuple):
    """A figure that could not be drawn."""

    name: str
    reason: str
    path: None = None

    def __str__(self) -> str:
        return f"{self.name}: skipped: {self.reason}"


class SkippedError(Exception):
    """A figure has nothing to show; the message says why."""


class Inputs(NamedTuple):
    """What figures are drawn from."""

    plan: Plan
    store: Store
    machine: Machine
    sets: Sets


def draw(inputs: Inputs, folder: Path, entries: Sequence[Entry]) -> list[Made | Skipped]:
    """The figures of these entries that are of the plan's suite, as PNG and PDF; InputError if there are none."""
    made: list[Made] = []
    skipped: list[Skipped] = []
    for name, drawing in _drawings(inputs, entries):
        try:
            figure = drawing()
        except (SkippedError, InputError) as error:
            skipped.append(Skipped(name, str(error)))
        else:
            made += map(Made, save(figure, folder, name))
    if not made:
        reasons = "; ".join(f"{name}: {reason}" for name, reason, _ in skipped)
        raise InputError(f"nothing to draw from the store {inputs.store.root}: {reasons} (python -m bench run first)")
    return [*made, *skipped]


def _drawings(inputs: Inputs, chosen: Sequence[Entry]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """The names of the figures, and what draws each."""
    plan = inputs.plan
    noises = list(dict.fromkeys(cell.noise.name for cell in plan.cells))
    for entry in chosen:
        for test in plan.preset.tests:
            if entry.suite == plan.suite.name and entry.noise in noises and test in entry.boxes:
                yield _name(entry.name, test), partial(crops, inputs, entry, test)
    unseen = [
        f"{noise} on {test}"
        for noise in noises
        for test in plan.preset.tests
        if not _chosen(inputs, chosen, noise, test)
    ]
    if unseen:
        yield "crops", partial(_no_crops, unseen)
    for noise in noises:
        yield _name("progress", noise), partial(progress, inputs, noise)
        for test in plan.preset.tests:
            yield _name("cost", noise, test), partial(cost, inputs, noise, test)


def _chosen(inputs: Inputs, chosen: Sequence[Entry], noise: str, test: str) -> bool:
    """Whether figures.toml names crops of a test set."""
    mine = [
        entry for entry in chosen if (entry.kind, entry.suite, entry.noise) == ("crops", inputs.plan.suite.name, noise)
    ]
    return any(test in entry.boxes for entry in mine)


def _no_crops(places: Sequence[str]) -> Figure:
    raise SkippedError(f"bench/report/figures.toml names no part of the images for {few(places)}")


def crops(inputs: Inputs, entry: Entry, test: str) -> Figure:
    """One test image noisy, denoised by what the store has, and clean; SkippedError if it has no method's."""
    plan, store, _, sets = inputs
    metric = find_metric(plan.suite.primary)
    box = entry.boxes[test]
    image = box.image or sets(test, plan.suite.channels)[0].name
    figure_entries.refuse_lenna(test, image)
    images = images_of(*inputs, entry.noise, test, image, method=entry.method)
    clean = images[CLEAN]
    _check_inside(box, clean, f"figure {entry.name!r}, {image} of {test}")
    found: list[tuple[Line, Panel]] = []
    missing: dict[str, list[str]] = {}  # reason -> labels
    for label, line, score in _rows(entry, scored(plan, store, entry.noise, test)):
        if line.label not in images:
            missing.setdefault("neither weights nor images in the store", []).append(label)
        elif np.isnan(panels.crop(images[line.label], box)).any():
            missing.setdefault(f"only the centre {score.centre_crop}x{score.centre_crop} was denoised", []).append(
                label
            )
        else:
            value = metric.shown(recorded(store, score, line.output, image, metric.name))
            found.append((line, Panel(_starred(label, line), images[line.label], f"{value} {metric.unit}".strip())))
    lines = [line for line, _ in found]
    if all(line.method in BASELINES for line in lines):
        raise SkippedError(f"no method to show.{_left_out(missing) or ' None was run.'}")
    caption = (
        f"{entry.title}. Image {image}, {_of(plan, entry.noise, test)}, seed {plan.preset.seeds[0]}. Below each crop: "
        f"{metric.heading} of the whole image, or of its centre where a note says so.{_less(lines)}{_left_out(missing)}"
    )
    shown = [*(panel for _, panel in found), Panel(CLEAN, clean)]
    return panels.grid(shown, clean, box, entry.display, caption)


def progress(inputs: Inputs, noise: str) -> Figure:
    """PSNR of one training crop over the training, of each method whose record has it; SkippedError if none has."""
    plan, store = inputs.plan, inputs.store
    lines = [line for line in listed(plan, store) if line.noise == noise]
    numbers = _numbers(lines)
    cells = {cell.name: cell for cell in reversed(plan.cells) if cell.noise.name == noise and cell.trains}  # the first
    found, missing = [], []
    for cell in [cells[name] for name in dict.fromkeys(line.method for line in lines) if name in cells]:
        record = store.whole(cell.fit)
        if record is None or record.state != "done":
            continue
        mine = {line.output: line.label for line in lines if line.method == cell.name}
        label = mine.get(cell.fit.method.primary().name, next(iter(mine.values())))
        if quality := record.result.get("quality"):
            steps, psnr = zip(*quality, strict=True)
            found.append(Curve(label, numbers[label], [step / cell.fit.steps for step in steps], list(psnr)))
        else:
            missing.append(label)
    if not found:
        raise SkippedError("no record of a training has its PSNR by step")
    caption = (
        f"PSNR during training: {_of(plan, noise)}, training set {short_name(training_sets(plan.preset)[0])}, "
        f"seed {plan.preset.seeds[0]}. PSNR in dB of one fixed crop of a training image, not of a test set; "
        f"the legend has the last values.{_left_out({'not in their records': missing} if missing else {})}"
    )
    return curves.progress(found, caption)


def cost(inputs: Inputs, noise: str, test: str) -> Figure:
    """The primary metric over network passes and training seconds; SkippedError if no method has numbers."""
    plan, store = inputs.plan, inputs.store
    metric = find_metric(plan.suite.primary)
    rows = scored(plan, store, noise, test)
    if all(line.method in BASELINES for line, _ in rows):
        raise SkippedError("no method has numbers")
    numbers = _numbers([line for line in listed(plan, store) if line.noise == noise])
    points = [
        Point(_starred(line.label, line), numbers[line.label], line.metrics[metric.name], line.passes, line.seconds)
        for line, _ in rows
    ]
    trained = [score.fit for line, score in rows if line.seconds is not None]  # not external weights
    fits = [record for fit in trained if (record := store.read(fit)) is not None]
    machines = {tuple(str(fit.environment.get(name)) for name in MACHINE) for fit in fits}
    timed = "as recorded, all on one machine with the same settings"
    if len(machines) > 1:
        timed = f"as recorded on {len(machines)} different machines or settings, so not comparable with each other"
    untimed = [line.label for line, _ in rows if line.seconds is None]
    caption = (
        f"{metric.heading} against cost: {_of(plan, noise, test)}. Mean of the test images. "
        f"Left: network passes that one image needs. Right: seconds of training, {timed}."
        f"{_less([line for line, _ in rows])}"
        + (f" No training of the whole set in the store, so not at the right: {', '.join(untimed)}." if untimed else "")
    )
    return curves.cost(points, metric, caption)


def _rows(entry: Entry, rows: list[tuple[Line, Score]]) -> list[tuple[str, Line, Score]]:
    """Label, line and score of what the entry shows: every row, or the noisy one and the steps in their order."""
    if entry.kind == "crops":
        return [(line.label, line, score) for line, score in rows]
    noisy = [(line.label, line, score) for line, score in rows if line.method == BASELINES[0]]
    steps = {line.output: (line, score) for line, score in rows if line.method == entry.method}
    return noisy + [(output.capitalize(), *steps[output]) for output in entry.outputs if output in steps]


def _check_inside(box: Box, clean: NDArray[np.float32], what: str) -> None:
    height, width = clean.shape[:2]
    if box.top + box.side > height or box.left + box.side > width:
        raise InputError(
            f"{what}: the box ends at row {box.top + box.side}, column {box.left + box.side}; "
            f"the image has {height} rows and {width} columns: change figures.toml"
        )


def _of(plan: Plan, noise: str, test: str = "") -> str:
    """What the numbers are of."""
    where = f", test set {short_name(test)}" if test else ""
    preset = short_names(plan.request.label)
    return f"suite {plan.suite.name} v{plan.suite.version}, preset [{preset}], noise {noise}{where}"


def _numbers(lines: list[Line]) -> dict[str, int]:
    """The place of each row in the table."""
    return {label: number for number, label in enumerate(dict.fromkeys(line.label for line in lines))}


def _starred(label: str, line: Line) -> str:
    return f"{label}*" if line.reduced_settings else label


def _less(lines: list[Line]) -> str:
    """What the stars mean."""
    notes = {line.method: f"{line.label}: {line.reduced_settings}" for line in reversed(lines) if line.reduced_settings}
    text = "; ".join(reversed(notes.values()))
    return f" * Run with less than the preset's other rows or the published method: {text}." if text else ""


def _left_out(missing: dict[str, list[str]]) -> str:
    groups = "; ".join(f"{', '.join(labels)} ({reason})" for reason, labels in missing.items())
    return f" Left out: {groups}." if groups else ""


def _name(*parts: str) -> str:
    return "-".join(re.sub(r"[^\w.-]+", "_", short_name(part)) for part in parts)
