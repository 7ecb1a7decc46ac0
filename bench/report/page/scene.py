"""Scenes from arrays: what pages of own images and of stores have in common."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import InputError
from .crops import Part
from .model import Panel, Role, Scene
from .planes import planes

Floats = NDArray[np.floating]
SHOWN = (1, 3)  # numbers of channels that a screen has


def scene(
    name: str,
    noisy: Floats,
    clean: Floats | None,
    outputs: Mapping[str, Floats],
    value_range: tuple[float, float] = (0.0, 1.0),
    *,
    bits: int = 16,
    factor: float = 1.0,
    part: Part | None = None,
    notes: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    group: str = "",
    reasons: Sequence[str] = (),
    absent: Sequence[str] = (),
) -> list[Scene]:
    """Scenes of one image: one if it has 1 or 3 channels, else one for each channel.

    `noisy`, `clean` and each output are [H, W, C] in the units of `value_range`, which is shown from black to white;
    numbers are shown times `factor`. `bits` is 8 for outputs that are clipped and rounded to 8 bits anyway, else 16.
    `notes` (such as a PSNR) and `keys` of records are those of the outputs, of "Noisy" and "Clean". The noisy image
    keeps what lies outside the range. `part`: the part that is shown. InputError: other shapes.
    """
    images = _images(name, noisy, clean, outputs)
    part = part or Part(0, 0, *noisy.shape[:2])
    found = []
    for channel, title in _channels(name, noisy.shape[2]):
        panels = [
            _panel(role, label, part.of(image)[..., channel], value_range, bits, notes or {}, keys or {})
            for role, label, image in images
        ]
        found.append(
            Scene(
                id=f"{group} {title} {part.left},{part.top}".strip(), group=group, image=title, low=value_range[0],
                high=value_range[1], factor=factor, left=part.left, top=part.top, width=part.width, height=part.height,
                panels=panels, reasons=list(reasons), absent=list(absent),
            )
        )  # fmt: skip
    return found


def _images(
    name: str, noisy: Floats, clean: Floats | None, outputs: Mapping[str, Floats]
) -> list[tuple[Role, str, Floats]]:
    """Role, label and pixels of all images, the noisy one first and the clean one last; InputError: other shapes."""
    images: list[tuple[Role, str, Floats]] = [
        ("noisy", "Noisy", noisy),
        *(("output", label, image) for label, image in outputs.items()),
    ]
    images += [] if clean is None else [("clean", "Clean", clean)]
    for _, label, image in images:
        if image.ndim != 3 or image.shape != noisy.shape:
            raise InputError(f"{name}: {label} has the shape {image.shape}, the noisy image {noisy.shape}: [H, W, C]")
    return images


def _channels(name: str, count: int) -> list[tuple[slice, str]]:
    """The channels of each scene and its title: all together where a screen has so many, else one by one."""
    if count in SHOWN:
        return [(slice(None), name)]
    return [(slice(one, one + 1), f"{name}, channel {one}") for one in range(count)]


def _panel(
    role: Role,
    name: str,
    image: Floats,
    value_range: tuple[float, float],
    bits: int,
    notes: Mapping[str, str],
    keys: Mapping[str, str],
) -> Panel:
    low, high, depth = *value_range, bits
    if role == "noisy" and (outside := _outside(image, value_range)):
        low, high, depth = *outside, 16
    shown = planes(image, low, high, depth)
    return Panel(
        name=name, role=role, planes=shown, low=low, high=high, note=notes.get(name, ""), key=keys.get(name, "")
    )


def _outside(image: Floats, value_range: tuple[float, float]) -> tuple[float, float] | None:
    """The range that holds all values, where the given one does not."""
    low, high = float(np.nanmin(image)), float(np.nanmax(image))
    if low >= value_range[0] and high <= value_range[1]:
        return None
    return min(low, value_range[0]), max(high, value_range[1])
