"""The paper's tables from records alone: measured numbers beside the published ones."""

import csv
import io
import math
from importlib import resources
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
from msgspec import Struct, structs
from tabulate import tabulate

from .datasets.errors import InputError, unknown
from .evaluation import infinite
from .methods import registry
from .plan import Cell, Plan, Request, Score, make
from .protocol import Row, load, suites
from .store import Store

FORMATS = {"terminal": "rounded_outline", "md": "github", "latex": "latex_booktabs"}
Quality = tuple[float, float]  # PSNR in dB, SSIM


class Line(Struct, kw_only=True):
    """One measured or published number with all that belongs to it; `tables --format json` lists these."""

    table: int | None
    suite: str
    version: int
    preset: str
    noise: str
    label: str
    method: str
    output: str
    test: str
    state: str  # done, not run, failed: reason, diverged: reason, not defined: reason
    psnr: float | None = None
    psnr_std: float | None = None
    ssim: float | None = None
    ssim_std: float | None = None
    seeds: int = 0
    images: int | None = None
    published_psnr: float | None = None
    published_ssim: float | None = None
    knowledge: str = ""  # what the method is told about the noise: none, family, level
    shortfall: str = ""  # what was run less than the preset's other rows or the published method
    hindsight: bool = False  # the output was chosen by these very scores
    parameters: int | None = None
    passes: int | None = None
    seconds: float | None = None
    device: str = ""
    precision: str = ""


def published(table: int | None) -> dict[tuple[str, str, str, str], Quality]:
    """(noise, method, output or "", test set) -> the printed PSNR and SSIM."""
    source = resources.files("bench.results.paper") / f"table{table}.csv"
    if table is None or not source.is_file():
        return {}
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return {(r["noise"], r["method"], r["output"], r["set"]): (float(r["psnr"]), float(r["ssim"])) for r in rows}


def suite_of(table: int) -> str:
    """The suite that regenerates a table of the paper."""
    by_table = {str(load(name).table): name for name in suites() if load(name).table is not None}
    if str(table) not in by_table:
        raise unknown("table", str(table), by_table)
    return by_table[str(table)]


def lines(plan: Plan, store: Store) -> list[Line]:
    """Every number of the plan's table: rows of the suite, then methods that it does not list."""
    suite, printed = plan.suite, published(plan.suite.table)
    listed = {row.method for row in suite.rows}
    run = list(dict.fromkeys(cell.name for cell in plan.cells))
    rows = [row for row in suite.rows if not row.optional or _has_record(plan, store, row.method)]
    rows += [Row(label=name, method=name) for name in run if name not in listed]
    tests = list(dict.fromkeys([*plan.preset.tests, *(key[3] for key in printed)]))
    found = []
    for noise in dict.fromkeys(cell.noise.name for cell in plan.cells):
        for row in rows:
            cells = [cell for cell in plan.cells if (cell.name, cell.noise.name) == (row.method, noise)]
            for test in tests:
                line = _line(plan, store, row, noise, test, cells)
                quality = printed.get((noise, row.method, row.output, test))
                if quality is not None:
                    line.published_psnr, line.published_ssim = quality
                if test in plan.preset.tests or line.published_psnr is not None:
                    found.append(line)
    return found


def _line(plan: Plan, store: Store, row: Row, noise: str, test: str, cells: list[Cell]) -> Line:
    output = row.output
    if row.method in registry.methods() and not output:
        output = registry.find(row.method).headline().name
    elif cells and not output:
        output = cells[0].fit.method.headline().name
    line = Line(
        table=plan.suite.table,
        suite=plan.suite.name,
        version=plan.suite.version,
        preset=plan.request.label,
        noise=noise,
        label=row.label,
        method=row.method,
        output=output,
        test=test,
        state="not run",
    )
    if not cells:
        return line
    method = cells[0].fit.method
    line.knowledge, line.passes = method.knowledge, method.passes().get(output)
    line.shortfall = shortfall(plan, cells[0])
    if cells[0].reason:
        line.state = cells[0].reason
        return line
    if not cells[0].scores:  # no clean images to score against
        fits = [store.read(cell.fit) for cell in cells]
        line.state = "trained" if all(fit is not None and fit.state == "done" for fit in fits) else "not run"
        return line
    qualities: list[Quality] = []
    for cell in cells:
        score = next((score for score in cell.scores if score.test == test), None)
        if score is None:
            return line
        if output == "best":
            output = line.output = _best(store, score) or output
            line.hindsight, line.passes = True, score.fit.method.passes().get(output)
        state, quality = _read(store, score, output, line)
        if quality is None:
            line.state = state
            return line  # no mean over a hole
        qualities.append(quality)
    line.state, line.seeds = "done", len(qualities)
    psnrs, ssims = zip(*qualities, strict=True)
    line.psnr, line.ssim = mean(psnrs), mean(ssims)
    if len(qualities) > 1:
        line.psnr_std, line.ssim_std = stdev(psnrs), stdev(ssims)
    return line


