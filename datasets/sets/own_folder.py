"""Folders of a user's own images, called `folder:PATH` wherever a set is named.

`folder:PATH@0..4095` says which stored values stand for black and white, `folder:PATH@ZYX` what the axes of arrays are.
`usable:PATH` are those images of a folder that can be used; the others are left out, and named.
"""

import json
import os
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..files import is_folder, resolved
from ..formats.image_format import size
from ..images import SetImage
from ..own.members import Reading, members, sources
from ..own.own_file import checked_axes
from .image_set import ImageSet, joined_digest

ALL, USABLE = "folder:", "usable:"
LEAST = 11  # pixels of a side; the window of SSIM has 11
NUMBER = r"-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?"
LABELLED = rf'"(?:{ALL}|{USABLE})(?:[^"\\]|\\.)*"|(?:{ALL}|{USABLE})(?:[^+",]|,(?! ))*'  # in a label; perhaps quoted
SAID = re.compile(rf"@(?:(?P<axes>[TZCYXS]{{2,6}})|(?P<low>{NUMBER})\.\.(?P<high>{NUMBER}))$")  # of its files


def names_folder(name: str) -> bool:
    """Whether the name of a set names a folder."""
    return name.startswith((ALL, USABLE))


def usable(name: str) -> str:
    """The name of a set; of a folder, the name of those images that can be used."""
    return USABLE + name.partition(":")[2] if names_folder(name) else name


def absolute(name: str) -> str:
    """The name of a set; that of a folder with an absolute path."""
    if not names_folder(name):
        return name
    expanded = Path(os.path.expanduser(name[7:]))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    path, said = _parts(f"{name[:7]}{expanded}")
    return f"{name[:7]}{resolved(Path(path))}{said}"


def short_name(name: str) -> str:
    """The name of a set as tables show it: a folder without the path to it."""
    path, said = _parts(name)
    return f"folder {Path(path).name}{said}" if names_folder(name) else name


def short_names(label: str) -> str:
    """The label of a request, with the names of sets as tables show them."""
    return re.sub(LABELLED, lambda found: short_name(json.loads(found[0]) if found[0][0] == '"' else found[0]), label)


def value_range(name: str) -> tuple[float, float] | None:
    """The stored values that stand for 0 and 1 in the images of a set; None where its name does not say."""
    return _reading(_parts(name)[1], 1).value_range if names_folder(name) else None


def _parts(name: str) -> tuple[str, str]:
    """The path, and what is said of its files, such as @0..4095@ZYX; the name of an existing folder is never cut."""
    path, said = name.partition(":")[2], ""
    while (found := SAID.search(path)) and not is_folder(Path(path)):
        path, said = path[: found.start()], f"{found[0]}{said}"
    return path, said


def _reading(said: str, channels: int) -> Reading:
    """What is said of the files of a folder; InputError for what makes no sense."""
    how = Reading(channels)
    while found := SAID.search(said):
        said = said[: found.start()]
        if found["axes"]:
            how = how._replace(axes=checked_axes(found["axes"]))
        else:
            low, high = float(found["low"]), float(found["high"])
            if not low < high:
                raise InputError(f"@{low:g}..{high:g}: expected LOW..HIGH with LOW below HIGH")
            how = how._replace(value_range=(low, high))
    return how


@lru_cache
def _digest(kind: type["OwnFolder"], name: str, channels: int, least: int, stamp: tuple[object, ...]) -> str:
    """The digest of a folder; its images are read again when the stamp (their sizes and times) has changed."""
    folder = kind(name)
    set_images, _ = folder.chosen(folder.load(None, channels), least)
    found = [one for image in set_images for one in (image, *image.frames)]
    return joined_digest(channels, [f"{one.name} {one.digest}" for one in found])


class OwnFolder(ImageSet):
    """The images of a folder, of which no catalogue knows anything."""

    folder: Path

    def __init__(self, name: str) -> None:
        super().__init__(name)
        path, self.said = _parts(name)
        self.folder = Path(path)

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """All images of the folder; InputError naming the first that cannot be used."""
        set_images = self._members(channels)
        for set_image in set_images:
            try:
                _ = set_image.pixels
            except InputError as error:
                raise InputError(f"{error}; with --skip-unusable, a run goes on without it") from None
        return set_images

    def overlaps(self, other: ImageSet) -> bool:
        """Whether the two are of one folder."""
        return self.folder == other.folder

    def digest(self, channels: int, least: int = 0) -> str:
        """What identifies the pixels and names of the images that are used."""
        stats = [(path, path.stat()) for path in self.paths() if path.exists()]
        stamp = tuple((str(path), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats)
        return _digest(type(self), self.name, channels, least, stamp)

    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image from the headers alone, `usual` where they cannot be read."""
        found = []
        for path in self.paths():
            with suppress(InputError):
                usual = size(path)[::-1]
            found.append(usual)
        return found

    def paths(self) -> list[Path]:
        """The files; InputError if there are none."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{self.name}: not valid UTF-8, which no record can hold; rename the folder") from None
        return sources(self.folder)

    def _members(self, channels: int) -> list[SetImage]:
        """The images, read or not; InputError if there are none."""
        self.paths()
        return members(self.folder, _reading(self.said, channels))


class UsableFolder(OwnFolder):
    """Those images of a folder that can be used."""

    selects = True

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """All images of the folder, read or not."""
        return self._members(channels)

    def chosen(self, set_images: list[SetImage], least: int) -> tuple[list[SetImage], list[str]]:
        """The images that can be read and have `least` pixels on both sides, and why others are left out."""
        found, left_out = [], []
        for set_image in set_images:
            try:
                height, width = set_image.pixels.shape[:2]
                if min(height, width) < (needed := max(least, LEAST)):
                    raise InputError(f"{set_image.path}: {width}x{height}, expected {needed} pixels a side or more")
                found.append(set_image)
            except InputError as error:
                left_out.append(str(error))
        return found, left_out
