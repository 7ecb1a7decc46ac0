"""What tables are made of: lines with all that belongs to a number, and what a table says of them in words."""

import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from ..datasets.errors import plural
from ..datasets.sets.own_folder import short_name, short_names
from ..protocol.metrics.metric import Metric
from ..protocol.metrics.registry import find_metric
from ..protocol.plan import BASELINES, Plan
from ..protocol.states import State
from ..protocol.suites import Suite, training_sets
from .published import LEVELS, Other

Place = tuple[str, str, str, str]  # noise, tested, label, test set
NOT_RUN = State("not run")
RIVALS = (  # in words; see Line.rival
    "the primary outputs, on whole images, of methods that learn from single noisy images or train nothing (BM3D, not "
    "the noisy input or the blur)"
)
HOLES = (
    "not defined", "not possible", "skipped", "failed", "diverged", "damaged", "foreign", "unreadable", "stale",
    "partly run",
)  # fmt: skip


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
    state: State = NOT_RUN
    metrics: dict[str, float] = {}  # metric -> mean over seeds; empty where there is no number
    std: dict[str, float] = {}  # the same: standard deviation over seeds; empty for one seed
    worst: float | None = None  # primary metric of the worst seed
    seeds: int = 0
    images: int | None = None
    low: float | None = None  # 95 % interval of the mean of the primary metric over images
    high: float | None = None
    mark: str = ""  # best or second among its rivals, where a paired test says so
    published: dict[str, float] | None = None  # the paper's numbers; empty where it printed - / -; None: no such cell
    other: Other | None = None  # a line of --published all: what somebody else published; nothing else is known of it
    supervision: str = ""  # what it learns from: clean, pair, noisy, none
    primary: bool = False  # the output that stands for the method
    centre_crop: int = 0  # centre square of the test images that was scored; 0: all
    knowledge: str = ""  # of the noise: blind, family, level
    network: str = ""  # other than the shared U-Net, where the label does not say it
    reduced_settings: str = ""  # what was run with less than the preset's other rows or the published method
    oracle: bool = False  # the output was chosen by these very scores
    warnings: tuple[str, ...] = ()  # why these numbers may not be what they seem
    parameters: int | None = None
    passes: int | None = None
    seconds: float | None = None
    image_seconds: float | None = None  # median per image, where no network serves the whole set
    image_megabytes: float | None = None
    trained: bool = False  # one network for the whole test set was trained here
    environment: dict[str, str] = {}  # device, precision, processor, commit, version of torch
    keys: tuple[str, ...] = ()  # of its records, one for each seed
    command: str = ""  # what computes it

    @property
    def place(self) -> Place:
        """Where it stands in its table."""
        return self.noise, self.tested, self.label, self.test

    @property
    def run(self) -> bool:
        """Whether something was computed for it, with or without success."""
        return self.state.kind not in ("not run", "not defined", "not possible")

    @property
    def rival(self) -> bool:
        """Whether it may be best: it has a number and is among RIVALS."""
        fair = self.state.kind == "done" and self.method not in BASELINES and not self.centre_crop
        return fair and self.supervision in ("noisy", "none") and self.primary


class Table(Struct):
    """One table of a suite as far as a store has it."""

    number: int | None
    plan: Plan
    lines: list[Line]
    notes: list[str]  # of records that no line shows
    means: dict[Place, dict[str, float]]  # the primary metric of every image
    unmarked: dict[tuple[str, str, str], str] = {}  # noise, tested, test set -> why none of its lines is best

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The suite's metrics in its order."""
        return metrics_of(self.plan.suite)

    @property
    def title(self) -> str:
        """The number in the paper, or the suite's name."""
        return str(self.number or self.plan.suite.name)


def metrics_of(suite: Suite) -> tuple[Metric, ...]:
    """The metrics of a suite in its order."""
    return tuple(find_metric(name) for name in suite.metrics)


def headings(metrics: Sequence[Metric]) -> str:
    """What stands in a cell, such as `PSNR (dB)/SSIM`."""
    return "/".join(metric.heading for metric in metrics)


def group(line: Line) -> str:
    """The noise of a line in words."""
    return line.noise if line.tested == line.noise else f"{line.noise}, tested on {line.tested}"


def row_name(line: Line) -> str:
    """The method of a line, its network if it is not the shared one, and what was reduced."""
    more = ", ".join(filter(None, (line.network, line.reduced_settings)))
    return f"{line.label} ({more})" if more else line.label


