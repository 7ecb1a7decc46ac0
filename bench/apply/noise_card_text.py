"""The noise card as text of 80 columns."""

from collections.abc import Iterator

from .noise_card import Card
from .noise_findings import Finding, measured
from .paragraph import paragraph

SAYS = {
    "white": "the noise of pixels is independent",
    "correlated": "the noise of pixels is correlated",
    "unknown": "whether the noise of pixels is independent is not known",
}


def text(card: Card) -> str:
    """The numbers with their sentences, the closest known noise, and the methods."""
    return "\n".join(_lines(card))


def _lines(card: Card) -> Iterator[str]:
    yield card.title
    for finding in card.findings:
        yield from _finding(finding)
    yield ""
    if not card.planes:
        return
    low, high = card.value_range
    yield from paragraph(f"In short: {SAYS[card.whiteness]}.")
    if card.closest:
        yield from paragraph(f"Closest known noise: {card.closest}, for values of {low:.6g}..{high:.6g} as 0..1.")
    if card.recommended:
        yield from paragraph(f"Begin with {card.recommended.method}: {card.recommended.why}.")
    suits = [one for one in card.advice if one.applies]
    yield from paragraph(f"These suit: {', '.join(one.method for one in suits)}.")
    yield "These do not:"
    for one in card.advice:
        if not one.applies:
            yield from paragraph(f"{one.method}: {one.why}.", "  ", "  ")


def _finding(finding: Finding) -> Iterator[str]:
    for plane, value in finding.values.items():
        named = f"{finding.name}, {plane}" if plane else finding.name
        yield f"{named}: {measured(value, finding.unit)}"
    if not finding.values:
        yield f"{finding.name}:"
    yield from paragraph(finding.sentence, "    ", "    ")
