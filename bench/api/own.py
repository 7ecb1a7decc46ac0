"""A user's own images: what is read of them, and what their noise is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import msgspec

from ..apply import noise_card_text, noise_findings, noise_frames
from ..apply.noise_card import Card
from ..apply.noise_card import noise_card as _card
from ..datasets import files
from ..datasets.errors import InputError
from ..datasets.own.collection import Collection, collect
from .options import Images, PathLike


def opened(paths: Sequence[PathLike], **images: Unpack[Images]) -> Collection:
    """The images of files and folders with what was understood of them; InputError if none can be used."""
    if isinstance(paths, str):
        raise InputError(f"paths = {paths!r}: expected a list of files and folders, such as [{paths!r}]")
    return collect([Path(path) for path in paths], **images)


def noise_card(
    paths: Sequence[PathLike] | Collection,
    *,
    repeats: bool = False,
    pattern: str = "",
    offset: float | None = None,
    **images: Unpack[Images],
) -> list[Card]:
    """What images tell of their noise and which methods suit it, one card for each type and number of channels.

    With `repeats` the frames of a stack are of one scene; `pattern` is the Bayer pattern of mosaics, `offset` the level
    of black.
    """
    found = paths if isinstance(paths, Collection) else opened(paths, **images)
    return [
        _card(
            kind.scenes,
            title=kind.title,
            pixels=kind.pixels,
            bits=kind.bits,
            black=kind.black,
            pattern=pattern,
            offset=offset,
        )
        for kind in noise_frames.frames_by_kind(found, repeats)
    ]


def noise_text(card: Card) -> str:
    """A card in lines of 80 columns."""
    return noise_card_text.text(card)


def noise_rows(card: Card) -> list[dict[str, str]]:
    """A card's numbers as rows of a table."""
    return [
        {"what": finding.name, "plane": plane, "number": noise_findings.shown(value), "unit": finding.unit}
        | {"meaning": finding.sentence}
        for finding in card.findings
        for plane, value in finding.values.items()
    ]


def write_noise_cards(cards: Sequence[Card], folder: PathLike) -> list[Path]:
    """Writes each card as text, JSON and picture; InputError where that is not possible."""
    from ..report import noise_figure, style

    written = list[Path]()
    for number, card in enumerate(cards, 1):
        name = "noise-card" if len(cards) == 1 else f"noise-card-{number}"
        content = msgspec.json.format(msgspec.json.encode(card))
        written += [_written(Path(folder) / f"{name}.txt", noise_text(card).encode())]
        written += [_written(Path(folder) / f"{name}.json", content)]
        if card.planes:
            figure = noise_figure.draw(card.planes, f"{card.title}. {noise_figure.CAPTION}")
            written += style.save(figure, Path(folder), name)
    return written


def _written(path: Path, content: bytes) -> Path:
    with files.output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, lambda temporary: temporary.write_bytes(content))
    return path
