"""The noise card: what images without clean ones tell of their noise, and which methods suit it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.formats.bayer import offset as first_red
from ..datasets.noise.model import Noise, parse
from . import noise_advice, noise_findings
from .defects import ends, jpeg_blocks, steps
from .noise_advice import Advice
from .noise_findings import Finding, percent
from .noise_plane import PlaneNoise, plane_noise
from .recorruption import variance_of
from .repeated_frames import DRIFT, SHIFT, TOGETHER, Movement, worst

Pixels = NDArray[Any]  # [H, W, C], stored values
Scene = Sequence[Pixels]  # one frame, or repeated frames
LEAST, COUNTS = 1e-3, 1e6  # levels between them have a name with four digits; more photons are not seen as counts
PHOTONS = 0.03  # of the variance at the mean brightness: a part that is smaller is left out of the closest noise
BLACK = 0.01  # of the variance at white: less than that at black is left out of the noise in another range
BRIGHT = 0.999  # of the pixels are below the top of the proposed range


_NONE = Finding(
    "noise",
    "",
    {},
    "No noise can be measured: the images are constant, or smaller than 64x64 pixels, or clipped everywhere.",
)


class Card(Struct, frozen=True):
    """All numbers are in stored units unless a unit stands there."""

    title: str  # what was looked at
    channels: int
    pixels: int  # of all images
    value_range: tuple[float, float]  # proposed: black, and what few pixels exceed
    planes: tuple[PlaneNoise, ...]
    movement: Movement | None
    findings: tuple[Finding, ...]
    whiteness: str  # white, correlated or unknown
    advice: tuple[Advice, ...] = ()
    recommended: Advice | None = None
    closest: str = ""  # the name of the closest known noise in the proposed range

    @property
    def paired(self) -> str | None:
        """Why repeated frames are no pairs for n2n; empty if they are, None for single frames."""
        if self.movement is None:
            return None
        if self.movement.shift > SHIFT:
            return f"the frames are shifted by up to {self.movement.shift:.2f} pixels; register them first"
        if abs(self.movement.together or 0.0) > TOGETHER:
            return f"the noise of consecutive frames is correlated ({self.movement.together:.2f})"
        if self.movement.drift > DRIFT:
            return f"the frames differ by {percent(self.movement.drift)} in brightness or contrast; scale them first"
        return ""

    def noise(self, scale: tuple[float, float] | None = None) -> Noise | None:
        """The closest known noise for images scaled to 0..1 from `scale`, by default `value_range`; None if unknown."""
        noise = parse(self.closest) if self.closest else None
        return noise if noise is None or scale in (None, self.value_range) else self._rescaled(noise, scale)

    def _rescaled(self, noise: Noise, scale: tuple[float, float]) -> Noise | None:
        """The same noise in another range; None if its variance would be negative at that range's black."""
        gain, floor = variance_of(noise).rescaled(self.value_range, scale)
        if floor < -BLACK * gain:
            return None
        photons = 1.0 / gain if noise.family.counts else 0.0
        if photons >= COUNTS - 1.0:
            photons, floor = 0.0, _mean_level(self.planes) / (scale[1] - scale[0]) ** 2
        name = _named(photons, 255.0 * np.sqrt(floor) if not photons or floor > BLACK * gain else 0.0)
        return parse(name) if name else None


def noise_card(
    scenes: Sequence[Scene],
    *,
    title: str = "",
    pixels: int = 0,
    bits: int = 0,
    black: float = 0.0,
    pattern: str = "",
    offset: float | None = None,
) -> Card:
    """The card of scenes of frames [H, W, C] in stored values; frames of one scene are repeats.

    `pixels` is how many all images have if these are some, `bits` how many the type has (0 for real numbers), `black`
    the lowest value that a pixel can have, `pattern` the Bayer pattern of mosaics, `offset` the level of black where it
    is known.
    """
    frames = [frame for scene in scenes for frame in scene]
    if not frames:
        raise InputError("no image to look at; expected at least one file")
    _check_offset(offset, frames)
    channels = _channels(frames, pattern)
    end, step = ends(frames), steps(frames)
    found = []
    for name, where in _planes(channels, pattern):
        of_plane = [[_plane(frame, *where) for frame in scene] for scene in scenes]
        found.append(plane_noise(name, of_plane, end, black, step.step, offset))
    planes = tuple(plane for plane, _ in found if plane)
    movement = worst([one for _, one in found if one])
    blocks = min((jpeg_blocks(frame.mean(axis=2)) for frame in frames[:4] if not pattern), default=1.0)
    proposed = _range(frames, planes, black)
    card = Card(
        title=title or f"{len(frames)} frames in {len(scenes)} scenes",
        channels=channels,
        pixels=pixels or sum(frame.shape[0] * frame.shape[1] for frame in frames),
        value_range=proposed,
        planes=planes,
        movement=movement,
        findings=(
            *(noise_findings.of_planes(planes, step.step) if planes else (_NONE,)),
            *noise_findings.of_storage(end, step, bits, blocks, proposed),
            *(noise_findings.of_movement(movement) if movement else ()),
        ),
        whiteness=_whiteness(planes),
    )
    return _advised(card)


