"""Tables as text in every format."""

import io
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pandas as pd
from tabulate import tabulate

from ..datasets.errors import plural
from ..datasets.sets.own_folder import short_name
from ..protocol.settings import parse_all
from . import escape, latex
from .page.page import of_frames
from .table_columns import by_noise, frame, long
from .table_lines import RIVALS, Line, Table, caption, notes, plain

TITLE = "blind2unblind-bench"
NARROWEST = 80  # columns that every terminal is taken to have
PADDING = "\xa0" * 2  # what tabulate leaves beside the longest word of a heading
LONGEST_WORD = 24  # characters of a word that is not broken: a key has so many
SHORTEST = 16  # characters of a line of a method's name
SHELL_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|\S)+""")  # with its quotes
LEGEND = (
    f"Best (**) and second (_) of {RIVALS}: paired Wilcoxon tests over the means of the images, Holm's correction, 5 %."
)


def page(tables: Sequence[Table], form: str, in_full: bool = False, all_rows: bool = False) -> str:
    """Tables with captions and notes as terminal, md, latex, csv, html or json text.

    `in_full`: one row per number. On a terminal only the rows that were run are shown, unless `all_rows`.
    """
    if form == "json":
        rows = [row for table in tables for row in plain(table.lines)]
        return escape.json(msgspec.json.format(msgspec.json.encode(rows)).decode())
    if form == "csv":
        frames = [long(table, commands=True) if in_full else frame(table, keys=True) for table in tables]
        labelled = [
            _unmarked(one).assign(table=table.title, preset=table.plan.request.label)
            for table, one in zip(tables, frames, strict=True)
        ]
        return render(pd.concat(labelled).fillna(""), form)
    if form == "terminal" and not in_full and not all_rows:
        return "\n\n".join(map(_brief, tables))
    parts = [(caption(table), long(table) if in_full else frame(table), _notes(table)) for table in tables]
    if form == "html":
        return of_frames(TITLE, parts)
    if form == "latex":
        return latex.document(parts)
    return "\n\n".join(_section(title, render(shown, form), below, form) for title, shown, below in parts)


def render(rows: pd.DataFrame | Sequence[Mapping[str, Any]], form: str, columns: list[str] | None = None) -> str:
    """A frame of strings, or its rows, as terminal, md, latex, csv, html or json text; `columns` are for no rows."""
    table = pd.DataFrame(rows, columns=columns)
    if form == "json":
        return escape.json(str(table.to_json(orient="records", indent=1, force_ascii=False)))
    if form == "html":
        return of_frames(TITLE, [("", table, [])])
    safe = table.rename(columns=str).map(lambda value: escape.CELLS[form](str(value)))
    if form == "csv":
        text = io.StringIO()
        safe.rename(columns=escape.csv).to_csv(text, index=False)
        return text.getvalue().rstrip("\n")
    safe = safe.rename(columns=lambda name: escape.CELLS[form](short_name(name)))
    if form != "terminal":
        return _grid(safe, {"md": "github", "latex": "latex_booktabs"}[form])
    return within(safe, terminal_width()) if len(safe) else ""


def several(frames: Sequence[pd.DataFrame], form: str, notes: Sequence[str] = ()) -> str:
    """Frames of strings and notes below them as one document; as csv and json one frame alone."""
    if form in ("csv", "json"):
        return render(pd.concat(frames).fillna(""), form)
    if form == "html":
        return of_frames(TITLE, [*(("", one, []) for one in frames[:-1]), ("", frames[-1], notes)])
    return "\n\n".join([*(render(one, form) for one in frames), *(_note(text, form) for text in notes)])


def within(table: pd.DataFrame, width: int | None) -> str:
    """A frame of strings in at most `width` characters, if it has to be: cells over several lines, else rows as blocks.

    What is the same in all rows then stands above them.
    """
    text = _grid(_once(table), _style())
    if width is None or _width(text) <= width:
        return text
    same = [str(name) for name in table if len(table) > 1 and table[name].nunique() == 1]
    rest, facts = table.drop(columns=same), {name: str(table[name].iloc[0]) for name in same}
    above = [_fact(name, value, width, "") for name, value in facts.items() if value]
    if widths := _column_widths(rest, width):
        return "\n".join([*above, "", _grid(_once(rest), "simple", widths)]).lstrip("\n")
    blocks = [
        [_fact(str(name), value, width, "  ") for name, value in row.items() if value] for _, row in rest.iterrows()
    ]
    return "\n\n".join(["\n".join(above), *("\n".join(block).strip() for block in blocks)]).lstrip("\n")


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """With the noise only where it changes."""
    if "noise" not in table:
        return table
    return table.assign(noise=table["noise"].where(table["noise"] != table["noise"].shift(), ""))


def _fact(name: str, value: str, width: int, indent: str) -> str:
    return textwrap.fill(f"{name}: {value}", width, initial_indent=indent, subsequent_indent=f"{indent}  ")


def _column_widths(table: pd.DataFrame, width: int) -> list[int] | None:
    """Widths with which the columns fit, the widest ones wrapped; None if words would have to be broken."""
    found, least = [], []
    for name, column in table.items():
        cells, words = column.tolist(), [word for cell in column for word in cell.split()]
        found.append(max(map(len, [f"{name}{PADDING}", *cells])))
        least.append(
            max([min(LONGEST_WORD, max(map(len, words), default=0)), *map(len, f"{name}{PADDING}".split(" "))])
        )
    while (over := sum(found) + 2 * len(found) - 2 - width) > 0:
        widest = max(range(len(found)), key=lambda i: found[i] - least[i])
        if found[widest] <= least[widest]:
            return None
        found[widest] = max(least[widest], found[widest] - max(1, over // 4))
    return found


def wrapped(text: str) -> str:
    """A line, over several where the terminal is narrower."""
    return textwrap.fill(text, width, subsequent_indent="  ") if (width := terminal_width()) else text


def command_lines(command: str, width: int) -> list[str]:
    """A command in lines of at most `width` characters that can be pasted: broken between the words of a shell."""
    lines: list[str] = []
    for word in SHELL_WORD.findall(command):
        if lines and len(lines[-1]) + len(word) + len("  \\") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [*(f"{line} \\" for line in lines[:-1]), *lines[-1:]]


def terminal_width() -> int | None:
    """The width of the terminal; None where the output goes elsewhere, such as to a file or another program."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def _brief(table: Table) -> str:
    """The rows that were run, no wider than the terminal; all rows where none was run."""
    lines = _rows_that_ran(table.lines)
    left = len(set(map(_row, table.lines)) - set(map(_row, lines)))
    lines = _without_twins(table, lines)
    shown = msgspec.structs.replace(table, lines=lines)
    below = _notes(shown)
    below += [f"Left out: {plural(left, 'row')} that nothing was run for; --all shows them."] if left else []
    width = max(NARROWEST, shutil.get_terminal_size((NARROWEST, 24)).columns)
    body = render(frame(shown), "terminal")
    if _width(body) > width:
        ran = any(line.run for line in lines)
        numbers = [line for line in lines if not ran or line.run or line.other or line.test in table.plan.preset.tests]
        groups = by_noise(table, numbers).items()
        body = "\n\n".join(f"{escape.plain(name)}\n{_fitted(one, width)}" for name, one in groups)
    title, *below = (textwrap.fill(escape.plain(text, escape.NOTE), width) for text in (caption(shown), *below))
    return "\n\n".join(filter(None, [title, body, "\n".join(below)]))


