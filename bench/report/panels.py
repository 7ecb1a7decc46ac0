"""Images side by side: the whole clean image with a frame, then what each method makes of the part in the frame."""

import math
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..datasets.noise.model import Image
from .figure_entries import Box
from .style import LETTERS, LINE, MARGIN, WIDTH, page, wrapped

COLUMNS = 7
GAMMA = 2.2
FRAME = "#ffe000"
Display = Literal["plain", "range", "raw"]
DISPLAYS: dict[Display, str] = {
    "plain": "",
    "range": " For display, all panels are scaled alike to the range of the whole clean image.",
    "raw": " For display, each 2x2 cell of the mosaic is averaged to one gray value, all panels are scaled alike "
    f"to the range of the whole clean image, and a gamma of {GAMMA:g} is applied.",
}


class Panel(NamedTuple):
    """One crop and what is written under it."""

    label: str
    image: Image  # the whole one, [H, W, C] in 0..1
    note: str = ""  # such as 31.00 dB


def crop(image: Image, box: Box) -> Image:
    """The pixels in the box, [side, side, C]."""
    return image[box.top : box.top + box.side, box.left : box.left + box.side]


def shown(image: Image, clean: Image, display: Display) -> Image:
    """What imshow is given, in 0..1: [H, W] where there is one channel, else [H, W, 3]."""
    if display == "raw":
        image, clean = cells(image), cells(clean)
    if display != "plain":
        low, high = clean.min(), clean.max()
        image = (image - low) / max(high - low, np.float32(1e-6))
    image = np.clip(image, 0.0, 1.0)
    if display == "raw":
        image = image ** np.float32(1.0 / GAMMA)
    return image[..., 0] if image.shape[2] == 1 else image


def cells(mosaic: Image) -> Image:
    """The mean of each 2x2 cell of a mosaic: [H/2, W/2, 1]; of packed channels: [H, W, 1]."""
    if mosaic.shape[2] > 1:
        mean: Image = mosaic.mean(axis=2, keepdims=True)
        return mean
    height, width = (side // 2 * 2 for side in mosaic.shape[:2])
    even = mosaic[:height, :width]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / np.float32(4)


def grid(panels: list[Panel], clean: Image, box: Box, display: Display, caption: str) -> Figure:
    """The clean image at the top left, two crops wide if it is a landscape, then the crops, row by row."""
    across = 2 if clean.shape[1] > 1.1 * clean.shape[0] else 1
    rows = math.ceil((len(panels) + across) / COLUMNS)
    columns = math.ceil((len(panels) + across) / rows)
    step = (WIDTH - MARGIN) / columns  # inches from one crop to the next
    side = step - MARGIN
    labels = [_label(panel, side) for panel in panels]
    places = [divmod(number + across, columns) for number in range(len(panels))]
    lines = [
        max(label.count("\n") + 1 for label, (down, _) in zip(labels, places, strict=True) if down == row)
        for row in range(rows)
    ]
    tops = [MARGIN + sum(side + n * LINE + 2 * MARGIN for n in lines[:row]) for row in range(rows + 1)]
    figure = page(tops[-1], caption + DISPLAYS[display])
    _whole(figure, shown(clean, clean, display), clean.shape[0], box, side + (across - 1) * step, side)
    for panel, label, (down, right) in zip(panels, labels, places, strict=True):
        axes = _axes(figure, MARGIN + right * step, tops[down], side, side)
        _image(axes, shown(crop(panel.image, box), clean, display), label)
    return figure


def _label(panel: Panel, inches: float) -> str:
    return wrapped(panel.label, inches) + (f"\n{panel.note}" if panel.note else "")


def _whole(figure: Figure, image: Image, height: int, box: Box, wide: float, high: float) -> None:
    scale = min(wide / image.shape[1], high / image.shape[0])  # inches per pixel
    size = (image.shape[1] * scale, image.shape[0] * scale)
    axes = _axes(figure, MARGIN + (wide - size[0]) / 2, MARGIN + high - size[1], *size)
    _image(axes, image, "Whole image")
    shrunk = image.shape[0] / height  # raw is shown at half its size
    corner = (box.left * shrunk - 0.5, box.top * shrunk - 0.5)
    axes.add_patch(Rectangle(corner, box.side * shrunk, box.side * shrunk, fill=False, edgecolor=FRAME, linewidth=1.2))


def _axes(figure: Figure, left: float, top: float, wide: float, high: float) -> Axes:
    """Axes at a place in inches from the top left corner."""
    height = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, 1 - (top + high) / height, wide / WIDTH, high / height))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(edgecolor="0.7", linewidth=0.4)  # a white image on a white page has a frame, too
    return axes


def _image(axes: Axes, image: Image, label: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest", aspect="auto")
    below = (0, -1.5)  # points
    axes.annotate(label, (0.5, 0), below, "axes fraction", "offset points", ha="center", va="top", fontsize=LETTERS)
