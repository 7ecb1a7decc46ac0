"""Tables as text: what stands in which column, in which format."""

import io
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from ..datasets.sets.own_folder import short_name
from . import html, latex
from .lines import Line, Table, caption, group

FORMATS = ("terminal", "md", "latex", "csv", "html", "json")
STYLES = {"terminal": "rounded_outline", "md": "github", "latex": "latex_booktabs"}
KNOWS = {"none": "nothing", "family": "noise family", "level": "noise level", "": ""}
MARKS = {"best": "**", "second": "_", "": ""}
LEGEND = "Best (**), second (_): primary outputs of self-supervised rows, Wilcoxon over per-image means, Holm, 5 %."


def frame(table: Table) -> pd.DataFrame:
    """One line per noise and row of the table; measured, published and difference per column of the paper."""
    found = table.lines
    across = table.plan.suite.across
    shown = [line for line in found if line.state != "not run" or not line.published]
    measured = list(dict.fromkeys(_column(line, across) for line in shown))
    printed = list(dict.fromkeys(_column(line, across) for line in found if line.published))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for line in found:
        row = rows.setdefault(_row(line, across), {"noise": group(line), "set": line.test, "method": line.label})
        row["told"] = KNOWS[line.knowledge] or row.get("told", "")
        if line.reduced_settings:
            row["method"] = f"{line.label} ({line.reduced_settings})"
        column = _column(line, across)
        for name in measured:
            row.setdefault(name, "")
        if column in measured and (line.state != "not run" or line.test in table.plan.preset.tests):
            row[column] = _measured(line)
        if line.published:
            row[f"{column} (paper)"] = _printed(line)
            if line.state == "done" and line.psnr is not None and line.published_psnr is not None:
                row[f"{column} (diff.)"] = f"{line.psnr - line.published_psnr:+.2f}"
    columns = ["noise" if across == "tests" else "set", "method", "told"]
    for name in dict.fromkeys([*measured, *printed]):
        columns += [name] * (name in measured) + [f"{name} (paper)"] * (name in printed) + [f"{name} (diff.)"]
    result = pd.DataFrame(list(rows.values()))
    return result[[column for column in columns if column in result]].fillna("")


def long(table: Table) -> pd.DataFrame:
    """One line per number, with all that belongs to it."""
    rows = []
    for line in table.lines:
        done = line.state == "done" and line.psnr is not None
        difference = done and line.published_psnr is not None
        rows.append(
            {
                "noise": group(line),
                "method": f"{line.label} ({line.reduced_settings})" if line.reduced_settings else line.label,
                "set": line.test,
                "PSNR/SSIM": _measured(line),
                "95 % interval": f"{line.low:.2f}..{line.high:.2f}" if line.low is not None else "",
                "paper": _printed(line) if line.published else "",
                "diff.": f"{(line.psnr or 0.0) - (line.published_psnr or 0.0):+.2f}" if difference else "",
                "n": str(line.images or ""),
                "seeds": str(line.seeds) if done else "",
                "told": KNOWS[line.knowledge],
                "passes": "" if line.passes is None else str(line.passes),
                "parameters": f"{line.parameters or 0:,}" if done else "",
                "train s": f"{line.seconds:.0f}" if line.seconds else "",
                "preset": line.preset,
            }
        )
    return pd.DataFrame(rows)


def page(tables: Sequence[Table], form: str, long_: bool = False) -> str:
    """Tables with captions and notes as terminal, md, latex, csv or html text."""
    parts = []
    for table in tables:
        legend = [LEGEND] * any(line.mark for line in table.lines)
        parts.append((caption(table), long(table) if long_ else frame(table), [*legend, *table.notes]))
    if form == "html":
        return html.page(parts)
    if form == "latex":
        return latex.document(parts)
    if form == "csv":
        frames = [
            _plain(part[1]).assign(table=_title(table), preset=table.plan.request.label)
            for table, part in zip(tables, parts, strict=True)
        ]
        return render(pd.concat(frames).fillna(""), form)
    return "\n\n".join("\n\n".join([c, render(f, form), *(["\n".join(n)] if n else [])]) for c, f, n in parts)


def render(table: pd.DataFrame, form: str) -> str:
    """A frame of strings as terminal, md, latex, csv, html or json text."""
    if form == "csv":
        text = io.StringIO()
        table.to_csv(text, index=False)
        return text.getvalue().rstrip("\n")
    if form == "json":
        return str(table.to_json(orient="records", indent=1))
    if form == "html":
        return html.page([("", table, [])])
    shown = table.rename(columns=short_name)
    if form == "terminal" and "noise" in table:
        shown = shown.assign(noise=table["noise"].where(table["noise"] != table["noise"].shift(), ""))
    return tabulate(shown, headers="keys", tablefmt=STYLES[form], showindex=False, disable_numparse=True)  # type: ignore[arg-type]


def _title(table: Table) -> str:
    return str(table.number or table.plan.suite.name)


def _row(line: Line, across: str) -> tuple[str, str, str]:
    return (group(line) if across == "tests" else line.test, line.label, line.method)


def _column(line: Line, across: str) -> str:
    return line.test if across == "tests" else group(line)


def _measured(line: Line) -> str:
    if line.psnr is None or line.ssim is None or line.state != "done":
        return line.state.partition(":")[0]
    mark = MARKS[line.mark]
    if line.psnr_std is None:
        return f"{mark}{line.psnr:.2f}/{line.ssim:.3f}{mark}"
    return f"{mark}{line.psnr:.2f}±{line.psnr_std:.2f}/{line.ssim:.3f}±{line.ssim_std:.3f}{mark}"


def _printed(line: Line) -> str:
    if line.published_psnr is None:
        return "- / -"
    return f"{line.published_psnr:.2f}/{line.published_ssim:.3f}"


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Without marks: numbers for a program."""
    return table.replace(r"^(\*\*|_)(.*)\1$", r"\2", regex=True)