def _rows_that_ran(lines: list[Line]) -> list[Line]:
    """The lines of rows with something computed, and of methods that are not defined where others ran."""
    rows = {_row(line) for line in lines if line.run}
    groups = {(line.noise, line.tested) for line in lines if line.run}
    methods = {line.method for line in lines if line.run}

    def undefined(line: Line) -> bool:
        return line.method in methods and (line.noise, line.tested) in groups and line.state.kind != "not run"

    return [line for line in lines if _row(line) in rows or undefined(line) or line.other] or lines


def _without_twins(table: Table, lines: list[Line]) -> list[Line]:
    """Without the rows of methods that have the same records as a row of --set, which was asked for."""
    settings = {one.name for one in parse_all(table.plan.request.settings)}
    records = {(line.keys, line.output, line.test) for line in lines if line.method in settings and line.keys}
    return [line for line in lines if line.method in settings or (line.keys, line.output, line.test) not in records]


def _row(line: Line) -> tuple[str, str, str]:
    return line.noise, line.tested, line.label


def _fitted(table: pd.DataFrame, width: int) -> str:
    """A narrow frame in at most `width` characters: long names of methods go over several lines."""
    safe = table.map(lambda value: escape.plain(str(value)))
    safe["method"] = safe["method"].where(safe["method"] != safe["method"].shift(), "")
    longest = int(safe["method"].str.len().max())
    text = _grid(safe, "simple")
    if width - _width(text) + longest < SHORTEST:  # the numbers leave no room for names: one metric on each line
        for name in safe.columns[2:]:
            safe[name] = safe[name].str.replace("/", "/\n")
        text = _grid(safe, "simple")
    room = max(SHORTEST, min(longest, width - _width(text) + longest))
    return _grid(safe, "simple", [room] + [None] * (len(safe.columns) - 1))


def _grid(table: pd.DataFrame, style: str, widths: Sequence[int | None] | None = None) -> str:
    columns = {str(name): column.tolist() for name, column in table.items()}
    heads = [width - len(PADDING) for width in widths or [] if width]
    form: dict[str, Any] = {"tablefmt": style, "disable_numparse": True, "maxcolwidths": widths}
    return tabulate(columns, headers="keys", maxheadercolwidths=heads if len(heads) == len(columns) else None, **form)


def _style() -> str:
    """Lines of boxes where the output can show them, else of ASCII."""
    try:
        "╭─│±".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "outline"
    return "rounded_outline"


def _width(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _section(title: str, body: str, notes: Sequence[str], form: str) -> str:
    """A table between its caption and its notes."""
    title, *below = (_note(text, form) for text in (title, *notes))
    if form == "terminal":
        title, *below = map(wrapped, (title, *below))
    return "\n\n".join(filter(None, [title, body, "\n".join(below)]))


def _note(text: str, form: str) -> str:
    """A caption or note as text of a format; unlike cells, no library escapes those of LaTeX."""
    return latex.escape(escape.plain(text, escape.NOTE)) if form == "latex" else escape.CELLS[form](text, escape.NOTE)


def _notes(table: Table) -> list[str]:
    return [LEGEND] * any(line.mark for line in table.lines) + notes(table)


def _unmarked(table: pd.DataFrame) -> pd.DataFrame:
    """Without marks: numbers for a program."""
    return table.replace(r"^(\*\*|_)(.*)\1$", r"\2", regex=True)
