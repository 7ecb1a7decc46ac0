"""All flags of a file, and the claims beside what is printed and measured."""

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec import Struct, structs, to_builtins

from ..published import Level
from . import against_knowledge as knowledge
from . import against_protocol as protocol
from . import against_rows as rows
from .claim import Claim, nearest_set, read
from .evidence import PRINTED
from .flag import Flag
from .known import measured, of_difference, over_seeds, printed, supervised

CHECKS: tuple[Callable[[Sequence[Claim]], Iterator[Flag]], ...] = (
    rows.one_cell_twice,
    rows.equal_digits,
    rows.above_supervised,
    protocol.ssim_fits,
    protocol.other_window,
    protocol.noisy_input,
    protocol.set14_of_12,
    protocol.colour,
    protocol.luma,
    protocol.data_range,
    knowledge.told_the_level,
    knowledge.ensembled,
    knowledge.unlike_print,
    knowledge.unlike_records,
    rows.within_the_noise,
)
SEVERITIES = ("error", "warning", "note")


class Report(Struct, frozen=True):
    """What a file claims, the flags, the gravest first, and what is to be known of the checks."""

    claims: list[Claim]
    flags: list[Flag]
    remarks: list[str]  # what was not checked, and where bands come from

    @property
    def failed(self) -> bool:
        """Whether something cannot be right as it stands."""
        return any(flag.severity == "error" for flag in self.flags)

    def numbers(self) -> list[dict[str, str]]:
        """Each claim beside what is printed and measured, as text."""
        return [_beside(claim) for claim in self.claims]

    def plain(self) -> dict[str, Any]:
        """The report as plain values."""
        return {"numbers": self.numbers(), "flags": to_builtins(self.flags), "remarks": self.remarks}


def check_claims(path: Path) -> Report:
    """Reads a file of claims and checks it; InputError for a file that holds none."""
    claims = read(path)
    flags = [_explained(flag, claims) for one in CHECKS for flag in one(claims)]
    return Report(claims, sorted(flags, key=lambda flag: SEVERITIES.index(flag.severity)), _remarks(claims))


def _explained(flag: Flag, claims: Sequence[Claim]) -> Flag:
    """A flag of digits that are known to be odd in their source, as a note with the explanation."""
    said = [_oddity(flag.kind, claim) for claim in claims if claim.line in flag.lines]
    if flag.severity == "note" or not said or not all(said):
        return flag
    text = "; ".join(dict.fromkeys(filter(None, said)))
    return structs.replace(flag, severity="note", reason=f"{flag.reason}. Known of the printed table: {text}")


def _oddity(kind: str, claim: Claim) -> str | None:
    """What explains these very digits of a printed table."""
    for row in _oddities():
        named = all(row[name] in ("", getattr(claim, name)) for name in ("noise", "method", "set"))
        if row["kind"] == kind and named and _is_printed(claim):
            return row["explanation"]
    return None


def _is_printed(claim: Claim) -> bool:
    known = printed(claim)
    return known is not None and (known.psnr, known.ssim) == (claim.psnr, claim.ssim)


@cache
def _oddities() -> list[dict[str, str]]:
    text = (resources.files("bench.results.paper") / "oddities.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _beside(claim: Claim) -> dict[str, str]:
    known, ours = printed(claim), measured(claim)
    return {
        "line": str(claim.line),
        "method": claim.label,
        "noise": claim.noise,
        "set": claim.set,
        "claimed": claim.shown,
        "printed": "" if known is None else _pair(known.psnr, known.ssim) + _mark(known.level),
        "diff.": "" if known is None else f"{claim.psnr - known.psnr:+.2f}",
        "band": f"{of_difference(claim).width:.2f}",
        "measured": "" if ours is None else _pair(ours.psnr, ours.ssim),
    }


def _mark(level: Level) -> str:
    """How a number of others got here."""
    return "" if level == "paper" else f" [{level}]"


def _pair(psnr: float, ssim: float | None) -> str:
    return f"{psnr:.2f}" + ("" if ssim is None else f"/{ssim:.3f}")


def _remarks(claims: Sequence[Claim]) -> list[str]:
    others = dict.fromkeys(claim.set for claim in claims if claim.set not in PRINTED)
    found = [f"{test}: no measured noise and blur, so that SSIM is not checked{_meant(test)}" for test in others]
    groups = dict.fromkeys(claim.group for claim in claims)
    if unknown := [f"{noise} on {test}" for noise, test in groups if supervised(noise, test) is None]:
        found.append(f"no printed supervised row for {', '.join(unknown)}: only compared within the file")
    if empty := [name for name in ("network", "knowledge", "ensemble") if not any(getattr(c, name) for c in claims)]:
        found.append(f"not said: {', '.join(empty)}; these checks rest on what is known of registered methods")
    spreads = list(dict.fromkeys(over_seeds(claim).how for claim in claims))
    found.append(
        f"bands are two standard deviations of a difference: over seeds, from {' and '.join(spreads)}; over images, "
        f"from the paired differences of our records (results/measured)"
    )
    return found


def _meant(test: str) -> str:
    near = nearest_set(test)
    return f"; did you mean {near}?" if near not in ("", test) else ""