def notes(table: Table) -> list[str]:
    """What is too long for the cells of a table's lines, and what it says of other records."""
    found = table.lines
    said = [*_holes(found), *_warnings(found), *_oracles(found), *_unmarked(table), *_external(table), *_others(found)]
    return said + table.notes


def _holes(found: list[Line]) -> list[str]:
    """Why a line has no number."""
    holes = [line for line in found if line.state.kind in HOLES]
    return [*dict.fromkeys(f"{group(line)}, {line.label}{_where(line, found)}: {line.state}" for line in holes)]


def _warnings(found: list[Line]) -> list[str]:
    """Why a number may not be what it seems."""
    return [
        f"{group(line)}, {line.label}, {short_name(line.test)}: {text}"
        for line in found
        if line.state.kind == "done"
        for text in line.warnings
    ]


def _oracles(found: list[Line]) -> list[str]:
    """Which output an oracle chose."""
    chosen: dict[str, list[str]] = {}
    for line in found:
        if line.oracle and line.state.kind == "done":
            chosen.setdefault(f"{group(line)}, {line.label}", []).append(f"{line.output} ({short_name(line.test)})")
    best = "the output that scored best on the test set"
    return [f"{row}: {best}: {', '.join(outputs)}" for row, outputs in chosen.items()]


def _unmarked(table: Table) -> list[str]:
    """Why none of the lines that are there is best."""
    found: dict[str, None] = {}
    for line in table.lines:
        if line.rival and (why := table.unmarked.get((line.noise, line.tested, line.test))):
            found[f"{group(line)}, {short_name(line.test)}: {why}"] = None
    return list(found)


def _external(table: Table) -> list[str]:
    """What the caption cannot say of weights that were not trained here."""
    shown = {line.label for line in table.lines}
    names = dict.fromkeys(one.name for one in table.plan.request.weights if one.name in shown)
    return [f"{name}: external weights; how and on what they were trained is not known" for name in names]


def _others(found: list[Line]) -> list[str]:
    """Where the numbers of others come from."""
    numbers = [line.other for line in found if line.other]
    levels = [f"[{level}] {meaning}" for level, meaning in LEVELS.items() if level in {one.level for one in numbers}]
    rows = dict.fromkeys((one.label, one.source, one.remark) for one in numbers)
    said = [f"{label} (others): {'; '.join(filter(None, (source, remark)))}" for label, source, remark in rows]
    return [f"Under (others) stands what others than the paper published: {'; '.join(levels)}."] * bool(rows) + said


def _where(line: Line, found: list[Line]) -> str:
    """The test set of a line, where other sets of the same row are in another state."""
    states = {one.state for one in found if (one.label, one.noise, one.tested) == (line.label, line.noise, line.tested)}
    return f", {short_name(line.test)}" if len(states - {NOT_RUN}) > 1 else ""


def caption(table: Table) -> str:
    """What the numbers are: suite, version, preset, what was trained on, how many images."""
    plan, found, preset = table.plan, table.lines, table.plan.preset
    images = {line.test: line.images for line in found if line.images}
    sets = ", ".join(f"{short_name(test)} ({plural(count, 'noisy image')})" for test, count in images.items())
    ran = [line.environment for line in found if line.trained and line.environment.get("precision")]
    where = sorted({f"in {one['precision']} on {one.get('device')}" for one in ran})
    how = f" ({' and '.join(where)})" if where else ""
    printed = any(line.published for line in found)
    note = " The paper's numbers come from its own training." if printed else ""
    title = plan.suite.tables.get(str(table.number), plan.suite.title)
    trained = ", ".join(map(short_name, training_sets(preset)))
    return (
        f"{name_of(table)}: {title}. {headings(table.metrics)}. Suite {plan.suite.name} v{plan.suite.version}, "
        f"preset [{short_names(plan.request.label)}]: {plural(preset.steps, 'step')} of {preset.batch} crops "
        f"of {preset.crop} from {trained}{how}, tested on {sets or ', '.join(map(short_name, preset.tests))}.{note}"
    )


def name_of(table: Table) -> str:
    """What a caption begins with."""
    return f"Table {table.number}" if table.number else table.plan.suite.name


def plain(found: list[Line]) -> list[dict[str, Any]]:
    """Lines as plain objects for JSON: the state as its kind and reason, infinite numbers as text."""
    return [
        {name: _finite(value) for name, value in to_builtins(line).items()}
        | {"state": line.state.kind, "reason": line.state.reason}
        for line in found
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
