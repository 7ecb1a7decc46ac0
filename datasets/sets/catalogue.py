"""The catalogue of image sets: what each is, where its files lie, and the digest of every image."""

import csv
import hashlib
import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import AbsentError, InputError, few, unknown
from ..formats import bayer
from ..formats.pack import HEADER
from ..images import Pixels, SetImage, digest, gray, listing, read, size
from . import layouts

State = Literal["ok", "altered", "other shape", "decoder differs"]  # of an image against its reference


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A zip or tar file that holds the images of a set."""

    url: str
    members: str  # which of its files, such as "BSDS300/images/test/*.jpg"
    sha256: str = ""  # of the archive itself; the images have digests of their own


class ImageSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of catalogue.toml."""

    title: str
    role: str
    channels: int
    count: int
    source: str
    licence: str
    folder: str = ""
    packaged: tuple[str, ...] = ()  # "package:path" of images that ship inside an installed package
    part_of: str = ""  # the images of another set, split by rule ...
    every: int = 0  # ... those whose index is 0 modulo `every`, or the others if negative; 0: all ...
    without: tuple[str, ...] = ()  # ... but these
    converted: Literal["", "gray", "bayer"] = ""  # ... shown otherwise than they are stored
    layout: Literal["images", "views", "blocks", "pack"] = "images"  # how its files lie in the folder
    views: tuple[int, ...] = ()  # of a microscope set
    frames: int = 1  # real ones of every image
    sides: tuple[int, int] | None = None  # keep images with both sides in this range (and do not hold them all)
    urls: tuple[str, ...] = ()  # where image {stem} may be found, in this order
    archive: Archive | None = None  # or where all are found in one file
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
def catalogue() -> dict[str, ImageSet]:
    """All entries by name."""
    text = (resources.files(__package__) / "catalogue.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, ImageSet])


@cache
def _references() -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {}
    with (resources.files(__package__) / "digests.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row.pop("set"), []).append(msgspec.convert(row, Reference, strict=False))
    return found


def entry(name: str) -> ImageSet:
    """The entry of a name; InputError with the nearest names if there is none."""
    if name not in catalogue():
        raise unknown("image set", name, catalogue(), "Any folder of images can be given as folder:PATH.")
    return catalogue()[name]


def whole(name: str) -> ImageSet:
    """The entry of a name, or of the set that it is a part of."""
    part = entry(name)
    return entry(part.part_of) if part.part_of else part


def references(name: str) -> list[Reference]:
    """The reference digests of a set in the order of its images; empty where the catalogue has none."""
    part = entry(name)
    if not part.part_of:
        return _references().get(name, [])
    rows = [row for row in references(part.part_of) if row.stem not in part.without]
    return [row for i, row in enumerate(rows) if not part.every or (i % abs(part.every) == 0) == (part.every > 0)]


def overlap(one: str, other: str) -> bool:
    """Whether two sets have an image in common, as far as the catalogue knows."""
    if one == other or "folder:" in one + other:
        return one == other
    pixels = [{row.pixels for row in references(name)} for name in (one, other)]
    views = [{(entry(name).folder, view) for view in entry(name).views} for name in (one, other)]
    return bool(pixels[0] & pixels[1] or views[0] & views[1])


def set_digest(name: str, channels: int) -> str:
    """What identifies the pixels of a set, without its files where the catalogue knows them."""
    if name.startswith("folder:"):
        return _folder_digest(name, channels)
    image_set, rows = entry(name), [f"{r.stem} {r.height}x{r.width}x{r.channels} {r.pixels}" for r in references(name)]
    if image_set.converted:
        rows.append(image_set.converted)
    return _joined(channels, rows or [f"{name} {image_set.count} {image_set.views} {image_set.frames}"])


def remember_folders(digests: dict[str, str]) -> None:
    """Digests of folders as records know them, for tables that are made when the images are elsewhere."""
    _remembered.update(digests)


def folder_digests() -> dict[str, str]:
    """The digests of the folders read so far, by name and channels."""
    return dict(_remembered)


_remembered: dict[str, str] = {}
_stamped: dict[tuple[str, int], tuple[object, str]] = {}


def _folder_digest(name: str, channels: int) -> str:
    folder, key = Path(name.removeprefix("folder:")), f"{name} {channels}"
    if not folder.is_dir() and key in _remembered:
        return _remembered[key]
    files = listing(folder).values() if folder.is_dir() else ()
    stamp = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()]
    if _stamped.get((name, channels), ((), ""))[0] != stamp:
        rows = [f"{set_image.name} {set_image.digest}" for set_image in load(name, None, channels)]
        _stamped[name, channels] = (stamp, _joined(channels, rows))
    _remembered[key] = _stamped[name, channels][1]
    return _remembered[key]


def _joined(channels: int, rows: list[str]) -> str:
    return hashlib.sha256("\n".join([str(channels), *rows]).encode()).hexdigest()


def load(name: str, data: Path | None, channels: int) -> list[SetImage]:
    """The checked images of a set, or of folder:PATH, as `channels` channels; InputError naming the file."""
    if name.startswith("folder:"):
        folder = Path(name.removeprefix("folder:"))
        if not folder.is_dir():
            raise InputError(f"{name}: no such folder")
        set_images = [SetImage(stem, path, channels) for stem, path in listing(folder).items()]
        if not set_images:
            raise InputError(f"{name}: no images in it")
        for set_image in set_images:
            _ = set_image.pixels
        return set_images
    suits(name, channels)
    image_set = entry(name)
    if image_set.layout == "blocks":
        folder = _folder(name, data)
        return _counted(name, folder, layouts.blocks(*(folder / name for name in layouts.BLOCKS)))
    if image_set.layout == "views":
        return _views(name, image_set, _folder(name, data))
    if image_set.layout == "pack":
        return layouts.packed(_folder(name, data), channels)
    if image_set.sides and (_folder(name, data) / HEADER).is_file():
        return _counted(name, _folder(name, data), layouts.packed(_folder(name, data), channels))
    if image_set.sides:
        return _selected(name, image_set, _folder(name, data), channels)
    inside = image_set.packaged or (entry(image_set.part_of).packaged if image_set.part_of else ())
    paths = packaged(inside) if inside else listing(_folder(name, data))
    return _checked(name, paths, channels)


def suits(name: str, channels: int) -> None:
    """InputError if a set has more channels than asked for."""
    if entry(name).channels > channels:
        raise InputError(f"{name}: a colour set, but this suite has {channels} channel")


def data_root(data: Path | None) -> Path | None:
    """The folder of all image sets: the one given, or $BENCH_DATA."""
    return data or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)