def _read(store: Store, score: Score, output: str, line: Line) -> tuple[str, Quality | None]:
    fit = store.read(score.fit)
    if fit is not None:
        line.parameters, line.seconds = fit.result.get("parameters"), fit.result.get("seconds")
        line.device, line.precision = fit.environment.get("device", ""), fit.environment.get("precision", "")
        if fit.state != "done":
            return f"{fit.state}: {fit.reason}", None
    record = store.read(score)
    if record is None:
        reason = score.fit.method.unavailable()
        return f"skipped: {reason}" if reason else "not run", None
    if record.state != "done":
        return f"{record.state}: {record.reason}", None
    values = record.result["outputs"].get(output)
    if values is None:
        raise InputError(f"record {record.key} has no output {output!r}; it has {', '.join(record.result['outputs'])}")
    line.images = values["images"]
    line.parameters = line.parameters or record.result.get("parameters")
    return "done", (infinite(values["psnr"]), values["ssim"])


def shortfall(plan: Plan, cell: Cell) -> str:
    """What a cell does less than the preset's other rows or the published method, in the words of the table."""
    fit = cell.fit
    parts = [fit.method.shortfall(fit.steps)]
    if fit.method.fits == "dataset" and fit.steps != plan.preset.steps:
        parts.append(f"{fit.steps:,} steps")
    if cell.scores and cell.scores[0].window:
        parts.append(f"centre {cell.scores[0].window}x{cell.scores[0].window}")
    return ", ".join(part for part in parts if part)


def _best(store: Store, score: Score) -> str | None:
    """The output with the highest PSNR on a test set: a choice in hindsight, for trivial baselines."""
    record = store.read(score)
    outputs = record.result.get("outputs", {}) if record else {}
    return max(outputs, key=lambda name: infinite(outputs[name]["psnr"]), default=None)


def _has_record(plan: Plan, store: Store, name: str) -> bool:
    return any(store.path(unit).is_file() for cell in plan.cells if cell.name == name for unit in cell.units())


KNOWS = {"none": "nothing", "family": "noise family", "level": "noise level", "": ""}


def notes(found: list[Line]) -> list[str]:
    """Why a row has no numbers, and which output was chosen in hindsight: too long for the table's cells."""
    reasons = {
        f"{line.noise}, {line.label}: {line.state}": None
        for line in found
        if line.state.startswith(("not defined:", "not possible:", "skipped:", "failed:", "diverged:"))
    }
    chosen: dict[str, list[str]] = {}
    for line in found:
        if line.hindsight and line.state == "done":
            chosen.setdefault(f"{line.noise}, {line.label}", []).append(f"{line.output} ({line.test})")
    return [*reasons, *(f"{row}: {', '.join(outputs)}" for row, outputs in chosen.items())]


def frame(found: list[Line], cost: bool = False) -> pd.DataFrame:
    """One line per noise and row of the table; measured, published and difference per test set."""
    table: dict[tuple[str, str, str], dict[str, str]] = {}
    measured = list(
        dict.fromkeys(line.test for line in found if line.state != "not run" or line.published_psnr is None)
    )
    printed = list(dict.fromkeys(line.test for line in found if line.published_psnr is not None))
    for line in found:
        row = table.setdefault((line.noise, line.label, line.method), {"noise": line.noise, "method": line.label})
        row["told"] = KNOWS[line.knowledge]
        if line.shortfall:
            row["method"] = f"{line.label} ({line.shortfall})"
        for test in measured:
            row.setdefault(test, "")
        if line.test in measured:
            row[line.test] = _measured(line)
        if line.test in printed and line.published_psnr is not None:
            row[f"{line.test} (paper)"] = f"{line.published_psnr:.2f}/{line.published_ssim:.3f}"
            if line.psnr is not None:
                row[f"{line.test} (diff.)"] = f"{line.psnr - line.published_psnr:+.2f}"
        if cost and line.state == "done":
            row["parameters"] = f"{line.parameters:,}" if line.parameters else "0"
            row["passes"], row["train s"] = str(line.passes), f"{line.seconds:.0f}" if line.seconds else "-"
    columns = ["noise", "method", "told"]
    for test in dict.fromkeys([*measured, *printed]):
        columns += [test] * (test in measured) + [f"{test} (paper)"] * (test in printed) + [f"{test} (diff.)"]
    columns += ["parameters", "passes", "train s"]
    result = pd.DataFrame(list(table.values()))
    return result[[column for column in columns if column in result]].fillna("")


