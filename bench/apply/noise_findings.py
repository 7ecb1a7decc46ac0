"""What each number of a noise card means, and what follows from it, in a sentence."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from .defects import ROUNDED, Ends, Steps
from .estimates import Estimate
from .noise_correlation import LINES
from .noise_plane import Lag, PlaneNoise
from .repeated_frames import DRIFT, SHIFT, TOGETHER, Movement

CURVED = 0.1  # of the variance that the line misses
DEFECTS = 1e-5  # of the pixels that matter
NOTHING = 0.5e-3  # of an interval, or percent
COARSE = 0.5  # noise of so many steps is hidden by rounding
Of = Callable[[PlaneNoise], Estimate]
Says = Callable[[PlaneNoise], str]


class Finding(Struct, frozen=True):
    """One number of each plane, or of all, and its sentence."""

    name: str
    unit: str
    values: dict[str, Estimate]  # by plane; "" for the only one, or for all
    sentence: str


def of_planes(planes: Sequence[PlaneNoise], step: float) -> Iterator[Finding]:
    """What the planes' numbers say."""

    def rounded(one: PlaneNoise) -> bool:
        return one.level.value < COARSE * step

    yield _finding(planes, "gain", "units/electron", lambda one: one.gain, _gain)
    yield _finding(planes, "offset", "units", lambda one: one.offset, _offset)
    yield _finding(planes, "read noise", "units", lambda one: one.read_noise, _read_noise)
    yield _finding(planes, "noise level", "units", lambda one: one.level, _level)
    yield _finding(planes, "correlation", "", lambda one: one.neighbours.correlation, _correlation)
    pixel = "of the noise of a pixel"
    yield _finding(planes, "row noise", pixel, lambda one: one.rows, lambda one: _lines("row", one.rows))
    yield _finding(planes, "column noise", pixel, lambda one: one.columns, lambda one: _lines("column", one.columns))
    yield _finding(planes, "flat areas", "of the image", lambda one: exactly(one.flat), _flat)
    bent = [one for one in planes if (one.misfit > CURVED or one.falls) and not one.textured]
    yield from _some(bent, "curvature", "of the variance", lambda one: exactly(one.misfit), _CURVED)
    yield from _some([one for one in planes if rounded(one)], "rounding", "units", lambda one: one.level, _ROUNDED)
    hot, dead = ([one for one in planes if of(one).low > DEFECTS] for of in (_hot, _dead))
    yield from _some(hot, "hot pixels", "of the pixels", _hot, _HOT)
    yield from _some(dead, "dead pixels", "of the pixels", _dead, _DEAD)


def of_storage(ends: Ends, steps: Steps, bits: int, blocks: float, proposed: tuple[float, float]) -> Iterator[Finding]:
    """What the stored values say; `bits` is how many the type has, 0 for real numbers."""
    for side, value, share, says in (
        ("lowest", ends.low, ends.share_low, _BLACK),
        ("highest", ends.high, ends.share_high, _WHITE),
    ):
        if share:
            text = says.format(share=percent(share), value=number(value))
            yield Finding(f"clipped at the {side} value", "of the pixels", {"": exactly(share)}, text)
    if steps.step:
        yield Finding("bits", "", {"": exactly(float(steps.bits))}, _bits(steps, bits, proposed))
    if blocks < ROUNDED:
        yield Finding("JPEG blocks", "of the size elsewhere", {"": exactly(blocks)}, _JPEG)


def of_movement(movement: Movement) -> Iterator[Finding]:
    """How repeated frames differ."""
    drift, shift, together = movement.drift, movement.shift, movement.together
    text = f"The {movement.frames} frames differ by {percent(drift)} in brightness or contrast; "
    text += _DRIFTS if drift > DRIFT else "that is little: n2n gives all of them their mean brightness."
    yield Finding("drift", "of brightness or contrast", {"": exactly(drift)}, text)
    text = f"The frames are shifted against each other by up to {shift:.2f} pixels; "
    text += "register them before n2n." if shift > SHIFT else "they need no registration."
    yield Finding("shift", "pixels", {"": exactly(shift)}, text)
    if together is None:
        return
    text = f"The noise of consecutive frames has a correlation of {together:.2f}: "
    dependent = "the frames are not independent, so n2n would copy part of the noise."
    text += dependent if abs(together) > TOGETHER else "the frames are independent, as n2n needs."
    yield Finding("correlation of frames", "", {"": exactly(together)}, text)


