"""The frames of a user's files that a noise card looks at: enough to know the noise, few enough to fit in memory."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import plural
from ..datasets.own.collection import Collection
from ..datasets.own.own_file import OwnFile
from .scenes import Place, scenes_of, spread

FRAMES, SCENES, REPEATS = 24, 4, 8  # single frames; scenes with repeated frames, and frames of each
PIXELS = 16_000_000  # of single frames
LARGE, WINDOW = 4_000_000, 640  # pixels of a frame beyond which 3x3 windows of a side are looked at


class Looked(NamedTuple):
    """Files of one type and number of channels."""

    title: str
    scenes: list[list[NDArray[Any]]]  # stored values [H, W, C]
    pixels: int  # of all frames
    bits: int  # of the type; 0 for real numbers
    black: float  # the lowest value that a pixel can have


def frames_by_kind(found: Collection, repeats: bool) -> Iterator[Looked]:
    """One for each kind of files; with `repeats` the frames of a file are of one scene, as those of a folder are."""
    kinds: dict[tuple[str, int], list[OwnFile]] = {}
    for own in found.files:
        kinds.setdefault((own.dtype.name, own.channels), []).append(own)
    for (dtype, channels), files in kinds.items():
        pixels = sum(own.count * own.sides[0] * own.sides[1] for own in files)
        frames = sum(own.count for own in files)
        repeated = [scene[:REPEATS] for scene in scenes_of(found, files, repeats) if len(scene) > 1]
        places = spread(repeated, SCENES) or _single(files)
        integers = np.dtype(dtype).kind in "ui"
        yield Looked(
            title=f"{plural(len(files), 'file')}, {plural(frames, 'frame')}, {dtype}, {plural(channels, 'channel')}",
            scenes=[windows for scene in places for windows in _windows(scene)],
            pixels=pixels,
            bits=8 * np.dtype(dtype).itemsize if integers else 0,
            black=min(0.0, *(float(own.seen[0]) for own in files)),
        )


def _single(files: Sequence[OwnFile]) -> list[list[Place]]:
    largest = max(min(LARGE, own.sides[0] * own.sides[1]) for own in files)
    most = max(2, min(FRAMES, PIXELS // largest))
    return spread([[(own, i)] for own in files for i in range(own.count)], most)


def _windows(scene: Sequence[Place]) -> Iterator[list[NDArray[Any]]]:
    """The frames of a scene, or the same 3x3 windows of all of them, which begin at even rows and columns."""
    height, width = scene[0][0].sides
    if height * width <= LARGE:
        yield [own.stored(i) for own, i in scene]
        return
    tops, lefts = ([2 * round(k * max(0, side - WINDOW) / 4) for k in range(3)] for side in (height, width))
    for top in tops:
        bands = [own.stored(i, slice(top, min(top + WINDOW, height))) for own, i in scene]
        for left in lefts:
            yield [band[:, left : left + WINDOW].copy() for band in bands]
