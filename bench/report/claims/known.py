"""What is known of a claimed number: what is printed, what is measured, and how far numbers differ by chance."""

import math
from functools import cache
from statistics import fmean, median
from typing import NamedTuple

from ...datasets.sets.catalogue import catalogue
from ...methods import registry
from ...protocol.plan import BASELINES
from ..published import LEVELS, Level, Other, others, published, with_tables
from . import evidence
from .claim import Claim
from .names import outputs_printed

SUPERVISED, NOISY = "n2c", BASELINES[0]
TABLES = range(1, 9)


class Printed(NamedTuple):
    """A printed number and where it stands."""

    psnr: float
    ssim: float | None
    level: Level
    source: str


def printed(claim: Claim) -> Printed | None:
    """What is printed for the method of a claim; None where nothing is, or several outputs are and none is named."""
    return _printed(claim.method, claim.output, *claim.group)


def supervised(noise: str, test: str) -> Printed | None:
    """What is printed for N2C."""
    return _printed(SUPERVISED, "", noise, test)


@cache
def _printed(method: str, output: str, noise: str, test: str) -> Printed | None:
    outputs = [output] if output else outputs_printed(method, noise, test)
    for table in TABLES if len(outputs) == 1 else ():
        if values := published(table).get((noise, method, outputs[0], test)):
            return Printed(values["psnr"], values["ssim"], "paper", f"Table {table} of Blind2Unblind")
    for one in all_others():
        if (one.method, one.noise, one.set) == (method, noise, test):
            return Printed(one.metrics["psnr"], one.metrics.get("ssim"), one.level, one.source)
    return None


@cache
def all_others() -> tuple[Other, ...]:
    """What others than the paper published, of all suites."""
    return tuple(one for suite in with_tables() for one in others(suite))


def measured(claim: Claim) -> evidence.Fact | None:
    """What our records have for a claim, on the whole set."""
    return _measured(claim, claim.set)


def measured_on_12(claim: Claim) -> evidence.Fact | None:
    """The same on Set14 without its two gray images."""
    return _measured(claim, "set14_12")


def _measured(claim: Claim, test: str) -> evidence.Fact | None:
    output = claim.output or _primary(claim.method)
    rows = evidence.facts_of("noise" if claim.method == NOISY else "score", test, claim.noise)
    return next((fact for fact in rows if fact.row == f"{claim.method} {output}"), None)


def _primary(method: str) -> str:
    known = registry.methods().get(method)
    return known.primary().name if known else ""


def provenance(level: Level) -> str:
    """How a printed number got here, in words; "" for what we read in its source."""
    return "" if level == "paper" else f" ({LEVELS[level].partition(';')[0]})"


class Band(NamedTuple):
    """By how much a number may differ by chance [dB], and where that is known from."""

    width: float
    how: str


def over_seeds(claim: Claim) -> Band:
    """The standard deviation over seeds: claimed, else measured, else from the print."""
    if claim.spread is not None:
        return Band(claim.spread, "the claimed spread over seeds")
    if facts := evidence.facts_of("seeds", claim.set, claim.noise) or evidence.facts_of("seeds"):
        spread = math.sqrt(fmean(fact.psnr**2 for fact in facts))
        tests = ", ".join(dict.fromkeys(fact.set for fact in facts))
        return Band(spread, f"our spread over seeds (results/measured, {tests})")
    return Band(_between_trainings(), "two trainings towards one minimiser, N2C and N2N, as the paper prints them")


@cache
def _between_trainings() -> float:
    """The standard deviation of one training [dB]: N2C and N2N in Table 1 learn the same, from other targets."""
    table = published(1)
    pairs = [
        (values["psnr"], table[noise, "n2n", "", test]["psnr"])
        for (noise, method, _, test), values in table.items()
        if method == SUPERVISED
    ]
    return math.sqrt(fmean((a - b) ** 2 for a, b in pairs) / 2)


def of_difference(claim: Claim) -> Band:
    """Within which [dB] two rows on the same images are not told apart: two standard deviations of their difference.

    s^2 = 2 s_seed^2 + s_image^2 / n, s_image the median of our standard deviations over images of paired differences.
    """
    seeds, known = over_seeds(claim), catalogue().get(claim.set)
    facts = evidence.facts_of("images")
    if not known or not known.count or not facts:
        return Band(2 * math.sqrt(2) * seeds.width, f"seeds {seeds.width:.3f}")
    images = median(fact.psnr for fact in facts) / math.sqrt(known.count)  # a training that failed moves a mean
    return Band(2 * math.sqrt(2 * seeds.width**2 + images**2), f"seeds {seeds.width:.3f}, images {images:.3f}")