def place(name: str, data: Path | None) -> Path:
    """The folder where the images of a set belong, there or not; InputError without a folder of image sets."""
    root, folder = data_root(data), whole(name).folder
    if root is None:
        raise AbsentError(
            f"the set {name!r} needs a data folder: give --data DIR (or BENCH_DATA) with {folder}/ in it; "
            f"get: {how_to_get(name)}"
        )
    return root / folder


def how_to_get(name: str) -> str:
    """What a user can do by hand to get a set."""
    image_set = entry(name)
    return image_set.fetch or f"{image_set.count} images from {image_set.source}"


def _folder(name: str, data: Path | None) -> Path:
    folder = place(name, data)
    if not folder.is_dir():
        root, inside = data_root(data), whole(name).folder
        raise AbsentError(f"the set {name!r} is not under {root}: no folder {inside}/ there; get: {how_to_get(name)}")
    return folder


def packaged(names: Sequence[str]) -> dict[str, Path]:
    """The files of a packaged set by stem; InputError if a package is not installed."""
    found = {}
    for name in names:
        package, path = name.split(":")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"{name}: the package {package} is not installed (pip install {package})")
        file = Path(spec.submodule_search_locations[0]) / path
        found[file.stem] = file
    return found


def _checked(name: str, paths: dict[str, Path], channels: int) -> list[SetImage]:
    rows = references(name)
    missing = [row.stem for row in rows if row.stem not in paths]
    extra = [str(path) for path in strangers(name, paths)]
    if missing:
        raise InputError(f"the set {name!r} is incomplete: {few(missing)} of {len(rows)} images missing")
    if extra:
        raise InputError(f"the set {name!r} has images that do not belong to it: {few(extra)} (move them elsewhere)")
    found: list[SetImage] = []
    for row in rows:
        pixels = _check(name, row, paths[row.stem])
        found.append(_shown(row.stem, paths[row.stem], pixels, channels, entry(name).converted, len(found)))
    return found


