"""The paper's tables from records alone: measured numbers beside the published ones."""

import csv
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from statistics import mean, stdev

from msgspec import structs

from ..datasets.errors import InputError, unknown
from ..datasets.sets.find import find
from ..methods import registry
from ..methods.base import Method
from ..methods.networks.registry import label_of
from ..protocol.plan import BASELINES, Cell, Plan, make
from ..protocol.request import Request
from ..protocol.suite_files import load, suites
from ..protocol.suites import Row
from ..protocol.units import Score
from ..store.record import UnreadableError
from ..store.rows import infinite
from ..store.store import Store, stale
from .lines import Line, Place, Table, group, notes
from .significance import image_means, interval, marks, why_unmarked

Quality = tuple[float, float]  # PSNR in dB, SSIM


@cache
def published(table: int | None) -> dict[tuple[str, str, str, str], Quality | None]:
    """(noise, method, output or "", test set) -> the printed PSNR and SSIM; None where the paper prints - / -."""
    source = resources.files("bench.results.paper") / f"table{table}.csv"
    if table is None or not source.is_file():
        return {}
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return {
        (r["noise"], r["method"], r["output"], r["set"]): (float(r["psnr"]), float(r["ssim"])) if r["psnr"] else None
        for r in rows
    }


def suite_of(table: int) -> str:
    """The suite that regenerates a table of the paper."""
    by_table = {number: name for name in suites() for number in load(name).tables}
    if str(table) not in by_table:
        raise unknown("table", str(table), by_table)
    return by_table[str(table)]


def with_tables() -> list[str]:
    """The suites that regenerate tables of the paper, in the paper's order."""
    return sorted((name for name in suites() if load(name).tables), key=lambda name: int(min(load(name).tables)))


def build(store: Store, asked: Request, preset: bool, number: int | None = None) -> list[Table]:
    """The tables of a suite, or the one of a number; without a preset, of the suite's last run on this store."""
    plan = make(request_of(store, asked, preset), store.digests())
    numbers: list[int | None] = [number] if number else [int(n) for n in plan.suite.tables]
    found = [table(plan, store, n) for n in numbers or [None]]
    if not any(line.state == "done" and line.method not in BASELINES for one in found for line in one.lines):
        labels = {
            r.label["preset"] for r in store.find("") if r.label["suite"] == plan.suite.name and r.kind == "score"
        }
        for label in sorted(labels - {plan.request.label}):
            found[0].notes.append(f"other records of this suite: [{label}]; the same options show them")
    return found


def request_of(store: Store, asked: Request, preset: bool) -> Request:
    """All rows and noises of what is asked; without a preset, on top of the store's last run of the suite."""
    last, wanted = store.last_request(asked.suite), asked.noises
    if last is not None and not preset:
        given = {name: value for name in asked.__struct_fields__ if (value := getattr(asked, name))}
        asked = structs.replace(last, **given | {"preset": last.preset})
    suite = load(asked.suite)
    if not wanted and set(asked.noises) <= set(suite.noises):
        asked = structs.replace(asked, noises=())
    records = store.find("")
    recorded = [record.label["method"] for record in records if record.label["suite"] == suite.name]
    known = {*registry.methods(), *suite.configurations}
    methods = dict.fromkeys(
        name for name in (*(row.method for row in suite.rows), *asked.methods, *recorded) if name in known
    )
    imported = dict.fromkeys(one for record in records if (one := record.external) and one.name in recorded)
    weights = tuple(one for one in imported if one.method in known)
    return structs.replace(asked, methods=tuple(methods), weights=weights)


def table(plan: Plan, store: Store, number: int | None) -> Table:
    """The table of a number, or the suite's only one: every line that a plan has there."""
    found: list[Line] = []
    unmarked: list[str] = []
    means: dict[Place, dict[str, float]] = {}
    for noise, met in _groups(plan, number):
        lines = []
        for row, test in _places(plan, store, number):
            cells = [cell for cell in plan.cells if (cell.name, cell.noise.name) == (row.method, noise)]
            line, images = _line(plan, store, number, row, (noise, met), test, cells)
            if (cells and test in plan.preset.tests) or line.published:
                lines.append(line)
                means[line.place] = images
        _judge(plan, lines)
        unmarked += _mark(lines, means)
        found += lines
    return Table(number, plan, found, [*notes(found), *unmarked, *_external_weights(plan, found)], means)


def _groups(plan: Plan, number: int | None) -> Iterator[tuple[str, str]]:
    """The noises of a table, each with those met in the test."""
    planned: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        planned.setdefault(cell.noise.name, {}).update(dict.fromkeys(score.noise.name for score in cell.scores))
    for noise, met in planned.items():
        yield from ((noise, name) for name in met or (noise,))
    if not plan.request.noises:  # a small preset has not all noises that the paper printed
        yield from dict.fromkeys((key[0], key[0]) for key in published(number) if key[0] not in planned)


