"""What every image set can do, whatever its layout: be read, be verified, and be identified by a digest."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from msgspec import Struct

from .. import files
from ..errors import AbsentError, InputError
from ..formats.image_format import Stored, digest, read
from ..images import SetImage
from .catalogue import Entry, Reference, data_root, entry, references

State = Literal["ok", "altered", "other shape", "decoder differs"]  # of an image against its reference


class Finding(Struct, frozen=True):
    """What was found of one image."""

    name: str  # its stem, or the file that does not belong to the set
    state: State | Literal["missing", "extra", "unreadable"]
    detail: str = ""


class Summary(NamedTuple):
    """How many images of a set there are, by name alone."""

    found: int
    missing: int


class ImageSet(ABC):
    """A named set of images."""

    frames = 1  # real noisy frames of every image
    patterns_known = True  # the Bayer patterns of its mosaics
    folder: Path | None = None  # of a user's own images, whose digest is that of the files
    selects = False  # whether it leaves out images that cannot be used

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The checked images as `channels` channels, from below the folder `data`; InputError naming the file."""

    @abstractmethod
    def digest(self, channels: int, least: int = 0) -> str:
        """The digest of the pixels of the set, or of those of its images that are used."""

    @abstractmethod
    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image, `usual` where it is not known without reading the images."""

    def chosen(self, set_images: list[SetImage], least: int) -> tuple[list[SetImage], list[str]]:
        """The images to use where both sides must have `least` pixels, and why others are left out."""
        return set_images, []

    def overlaps(self, other: "ImageSet") -> bool:
        """Whether the two have an image in common, as far as it is known without reading them."""
        return self.name == other.name

    def photograph(self, image: str) -> str:
        """The photograph that an image was cut from: one sample of a statistic."""
        return image


class CatalogueSet(ImageSet):
    """A set of the catalogue. A layout says where its files lie and how they are read."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.entry, self.whole = entry(name), whole(name)
        self.frames = self.entry.frames
        self.how_to_get = self.entry.fetch or f"{self.entry.count} images from {self.entry.source}"
        self.how_to_get += f"; python -m bench data fetch {name} --data DIR" if self.whole.urls else ""

    @property
    def references(self) -> list[Reference]:
        """What its images must decode to; empty where that is not known."""
        return references(self.name)

    def digest(self, channels: int, least: int = 0) -> str:
        """The digest of the pixels of the set, from the catalogue alone."""
        rows = [f"{r.stem} {r.height}x{r.width}x{r.channels} {r.pixels}" for r in self.references]
        if self.entry.converted:
            rows.append(self.entry.converted)
        unknown = f"{self.name} {self.entry.count} {self.entry.views} {self.entry.frames}"
        return joined_digest(channels, rows or [unknown])

    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image, `usual` where the catalogue does not know it."""
        return [(row.height, row.width) for row in self.references] or [usual] * self.entry.count

    def overlaps(self, other: ImageSet) -> bool:
        """Whether two sets have an image, or a view of a microscope, in common."""
        if not isinstance(other, CatalogueSet):
            return False
        pixels = [{row.pixels for row in one.references} for one in (self, other)]
        views = [{(one.entry.folder, view) for view in one.entry.views} for one in (self, other)]
        return self.name == other.name or bool(pixels[0] & pixels[1] or views[0] & views[1])

    def require(self, channels: int) -> None:
        """InputError if the set has more channels than asked for."""
        if self.entry.channels > channels:
            raise InputError(f"{self.name}: a colour set, but this suite has {channels} channel")

    def place(self, data: Path | None) -> Path:
        """The folder where the images belong, there or not; AbsentError without a folder of image sets."""
        root, folder = data_root(data), self.whole.folder
        if root is None:
            raise AbsentError(
                f"the set {self.name!r} needs a data folder: give --data DIR (or BENCH_DATA) with {folder}/ in it; "
                f"get: {self.how_to_get}"
            )
        return root / folder

    def where(self, data: Path | None) -> str:
        """The folder where the images belong, in words."""
        return str(self.place(data)) if data_root(data) else f"DIR/{self.whole.folder}"

    def existing(self, data: Path | None) -> Path:
        """The folder of the images; AbsentError if it is not there."""
        folder = self.place(data)
        if not folder.is_dir():
            raise AbsentError(
                f"the set {self.name!r} is not under {data_root(data)}: no folder {self.whole.folder}/ there; "
                f"get: {self.how_to_get}"
            )
        return folder

    @abstractmethod
    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of what is there of the set; no image is opened."""

    def summary(self, data: Path | None) -> Summary:
        """How many images are there and how many are not; no image is opened."""
        total = len(self.references) or self.entry.count
        try:
            there = set(self.parts(data))
        except AbsentError:
            there = set()
        found = sum(row.stem in there for row in self.references) if self.references else min(len(there), total)
        return Summary(found, total - found)

    def verify(self, data: Path | None) -> list[Finding]:
        """What is right and wrong with the images; AbsentError without a data folder.

        A set without reference digests can only be read as a whole: its files, shapes and counts.
        """
        try:
            found = self.load(data, self.entry.channels)
        except InputError as error:
            return [Finding(self.name, "unreadable" if self.place(data).is_dir() else "missing", str(error))]
        detail = f"{len(found)} images, as many frames and shapes as expected; no digests are known"
        return [Finding(self.name, "ok", detail)]

    def counted(self, folder: Path, set_images: list[SetImage]) -> list[SetImage]:
        """The images; InputError unless there are as many as the catalogue says."""
        if len(set_images) != self.entry.count:
            raise InputError(
                f"{folder}: {len(set_images)} images of the set {self.name!r}, expected {self.entry.count}"
            )
        return set_images


LAYOUTS: dict[str, type[CatalogueSet]] = {}  # by the name that entries of the catalogue give
Layout = TypeVar("Layout", bound=type[CatalogueSet])


def register_layout(name: str) -> Callable[[Layout], Layout]:
    """Registers a class as the layout of this name."""

    def register(cls: Layout) -> Layout:
        LAYOUTS[name] = cls
        return cls

    return register


def whole(name: str) -> Entry:
    """The entry of a name, or of the set that it is a part of."""
    part = entry(name)
    return entry(part.part_of) if part.part_of else part


def joined_digest(channels: int, rows: list[str]) -> str:
    """The digest of a set: of its channels and a line for each image."""
    return hashlib.sha256("\n".join([str(channels), *rows]).encode()).hexdigest()


def compare(name: str, row: Reference, path: Path) -> tuple[State, str, Stored]:
    """How a file compares with its reference, why, and its pixels [H, W, C]; InputError if it cannot be read."""
    pixels = read(path)
    expected = (row.height, row.width, row.channels)
    if pixels.shape == expected and digest(pixels) == row.pixels:
        return "ok", "", pixels
    if files.sha256(path) == row.file:
        detail = (
            f"the file is the reference one of {name!r} but decodes to other pixels: only this machine's "
            f"JPEG decoder differs (reference: Pillow with libjpeg-turbo; pip install --force-reinstall pillow)"
        )
        return "decoder differs", detail, pixels
    same_shape = pixels.shape == expected
    change = "other pixels than" if same_shape else f"shape {pixels.shape}, expected {expected} as in"
    detail = f"altered: {change} the reference image of {name!r} (use folder:PATH for own images)"
    return "altered" if same_shape else "other shape", detail, pixels


def checked(name: str, row: Reference, path: Path) -> Stored:
    """The pixels [H, W, C] of a file; InputError if they are not those of its reference."""
    state, detail, pixels = compare(name, row, path)
    if state != "ok":
        raise InputError(f"{path}: {detail}")
    return pixels
