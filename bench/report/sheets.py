"""Tables as documents: what the HTML page and the LaTeX document have in common."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from ..datasets.sets.own_folder import short_name
from . import escape

Table = tuple[str, pd.DataFrame, Sequence[str]]  # caption, frame of strings, notes below it


class Cell(NamedTuple):
    """A cell's text without its marks."""

    text: str
    mark: Literal["", "best", "second"] = ""
    number: bool = False


class Sheet(NamedTuple):
    """A frame as cells."""

    headings: list[str]
    numbers: list[bool]  # columns of numbers, set flush right
    rows: list[list[Cell]]
    begins: list[bool]  # rows that begin another group of the first column, such as another noise


def sheet(frame: pd.DataFrame) -> Sheet:
    """The cells of a frame; `**1.0**` is best, `_1.0_` second, and only a number can be either."""
    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    numbers = [any(row[i].number for row in rows) for i in range(len(frame.columns))]
    names = [row[0].text for row in rows]
    grouped = len(set(names)) < len(names)
    begins = [grouped and i > 0 and names[i] != names[i - 1] for i in range(len(names))]
    return Sheet([heading(str(column)) for column in frame.columns], numbers, rows, begins)


def cell(value: Any) -> Cell:
    """One value of a frame as a cell."""
    text = escape.plain("" if pd.isna(value) else str(value)).replace("\n", " ")
    bare = re.fullmatch(r"\*\*(.+)\*\*|_(.+)_", text)
    inner = (bare[1] or bare[2]) if bare else text
    if not escape.NUMBER.fullmatch(inner):
        return Cell(text)  # a name may have underscores of its own
    if not bare:
        return Cell(text, number=True)
    return Cell(inner, "best" if bare[1] else "second", number=True)


def heading(column: str) -> str:
    """A column's name; a folder of images is called by its last part."""
    return escape.plain(short_name(column))