def _places(plan: Plan, store: Store, number: int | None) -> Iterator[tuple[Row, str]]:
    """The rows and test sets of a table: those of the suite, then methods that it does not list."""
    suite = plan.suite
    run = list(dict.fromkeys(cell.name for cell in plan.cells))
    listed = {row.method for row in suite.rows}
    external = {one.name for one in plan.request.weights}
    rows = [row for row in suite.rows if _shows(row, number)]
    rows += [Row(label=name, method=name, optional=name in external) for name in run if name not in listed]
    rows = [row for row in rows if not row.optional or _has_record(plan, store, row.method)]
    tests = list(dict.fromkeys([*plan.preset.tests, *(key[3] for key in published(number))]))
    for row in rows:
        for test in tests:
            yield row, test


def _line(
    plan: Plan, store: Store, number: int | None, row: Row, noises: tuple[str, str], test: str, cells: list[Cell]
) -> tuple[Line, dict[str, float]]:
    """One cell, and the mean PSNR of each of its images."""
    output = row.output
    if row.method in registry.methods() and not output:
        output = registry.find(row.method).primary().name
    elif cells and not output:
        output = cells[0].fit.method.primary().name
    net = plan.request.net
    if not cells or not registry.accepts_network(type(cells[0].fit.method)):
        net = ""
    line = Line(
        table=number,
        suite=plan.suite.name,
        version=plan.suite.version,
        preset=plan.request.label,
        noise=noises[0],
        tested=noises[1],
        label=f"{row.label}, {label_of(cells[0].fit.method.network)}" if net else row.label,
        method=row.method,
        output=output,
        test=test,
        state="not run",
    )
    printed = published(number)
    place = (noises[0], row.method, row.output, test)
    if place in printed and noises[0] == noises[1] and not net:  # the paper has its own networks only
        line.published = True
        line.published_psnr, line.published_ssim = printed[place] or (None, None)
    if not cells:
        return line, {}
    mine = [cell for cell in cells if test in cell.tests]
    if not mine and not (cells[0].excluded and cells[0].excluded.kind == "not defined"):
        return line, {}  # printed, but no test set of this preset
    cells = mine or cells
    method = cells[0].fit.method
    line.knowledge, line.passes = method.knowledge, method.passes().get(output)
    line.supervision = "" if cells[0].fit.weights else method.supervision  # not known of external weights
    line.primary = output in _primary_outputs(plan, number, row, method)
    line.reduced_settings = "" if cells[0].excluded else reduced_settings(plan, cells[0])
    if cells[0].excluded:
        line.state = str(cells[0].excluded)
        return line, {}
    try:
        if cells[0].scores:
            return line, _measure(store, line, [_score(cell, test, noises[1]) for cell in cells])
        fits = [store.read(cell.fit) for cell in cells]  # no clean images to score against
        line.state = "trained" if all(fit is not None and fit.state == "done" for fit in fits) else "not run"
    except UnreadableError as error:
        line.state = str(error.state)
    return line, {}


def _primary_outputs(plan: Plan, number: int | None, row: Row, method: Method) -> set[str]:
    """The outputs that stand for a method in a table: its only one, else the printed ones, else its primary."""
    primary = method.primary().name
    rows = [one.output or primary for one in plan.suite.rows if one.method == row.method and _shows(one, number)]
    printed = {output or primary for _, name, output, _ in published(number) if name == row.method}
    return set(rows) if len(rows) == 1 else printed or {primary}


def _shows(row: Row, number: int | None) -> bool:
    return not row.tables or number in row.tables


def _score(cell: Cell, test: str, met: str) -> Score | None:
    return next((score for score in cell.scores if (score.test, score.noise.name) == (test, met)), None)


def _measure(store: Store, line: Line, scores: list[Score | None]) -> dict[str, float]:
    """Fills in what the records of all seeds say; no mean over a hole."""
    qualities: list[Quality] = []
    rows = []
    for score in scores:
        if score is None:
            return {}
        if line.output == "best":
            line.output = _best(store, score) or line.output
            line.oracle, line.passes = True, score.fit.method.passes().get(line.output)
        state, quality = _read(store, score, line.output, line)
        if quality is None:
            line.state = state
            return {}
        qualities.append(quality)
        rows.append(store.rows(score))
        line.centre_crop = score.centre_crop
    line.state, line.seeds = "done", len(qualities)
    psnrs, ssims = zip(*qualities, strict=True)
    line.psnr, line.ssim, line.worst = mean(psnrs), mean(ssims), min(psnrs)
    if len(qualities) > 1:
        line.psnr_std, line.ssim_std = stdev(psnrs), stdev(ssims)
    images = image_means(rows, line.output, find(line.test).photograph)
    low, high = interval(list(images.values()))
    line.low, line.high = (None, None) if math.isnan(low) else (low, high)
    return images


