"""The catalogue of image sets: what each is, where its files belong, and the digest of every image."""

import csv
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import unknown


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of catalogue.toml."""

    title: str
    role: str
    channels: int
    count: int
    source: str
    licence: str
    folder: str = ""
    layout: str = "images"  # how its files lie in the folder: a class of layouts/
    packaged: tuple[str, ...] = ()  # "package:path" of images that an installed package contains
    part_of: str = ""  # the images of another set, split by rule ...
    every: int = 0  # ... those whose index is 0 modulo `every`, or the others if negative; 0: all ...
    without: tuple[str, ...] = ()  # ... but these
    converted: Literal["", "gray", "bayer"] = ""  # from the stored RGB images
    views: tuple[int, ...] = ()  # of a microscope set
    frames: int = 1  # real noisy frames of every image
    sides: tuple[int, int] = (0, 0)  # the range of both sides of the images [pixels], where they are selected by size
    urls: tuple[str, ...] = ()  # where image {stem} may be found, in this order
    fetch: str = ""  # how to get it by hand, where no command can


class Reference(msgspec.Struct, frozen=True):
    """What an image of a set must decode to."""

    stem: str
    height: int
    width: int
    channels: int
    pixels: str  # SHA-256 of the decoded pixels
    file: str  # SHA-256 of the stored file, to tell a decoder's difference from an altered image


@cache
def catalogue() -> dict[str, Entry]:
    """All entries by name."""
    text = (resources.files(__package__) / "catalogue.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Entry])


@cache
def _references() -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {}
    with (resources.files(__package__) / "digests.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row.pop("set"), []).append(msgspec.convert(row, Reference, strict=False))
    return found


def entry(name: str) -> Entry:
    """The entry of a name; InputError with the nearest names if there is none."""
    if name not in catalogue():
        raise unknown("image set", name, catalogue(), "Any folder of images can be given as folder:PATH.")
    return catalogue()[name]


def references(name: str) -> list[Reference]:
    """The reference digests of a set in the order of its images; empty where the catalogue has none."""
    part = entry(name)
    if not part.part_of:
        return _references().get(name, [])
    rows = [row for row in references(part.part_of) if row.stem not in part.without]
    return [row for i, row in enumerate(rows) if not part.every or (i % abs(part.every) == 0) == (part.every > 0)]


def data_root(data: Path | None) -> Path | None:
    """The folder of all image sets: the one given, or $BENCH_DATA."""
    return data or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
