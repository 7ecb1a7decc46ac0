"""What a page plots of the tables: training, cost, differences of images, ranks, noise levels."""

import math
import re
from collections.abc import Iterator, Sequence

import scipy

from ...datasets.sets.own_folder import short_name, short_names
from ...protocol.metrics.metric import Metric
from ...protocol.metrics.registry import find_metric
from ...protocol.plan import BASELINES
from ...store.store import Store
from ..table_lines import Line, Table, headings
from .model import Paired, Plot, Series
from .tables import multiply_adds

Points = dict[str, tuple[float, float, str]]  # noise of the test -> its level, value, key of the record
EACH = "each level"  # what several trainings were trained for
SIMPLE = re.compile(r"([a-z]+)(\d+(?:\.\d+)?)")  # a noise of one family and one level


def looks(tables: Sequence[Table]) -> dict[str, int]:
    """A number for every row with a number of its own: its colour and marker in all plots."""
    labels = dict.fromkeys(line.label for table in tables for line in table.lines if line.metrics)
    return {label: number for number, label in enumerate(labels)}


def plots(store: Store, tables: Sequence[Table], look: dict[str, int]) -> tuple[list[Plot], list[Paired]]:
    """The plots of one store: those that have at least two things to compare."""
    found: list[Plot] = []
    paired: list[Paired] = []
    for table in tables:
        metric = find_metric(table.plan.suite.primary)
        done = [line for line in table.lines if line.metrics]
        for noise, test in dict.fromkeys((line.noise, line.test) for line in done):
            mine = [line for line in done if (line.noise, line.tested, line.test) == (noise, noise, test)]
            where = f"{noise}, {short_name(test)} [{short_names(table.plan.request.label)}]"
            found += _cost(table, mine, metric, where, look)
            paired += _paired(table, mine, metric, where)
            found += _ranks(table, mine, metric, where, look)
        found += _training(store, table, look)
        found += _levels(table, done, metric, look)
    largest = {plot.title: plot for plot in sorted(found, key=lambda plot: len(plot.series))}
    fullest = {one.title: one for one in sorted(paired, key=lambda one: len(one.values))}
    plots_kept = [plot for plot in found if largest[plot.title] is plot]  # suites may share a noise and a test set
    return plots_kept, [one for one in paired if fullest[one.title] is one]


def _training(store: Store, table: Table, look: dict[str, int]) -> Iterator[Plot]:
    """PSNR of one training crop against steps."""
    for noise in dict.fromkeys(cell.noise.name for cell in table.plan.cells):
        series: list[Series] = []
        for cell in table.plan.cells:
            line = next((one for one in table.lines if (one.method, one.noise) == (cell.name, noise) and one.run), None)
            if line is None or cell.noise.name != noise or not cell.trains or line.label not in look:
                continue
            if any(one.name == line.label for one in series):
                continue
            record = store.whole(cell.fit)
            quality = record.result.get("quality") if record and record.state == "done" else None
            if record and quality:
                points = [(float(step), float(psnr)) for step, psnr in quality]
                series.append(Series(line.label, look[line.label], points, [record.key], line=True))
        if series:
            preset = short_names(table.plan.request.label)
            yield Plot(
                f"Training, {noise} [{preset}]",
                "PSNR of one fixed crop of a training image, not of a test set; first seed.",
                "steps", "PSNR of one training crop (dB)", series,
            )  # fmt: skip


def _cost(table: Table, lines: list[Line], metric: Metric, where: str, look: dict[str, int]) -> Iterator[Plot]:
    """Quality against seconds of training, and against multiply-adds of one output pixel."""
    fits = {(cell.name, cell.noise.name): cell.fit for cell in table.plan.cells}
    seconds, adds = [], []
    for line in lines:
        fit, value = fits.get((line.method, line.noise)), line.metrics[metric.name]
        if line.seconds:
            seconds.append(Series(line.label, look[line.label], [(line.seconds, value)], [*line.keys]))
        if fit and (cost := multiply_adds(fit, line.passes)):
            adds.append(Series(line.label, look[line.label], [(cost, value)], [*line.keys]))
    for series, x, text in (
        (seconds, "training (s)", "Seconds of training as recorded; comparable on one machine only."),
        (adds, "multiply-adds per pixel", "Multiply-adds of convolutions for one pixel of the output, all passes."),
    ):
        if len(series) > 1:
            name = "seconds" if series is seconds else "multiply-adds"
            yield Plot(
                f"Quality against {name}, {where}", f"{text} Mean of the test images.", x,
                f"mean test {metric.heading}", series, log=True,
            )  # fmt: skip


