"""Tables as a LaTeX document for pdflatex: booktabs, long tables on pages across."""

import math
from collections.abc import Sequence

from .sheets import Cell, Sheet, Table, sheet

HEAD = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage[papersize={%dmm,210mm},margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{longtable}
\setlength{\tabcolsep}{4pt}
\begin{document}
\setlength{\LTcapwidth}{\linewidth}"""
END = r"\end{document}"

# Widest table [characters] that a page of A4 across holds in each size; a wider one is set tiny on wider paper.
SIZES = {130: "normalsize", 160: "footnotesize", 185: "scriptsize"}
A4, MARGINS, TINY = 297, 30, 1.2  # mm: the page, both margins, a tiny character with its share of the gaps

MARKS = {"best": r"\textbf", "second": r"\underline"}
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "κ": "kappa",
    "λ": "lambda", "μ": "mu", "ν": "nu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega",
    "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega",
}  # fmt: skip
SIGNS = {"±": "pm", "×": "times", "÷": "div", "−": "-", "≤": "le", "≥": "ge", "≈": "approx", "∞": "infty", "·": "cdot"}
TEXT = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "µ": r"\textmu{}",
    "–": "--", "—": "---", "…": r"\dots{}", "“": "``", "”": "''", "‘": "`", "’": "'",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after \\ they would be read as its arguments
    "-": "-{}",  # -- is a dash
}  # fmt: skip
MATHS = {sign: rf"\ensuremath{{{'' if name == '-' else chr(92)}{name}}}" for sign, name in (GREEK | SIGNS).items()}
ESCAPES = TEXT | MATHS | {sign: f"\\{sign}" for sign in "&%$#_{}"}


def document(tables: Sequence[Table]) -> str:
    """A complete document, one long table after the other, each with its notes."""
    sheets = [sheet(frame) for _, frame, _ in tables]
    paper = max([A4, *(math.ceil(MARGINS + TINY * _width(cells)) for cells in sheets)])
    shown = [_table(caption, cells, notes) for (caption, _, notes), cells in zip(tables, sheets, strict=True)]
    return "\n\n".join([HEAD % paper, *shown, END]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in one line; a character that it has no font for becomes its code."""
    return "".join(ESCAPES.get(sign) or _printable(sign) for sign in " ".join(text.split()))


def _printable(sign: str) -> str:
    return sign if " " <= sign <= "~" or "À" <= sign <= "ÿ" else f"(U+{ord(sign):04X})"


def _table(caption: str, cells: Sheet, notes: Sequence[str]) -> str:
    columns = "".join("r" if number else "l" for number in cells.numbers)
    headings = [r"\toprule", _row([Cell(heading) for heading in cells.headings]), r"\midrule"]
    body = [r"\addlinespace " * begins + _row(row) for begins, row in zip(cells.begins, cells.rows, strict=True)]
    return "\n".join(
        [
            rf"\begingroup\{_size(cells)}",
            rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
            rf"\caption*{{\normalsize {escape(caption)}}}\\",
            *headings,
            r"\endfirsthead",
            *headings,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}",
            r"\endgroup",
            *(rf"{{\footnotesize\noindent {escape(note)}\par}}" for note in notes),
        ]
    )


def _row(cells: Sequence[Cell]) -> str:
    texts = [escape(cell.text.replace("-", "−") if cell.number else cell.text) for cell in cells]
    marked = [f"{MARKS[cell.mark]}{{{text}}}" if cell.mark else text for cell, text in zip(cells, texts, strict=True)]
    return " & ".join(marked) + r" \\"


def _size(cells: Sheet) -> str:
    return next((size for widest, size in SIZES.items() if _width(cells) <= widest), "tiny")


def _width(cells: Sheet) -> int:
    """The widest line of a table [characters], two for each gap."""
    columns = zip(cells.headings, *([cell.text for cell in row] for row in cells.rows), strict=True)
    return sum(max(map(len, column)) + 2 for column in columns)
