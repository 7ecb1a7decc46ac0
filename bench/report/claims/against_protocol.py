"""Flags from the evaluation protocol: images, colour, luma, data range, and an SSIM that does not fit its PSNR."""

import math
from collections.abc import Iterator, Sequence

from ...protocol.plan import BASELINES
from ..published import published
from .claim import Claim, by_method
from .evidence import COLOUR, GRAY, bounds, facts_of
from .flag import Flag, flag, rescore, run
from .known import NOISY, TABLES, measured, measured_on_12, printed, supervised

# CBM3D on CBSD68 less BM3D on BSD68 [dB], as the figures of DBSN and the README of DnCNN print them
COLOUR_GAIN = {"gauss15": 2.45, "gauss25": 2.14, "gauss50": 1.76}
RANGES = {2.0: "values in -1..1, range 2", 255.0: "values in 0..1 for which 255 was taken", 0.5: "half of the range"}
NEAR = 0.25  # dB between a difference and what would explain it
DRAWS = 0.1  # dB between draws of the noise on a whole set, with room to spare
TIGHT = 0.15  # of the way from noise to blur, beyond what is printed for the same noise and set


def noisy_input(claims: Sequence[Claim]) -> Iterator[Flag]:
    """A noisy input that has not the PSNR of the noise: no method is part of it, so that the protocol differs."""
    for claim in claims:
        ours = measured(claim) if claim.method == NOISY else None
        if ours and abs(claim.psnr - ours.psnr) > DRAWS:
            reason = (
                f"the noisy input has {ours.psnr:.2f} dB in our records, and no method changes it: the noise, its "
                f"clipping, the images or the scoring are others"
            )
            yield flag("error", "noisy input", [claim], reason, rescore(claim))


