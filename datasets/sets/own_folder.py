"""A folder of a user's own images, called `folder:PATH` wherever a set is named."""

import re
from pathlib import Path

from ..errors import InputError
from ..images import SetImage, listing, size
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


def remember_folders(digests: dict[str, str]) -> None:
    """Digests of folders as records know them, for tables that are made when the images are elsewhere."""
    _remembered.update(digests)


def folder_digests() -> dict[str, str]:
    """The digests of the folders read so far, by name and channels."""
    return dict(_remembered)


_remembered: dict[str, str] = {}
_stamped: dict[tuple[str, int], tuple[object, str]] = {}


class OwnFolder(ImageSet):
    """The images of a folder; nothing is known of them but what is there."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.folder = _path(name)

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """All images of the folder; InputError naming the first that cannot be read."""
        set_images = [SetImage(stem, path, channels) for stem, path in self.paths().items()]
        for set_image in set_images:
            _ = set_image.pixels
        return set_images

    def digest(self, channels: int) -> str:
        """What identifies the pixels of the images and their names."""
        key = f"{self.name} {channels}"
        if not self.folder.is_dir() and key in _remembered:
            return _remembered[key]
        files = listing(self.folder).values() if self.folder.is_dir() else ()
        stamp = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()]
        if _stamped.get((self.name, channels), ((), ""))[0] != stamp:
            rows = [f"{image.name} {image.digest}" for image in self.load(None, channels)]
            _stamped[self.name, channels] = (stamp, joined_digest(channels, rows))
        _remembered[key] = _stamped[self.name, channels][1]
        return _remembered[key]

    def sizes(self, usual: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of every image, from the headers alone."""
        return [size(path)[::-1] for path in self.paths().values()]

    def paths(self) -> dict[str, Path]:
        """The files by stem; InputError if there are none."""
        if not self.folder.is_dir():
            raise InputError(f"{self.name}: no such folder")
        if not (found := listing(self.folder)):
            raise InputError(f"{self.name}: no images in it")
        return found
