"""Flags from what is known of a method: the level that it is told, its passes, its printed numbers."""

from collections.abc import Iterator, Sequence

from ...methods import registry
from ...protocol.plan import BASELINES
from .claim import Claim, by_method, noise_of
from .flag import Flag, flag, run
from .known import all_others, measured, of_difference, over_seeds, printed, provenance

SINGLE = ("", "1", "no", "none", "false")
TTA = 0.07  # dB that the mean over 8 flips and turns gives N2V on BSD68 (its authors' notebook)
RECORDS = 0.2  # dB; draws of the noise differ by less on a whole set
GAIN = 0.25  # dB; more than averaging gives
KNOWLEDGE = {"level": "the noise level of each image", "family": "the family of the noise"}


def told_the_level(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Methods that are told the noise level, whether the claim says so or not."""
    for rows in by_method(claims):
        claim, ours = rows[0], registry.methods().get(rows[0].method)
        knows = ours.knowledge if ours else "level" if _told(claim.method) else ""
        settle = run(claim, " --tested gauss15,gauss50" if claim.noise.startswith("gauss") else "")
        stated = {claim.knowledge for claim in rows} - {""}
        if knows == "level" and stated & {"blind", "family"}:
            reason = f"claimed as {', '.join(sorted(stated))}, but the method is told {KNOWLEDGE['level']}"
            yield flag("error", "told the level", rows, reason, settle)
        elif "level" in stated or knows == "level":
            reason = f"the method is told {KNOWLEDGE['level']}; rows that are blind are not its rivals"
            ranged = any(noise_of(claim).low != noise_of(claim).high for claim in rows)
            reason += ". In a range of levels that is the level of each test image" if ranged else ""
            yield flag("note", "told the level", rows, reason, settle)


def _told(method: str) -> bool:
    """Whether a method of others needs the noise parameters, as far as we know."""
    rows = [one for one in all_others() if one.method == method]
    return any("told the noise" in one.remark or "needs the noise model" in one.remark for one in rows)


def ensembled(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Means over several passes: stated, built into the method, or a gain of the size that they give."""
    for rows in by_method(claims):
        stated = [claim for claim in rows if claim.ensemble.lower() not in SINGLE]
        plain = [claim for claim in rows if claim not in stated]
        if stated:
            reason = f"ensemble {stated[0].ensemble}: rows of one pass beside it are not its rivals"
            yield flag("warning", "ensemble", stated, reason, run(stated[0]))
        ours = registry.methods().get(rows[0].method)
        output = ours.primary().name if ours else ""
        passes = ours().passes().get(rows[0].output or output) if ours else None
        if plain and passes and passes > 1:
            said_single = any(claim.ensemble for claim in plain)
            reason = f"the published method averages or needs {passes} network passes for each image"
            reason += ", and the claim says that it is no ensemble" if said_single else ""
            yield flag("error" if said_single else "note", "ensemble", plain, reason, run(rows[0]))
        yield from _gain(plain)


def _gain(rows: Sequence[Claim]) -> Iterator[Flag]:
    """A known method above its print on every one of several cells, by no more than averaging gives."""
    gains = [claim.psnr - known.psnr for claim in rows if (known := printed(claim))]
    if len(gains) > 1 and len(gains) == len(rows) and all(0.03 <= gain <= GAIN for gain in gains):
        reason = (
            f"{min(gains):.2f} to {max(gains):.2f} dB above the print of the same method on all {len(gains)} cells: so "
            f"much comes from the mean over flips and turns (N2V on BSD68: {TTA:.2f}) or from the choice of the best "
            f"epoch on the test set; the claim says neither"
        )
        yield flag("warning", "hidden ensemble", rows, reason, run(rows[0]))


def unlike_print(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Numbers of a known method that differ from its print by more than chance."""
    for rows in by_method(claims):
        off = []
        for claim in rows:
            known = printed(claim)
            if known and abs(claim.psnr - known.psnr) > max(0.05, 3 * over_seeds(claim).width):
                off.append((claim, known))
        if off:
            claim, known = max(off, key=lambda pair: abs(pair[0].psnr - pair[1].psnr))
            difference = claim.psnr - known.psnr
            reason = (
                f"{claim.cell} is {difference:+.2f} dB from the printed {known.psnr:.2f} ({known.source}"
                f"{provenance(known.level)}); {len(off)} of {len(rows)} cells differ by more than chance"
            )
            worse = difference < -of_difference(claim).width
            reason += ". A baseline below its print makes every other row look better" if worse else ""
            yield flag("warning", "unlike the print", [claim for claim, _ in off], reason, run(claim))


def unlike_records(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Numbers that our records of the same method on the whole set do not have."""
    for claim in claims:
        ours = measured(claim) if claim.method not in BASELINES else None
        if ours and abs(claim.psnr - ours.psnr) > RECORDS:
            reason = (
                f"{claim.psnr - ours.psnr:+.2f} dB from our {ours.psnr:.2f}/{ours.ssim:.3f} on the same {ours.images} "
                f"images, one draw of the noise (results/measured)"
            )
            yield flag("warning", "unlike our records", [claim], reason, run(claim))