def _measured(line: Line) -> str:
    if line.psnr is None or line.ssim is None:
        return line.state.partition(":")[0]
    if line.psnr_std is None:
        return f"{line.psnr:.2f}/{line.ssim:.3f}"
    return f"{line.psnr:.2f}±{line.psnr_std:.2f}/{line.ssim:.3f}±{line.ssim_std:.3f}"


def caption(plan: Plan, found: list[Line]) -> str:
    """What the numbers are: suite, version, preset, what was trained on, how many images."""
    preset = plan.preset
    images = {line.test: line.images for line in found if line.images}
    sets = ", ".join(f"{test} ({count} noisy images)" for test, count in images.items()) or ", ".join(preset.tests)
    how = " and ".join(sorted({f"in {line.precision} on {line.device}" for line in found if line.precision}))
    printed = any(line.published_psnr is not None for line in found)
    note = " Columns (paper) are the printed numbers, of the paper's own training." if printed else ""
    paper = f"Table {plan.suite.table}" if plan.suite.table else plan.suite.name
    return (
        f"{paper}: {plan.suite.title}. PSNR (dB)/SSIM. Suite {plan.suite.name} v{plan.suite.version}, "
        f"preset [{plan.request.label}]: {preset.steps} steps of {preset.batch} crops of {preset.crop} "
        f"from {preset.train}{f' ({how})' if how else ''}, tested on {sets}.{note}"
    )


def render(table: pd.DataFrame, form: str) -> str:
    """A frame of strings as terminal, md, latex, csv or json text."""
    if form == "csv":
        text = io.StringIO()
        table.to_csv(text, index=False)
        return text.getvalue().rstrip("\n")
    if form == "json":
        return str(table.to_json(orient="records", indent=1))
    shown = table.rename(columns=lambda name: f"folder {Path(name).name}" if "folder:" in name else name)
    if form == "terminal" and "noise" in table:
        shown = shown.assign(noise=table["noise"].where(table["noise"] != table["noise"].shift(), ""))
    return tabulate(shown, headers="keys", tablefmt=FORMATS[form], showindex=False, disable_numparse=True)  # type: ignore[arg-type]


def request_of(store: Store, asked: Request, preset: bool) -> Request:
    """All rows and noises of what is asked; without a preset, on top of the store's last run of the suite."""
    last, wanted = store.last_request(), asked.noises
    if last is not None and last.suite == asked.suite and not preset:
        given = {name: value for name in asked.__struct_fields__ if (value := getattr(asked, name))}
        asked = structs.replace(last, **given | {"preset": last.preset})
    suite = load(asked.suite)
    if not wanted and set(asked.noises) <= set(suite.noises):
        asked = structs.replace(asked, noises=())
    recorded = [record.label["method"] for record in store.find("") if record.label["suite"] == suite.name]
    known = {*registry.methods(), *suite.configurations}
    methods = dict.fromkeys(
        name for name in (*(row.method for row in suite.rows), *asked.methods, *recorded) if name in known
    )
    return structs.replace(asked, methods=tuple(methods))


def build(store: Store, asked: Request, preset: bool) -> tuple[Plan, list[Line]]:
    """The plan and the lines of what `tables` shows."""
    plan = make(request_of(store, asked, preset))
    return plan, lines(plan, store)


def plain(found: list[Line]) -> list[dict[str, Any]]:
    """Lines as plain objects for JSON; infinite PSNR as text."""
    return [
        {
            name: (str(value) if isinstance(value, float) and not math.isfinite(value) else value)
            for name, value in ((name, getattr(line, name)) for name in line.__struct_fields__)
        }
        for line in found
    ]
