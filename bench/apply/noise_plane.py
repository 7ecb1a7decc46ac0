"""The noise of one plane (a channel, or one colour of a mosaic) of all frames."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, structs

from .defects import Ends, share, spikes
from .estimates import Estimate
from .flat_blocks import MOST, Flat, Floats, blocks, flat, number
from .noise_correlation import Correlation, correlation
from .repeated_frames import Movement, Repeats, differences, repeats, worst
from .variance_fit import VarianceFit, fit

FEWEST_TILES = 4  # intervals by the bootstrap need some
FALL = 0.2  # of the variance
COUNTING = 0.2  # by which the gain of a detector that counts photons differs from the step of its values
SPIKES = 8  # frames in which hot pixels are counted
STEP_VARIANCE = 1.0 / 12.0  # of rounding to whole steps


class Lag(Struct, frozen=True):
    """The correlation of pixels so many rows and columns apart."""

    rows: int
    columns: int
    correlation: Estimate


class PlaneNoise(Struct, frozen=True):
    """Numbers are in stored units, deviations are standard deviations."""

    name: str  # empty for the only plane
    gain: Estimate  # stored units for each photoelectron
    offset: Estimate  # the level of black
    read_noise: Estimate  # deviation in the dark
    level: Estimate  # deviation at the mean brightness
    brightness: float  # that mean
    brightest: float  # of flat areas
    curve: tuple[tuple[float, float], ...]  # (brightness, variance) of groups of flat blocks
    slope: float  # of the line through them
    constant: float
    misfit: float  # relative distance of the curve from the line
    lags: tuple[Lag, ...]
    rows: Estimate  # deviation that a whole row shares, of that of a pixel
    columns: Estimate
    whiteness: str  # white, correlated, unknown
    exact: bool  # measured without the scene, in differences of repeated frames
    flat: float  # share of blocks without structure
    textured: bool  # structure everywhere, so that the numbers are upper bounds
    clipping: str  # some or all: flat parts are so dark or bright that the range cuts their noise; else empty
    hot: Estimate  # share of pixels far above all their neighbours
    dead: Estimate

    @property
    def falls(self) -> bool:
        """Whether the variance falls with the brightness, by a part that matters."""
        change = self.slope * (self.curve[-1][0] - self.curve[0][0])
        return self.gain.high <= 0.0 and change < -FALL * self.level.value**2

    @property
    def neighbours(self) -> Lag:
        """The stronger correlation of the two directions at distance 1."""
        near = [lag for lag in self.lags if lag.rows + lag.columns == 1]
        return max(near, key=lambda lag: abs(lag.correlation.value))


def plane_noise(
    name: str, scenes: Sequence[Sequence[Floats]], ends: Ends, black: float, step: float, offset: float | None
) -> tuple[PlaneNoise | None, Movement | None]:
    """The noise of planes [H, W] of scenes; None if they are too small or do not vary. With it how repeats move."""
    repeated = [scene for scene in scenes if len(scene) > 1]
    found = [repeats(scene, black if offset is None else offset) for scene in repeated]
    movement = worst([one.movement for one in found])
    flats = _flat(scenes, repeated, found, ends)
    if flats is None or flats.blocks.tile.max() + 1 < FEWEST_TILES:
        return None, movement
    correlated = correlation(flats, exact=bool(found))
    scale = correlated.scale if correlated.verdict == "correlated" else None
    fitted = fit(flats, black, offset, scale=scale, rounding=step**2 * STEP_VARIANCE, exact=bool(found))
    plane = _described(name, fitted, correlated, scenes)
    counting = step > 0.0 and abs(plane.gain.value / step - 1.0) < COUNTING  # such values end at 0 rightly
    if flats.cut and not counting:
        gain, read_noise = (structs.replace(one, low=0.0) for one in (plane.gain, plane.read_noise))
        plane = structs.replace(plane, clipping="all", whiteness="unknown", gain=gain, read_noise=read_noise)
    elif flats.clipping.any() and not flats.cut:
        plane = structs.replace(plane, clipping="some")
    return structs.replace(plane, exact=bool(found)), movement


def _flat(
    scenes: Sequence[Sequence[Floats]], repeated: Sequence[Sequence[Floats]], found: Sequence[Repeats], ends: Ends
) -> Flat | None:
    """Flat blocks of differences of repeats if there are any, else of single frames."""
    if found:
        planes = [
            (noise, one.mean, ends.mask(scene[2 * i]) | ends.mask(scene[2 * i + 1]))
            for scene, one in zip(repeated, found, strict=True)
            for i, noise in enumerate(differences(one))
        ]
    else:
        planes = [(frame, frame, ends.mask(frame)) for scene in scenes for frame in scene]
    total = sum(number(*noisy.shape) for noisy, _, _ in planes)
    all_blocks = blocks(planes, min(1.0, MOST / max(1, total)))
    return flat(all_blocks) if all_blocks.energy.any() else None


def _described(
    name: str, fitted: VarianceFit, correlated: Correlation, scenes: Sequence[Sequence[Floats]]
) -> PlaneNoise:
    frames = [scene[0] for scene in scenes][:SPIKES]
    found = [spikes(frame, fitted.slope, fitted.constant) for frame in frames]
    pixels = sum(hot.size for hot, _ in found)
    plane = PlaneNoise(
        name=name,
        gain=fitted.gain,
        offset=fitted.offset,
        read_noise=fitted.read_noise,
        level=fitted.level,
        brightness=fitted.brightness,
        brightest=fitted.brightest,
        curve=tuple(zip(fitted.x.tolist(), fitted.variance.tolist(), strict=True)),
        slope=fitted.slope,
        constant=fitted.constant,
        misfit=fitted.misfit,
        lags=tuple(Lag(*lag, one) for lag, one in correlated.lags.items()),
        rows=correlated.rows,
        columns=correlated.columns,
        whiteness=correlated.verdict,
        exact=False,
        flat=correlated.flat,
        textured=correlated.textured,
        clipping="",
        hot=share(int(sum(hot.sum() for hot, _ in found)), pixels),
        dead=share(int(sum(dead.sum() for _, dead in found)), pixels),
    )
    return _upper_bounds(plane, fitted) if plane.textured else plane


def _upper_bounds(plane: PlaneNoise, fitted: VarianceFit) -> PlaneNoise:
    """Structure only adds to the variance: nothing is known but that the noise is no stronger."""
    light = np.maximum(fitted.x - plane.offset.low, 1e-12)
    most = max(plane.gain.high, float(np.min(fitted.variance / light)))
    dark = max(plane.read_noise.high, plane.level.high)
    return structs.replace(
        plane,
        gain=Estimate(plane.gain.value, 0.0, most),
        read_noise=Estimate(plane.read_noise.value, 0.0, dark),
        level=Estimate(plane.level.value, 0.0, plane.level.high),
    )
