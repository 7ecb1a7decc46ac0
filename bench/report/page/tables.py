"""The lines of tables as rows of a page: every number with its record, and a verdict by a printed rule."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from ...compute.machine import Machine
from ...datasets.sets.own_folder import short_name, short_names
from ...protocol.metrics.metric import Metric
from ...protocol.metrics.registry import find_metric
from ...protocol.plan import BASELINES
from ...protocol.units import Fit
from ...runner.display import clock
from ...runner.estimates import needed, size_of
from ..table_columns import difference, interval, printed_value, value
from ..table_lines import RIVALS, Line, Table, caption, group, headings, name_of, notes, row_name
from .model import Cell, Column, Row, Sheet

CLOSE = 0.1  # dB, or units of another primary metric, within which a number is that of the paper
VERDICTS = (
    f"Verdict. best, second: of {RIVALS}, by paired Wilcoxon tests over the means of the images with Holm's correction "
    "at 5 %. below the blur, below the noisy input: a mean that is lower than that of the trivial method on the same "
    f"images. as the paper: within {CLOSE:g} of the printed primary metric; above or below the paper: "
    "farther away. Numbers of preset mini stand beside no printed ones: other images, short trainings. Interval: 95 % "
    "of the mean over images, by Student's t. Time: seconds of training as recorded. Memory: estimated from the layers "
    "for one process, not measured."
)
NUMBERS = {"difference", "images", "seeds", "time", "memory"}


class Found(NamedTuple):
    """The tables of one store."""

    store: str  # what it is called
    tables: list[Table]


def sheets(found: Sequence[Found], machine: Machine) -> list[Sheet]:
    """One sheet for each table of a suite and preset; the rows of several stores stand in one."""
    groups: dict[tuple[str, str], list[tuple[str, Table]]] = {}
    for store, tables in found:
        for table in tables:
            groups.setdefault((table.title, table.plan.request.label), []).append((store, table))
    several = len(found) > 1
    return [_sheet(tables, several, machine) for tables in groups.values()]


def _sheet(tables: Sequence[tuple[str, Table]], several: bool, machine: Machine) -> Sheet:
    first = tables[0][1]
    metrics = first.metrics
    primary = find_metric(first.plan.suite.primary)
    names = ["method", "noise", headings(metrics), "paper", "difference", "95 % interval", "set", "images", "seeds"]
    names += ["time", "memory", "noise knowledge", "verdict"] + ["store"] * several
    columns = [Column(name, name in {headings(metrics), "paper", "95 % interval", *NUMBERS}) for name in names]
    rows = [row for store, table in tables for row in _rows(store, table, primary, several, machine)]
    title, _, rest = caption(first).partition(": ")
    below = [*dict.fromkeys(note for _, table in tables for note in notes(_measured(table)))]
    return Sheet(rest, columns, rows, below, title=f"{title}." if first.number else f"{name_of(first)}:")


def _measured(table: Table) -> Table:
    """The table without the lines of which nothing was run; their verdicts say why."""
    return structs.replace(table, lines=[line for line in table.lines if line.run])


def _rows(store: str, table: Table, primary: Metric, several: bool, machine: Machine) -> list[Row]:
    fits = {(cell.name, cell.noise.name): cell.fit for cell in table.plan.cells}
    floors = {
        (line.noise, line.tested, line.test, line.method): line.metrics[primary.name]
        for line in table.lines
        if line.method in BASELINES and line.metrics
    }
    found, before = [], ""
    for line in table.lines:
        fit = fits.get((line.method, line.noise))
        cells = _cells(line, table, fit, verdict(line, primary, floors), machine)
        cells += [Cell(store)] * several
        first = bool(before) and before != line.noise
        found.append(Row(cells, filters(line, line.preset), first, measured=line.run))
        before = line.noise
    return found


def filters(line: Line, preset: str) -> dict[str, str]:
    """What the row of a line can be filtered by."""
    where = {"noise": group(line), "set": short_name(line.test), "preset": short_names(preset)}
    return where | {"method": line.label}


def _cells(line: Line, table: Table, fit: Fit | None, said: str, machine: Machine) -> list[Cell]:
    primary = find_metric(table.plan.suite.primary)
    done = bool(line.metrics)
    shown = value(line, table.metrics).strip("*_") if done else str(line.state.kind)
    printed = (line.published or {}).get(primary.name)
    apart = difference(line, table)
    memory = needed(fit, machine) if done and fit and fit.trains else None
    mark = line.mark if line.mark in ("best", "second") else ""
    return [
        Cell(row_name(line)),
        Cell(group(line)),
        Cell(shown, line.metrics.get(primary.name), line.keys, mark, "" if done else str(line.state)),  # type: ignore[arg-type]
        Cell(printed_value(line, table.metrics) if line.published is not None else "", printed),
        Cell(apart, float(apart) if apart else None),
        Cell(interval(line, primary), line.low),
        Cell(short_name(line.test)),
        Cell(str(line.images or ""), line.images),
        Cell(str(line.seeds) if done else "", line.seeds if done else None),
        Cell(clock(line.seconds) if line.seconds is not None else "", line.seconds),
        Cell(f"{memory / 1e9:.1f} GB" if memory else "", memory),
        Cell(line.knowledge),
        Cell(said),
    ]


def verdict(line: Line, primary: Metric, floors: Mapping[tuple[str, str, str, str], float]) -> str:
    """What the number says, by the rule in `VERDICTS`; of a line without one, why there is none."""
    if not line.metrics:
        return "" if line.state.kind == "not run" else str(line.state)
    mine, found = line.metrics[primary.name], [line.mark] * bool(line.mark)
    for baseline, text in zip(BASELINES, ("below the noisy input", "below the blur"), strict=True):
        floor = floors.get((line.noise, line.tested, line.test, baseline))
        if floor is not None and line.method not in BASELINES and primary.sign * (mine - floor) < 0:
            found.append(text)
            break
    printed = (line.published or {}).get(primary.name)
    if printed is not None:
        apart = primary.sign * (mine - printed)
        found.append("as the paper" if abs(apart) <= CLOSE else f"{'above' if apart > 0 else 'below'} the paper")
    return "; ".join(found)


def multiply_adds(fit: Fit, passes: int | None) -> float | None:
    """Multiply-adds of one output pixel; None where there is no network."""
    if passes is None or not fit.method.learns() or not passes:
        return None
    return passes * size_of(fit.method, fit.planes).operations / 2
