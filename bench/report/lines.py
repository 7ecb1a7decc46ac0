"""What tables are made of: lines with all that belongs to a number, and what is said of them in words."""

import math
from typing import Any

from msgspec import Struct

from ..protocol.plan import Plan
from ..protocol.suites import training_sets

REASONS = tuple(
    f"{state}:" for state in ("not defined", "not possible", "skipped", "failed", "diverged", "damaged", "foreign")
)
Place = tuple[str, str, str, str]  # noise, tested, label, test set


class Line(Struct, kw_only=True):
    """One measured or published number with all that belongs to it; `tables --format json` lists these."""

    table: int | None
    suite: str
    version: int
    preset: str
    noise: str  # trained for
    tested: str  # met in the test: the same, unless another one was asked for
    label: str
    method: str
    output: str
    test: str
    state: str  # done, trained, not run, or failed, diverged, stale, skipped, damaged, foreign, not ...: reason
    psnr: float | None = None
    psnr_std: float | None = None
    ssim: float | None = None
    ssim_std: float | None = None
    worst: float | None = None  # PSNR of the worst seed
    seeds: int = 0
    images: int | None = None
    low: float | None = None  # 95 % interval of the mean PSNR over images
    high: float | None = None
    mark: str = ""  # best or second among the self-supervised rows, where a paired test says so
    published_psnr: float | None = None
    published_ssim: float | None = None
    published: bool = False  # the paper has this cell; without numbers, it printed - / -
    supervision: str = ""  # what it learns from: clean, pair, noisy, none
    primary: bool = False  # the output that stands for the method
    centre_crop: int = 0  # centre square of the test images that was scored; 0: all
    knowledge: str = ""  # what the method is told about the noise: none, family, level
    reduced_settings: str = ""  # what was run less than the preset's other rows or the published method
    oracle: bool = False  # the output was chosen by these very scores
    parameters: int | None = None
    passes: int | None = None
    seconds: float | None = None
    device: str = ""
    precision: str = ""

    @property
    def place(self) -> Place:
        """Where it stands in its table."""
        return self.noise, self.tested, self.label, self.test


class Table(Struct):
    """One table of the paper as far as a store has it."""

    number: int | None
    plan: Plan
    lines: list[Line]
    notes: list[str]
    means: dict[Place, dict[str, float]]  # PSNR of every image


def group(line: Line) -> str:
    """The noise of a line in words."""
    return line.noise if line.tested == line.noise else f"{line.noise}, tested on {line.tested}"


def notes(found: list[Line]) -> list[str]:
    """Why a row has no numbers, and which output an oracle chose by the test scores: too long for the table's cells."""
    reasons = {
        f"{group(line)}, {line.label}{where(line, found)}: {line.state}": None
        for line in found
        if line.state.startswith(REASONS)
    }
    chosen: dict[str, list[str]] = {}
    for line in found:
        if line.oracle and line.state == "done":
            chosen.setdefault(f"{group(line)}, {line.label}", []).append(f"{line.output} ({line.test})")
    return [*reasons, *(f"{row}: {', '.join(outputs)}" for row, outputs in chosen.items())]


def where(line: Line, found: list[Line]) -> str:
    """The test set of a line, where other sets of the same row are in another state."""
    states = {o.state for o in found if (o.label, o.noise, o.tested) == (line.label, line.noise, line.tested)}
    return f", {line.test}" if len(states - {"not run"}) > 1 else ""


def caption(table: Table) -> str:
    """What the numbers are: suite, version, preset, what was trained on, how many images."""
    plan, found, preset = table.plan, table.lines, table.plan.preset
    images = {line.test: line.images for line in found if line.images}
    sets = ", ".join(f"{test} ({count} noisy images)" for test, count in images.items()) or ", ".join(preset.tests)
    how = " and ".join(sorted({f"in {line.precision} on {line.device}" for line in found if line.precision}))
    printed = any(line.published_psnr is not None for line in found)
    note = " Columns (paper) are the printed numbers, of the paper's own training." if printed else ""
    paper = f"Table {table.number}" if table.number else plan.suite.name
    title = plan.suite.tables.get(str(table.number), plan.suite.title)
    trained = ", ".join(training_sets(preset))
    return (
        f"{paper}: {title}. PSNR (dB)/SSIM. Suite {plan.suite.name} v{plan.suite.version}, "
        f"preset [{plan.request.label}]: {preset.steps} steps of {preset.batch} crops of {preset.crop} "
        f"from {trained}{f' ({how})' if how else ''}, tested on {sets}.{note}"
    )


def plain(found: list[Line]) -> list[dict[str, Any]]:
    """Lines as plain objects for JSON; infinite PSNR as text."""
    return [
        {
            name: (str(value) if isinstance(value, float) and not math.isfinite(value) else value)
            for name, value in ((name, getattr(line, name)) for name in line.__struct_fields__)
        }
        for line in found
    ]
