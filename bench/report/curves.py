"""PSNR against training progress, and a metric against cost; one colour and marker per method."""

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..protocol.metrics.metric import Metric
from .style import LETTERS, LINE, MARGIN, WIDTH, look, page, wrapped

LEGEND = 2.1  # inches at the right
SYMBOL = 0.4  # of them for a line's symbol
LEAST = 2.8  # inches of height above the caption
BELOW = 0.4  # of them for the numbers and the name of an axis
BESIDE = 0.5  # inches for the same at the left
HOLLOW = {"linestyle": "none", "markerfacecolor": "none", "markersize": 5}  # equal points stay visible
NAME = LETTERS + 1  # points of the axes' names


class Curve(NamedTuple):
    """How a method's PSNR grew."""

    label: str
    number: int  # of the row in the table: its colour and marker in every figure
    progress: list[float]  # step / steps
    psnr: list[float]  # dB


class Point(NamedTuple):
    """What a row of the table reaches, and what it costs."""

    label: str
    number: int  # of the row in the table: its colour and marker in every figure
    value: float  # of the metric, mean of the test set
    passes: int | None  # of a network per image
    seconds: float | None  # of training; None where none is recorded


def progress(curves: list[Curve], caption: str) -> Figure:
    """PSNR in dB over step / steps."""
    curves = sorted(curves, key=lambda curve: -curve.psnr[-1])
    figure = _page([(curve.label, f"{curve.psnr[-1]:.2f}", look(curve.number)) for curve in curves], caption)
    axes = _axes(figure, 0, 1, "training progress (step / steps)")
    axes.set_ylabel("PSNR of one training crop (dB)", fontsize=NAME)
    for curve in curves:
        spaced = max(1, len(curve.psnr) // 5)
        axes.plot(curve.progress, curve.psnr, **look(curve.number), markevery=spaced)
    axes.set_xlim(0, 1)
    return figure


def cost(points: list[Point], metric: Metric, caption: str) -> Figure:
    """The mean of a metric over network passes per image, and over seconds of training."""
    points = sorted(points, key=lambda point: -metric.sign * point.value)
    looks = [look(point.number) | HOLLOW for point in points]
    rows = [(point.label, metric.shown(point.value), style) for point, style in zip(points, looks, strict=True)]
    figure = _page(rows, caption)
    left = _axes(figure, 0, 2, "network passes per image")
    right = _axes(figure, 1, 2, "training time (s)", left)
    left.set_ylabel(f"mean test {metric.heading}", fontsize=NAME)
    for point, style in zip(points, looks, strict=True):
        for axes, x in ((left, point.passes), (right, point.seconds)):
            if x is not None:
                axes.plot(x, point.value, **style)
    left.set_xscale("symlog", base=2, linthresh=1)  # some methods need no pass
    left.set_xlim(left=-0.3)
    left.xaxis.set_minor_locator(NullLocator())
    if any(point.seconds is not None for point in points):
        right.set_xscale("log")
        right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        right.xaxis.set_minor_locator(NullLocator())
    for axes in (left, right):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, place: f"{x:,g}"))
    return figure


def _page(rows: list[tuple[str, str, dict[str, Any]]], caption: str) -> Figure:
    """A figure with a legend of label, value and look at the right."""
    labels = [wrapped(f"{label}, {value}", LEGEND - SYMBOL) for label, value, _ in rows]
    lines = sum(label.count("\n") + 1.25 for label in labels)
    figure = page(max(LEAST, lines * LINE + 4 * MARGIN), caption)
    handles = [Line2D([], [], **style) for _, _, style in rows]
    corner = (1 - LEGEND / WIDTH, 1 - MARGIN / figure.get_figheight())
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=corner, fontsize=LETTERS, frameon=False, labelspacing=0.25,
        borderpad=0, borderaxespad=0, handlelength=2.2,
    )  # fmt: skip
    return figure


def _axes(figure: Figure, number: int, count: int, name: str, beside: Axes | None = None) -> Axes:
    """One of `count` axes side by side, at the left of the legend; the others share the scale of the first."""
    height = figure.get_figheight()
    above = height - figure.subplotpars.bottom * height
    wide = (WIDTH - LEGEND - BESIDE) / count
    place = (BESIDE + number * wide, height - above + BELOW, wide - 2.5 * MARGIN, above - BELOW - 2 * MARGIN)
    axes = figure.add_axes((place[0] / WIDTH, place[1] / height, place[2] / WIDTH, place[3] / height), sharey=beside)
    axes.set_xlabel(name, fontsize=NAME)
    axes.tick_params(labelsize=LETTERS, labelleft=beside is None)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
