"""A folder of a user's own images, called `folder:PATH` wherever a set is named."""

import re
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..formats.image_format import listing, size
from ..images import SetImage
from .image_set import ImageSet, joined_digest

PREFIX = "folder:"


def is_folder(name: str) -> bool:
    """Whether the name of a set is that of a folder."""
    return name.startswith(PREFIX)


def absolute(name: str) -> str:
    """The name of a set; that of a folder with a path that means the same from everywhere."""
    return PREFIX + str(_path(name).expanduser().resolve()) if is_folder(name) else name


def short_name(name: str) -> str:
    """The name of a set as tables show it: a folder without the path to it."""
    return f"folder {_path(name).name}" if is_folder(name) else name


def short_names(text: str) -> str:
    """A text with names of sets, joined by `,` or `+`, each as tables show it."""
    return re.sub(rf"{PREFIX}[^,+]*", lambda found: short_name(found[0]), text)


def _path(name: str) -> Path:
    return Path(name.removeprefix(PREFIX))


@lru_cache
def _digest(name: str, channels: int, stamp: tuple[object, ...]) -> str:
    """The digest of a folder; its images are read again when the stamp, their sizes and times, has changed."""
    return joined_digest(channels, [f"{image.name} {image.digest}" for image in OwnFolder(name).load(None, channels)])


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
            _ = set_image.pixels
        return set_images

    def digest(self, channels: int) -> str:
        """What identifies the pixels of the images and their names."""
        stats = [(path, path.stat()) for path in self.paths().values() if path.exists()]
        stamp = tuple((str(path), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in stats)
        return _digest(self.name, channels, stamp)

    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image, from the headers alone."""
        return [size(path)[::-1] for path in self.paths().values()]

    def paths(self) -> dict[str, Path]:
        """The files by stem; InputError if there are none."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{self.name}: not valid UTF-8, which no record can hold; rename the folder") from None
        if not (found := listing(self.folder)):
            raise InputError(f"{self.name}: no images in it")
        return found
