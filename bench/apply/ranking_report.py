"""A ranking as text of 80 columns, as rows of a table, and as plain values."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from .calibration import Calibration
from .frames import MOST
from .own_ranking import Answer
from .paragraph import paragraph
from .ranking import Row

HOW = {
    "frames": f"Of each half of the frames, up to {MOST} were denoised and scored on the mean of the other half.",
    "split": "Each image was split into two of independent noise: one was denoised, the other scored it.",
}


def text(answer: Answer) -> str:
    """The verdict, the table, remarks and how far to trust it."""
    return "\n".join(_lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    yield from paragraph(answer.verdict, then="  ")
    if answer.ranking:
        yield ""
        width = max(6, *(len(row.method) for row in answer.ranking.rows))
        yield f"{'rank':>5} {'method':<{width}} {'PSNR':>6}  {'95 % interval':<14} {'behind':>6}  95 % interval"
        yield from (_line(row, answer.ranking.rows, width) for row in answer.ranking.rows)
        yield ""
        for row in answer.ranking.rows:
            if row.remarks:
                yield from paragraph(f"{row.method}: {'; '.join(row.remarks)}.", then="  ")
        yield ""
    for words in trust(answer):
        yield from paragraph(words, then="  ")


def trust(answer: Answer) -> list[str]:
    """How the ranking was made, and how far to trust it, in sentences."""
    found = [HOW[answer.mode]] if answer.ranking else []
    for name, said in answer.checks.items():
        agrees = f"says otherwise: {said}" if said else "agrees"
        found.append(f"Cross-check by {name} (methods without training): {agrees}.")
    return [*found, *([_calibrated(answer.calibration)] if answer.calibration else []), *answer.notes]


def _line(row: Row, rows: list[Row], width: int) -> str:
    tied = "=" if sum(one.rank == row.rank for one in rows) > 1 else " "
    psnr, low, high = row.psnr
    behind = "" if row is rows[0] else f" {_number(row.behind[0]):>6}  {_span(*row.behind[1:])}"
    return f"{tied}{row.rank:>4} {row.method:<{width}} {_number(psnr):>6}  {_span(low, high):<14}{behind}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _span(low: float, high: float) -> str:
    return "-" if math.isnan(low) or math.isnan(high) else f"{low:.2f}..{high:.2f}"


def _calibrated(found: Calibration) -> str:
    order = "no pair of methods differs visibly" if math.isnan(found.tau) else f"Kendall's tau is {found.tau:.2f}"
    return (
        f"Calibration: {found.rankings} rankings on synthetic noise, where the truth is known; {order} "
        f"({found.visible} pairs above 0.1 dB), and {100 * found.coverage:.0f} % of {found.pairs} intervals of "
        f"differences contain the true one (95 % expected)."
    )


def rows(answer: Answer) -> list[dict[str, str]]:
    """The methods as rows of a table."""
    return [
        {
            "rank": str(row.rank),
            "method": row.method,
            "psnr": _number(row.psnr[0]),
            "psnr interval": _span(*row.psnr[1:]),
            "behind": _number(row.behind[0]),
            "behind interval": _span(*row.behind[1:]),
            "remarks": "; ".join(row.remarks),
        }
        for row in (answer.ranking.rows if answer.ranking else [])
    ]


def plain(answer: Answer) -> dict[str, Any]:
    """Everything but the images; numbers that are not defined are null."""
    ranking = answer.ranking
    found = {
        "verdict": answer.verdict,
        "decided": answer.decided,
        "mode": answer.mode,
        "methods": msgspec.to_builtins(ranking.rows) if ranking else [],
        "blocks": ranking.block if ranking else None,
        "cross_checks": answer.checks,
        "calibration": msgspec.to_builtins(answer.calibration),
        "notes": answer.notes,
    }
    return {name: _finite(value) for name, value in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
