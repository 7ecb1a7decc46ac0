"""What the commands print; what renders loads when something is printed."""

import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import api

if TYPE_CHECKING:
    import pandas as pd


def print_rows(
    rows: "pd.DataFrame | Sequence[Mapping[str, Any]]", options: Namespace, columns: list[str] | None = None
) -> None:
    """Prints a frame, or rows, in the format asked for; nothing on a terminal where there is none."""
    from ..report.render import render

    if text := render(rows, options.format, columns):
        print(text)


def print_wrapped(text: str) -> None:
    """Prints a line, over several where the terminal is narrower."""
    from ..report.render import wrapped

    print(wrapped(text), flush=True)


def print_tables(found: "Sequence[api.Table]", options: Namespace) -> None:
    """Prints tables with their captions and notes in the format asked for."""
    from ..report.render import page

    print(page(found, options.format, getattr(options, "long", False), options.all))


def print_frames(tables: "Sequence[pd.DataFrame]", options: Namespace) -> None:
    """Prints several frames as one document."""
    from ..report.render import several

    print(several(tables, options.format))


def print_record(found: dict[str, Any], options: Namespace) -> None:
    """Prints one record in full."""
    from ..report.show import text

    print(text(found, options.format))


def print_claims(report: "api.Report", options: Namespace) -> None:
    """Prints the flags of claimed numbers."""
    from ..report.claims.shown import text

    print(text(report, options.format))


def print_json(value: object) -> None:
    """Prints plain values as JSON."""
    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def tell(lines: Iterable[object]) -> None:
    """Prints lines for people beside what the command prints; no longer than a terminal's."""
    width = max(80, shutil.get_terminal_size().columns) if sys.stderr.isatty() else 0
    for line in lines:
        text = str(line)
        if width and "\n" not in text:  # what has a command on a line of its own stays as it is
            text = textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        print(text, file=sys.stderr, flush=True)


def tell_unreadable(store: Path | None) -> None:
    """Names the records of a store that could not be read."""
    tell(f"not read: {line}" for line in api.unreadable(store))