def _paired(table: Table, lines: list[Line], metric: Metric, where: str) -> Iterator[Paired]:
    """The values of each image, of the lines that have the same images."""
    means = {line.label: table.means[line.place] for line in lines if table.means.get(line.place)}
    if len(means) < 2:
        return
    images = list(next(iter(means.values())))
    values = {label: [mine[image] for image in images] for label, mine in means.items() if [*mine] == images}
    finite = {label: mine for label, mine in values.items() if all(map(math.isfinite, mine))}
    if len(images) > 1 and len(finite) > 1:
        yield Paired(
            f"Differences of images, {where}",
            "Each point is one image, the mean over its noise draws and seeds. Band: 95 % interval of the mean "
            "difference by Student's t; it is not corrected for several comparisons.",
            metric.heading, images, finite, float(scipy.stats.t.ppf(0.975, len(images) - 1)),
        )  # fmt: skip


def _ranks(table: Table, lines: list[Line], metric: Metric, where: str, look: dict[str, int]) -> Iterator[Plot]:
    """Ranks here against ranks in the paper: on the same set, else on the mean of the paper's sets."""
    here = {line.label: line for line in lines if line.method not in BASELINES}
    printed: dict[str, list[float]] = {}
    same = any(line.published and metric.name in line.published for line in lines)
    for line in lines if same else table.lines:
        if line.label in here and line.noise == lines[0].noise and line.published and metric.name in line.published:
            printed.setdefault(line.label, []).append(metric.sign * line.published[metric.name])
    labels = [label for label in here if label in printed]
    if len(labels) < 3:
        return
    ours = _ranked({label: metric.sign * here[label].metrics[metric.name] for label in labels})
    theirs = _ranked({label: sum(printed[label]) / len(printed[label]) for label in labels})
    series = [Series(label, look[label], [(theirs[label], ours[label])], [*here[label].keys]) for label in labels]
    of = "the same set" if same else "the mean of the sets that it printed, which are others than here"
    yield Plot(
        f"Ranks, {where}", f"1 is best. The paper's ranks are those of {of}. Dashed: equal ranks.",
        "rank in the paper", "rank here", series, diagonal=True,
    )  # fmt: skip


def _ranked(values: dict[str, float]) -> dict[str, float]:
    """Ranks from 1, the highest value first; equal values share the mean rank."""
    ranks = scipy.stats.rankdata([-value for value in values.values()])
    return dict(zip(values, map(float, ranks), strict=True))


def _levels(table: Table, lines: list[Line], metric: Metric, look: dict[str, int]) -> Iterator[Plot]:
    """Quality against the level of the noise, where a family was tested at several."""
    groups: dict[tuple[str, str], dict[tuple[str, str], Points]] = {}
    for line in lines:
        if level := SIMPLE.fullmatch(line.tested):
            trainings = groups.setdefault((level[1], line.test), {})
            points = trainings.setdefault((line.label, _trained_for(table, line)), {})
            points[line.tested] = float(level[2]), line.metrics[metric.name], line.keys[0] if line.keys else ""
    for (family, test), trainings in groups.items():
        if series := _over_levels(trainings, look):
            preset = short_names(table.plan.request.label)
            yield Plot(
                f"Quality against {family} level, {short_name(test)} [{preset}]",
                f"Mean {headings([metric])} of the test images. A line is one training, or one for each level.",
                f"level of {family}", f"mean test {metric.heading}", series,
            )  # fmt: skip


def _trained_for(table: Table, line: Line) -> str:
    """The noise that tells a line's network from others; "" where no network serves the whole test set."""
    cells = (cell for cell in table.plan.cells if (cell.name, cell.noise.name) == (line.method, line.noise))
    return line.noise if any(cell.fit.method.has_weights() for cell in cells) else ""


def _over_levels(trainings: dict[tuple[str, str], Points], look: dict[str, int]) -> list[Series]:
    """One line for each training that met several levels, and one for a method's trainings that met their own alone."""
    joined: dict[tuple[str, str], Points] = {}
    for (label, noise), points in trainings.items():
        joined.setdefault((label, EACH if [*points] == [noise] else noise), {}).update(points)
    several = {key: points for key, points in joined.items() if len(points) > 1}
    labels = [label for label, _ in several]
    found = []
    for (label, noise), points in several.items():
        name = label if labels.count(label) == 1 else f"{label}, trained for {noise}"
        places = [(level, value) for level, value, _ in sorted(points.values())]
        keys = [key for *_, key in sorted(points.values())]
        found.append(Series(name, look.setdefault(name, len(look)), places, keys, line=True))
    return found