def _judge(plan: Plan, lines: list[Line]) -> None:
    """Diverged, by the suite's rule: a seed is worse than the noisy input; then there is no mean to show."""
    if plan.suite.diverged != "below noisy":
        return
    noisy = {line.test: line.psnr for line in lines if line.method == "noisy"}
    for line in lines:
        floor = noisy.get(line.test)
        if line.worst is not None and floor is not None and line.worst < floor:
            line.state = f"diverged: {line.worst:.2f} dB, below the noisy input's {floor:.2f} dB"
            line.psnr = line.psnr_std = line.ssim = line.ssim_std = line.low = line.high = None


def _mark(lines: list[Line], means: dict[Place, dict[str, float]]) -> list[str]:
    """Marks the best and second primary output of self-supervised methods on each test set; why there is none."""
    unmarked: dict[str, None] = {}
    for test in dict.fromkeys(line.test for line in lines):
        rivals = {line.label: line for line in lines if line.test == test and line.state == "done" and _rival(line)}
        scores = {label: means[line.place] for label, line in rivals.items()}
        for label, mark in marks(scores).items() if len(scores) > 1 else ():
            rivals[label].mark = mark
        if len(scores) > 1 and (why := why_unmarked(scores)):
            first = next(iter(rivals.values()))
            unmarked[f"{group(first)}, {test}: {why}"] = None
    return list(unmarked)


def _rival(line: Line) -> bool:
    fair = (
        line.method not in BASELINES and not line.centre_crop
    )  # a blur chosen by an oracle (the test scores), other pixels
    return fair and line.supervision in ("noisy", "none") and line.primary


def _read(store: Store, score: Score, output: str, line: Line) -> tuple[str, Quality | None]:
    fit = store.read(score.fit)
    if fit is not None:
        line.parameters, line.seconds = fit.result.get("parameters"), store.seconds(score.fit, fit)
        line.device, line.precision = fit.environment.get("device", ""), fit.environment.get("precision", "")
        if fit.state != "done":
            return f"{fit.state}: {fit.reason}", None
    record = store.read(score)
    if record is None:
        reason = score.fit.method.unavailable()
        return f"skipped: {reason}" if reason else "not run", None
    if record.state != "done":
        return f"{record.state}: {record.reason}", None
    if stale(record, fit):
        return "stale: scored with other weights than the fit has now; run it again", None
    values = record.result["outputs"].get(output)
    if values is None:
        raise InputError(f"record {record.key} has no output {output!r}; it has {', '.join(record.result['outputs'])}")
    line.images = values["images"]
    line.parameters = line.parameters or record.result.get("parameters")
    return "done", (infinite(values["psnr"]), values["ssim"])


def reduced_settings(plan: Plan, cell: Cell) -> str:
    """What a cell does less than the preset's other rows or the published method, in the words of the table."""
    fit = cell.fit
    parts = [fit.method.reduced_settings(fit.steps)]
    if cell.trains and fit.steps != plan.preset.steps:
        parts.append(f"{fit.steps:,} steps")
    if cell.trains and any(find(fit.train).overlaps(find(test)) for test in cell.tests):
        parts.append("trained on the frames it is tested on")
    if cell.scores and cell.scores[0].centre_crop:
        parts.append(f"centre {cell.scores[0].centre_crop}x{cell.scores[0].centre_crop}")
    return ", ".join(part for part in parts if part)


def _best(store: Store, score: Score) -> str | None:
    """The output with the highest PSNR on a test set: a choice by an oracle, for trivial baselines."""
    record = store.read(score)
    outputs = record.result.get("outputs", {}) if record else {}
    return max(outputs, key=lambda name: infinite(outputs[name]["psnr"]), default=None)


def _has_record(plan: Plan, store: Store, name: str) -> bool:
    return any(store.path(unit).is_file() for cell in plan.cells if cell.name == name for unit in cell.units())


def _external_weights(plan: Plan, found: list[Line]) -> list[str]:
    """What the caption cannot say of weights that were not trained here."""
    shown = {line.label for line in found}
    names = dict.fromkeys(one.name for one in plan.request.weights if one.name in shown)
    return [f"{name}: external weights; how and on what they were trained is not known" for name in names]
