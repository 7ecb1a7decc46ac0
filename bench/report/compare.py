"""The same tables from two stores, side by side: another machine, another version, a second run."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pandas as pd

from ..datasets.errors import InputError
from ..protocol.metrics.metric import Metric
from .significance import p_value
from .table_columns import values
from .table_lines import Line, Table, group

DIFFERENCE = " (diff.)"  # ends the names of columns
Means = dict[str, float]
Side = tuple[Line, Table]


def compare(a: Sequence[Table], b: Sequence[Table], names: tuple[str, str] = ("A", "B")) -> pd.DataFrame:
    """The metrics of both, B - A, a paired Wilcoxon p per line, not adjusted, and where they were computed; strings.

    Holes show their state. InputError for two protocols, two equal names, or scores that are not of the same images.
    """
    if names[0] == names[1]:
        raise InputError(f"both stores are called {names[0]!r}; give them different names")
    sides = [
        {(table.number, *line.place): (line, table) for table in tables for line in table.lines} for tables in (a, b)
    ]
    rows = []
    for place in dict.fromkeys(place for side in sides for place in side):
        pair = [side.get(place) for side in sides]
        there = [side for side in pair if side]
        if not any(line.run for line, _ in there):
            continue  # in neither store
        _check(there)
        line, table = there[0]
        metrics = table.metrics
        lines = [side[0] if side else None for side in pair]
        row = {"table": str(line.table or line.suite), "noise": group(line), "method": line.label, "test": line.test}
        row |= {name: _quality(one, metrics) for name, one in zip(names, lines, strict=True)}
        means = [side[1].means.get(side[0].place) if side and side[0].metrics else None for side in pair]
        row |= {
            "difference": _difference(lines[0], lines[1], metrics),
            "p": _p(*means),
            "environment": _environment(lines, names),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _check(sides: Sequence[Side]) -> None:
    """InputError unless both lines were asked for under the same protocol, however the requests were typed."""
    one, *others = (_protocol(*side) for side in sides)
    for other in others:
        if differ := [name for name in one if one[name] != other[name]]:
            titles = " and ".join(dict.fromkeys(f"{s.suite} v{s.version} [{s.preset}]" for s, _ in sides))
            raise InputError(
                f"numbers of {titles} cannot be compared: {', '.join(differ)} differ; give one --suite and --preset"
            )


def _protocol(line: Line, table: Table) -> dict[str, Any]:
    """What a request means for one line: a default that was typed is the default."""
    preset = {name: value for name, value in msgspec.to_builtins(table.plan.preset).items() if name not in CHOSEN}
    repeats = table.plan.preset.repeats.get(line.test, 1)
    return {"suite": line.suite, "version": line.version, **preset, "repeats": repeats}


CHOSEN = ("tests", "noises")  # each line has one of them, by which it is paired


def _quality(line: Line | None, metrics: Sequence[Metric]) -> str:
    if line is None:
        return "not run"
    return values(line.metrics, metrics) or str(line.state)


def _difference(a: Line | None, b: Line | None, metrics: Sequence[Metric]) -> str:
    if not a or not b or not a.metrics or not b.metrics:
        return ""
    apart = {  # two infinite ones are equal
        name: 0.0 if value == b.metrics[name] else b.metrics[name] - value for name, value in a.metrics.items()
    }
    return values(apart, metrics, "+")


def _p(a: Means | None, b: Means | None) -> str:
    if not a or not b:
        return ""
    p = p_value(a, b)
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _environment(lines: Sequence[Line | None], names: tuple[str, str]) -> str:
    """Where the two were computed, as far as that differs: processor, device, precision, commit, version of torch."""
    one, other = ({} if line is None or not line.metrics else line.environment for line in lines)
    if not one or not other:
        return ""
    differ = [name for name in dict.fromkeys((*one, *other)) if one.get(name) != other.get(name)]
    unknown = "not recorded"
    return "; ".join(
        f"{name}: {one.get(name, unknown)} ({names[0]}), {other.get(name, unknown)} ({names[1]})" for name in differ
    )


def evaluation_protocols(found: dict[str, list[Table]]) -> pd.DataFrame:
    """The metrics of every line under each evaluation protocol, and their differences from the first."""
    first, *others = found
    lines = {
        name: {
            (line.suite, line.noise, line.label, line.test): (line, table.metrics)
            for table in tables
            for line in table.lines
        }
        for name, tables in found.items()
    }
    rows = []
    for place, (line, metrics) in lines[first].items():
        same = {name: lines[name][place][0] if place in lines[name] else None for name in others}
        if line.oracle or not line.metrics or (others and not any(o and o.metrics for o in same.values())):
            continue  # what is chosen by its scores is another output under others
        row = {"noise": group(line), "method": line.label, "test": line.test, first: _quality(line, metrics)}
        for name, other in same.items():
            row[name] = "" if other is None else _quality(other, metrics)
            row[f"{name}{DIFFERENCE}"] = _difference(line, other, metrics)
        rows.append(row)
    return pd.DataFrame(rows)


def by_protocol(scores: pd.DataFrame) -> pd.DataFrame:
    """The same with a row for each evaluation protocol: for a terminal."""
    places = ["noise", "method", "test"]
    rows = []
    for row in scores.to_dict("records"):
        for name in [name for name in map(str, scores) if name not in places and not name.endswith(DIFFERENCE)]:
            same = {"evaluation protocol": name, "score": row[name], "diff.": row.get(f"{name}{DIFFERENCE}", "")}
            rows.append({place: row[place] for place in places} | same)
    return pd.DataFrame(rows)


def unscored(found: dict[str, list[Table]]) -> list[str]:
    """What only the first protocol has numbers of: without weights or images nothing can be scored."""
    first, *others = found
    numbers = {
        name: {(line.suite, line.noise, line.label, line.test) for t in tables for line in t.lines if line.metrics}
        for name, tables in found.items()
    }
    return [
        f"{name}: not scored, neither weights nor images in the store: {', '.join(sorted(labels))}"
        for name in others
        if (labels := {label for _, _, label, _ in numbers[first] - numbers[name]})
    ]