def _check_offset(offset: float | None, frames: Sequence[Pixels]) -> None:
    """InputError for a level of black that is not below the images' mean."""
    mean = float(sum(frame.sum(dtype=np.float64) for frame in frames)) / sum(frame.size for frame in frames)
    if offset is not None and offset >= mean:
        raise InputError(
            f"--offset {offset:g}: not below the mean of the images, {mean:.6g}; expected the mean of a frame without "
            "light"
        )


def _channels(frames: Sequence[Pixels], pattern: str) -> int:
    """The one number of channels of all frames; InputError for several, or for mosaics of more than one."""
    counted = sorted({frame.shape[2] for frame in frames})
    if len(counted) > 1 or (pattern and counted != [1]):
        expected = "1, as --pattern says that they are mosaics" if pattern else "one number of channels"
        raise InputError(f"images of {' and '.join(map(str, counted))} channels; expected {expected}")
    return int(counted[0])


def _whiteness(planes: Sequence[PlaneNoise]) -> str:
    """The worst of the planes, where structure does not hide it."""
    if any(plane.textured for plane in planes):
        return "unknown"
    found = {plane.whiteness for plane in planes}
    return next((one for one in ("correlated", "unknown", "white") if one in found), "unknown")


def _advised(card: Card) -> Card:
    card = structs.replace(card, closest=_closest(card))
    if not card.planes:
        return card
    return structs.replace(card, advice=noise_advice.advice(card), recommended=noise_advice.recommended(card))


def _closest(card: Card) -> str:
    """The name of Gaussian, Poisson or Poisson-Gaussian noise that has the planes' mean parameters."""
    if not card.planes or any(plane.textured or plane.clipping == "all" for plane in card.planes):
        return ""
    low, high = card.value_range
    gain = float(np.mean([plane.gain.value for plane in card.planes]))
    dark = float(np.mean([plane.read_noise.value**2 for plane in card.planes]))
    level = _mean_level(card.planes)
    counted = all(plane.gain.low > 0.0 for plane in card.planes) and (high - low) / gain < COUNTS - 1.0
    photons = counted and level - dark > PHOTONS * level
    sigma = 255.0 / (high - low) * np.sqrt(dark if photons else level)
    return _named((high - low) / gain if photons else 0.0, sigma if not photons or dark > PHOTONS * level else 0.0)


def _mean_level(planes: Sequence[PlaneNoise]) -> float:
    """The planes' mean variance [stored units squared] at their mean brightness."""
    return float(np.mean([plane.level.value**2 for plane in planes]))


def _named(photons: float, sigma: float) -> str:
    """The name of noise of so many photons at white and this deviation in 0..255 units, four digits of each.

    0 for a part that it does not have; empty where a name holds no such level.
    """
    parts = {name: level for name, level in (("poisson", photons), ("gauss", sigma)) if level}
    if not all(LEAST <= level < COUNTS - 1.0 for level in parts.values()):
        return ""
    return "+".join(f"{name}{level:.0f}" if level >= 1000.0 else f"{name}{level:.4g}" for name, level in parts.items())


def _range(frames: Sequence[Pixels], planes: Sequence[PlaneNoise], black: float) -> tuple[float, float]:
    """From black, where that is known, to a value that few pixels exceed."""
    low = min((black if plane.textured else plane.offset.value for plane in planes), default=black)
    high = max(float(np.quantile(frame, BRIGHT)) for frame in frames)
    if all(frame.dtype.kind != "f" for frame in frames):
        low, high = float(np.floor(low)), float(np.ceil(high))
    return (low, high) if high > low else (low, low + 1.0)


def _planes(channels: int, pattern: str) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Names and places of the planes: (first row, first column, step, channel)."""
    if not pattern:
        return [(f"channel {c + 1}" if channels > 1 else "", (0, 0, 1, c)) for c in range(channels)]
    row, column = first_red(pattern)
    names = {(row, column): "red", (row, 1 - column): "green beside red", (1 - row, column): "green beside blue"}
    return [(names.get((y, x), "blue"), (y, x, 2, 0)) for y in (0, 1) for x in (0, 1)]


def _plane(frame: Pixels, row: int, column: int, step: int, channel: int) -> NDArray[np.float64]:
    return frame[row::step, column::step, channel].astype(np.float64)
