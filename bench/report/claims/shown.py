"""A report as text in every format."""

import shutil
import textwrap

import msgspec
import pandas as pd

from ...datasets.errors import plural
from .. import escape
from ..render import NARROWEST, command_lines, render, several, within
from .report import SEVERITIES, Report


def text(report: Report, form: str) -> str:
    """The claims, the flags and the remarks; as csv the flags alone."""
    if form == "json":
        return escape.json(msgspec.json.format(msgspec.json.encode(report.plain())).decode())
    if form == "terminal":
        return _terminal(report)
    flags = pd.DataFrame(_rows(report), columns=COLUMNS)
    if form == "csv":
        return render(flags, form)
    numbers = pd.DataFrame(report.numbers())
    return several([numbers, flags] if len(flags) else [numbers], form, [summary(report), *report.remarks])


COLUMNS = ["severity", "kind", "lines", "what", "reason", "settled by"]


def _rows(report: Report) -> list[dict[str, str]]:
    return [
        dict(zip(COLUMNS, (f.severity, f.kind, _lines(f.lines), f.what, f.reason, f.settle), strict=True))
        for f in report.flags
    ]


def _lines(lines: tuple[int, ...]) -> str:
    return " ".join(map(str, lines))


def summary(report: Report) -> str:
    """How many flags of which severity there are."""
    counts = [plural(sum(f.severity == one for f in report.flags), one) for one in SEVERITIES]
    return f"{plural(len(report.claims), 'claim')}: {', '.join(counts)}."


def _terminal(report: Report) -> str:
    """No wider than the terminal: the table, then each flag in a paragraph, its command ready to be pasted."""
    width = max(NARROWEST, shutil.get_terminal_size((NARROWEST, 24)).columns)
    numbers = pd.DataFrame(report.numbers()).map(lambda value: escape.plain(str(value)))
    parts = [within(numbers.drop(columns=[name for name in numbers if not numbers[name].any()]), width)]
    for row in _rows(report):
        at = row["lines"].replace(" ", ", ")
        head = f"{row['severity'].upper()} {row['kind']}, line{'s' * (', ' in at)} {at}"
        paragraph = [textwrap.shorten(head, width, placeholder=" ..."), *_wrapped(row["what"], width)]
        paragraph += [*_wrapped(f"{row['reason']}.", width), *_command(row["settled by"], width)]
        parts.append("\n".join(paragraph))
    parts += ["\n".join(_wrapped(remark, width, "")) for remark in report.remarks]
    return "\n\n".join([*parts, summary(report)])


def _wrapped(words: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(escape.plain(words, escape.NOTE), width, initial_indent=indent, subsequent_indent="  ")


def _command(command: str, width: int) -> list[str]:
    first, *others = command_lines(escape.plain(command), width - 6)
    return ["  Settled by:", f"    {first}", *(f"      {line}" for line in others)]
