"""A set of images beside its references, file by file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from ..errors import InputError
from ..formats.pack import HEADER, Pack
from ..images import listing
from . import layouts
from .catalogue import (
    Reference,
    State,
    compare,
    data_root,
    entry,
    in_range,
    load,
    packaged,
    place,
    references,
    strangers,
    suits,
    whole,
)


class Finding(Struct, frozen=True):
    """What is to be said of one image."""

    name: str  # its stem, or the file that does not belong to the set
    state: State | Literal["missing", "extra", "unreadable"]
    detail: str = ""


class Summary(NamedTuple):
    """How many images of a set there are, by name alone."""

    found: int
    missing: int


def verify(name: str, data: Path | None, channels: int | None = None) -> list[Finding]:
    """Every image of a set compared with its reference by shape and decoded pixels, then what does not belong to it.

    InputError without a data folder, for two files of one stem, or if the set has more than `channels` channels.
    """
    if channels is not None:
        suits(name, channels)
    if _is_pack(name, data) or (entry(name).layout != "images" and not references(name)):
        return [_loaded(name, data)]
    paths = present(name, data)
    if entry(name).sides:
        return list(_sized(name, paths))
    extra = [Finding(str(path), "extra", "does not belong to the set") for path in strangers(name, paths)]
    return [_compared(name, row, paths.get(row.stem)) for row in references(name)] + extra


def summary(name: str, data: Path | None) -> Summary:
    """How many images of a set are there and how many are not; no image is opened."""
    known = entry(name)
    total = len(references(name)) or known.count
    if not whole(name).packaged and data_root(data) is None:
        return Summary(0, total)
    if _is_pack(name, data) or (known.layout != "images" and not references(name)):
        layout = "pack" if _is_pack(name, data) else known.layout
        there = layouts.parts(place(name, data), layout, known.views, known.frames)
        found = min(sum(1 for _ in there), known.count)
        return Summary(found, total - found)
    stems = present(name, data).keys()
    found = min(len(stems), known.count) if known.sides else sum(row.stem in stems for row in references(name))
    return Summary(found, total - found)


def present(name: str, data: Path | None) -> dict[str, Path]:
    """The images in the folder of a set by stem, none if there is no such folder."""
    if whole(name).packaged:
        return {stem: path for stem, path in packaged(whole(name).packaged).items() if path.exists()}
    folder = place(name, data)
    if entry(name).layout == "views":
        return layouts.files(folder, entry(name).views)
    return listing(folder) if folder.is_dir() else {}


def _loaded(name: str, data: Path | None) -> Finding:
    """A set without references can only be read as a whole: its files, shapes and counts."""
    told = "no digests are known"
    try:
        if _is_pack(name, data):
            Pack(place(name, data)).verify()
            told = "every pixel as it was packed"
        set_images = load(name, data, entry(name).channels)
    except InputError as error:
        return Finding(name, "unreadable" if place(name, data).is_dir() else "missing", str(error))
    return Finding(name, "ok", f"{len(set_images)} images, as many frames and shapes as expected; {told}")


def _is_pack(name: str, data: Path | None) -> bool:
    known = entry(name)
    able = known.layout == "pack" or known.sides is not None
    return able and data_root(data) is not None and (place(name, data) / HEADER).is_file()


def _compared(name: str, row: Reference, path: Path | None) -> Finding:
    if path is None:
        return Finding(row.stem, "missing")
    try:
        state, detail, _ = compare(name, row, path)
    except InputError as error:
        return Finding(row.stem, "unreadable", str(error))
    return Finding(row.stem, state, detail and f"{path}: {detail}")


def _sized(name: str, paths: dict[str, Path]) -> Iterator[Finding]:
    """A set that is chosen by its images' sides has no references: they are counted."""
    known, found = entry(name), 0
    low, high = known.sides or (0, 0)
    for stem, path in paths.items():
        try:
            inside = in_range(path, low, high)
        except InputError as error:
            yield Finding(stem, "unreadable", str(error))
            continue
        if inside:
            found += 1
            yield Finding(stem, "ok")
    if found != known.count:
        detail = f"{found} images with both sides in {low}..{high}, expected {known.count}"
        yield Finding(name, "missing" if found < known.count else "extra", detail)
