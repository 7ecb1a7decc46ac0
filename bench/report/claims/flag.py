"""A flag: what is odd about claimed numbers, why, and which measurement would settle it."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

from msgspec import Struct

from ...methods import registry
from ..published import published, suite_of
from .claim import Claim
from .known import TABLES

Severity = Literal["error", "warning", "note"]  # cannot be right as it stands; needs a reason; worth knowing


class Flag(Struct, frozen=True, kw_only=True):
    """One odd thing about one or several claims."""

    severity: Severity
    kind: str
    lines: tuple[int, ...]  # of the file
    what: str  # the claims in words
    reason: str
    settle: str  # the measurement that would settle it


def flag(severity: Severity, kind: str, claims: Sequence[Claim], reason: str, settle: str) -> Flag:
    """A flag of some claims; the first ones are named."""
    names = list(dict.fromkeys(f"{claim.cell}: {claim.shown}" for claim in claims))
    what = "; ".join(names[:2]) + (f"; and {len(names) - 2} more" if len(names) > 2 else "")
    lines = tuple(dict.fromkeys(claim.line for claim in claims))
    reason = f"{reason[:1].upper()}{reason[1:]}"
    return Flag(severity=severity, kind=kind, lines=lines, what=what, reason=reason, settle=settle)


def run(claim: Claim, more: str = "", beside: str = "") -> str:
    """The command that measures a claim, with another method beside it."""
    names = list(dict.fromkeys(filter(None, (beside, claim.method))))
    known = [name if name in registry.methods() else "METHOD" for name in names]
    methods = f"--methods {','.join(known)}" + " --plugin FILE.py" * ("METHOD" in known)
    if claim.set == "sidd_benchmark":
        return f"python -m bench submit {methods} --suite raw --preset paper --blocks DIR"
    return f"python -m bench run {methods} {_where(*claim.group)}{more}"


def rescore(claim: Claim) -> str:
    """The command that scores what was run in other ways."""
    return f"python -m bench rescore --scoring all {_where(*claim.group)}"


@cache
def _where(noise: str, test: str) -> str:
    table = next((t for t in TABLES if any((key[0], key[3]) == (noise, test) for key in published(t))), None)
    suite = f"--suite {suite_of(table)} " if table else ""
    return f"{suite}--preset paper --noise {noise} --test-sets {test} --data DIR"
