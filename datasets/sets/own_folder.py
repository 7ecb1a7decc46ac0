"""Folders of a user's own images, called `folder:PATH` wherever a set is named.

`usable:PATH` are those images of a folder that can be used; the others are left out, and named.
"""

import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..formats.image_format import listing, size
from ..images import SetImage
from .image_set import ImageSet, joined_digest

ALL, USABLE = "folder:", "usable:"
LEAST = 11  # pixels of a side; the window of SSIM has 11


def is_folder(name: str) -> bool:
    """Whether the name of a set is that of a folder."""
    return name.startswith((ALL, USABLE))


def usable(name: str) -> str:
    """The name of a set; of a folder, the name of those images that can be used."""
    return USABLE + str(_path(name)) if is_folder(name) else name


def absolute(name: str) -> str:
    """The name of a set; that of a folder with a path that means the same from everywhere."""
    return f"{name[:7]}{_path(name).expanduser().resolve()}" if is_folder(name) else name


def short_name(name: str) -> str:
    """The name of a set as tables show it: a folder without the path to it."""
    return f"folder {_path(name).name}" if is_folder(name) else name


def short_names(text: str) -> str:
    """A text with names of sets, joined by `,` or `+`, each as tables show it."""
    return re.sub(rf"({ALL}|{USABLE})[^,+]*", lambda found: short_name(found[0]), text)


def _path(name: str) -> Path:
    return Path(name.partition(":")[2])


@lru_cache
def _digest(kind: type["OwnFolder"], name: str, channels: int, least: int, stamp: tuple[object, ...]) -> str:
    """The digest of a folder; its images are read again when the stamp, their sizes and times, has changed."""
    folder = kind(name)
    set_images, _ = folder.chosen(folder.load(None, channels), least)
    return joined_digest(channels, [f"{image.name} {image.digest}" for image in set_images])


class OwnFolder(ImageSet):
    """The images of a folder; nothing is known of them but what is there."""

    folder: Path

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.folder = _path(name)

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """All images of the folder; InputError naming the first that cannot be used."""
        set_images = [SetImage(stem, path, channels) for stem, path in self.paths().items()]
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
        stats = [(path, path.stat()) for path in self.paths().values() if path.exists()]
        stamp = tuple((str(path), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats)
        return _digest(type(self), self.name, channels, least, stamp)

    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image from the headers alone, `usual` where they cannot be read."""
        found = []
        for path in self.paths().values():
            with suppress(InputError):
                usual = size(path)[::-1]
            found.append(usual)
        return found

    def paths(self) -> dict[str, Path]:
        """The files by stem; InputError if there are none."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{self.name}: not valid UTF-8, which no record can hold; rename the folder") from None
        if not (found := listing(self.folder)):
            raise InputError(f"{self.name}: no images in it")
        return found


class UsableFolder(OwnFolder):
    """Those images of a folder that can be used."""

    selects = True

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """All images of the folder, read or not."""
        return [SetImage(stem, path, channels) for stem, path in self.paths().items()]

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