def set14_of_12(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Set14 without its two gray images, by the stated number or by the PSNR."""
    for claim in claims:
        if claim.set != "set14":
            continue
        whole, part = measured(claim), measured_on_12(claim)
        if claim.images and claim.images % 12 == 0 and claim.images % 14:
            reason = f"{claim.images} images are 12 of Set14's 14 (times draws): the two gray ones are missing"
            yield flag("error", "Set14 of 12", [claim], reason, run(claim))
        elif whole and part and not claim.images and _nearer(claim.psnr, part.psnr, whole.psnr):
            reason = (
                f"our records have {part.psnr:.2f} dB on the 12 colour images and {whole.psnr:.2f} on all 14: the "
                f"claim fits the 12, as Neighbor2Neighbor ships them"
            )
            yield flag("warning", "Set14 of 12", [claim], reason, run(claim))


def _nearer(value: float, one: float, other: float) -> bool:
    """Whether a value fits one number and not another."""
    return abs(value - one) < 0.05 < abs(value - other)


def colour(claims: Sequence[Claim]) -> Iterator[Flag]:
    """BSD68 and other gray sets scored in colour."""
    for claim in claims:
        gain, anchor = COLOUR_GAIN.get(claim.noise), _anchor(claim)
        settle = run(claim)
        if claim.set in GRAY and claim.colour in ("rgb", "luma"):
            reason = f"{claim.set} is a set of gray images, and the claim is of {claim.colour}"
            yield flag("error", "colour", [claim], reason, settle)
        elif claim.set == "bsd68" and gain and anchor is not None and abs(claim.psnr - anchor - gain) < 2 * NEAR:
            reason = (
                f"{claim.psnr - anchor:.2f} dB above the gray {anchor:.2f}; CBM3D on the same photographs in colour is "
                f"{gain:.2f} above BM3D: this is CBSD68"
            )
            yield flag("error", "colour", [claim], reason, settle)
        elif claim.set in COLOUR and claim.colour == "gray":
            reason = f"{claim.set} is scored over its three channels, and the claim is of gray images"
            yield flag("error", "colour", [claim], reason, settle)


def luma(claims: Sequence[Claim]) -> Iterator[Flag]:
    """PSNR of luma instead of all channels: stated, or all numbers of a method too high by what luma gains."""
    for claim in claims:
        if claim.colour == "luma" and claim.set in COLOUR:
            reason = f"PSNR of Y: on colour images it is {_luma_gain()} dB above that of all channels in our records"
            yield flag("error", "luma", [claim], reason, rescore(claim))
    low, high = min(_luma_gains()), max(_luma_gains())
    for every in by_method(claims):
        rows = [claim for claim in every if claim.set in COLOUR and claim.colour != "luma" and _anchor(claim)]
        gains = [claim.psnr - (_anchor(claim) or 0) for claim in rows]
        if rows and all(low - NEAR <= gain <= high + NEAR for gain in gains):
            reason = (
                f"{_span(gains)} dB above what is known of these cells on every colour set. Scoring Y instead of RGB "
                f"gains {_luma_gain()} dB in our records, with nothing denoised better"
            )
            yield flag("error", "luma", rows, reason, rescore(rows[0]))


def _luma_gains() -> list[float]:
    return [fact.psnr for fact in facts_of("luma")]


def _luma_gain() -> str:
    return _span(_luma_gains())


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def data_range(claims: Sequence[Claim]) -> Iterator[Flag]:
    """A range other than 255 for bytes and 1 for floats: stated, or a PSNR that is off by 20 log10 of a ratio."""
    for claim in claims:
        anchor, settle = _anchor(claim), rescore(claim)
        if claim.data_range is not None and claim.data_range not in (1.0, 255.0):
            reason = f"data range {claim.data_range:g}; images in 0..1 have 1, bytes 255. It adds {_decibels(claim)} dB"
            yield flag("error", "data range", [claim], reason, settle)
            continue
        for ratio, words in RANGES.items() if anchor is not None else ():
            shift = 20 * math.log10(ratio)
            if anchor is not None and abs(claim.psnr - anchor - shift) < NEAR:
                reason = (
                    f"{claim.psnr - anchor:+.2f} dB from the known {anchor:.2f}, as {words} shift it ({shift:+.2f})"
                )
                yield flag("error", "data range", [claim], reason, settle)


def _decibels(claim: Claim) -> str:
    """What a stated range adds, if the images are in 0..1 or in bytes, whichever is nearer."""
    shifts = [20 * math.log10((claim.data_range or 1) / whole) for whole in (1, 255)]
    return f"{min(shifts, key=abs):+.2f}"


def ssim_fits(claims: Sequence[Claim]) -> Iterator[Flag]:
    """An SSIM beyond noise alone or blur alone of this PSNR, or one that no printed row has."""
    for claim in claims:
        if claim.ssim is None or claim.colour == "luma":
            continue
        window = claim.window or "gauss11"
        limits, position = bounds(claim.set, claim.psnr, window), _position(claim, window)
        if limits is None or position is None:
            continue
        said = (
            f"SSIM {claim.ssim:.3f} at {claim.psnr:.2f} dB, window {window}. Images of {claim.set} with this PSNR have "
            f"{limits[0]:.3f} if all of the error is noise and {limits[1]:.3f} if all of it is blur (measured)"
        )
        others = [_position_of(*pair, claim.set) for pair in _printed_pairs(claim)]
        near = [one for one in others if one is not None]
        if not 0 <= position <= 1:
            reason = f"{said}: another window, another data range or a misprint"
            yield flag("error", "SSIM", [claim], reason, rescore(claim))
        elif near and (off := max(min(near) - position, position - max(near))) > TIGHT:
            reason = (
                f"{said}. The claim lies {position:.2f} of the way, the {len(near)} printed rows of this noise and set "
                f"{min(near):.2f} to {max(near):.2f}: another window, or a misprint"
            )
            yield flag("error" if off > 2 * TIGHT else "warning", "SSIM", [claim], reason, rescore(claim))


def other_window(claims: Sequence[Claim]) -> Iterator[Flag]:
    """An SSIM of another window than the printed ones: stated, or the printed PSNR with what the window gives."""
    gains = [fact.ssim for fact in facts_of("window")]
    for claim in claims:
        known = printed(claim)
        if claim.window == "uniform7":
            reason = f"SSIM of a uniform 7x7 window, {_signed(gains)} beside the Gaussian 11x11 of the printed ones"
            yield flag("warning", "SSIM window", [claim], reason, rescore(claim))
        elif known and known.ssim and claim.ssim and abs(claim.psnr - known.psnr) < 0.03:
            off = claim.ssim - known.ssim
            if min(gains) - 0.0015 < off < max(gains) + 0.0015:
                reason = (
                    f"the printed PSNR, and an SSIM {off:+.3f} from the printed {known.ssim:.3f}: a uniform 7x7 window "
                    f"gives a denoiser {_signed(gains)} in our records"
                )
                yield flag("note", "SSIM window", [claim], reason, rescore(claim))


def _signed(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:+.3f}" for value in (min(values), max(values))))


def _position(claim: Claim, window: str) -> float | None:
    return None if claim.ssim is None else _position_of(claim.psnr, claim.ssim, claim.set, window)


def _position_of(psnr: float, ssim: float, test: str, window: str = "gauss11") -> float | None:
    """Where log(1 - SSIM) lies between that of noise (0) and that of blur (1) at this PSNR."""
    limits = bounds(test, psnr, window)
    if limits is None or ssim >= 1:
        return None if limits is None else math.inf
    noise, blur = (math.log(1 - value) for value in limits)
    return (math.log(1 - ssim) - noise) / (blur - noise)


def _printed_pairs(claim: Claim) -> list[tuple[float, float]]:
    """PSNR and SSIM of the printed rows of the same noise and set, without the claimed pair itself."""
    pairs = {
        (values["psnr"], values["ssim"])
        for table in TABLES
        for (noise, _, _, test), values in published(table).items()
        if (noise, test) == claim.group and values
    }
    return sorted(pairs - {(claim.psnr, claim.ssim)})


def _anchor(claim: Claim) -> float | None:
    """The PSNR that a claim should be near: printed for the method, else for the supervised row; measured, if noisy."""
    known = measured(claim) if claim.method in BASELINES else printed(claim) or supervised(*claim.group)
    return known.psnr if known else None
