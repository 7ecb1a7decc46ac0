"""Tables as frames of strings: what stands in which column."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ..datasets.sets.own_folder import short_name
from ..protocol.metrics.metric import Metric
from ..protocol.metrics.registry import find_metric
from .table_lines import Line, Table, group, headings, row_name

COST = ("s/image", "MB/image")
KINDS = ("", "(paper)", *COST, "(others)", "(diff.)", "(record)")  # of columns, from left to right
MARKS = {"best": "**", "second": "_", "": ""}


def frame(table: Table, keys: bool = False) -> pd.DataFrame:
    """One row per noise and method; measured, published and difference per column, and the records' keys if asked."""
    across = table.plan.suite.across
    measured = {
        _column(one, across)
        for one in table.lines
        if one.state.kind != "not run" or (one.published is None and not one.other)
    }
    costly = not any(cell.trains and cell.fit.method.has_weights() for cell in table.plan.cells)
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    columns: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}  # kind -> column -> heading
    for line in table.lines:
        row = rows.setdefault(_row(line, across), {"noise": group(line), "set": line.test, "method": line.label})
        row["noise knowledge"] = line.knowledge or row.get("noise knowledge", "")
        if line.network or line.reduced_settings:
            row["method"] = row_name(line)
        column = _column(line, across)
        for kind, text in _cells(line, table, column in measured, costly).items():
            columns[kind][column] = heading = f"{column} {kind}".strip()
            row[heading] = text
    if not keys:
        del columns["(record)"]
    names = dict.fromkeys(name for kind in ("", "(paper)", "(others)") for name in columns[kind])
    headings = ["noise" if across == "tests" else "set", "method", "noise knowledge"]
    headings += [of[name] for name in names for of in columns.values() if name in of]
    return pd.DataFrame(list(rows.values()), columns=headings).fillna("")


def _cells(line: Line, table: Table, measured: bool, costly: bool) -> dict[str, str]:
    """What a line fills in, by the kind of column; nothing that is empty."""
    cells = {}
    if line.other:
        cells["(others)"] = other_value(line, table.metrics)
    elif measured and (line.state.kind != "not run" or line.test in table.plan.preset.tests):
        cells[""] = value(line, table.metrics)
        cells |= cost(line) if costly else {}
        cells["(record)"] = " ".join(line.keys)
    if line.published is not None:
        cells["(paper)"] = printed_value(line, table.metrics)
        cells["(diff.)"] = difference(line, table)
    return {kind: text for kind, text in cells.items() if text}


def long(table: Table, commands: bool = False) -> pd.DataFrame:
    """One row per number with all that belongs to it: a column for each metric, and the commands if asked."""
    rows, primary = [], find_metric(table.plan.suite.primary)
    for line in table.lines:
        done = bool(line.metrics)
        row = {"noise": group(line), "method": row_name(line), "set": line.test, "state": str(line.state.kind)}
        row |= {metric.heading: _one(line, metric) for metric in table.metrics}
        row |= {
            "95 % interval": interval(line, primary),
            "paper": printed_value(line, table.metrics) if line.published is not None else "",
            "others": other_value(line, table.metrics),
            "diff.": difference(line, table),
            "n": str(line.images or ""),
            "seeds": str(line.seeds) if done else "",
            "noise knowledge": line.knowledge,
            "passes": "" if line.passes is None else str(line.passes),
            "parameters": f"{line.parameters or 0:,}" if done else "",
            "train s": f"{line.seconds:.0f}" if line.seconds is not None else "",
            **cost(line),
            "preset": line.preset,
            "record": " ".join(line.keys),
        }
        rows.append(row | ({"command": line.command} if commands else {}))
    shown = pd.DataFrame(rows)
    empty = [name for name in ("others", *COST) if name in shown and not shown[name].any()]
    return shown.drop(columns=empty)


def by_noise(table: Table, lines: Sequence[Line]) -> dict[str, pd.DataFrame]:
    """A narrow frame for each noise: one row per number, with columns only for what differs or is there."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(group(line), []).append(line)
    found = {}
    for noise, mine in groups.items():
        tests = list(dict.fromkeys(line.test for line in mine))
        rows = [
            {
                "method": row_name(line),
                "noise\nknowledge": line.knowledge,
                "set": short_name(line.test),
                headings(table.metrics).replace("/", "/\n"): "" if line.other else value(line, table.metrics),
                "paper": printed_value(line, table.metrics) if line.published is not None else "",
                "others": other_value(line, table.metrics),
                "diff.": difference(line, table),
            }
            for line in mine
        ]
        frame = pd.DataFrame(rows)
        empty = [name for name in ("paper", "others", "diff.") if not frame[name].any()] + ["set"] * (len(tests) == 1)
        found[f"{noise}, {short_name(tests[0])}" if len(tests) == 1 else noise] = frame.drop(columns=empty)
    return found


def cost(line: Line) -> dict[str, str]:
    """What an image costs a method that has no network for the whole set."""
    numbers = dict(zip(COST, (line.image_seconds, line.image_megabytes), strict=True))
    return {name: "" if number is None else f"{number:.3g}" for name, number in numbers.items()}


def value(line: Line, metrics: Sequence[Metric]) -> str:
    """What is measured, such as `31.00/0.850`, marked if it is best; else the state."""
    if line.state.kind != "done" or not line.metrics:
        return str(line.state.kind)
    mark = MARKS[line.mark]
    return f"{mark}{'/'.join(_one(line, metric) for metric in metrics)}{mark}"


def interval(line: Line, primary: Metric) -> str:
    """The 95 % interval of the primary metric, such as `30.51..31.49`; "" where it is not known."""
    return "" if line.low is None or line.high is None else f"{primary.shown(line.low)}..{primary.shown(line.high)}"


def printed_value(line: Line, metrics: Sequence[Metric]) -> str:
    """What the paper printed."""
    return values(line.published or {}, metrics) or "- / -"


def other_value(line: Line, metrics: Sequence[Metric]) -> str:
    """What somebody else published, marked with how it got here; "" for other lines."""
    return f"{values(line.other.metrics, metrics)} [{line.other.level}]" if line.other else ""


def values(numbers: Mapping[str, float], metrics: Sequence[Metric], sign: str = "") -> str:
    """Those of the metrics that are there, such as `31.00/0.850`."""
    return "/".join(metric.shown(numbers[metric.name], sign) for metric in metrics if metric.name in numbers)


def difference(line: Line, table: Table) -> str:
    """The primary metric less the published one, where both are there."""
    primary = next(metric for metric in table.metrics if metric.name == table.plan.suite.primary)
    printed = (line.published or {}).get(primary.name)
    if printed is None or not line.metrics:
        return ""
    return primary.shown(line.metrics[primary.name] - printed, "+")


def _one(line: Line, metric: Metric) -> str:
    if metric.name not in line.metrics:
        return ""
    spread = f"±{metric.shown(line.std[metric.name])}" if line.std else ""
    return metric.shown(line.metrics[metric.name]) + spread


def _row(line: Line, across: str) -> tuple[str, str, str]:
    return (group(line) if across == "tests" else line.test, line.label, line.method)


def _column(line: Line, across: str) -> str:
    return line.test if across == "tests" else group(line)