def exactly(value: float) -> Estimate:
    """A number without an interval."""
    return Estimate(value, value, value)


def shown(one: Estimate, digits: int = 3, written: Callable[[float], str] | None = None) -> str:
    """A number with its interval; what is small beside the interval is 0."""
    least = NOTHING * (one.high - one.low)
    parts = (one.value, one.low, one.high)
    value, low, high = (written(part) if written else number(part, digits, least) for part in parts)
    return value if one.low == one.high else f"{value} ({low} to {high})"


def measured(one: Estimate, unit: str) -> str:
    """A number with its interval and unit; shares are in percent."""
    return f"{shown(one, written=percent)} {unit}" if unit.startswith("of the") else f"{shown(one)} {unit}".rstrip()


def number(value: float, digits: int = 3, least: float = 0.0) -> str:
    """So many digits, large numbers in full; 0 for what is not above `least`."""
    if abs(value) <= least:
        return "0"
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A number with two digits; what is nothing to the third decimal is 0."""
    return f"{number(100.0 * share, 2, NOTHING)} %"


def _finding(planes: Sequence[PlaneNoise], name: str, unit: str, of: Of, says: Says) -> Finding:
    """The sentence is about the plane whose number is largest, which it names."""
    one = max(planes, key=lambda plane: abs(of(plane).value))
    where = f"{one.name.capitalize()}: " if one.name else ""
    return Finding(name, unit, {plane.name: of(plane) for plane in planes}, where + says(one))


def _some(planes: Sequence[PlaneNoise], name: str, unit: str, of: Of, text: str) -> Iterator[Finding]:
    """A finding of those planes that have it."""
    if planes:
        worst = max(of(plane).value for plane in planes)
        text = text.format(share=percent(worst), value=number(worst))
        yield Finding(name, unit, {plane.name: of(plane) for plane in planes}, text)


def _hot(one: PlaneNoise) -> Estimate:
    return one.hot


def _dead(one: PlaneNoise) -> Estimate:
    return one.dead


def _gain(one: PlaneNoise) -> str:
    if one.textured:
        return (
            "There is structure everywhere, so the gain is not known; it is at most "
            f"{number(one.gain.high)}. Take two frames of the same scene."
        )
    if one.falls:
        return "The variance falls as the brightness grows, which no sensor does."
    if one.gain.low <= 0.0:
        return (
            f"Whether the variance grows with the brightness cannot be told (gain {shown(one.gain)}): the noise is the "
            "same everywhere, or the brightness varies too little to see it."
        )
    text = f"One detected photoelectron adds {shown(one.gain)} stored units"
    electrons = (one.brightest - one.offset.value) / one.gain.value
    if electrons < 1.0:
        return f"{text}."
    return (
        f"{text}. The brightest flat area has about {number(electrons)} photoelectrons in a pixel, so its signal is "
        f"{number(electrons**0.5)} times its shot noise."
    )


def _offset(one: PlaneNoise) -> str:
    if one.offset.low == one.offset.high:
        return f"Black is at {number(one.offset.value)}."
    return (
        f"Black lies between {number(one.offset.low)} and {number(one.offset.high)}; {number(one.offset.value)} is "
        "taken. The mean of a frame without light, given by --offset, settles it and the read noise."
    )


def _read_noise(one: PlaneNoise) -> str:
    if one.textured:
        return f"The noise in the dark is at most {number(one.read_noise.high)} units."
    text = f"In the dark the noise is {shown(one.read_noise)} units"
    if one.gain.low > 0.0:
        text += f", that is {number(one.read_noise.value / one.gain.value)} photoelectrons"
    if one.read_noise.low == 0.0:
        text += "; it may be zero, for hardly any area is dark enough to measure it"
    return f"{text}."


def _level(one: PlaneNoise) -> str:
    if one.textured:
        return f"At the mean brightness the noise is at most {number(one.level.high)} units; the rest is structure."
    ratio = max(0.0, one.brightness - one.offset.value) / max(one.level.value, 1e-300)
    return (
        f"At the mean brightness of flat areas, {number(one.brightness)}, the noise is {shown(one.level)} units: the "
        f"signal is {number(ratio)} times the noise."
    )


def _correlation(one: PlaneNoise) -> str:
    lag = one.neighbours
    along = "in a row" if lag.columns else "in a column"
    interval = f"{_decimal(lag.correlation.low)} to {_decimal(lag.correlation.high)}"
    said = f"(correlation {_decimal(lag.correlation.value)}, {interval})"
    if one.whiteness == "correlated":
        further = [other for other in one.lags if abs(other.correlation.value) > abs(lag.correlation.value)]
        more = f", most of all {_apart(max(further, key=_strength))}" if further else ""
        doubt = "" if one.exact else _DOUBT
        return f"Neighbouring pixels {along} share part of their noise {said}{more}. {_COPIED}{doubt}"
    if one.whiteness == "unknown":
        return f"Whether neighbouring pixels {along} share part of their noise {said} cannot be told{_hidden(one)}"
    return f"The noise of neighbouring pixels is independent as far as can be told {said}, as blind-spot methods need."


def _hidden(one: PlaneNoise) -> str:
    if one.clipping == "all":
        return ": the range cuts the noise of nearly all flat areas. Raise the camera's offset, or expose differently."
    if one.exact:
        return ": too few pixels are flat. More frames of such scenes tell."
    return " from the structure of the image. Two frames of the same scene tell, or one frame without a specimen."


def _strength(lag: Lag) -> float:
    return abs(lag.correlation.value)


def _apart(lag: Lag) -> str:
    return f"{_decimal(lag.correlation.value)} between pixels {lag.rows} rows and {lag.columns} columns apart"


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def _lines(line: str, one: Estimate) -> str:
    share = shown(one, written=percent)
    if one.low > LINES:
        return (
            f"Every {line} has noise of its own, {share} of that of a pixel: stripes, which no method here removes. "
            f"Subtract the median of each {line} in a dark margin first."
        )
    return f"Whole {line}s share little noise, {share} of that of a pixel."


def _flat(one: PlaneNoise) -> str:
    if one.clipping == "all":
        return _CUT
    if one.exact:
        return "The differences of repeated frames show the noise without the scene."
    if one.textured:
        return f"{percent(one.flat)} of blocks look flat, and even they have structure: the numbers are upper bounds."
    more = " Parts so dark or bright that the range cuts their noise were left out." if one.clipping else ""
    return f"The noise was measured in the {percent(one.flat)} of 8x8 blocks that show no structure.{more}"


def _bits(steps: Steps, bits: int, proposed: tuple[float, float]) -> str:
    text = f"The values need {steps.bits} bits (highest {steps.highest:.0f}, in steps of {steps.step:.0f})"
    if bits <= steps.bits:
        return f"{text}, all that the type has." if bits else f"{text}, though they are stored as real numbers."
    if steps.step > 1.0:
        return f"{text} of {bits}: the lower bits are empty."
    low, high = proposed
    return f"{text} of {bits}: give --range {low:.0f},{high:.0f}, for networks expect images that fill their range."


_COPIED = "Blind-spot methods will copy such noise. Take a second frame of the scene and use n2n, or bin 2x2 pixels."
_DOUBT = " A fine texture everywhere would look the same in single frames; two frames of the same scene tell."
_CUT = (
    "Nearly all flat areas are so dark or bright that the range cuts their noise: the numbers are rough. Raise the "
    "camera's offset, or expose differently."
)
_CURVED = (
    "The variance does not grow along a straight line ({share} off), so the values were changed after the sensor, by a "
    "gamma curve, sharpening or denoising. Use raw values if you can; gain and read noise mean little here."
)
_ROUNDED = (
    "The noise, {value} units, is less than half a step of the values: rounding hides it, and denoising cannot restore "
    "what was rounded away. Raise the gain of the camera."
)
_HOT = (
    "{share} of the pixels stand alone far above all their neighbours: hot pixels or cosmic rays. A network cannot "
    "predict them, and keeps or smears them; replace them by the median of their neighbours first."
)
_DEAD = "{share} of the pixels are alone far below all their neighbours; replace them by the median of those first."
_BLACK = (
    "{share} of the pixels are at {value}, where black is cut: the noise of dark areas does not average to zero, so a "
    "denoised image is too bright there. Raise the camera's offset."
)
_WHITE = (
    "{share} of the pixels are at {value}, the highest value: their brightness is lost, and no method restores it. "
    "Expose for a shorter time."
)
_JPEG = (
    "The images were compressed by JPEG: coefficients of 8x8 blocks were rounded, so the noise of pixels is neither "
    "independent nor what the sensor made. Use the files from before the compression."
)
_DRIFTS = (
    "that is much (bleaching, or an unsteady lamp): n2n would learn it, so scale the frames to one brightness first. "
    "It was removed before the noise was measured."
)
