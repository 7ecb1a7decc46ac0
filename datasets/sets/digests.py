"""Digests of image sets, of folders as they are now or, where a folder is gone, as records knew them."""

from collections.abc import Mapping
from pathlib import Path

from .find import find


class SetDigests:
    """The digests that the units of a plan are identified by, each computed once.

    `known` holds digests of folders by name and channels, for tables that are made where the images are not.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self.known = dict(known or {})
        self.folders: dict[str, str] = {}  # those asked for, by name and channels
        self._sets: dict[str, str] = {}

    def __call__(self, name: str, channels: int, least: int = 0) -> str:
        """What identifies the pixels of a set, where images with sides below `least` pixels may have to be left out.

        InputError for a folder that is gone and not known, or that has images that cannot be used.
        """
        image_set = find(name)
        key = f"{name} {channels} {least}" if image_set.selects and least else f"{name} {channels}"
        if key not in self._sets:
            gone = key in self.known and image_set.folder is not None and not _is_there(image_set.folder)
            self._sets[key] = self.known[key] if gone else image_set.digest(channels, least)
            if image_set.folder is not None:
                self.folders[key] = self._sets[key]
        return self._sets[key]


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # no access to it
        return False
