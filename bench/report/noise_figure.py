"""The picture of a noise card: variance against brightness with the fitted line, and the autocorrelation."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .colours import COLOURS
from .style import LETTERS, MARKERS, WIDTH, page

HEIGHT = 2.6  # inches of the panels
REACH = 2  # pixels: the largest lag
CAPTION = (
    "Left: the variance of the noise in flat areas by brightness, and the fitted line. Right: the correlation of the "
    "noise of pixels by how far they are apart."
)


class Plane(Protocol):
    """What is drawn of one plane."""

    @property
    def name(self) -> str:
        """Empty for the only plane."""

    @property
    def curve(self) -> tuple[tuple[float, float], ...]:
        """(brightness, variance)."""

    @property
    def slope(self) -> float:
        """Of the line."""

    @property
    def constant(self) -> float:
        """Of the line."""

    @property
    def lags(self) -> Sequence[Any]:
        """With rows, columns and correlation.value."""


def draw(planes: Sequence[Plane], caption: str) -> Figure:
    """The curves of all planes, and the map of the plane whose pixels share most."""
    figure = page(HEIGHT, caption)
    bottom = figure.subplotpars.bottom
    room = 1.0 - bottom
    _curves(figure.add_axes((0.09, bottom + 0.17 * room, 0.56, 0.73 * room)), planes)
    _map(figure.add_axes((0.74, bottom + 0.17 * room, 0.73 * HEIGHT / WIDTH, 0.73 * room)), max(planes, key=_most))
    return figure


def _most(plane: Plane) -> float:
    return max(abs(float(lag.correlation.value)) for lag in plane.lags)


def _curves(axes: Axes, planes: Sequence[Plane]) -> None:
    for i, plane in enumerate(planes):
        x, v = np.array(plane.curve).T
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(x, v, MARKERS[i % len(MARKERS)], color=colour, markersize=3, label=plane.name or "flat areas")
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, plane.slope * ends + plane.constant, color=colour, linewidth=1.0)
    axes.set_xlabel("brightness (stored units)", fontsize=LETTERS)
    axes.set_ylabel("variance of the noise", fontsize=LETTERS)
    axes.set_ylim(bottom=0.0)
    axes.tick_params(labelsize=LETTERS)
    axes.legend(fontsize=LETTERS, frameon=False)


def _map(axes: Axes, plane: Plane) -> None:
    """The autocorrelation at all lags; both diagonals have the mean of both."""
    grid = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for lag in plane.lags:
        for rows in {-lag.rows, lag.rows}:
            for columns in {-lag.columns, lag.columns}:
                grid[REACH + rows, REACH + columns] = lag.correlation.value
    grid[REACH, REACH] = 1.0
    axes.imshow(grid, vmin=-1.0, vmax=1.0, cmap="RdBu_r")
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if abs(value) > 0.6 else "black"
        text = f"{value:.2f}".replace("-0.00", "0.00")
        axes.text(column, row, text, ha="center", va="center", fontsize=LETTERS - 1.5, color=colour)
    places = range(2 * REACH + 1)
    axes.set_xticks(places, [str(place - REACH) for place in places], fontsize=LETTERS)
    axes.set_yticks(places, [str(place - REACH) for place in places], fontsize=LETTERS)
    axes.set_title(" ".join(filter(None, ("autocorrelation", plane.name))), fontsize=LETTERS)
    axes.set_xlabel("columns apart", fontsize=LETTERS)
    axes.set_ylabel("rows apart", fontsize=LETTERS, labelpad=1)
