"""What all figures share: width, letters, colours, the caption, and files without dates."""

import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets import files
from .colours import COLOURS

WIDTH = 7.2  # inches: a page of text
DPI = 300
LETTERS = 6.5  # points
LINE = 1.35 * LETTERS / 72  # inches from one line of text to the next
MARGIN = 0.06  # inches
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def wrapped(text: str, inches: float) -> str:
    """A text in lines of at most so many inches."""
    return textwrap.fill(text, max(8, int(inches * 72 / (0.56 * LETTERS))), break_on_hyphens=False)


def page(height: float, caption: str) -> Figure:
    """A figure with room of `height` inches above its caption; its `subplotpars.bottom` is where the room begins."""
    caption = wrapped(caption, WIDTH - 2 * MARGIN)
    total = height + (caption.count("\n") + 1) * LINE + 2 * MARGIN
    figure = Figure((WIDTH, total), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(bottom=1 - height / total)
    figure.text(MARGIN / WIDTH, MARGIN / total, caption, fontsize=LETTERS, va="bottom", linespacing=1.3)
    return figure


def look(number: int) -> dict[str, Any]:
    """The colour, marker and dashes of a method: no two alike among the first seventy."""
    dashes = DASHES[number // len(COLOURS) % len(DASHES)]
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": dashes,
        "linewidth": 1.0,
        "markersize": 4,
    }


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes NAME.png and NAME.pdf, the same bytes for the same figure; InputError where that is not possible."""
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    with files.output(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"pdf.fonttype": 42}):  # letters as letters
            for path, nameless in zip(paths, (("Software",), ("CreationDate", "Creator", "Producer")), strict=True):
                draw = partial(figure.savefig, format=path.suffix[1:], metadata=dict.fromkeys(nameless))
                files.write(path, draw)
    return paths