def _shown(stem: str, path: Path, pixels: Pixels, channels: int, converted: str, number: int) -> SetImage:
    """A image as its set shows it; the mosaics of one set have the patterns of all phones in turn."""
    if converted == "bayer":
        pattern = list(bayer.OFFSETS)[number % len(bayer.OFFSETS)]
        return SetImage.decoded(stem, path, layouts.mosaic(pixels, pattern), channels, pattern=pattern)
    return SetImage.decoded(stem, path, gray(pixels) if converted == "gray" else pixels, channels)


def _views(name: str, image_set: ImageSet, folder: Path) -> list[SetImage]:
    known = {row.stem: row for row in references(name)}

    def check(stem: str, path: Path) -> Pixels:
        if known and stem not in known:
            raise InputError(f"{path}: does not belong to the set {name!r}; allowed: {few(list(known))}")
        return _check(name, known[stem], path) if known else layouts.unchecked(stem, path)

    return layouts.views(name, folder, image_set.views, image_set.frames, check)


def _counted(name: str, folder: Path, set_images: list[SetImage]) -> list[SetImage]:
    if len(set_images) != entry(name).count:
        raise InputError(f"{folder}: {len(set_images)} images of the set {name!r}, expected {entry(name).count}")
    return set_images


def strangers(name: str, paths: dict[str, Path]) -> list[Path]:
    """The images that belong neither to a set nor to the one it is a part of."""
    known = {row.stem for row in references(entry(name).part_of or name)}
    return [path for stem, path in paths.items() if stem not in known]


def _check(name: str, row: Reference, path: Path) -> Pixels:
    state, detail, pixels = compare(name, row, path)
    if state != "ok":
        raise InputError(f"{path}: {detail}")
    return pixels


def compare(name: str, row: Reference, path: Path) -> tuple[State, str, Pixels]:
    """How a file stands to its reference, why, and its pixels [H, W, C]; InputError if it cannot be read."""
    pixels = read(path)
    expected = (row.height, row.width, row.channels)
    if pixels.shape == expected and digest(pixels) == row.pixels:
        return "ok", "", pixels
    if file_digest(path) == row.file:
        detail = (
            f"the file is the reference one of {name!r} but decodes to other pixels: only this machine's "
            f"JPEG decoder differs (reference: Pillow with libjpeg-turbo; pip install --force-reinstall pillow)"
        )
        return "decoder differs", detail, pixels
    same_shape = pixels.shape == expected
    change = "other pixels than" if same_shape else f"shape {pixels.shape}, expected {expected} as in"
    detail = f"altered: {change} the reference image of {name!r} (use folder:PATH for own images)"
    return "altered" if same_shape else "other shape", detail, pixels


def file_digest(path: Path) -> str:
    """SHA-256 of a stored file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _selected(name: str, image_set: ImageSet, folder: Path, channels: int) -> list[SetImage]:
    low, high = image_set.sides or (0, 0)
    chosen = [(stem, path) for stem, path in listing(folder).items() if in_range(path, low, high)]
    set_images = [SetImage(stem, path, channels, keep=False) for stem, path in chosen]
    if len(set_images) != image_set.count:
        raise InputError(
            f"the set {name!r}: {len(set_images)} images in {folder} have sides in {low}..{high}, expected "
            f"{image_set.count}"
        )
    return set_images


def in_range(path: Path, low: int, high: int) -> bool:
    """Whether both sides of an image are in low..high [pixels]; InputError if it cannot be read."""
    sides = size(path)
    return low <= min(sides) and max(sides) <= high
