"""Images side by side: the whole clean image with a frame, and what is in the frame, denoised by each method."""

import math
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..datasets.noise import Image
from .entries import Box
from .style import LETTERS, LINE, MARGIN, WIDTH, page, wrapped

COLUMNS = 6
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
    psnr: float | None  # dB


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
    """The clean image at the left, two rows high where there are more than five crops; the crops around it."""
    block = 1 if len(panels) < COLUMNS else 2  # cells that the clean image takes, down and across
    rows = max(block, math.ceil((len(panels) + block**2) / COLUMNS))
    columns = math.ceil((len(panels) + block**2) / rows)
    step = (WIDTH - MARGIN) / columns  # inches from one crop to the next
    side = step - MARGIN
    labels = [_label(panel, side) for panel in panels]
    row = side + (max(label.count("\n") for label in labels) + 1) * LINE + 2 * MARGIN
    figure = page(rows * row + MARGIN, caption + DISPLAYS[display])
    _whole(figure, shown(clean, clean, display), clean.shape[0], box, side + (block - 1) * step, block * row - LINE)
    free = [(i, j) for i in range(rows) for j in range(columns) if i >= block or j >= block]
    for panel, label, (down, across) in zip(panels, labels, free, strict=False):
        axes = _axes(figure, MARGIN + across * step, MARGIN + down * row, side, side)
        _image(axes, shown(crop(panel.image, box), clean, display), label)
    return figure


def _label(panel: Panel, inches: float) -> str:
    decibels = "" if panel.psnr is None else f"\n{panel.psnr:.2f} dB"
    return wrapped(panel.label, inches) + decibels


def _whole(figure: Figure, image: Image, height: int, box: Box, wide: float, high: float) -> None:
    scale = min(wide / image.shape[1], high / image.shape[0])  # inches per pixel
    axes = _axes(figure, MARGIN, MARGIN, image.shape[1] * scale, image.shape[0] * scale)
    _image(axes, image, "Clean, with the frame of the crops")
    shrunk = image.shape[0] / height  # raw is shown at half its size
    corner = (box.left * shrunk - 0.5, box.top * shrunk - 0.5)
    axes.add_patch(Rectangle(corner, box.side * shrunk, box.side * shrunk, fill=False, edgecolor=FRAME, linewidth=1.2))


def _axes(figure: Figure, left: float, top: float, wide: float, high: float) -> Axes:
    """Axes at a place in inches from the top left corner."""
    height = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, 1 - (top + high) / height, wide / WIDTH, high / height))
    axes.set_axis_off()
    return axes


def _image(axes: Axes, image: Image, label: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest", aspect="auto")
    below = (0, -1.5)  # points
    axes.annotate(label, (0.5, 0), below, "axes fraction", "offset points", ha="center", va="top", fontsize=LETTERS)
