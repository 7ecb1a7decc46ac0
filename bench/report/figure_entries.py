"""Which images and which parts of them figures show: typed data in figures.toml."""

import re
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

from ..datasets.documents import from_toml
from ..datasets.errors import InputError
from ..protocol.suite_files import explained

LENNA = {("set14", "lenna"), ("set12", "08")}
LENNA_NAME = re.compile(r"len+a.*", re.IGNORECASE)


class Box(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A square of one image, in pixels."""

    top: int
    left: int
    side: int
    image: str = ""  # the first one of the set if not given

    def __post_init__(self) -> None:
        """InputError for a box that holds nothing."""
        if min(self.top, self.left) < 0 or self.side < 1:
            raise InputError(f"box at {self.top}, {self.left} of side {self.side}; allowed: from 0 on, side 1 and more")


class Entry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A figure of images: what it shows of which test images."""

    name: str
    title: str
    kind: Literal["crops", "steps"]
    suite: str
    noise: str
    boxes: dict[str, Box]  # test set -> what is shown of it
    display: Literal["plain", "range", "raw"] = "plain"
    method: str = ""  # whose steps
    outputs: tuple[str, ...] = ()  # which ones, in this order

    def __post_init__(self) -> None:
        """InputError for steps of nothing, and for the portrait of Lenna, which publishers no longer accept."""
        if (self.kind == "steps") != bool(self.method and self.outputs):
            raise InputError(f"figure {self.name!r}: kind steps needs `method` and `outputs`, kind crops has neither")
        for test, box in self.boxes.items():
            refuse_lenna(test, box.image)
            if self.display == "raw" and (box.top % 2 or box.left % 2 or box.side % 2):
                raise InputError(f"figure {self.name!r}: the box of {test} cuts the 2x2 cells; even numbers for raw")


def is_lenna(test: str, image: str) -> bool:
    """Whether an image is the portrait of Lenna, under any of its names."""
    return (test, image) in LENNA or bool(LENNA_NAME.fullmatch(image))


def refuse_lenna(test: str, image: str) -> None:
    """InputError for an image of Lenna under any of its names."""
    if is_lenna(test, image):
        raise InputError(f"image {image!r} of {test} is Lenna, which figures never show; choose another image")


class _File(Struct, forbid_unknown_fields=True):
    figures: tuple[Entry, ...]


def decode(text: bytes, source: str) -> tuple[Entry, ...]:
    """The entries of a TOML text; InputError that names the key and the source."""
    try:
        return from_toml(text, _File).figures
    except msgspec.ValidationError as error:
        allowed = Box.__struct_fields__ if ".boxes" in str(error) else Entry.__struct_fields__
        raise InputError(f"{source}: {explained(error, allowed)}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: not a TOML file: {error}") from None


def load() -> tuple[Entry, ...]:
    """The entries that ship with the package."""
    return decode((resources.files(__package__) / "figures.toml").read_bytes(), "figures.toml")
