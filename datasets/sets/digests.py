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

    def __call__(self, name: str, channels: int) -> str:
        """What identifies the pixels of a set; InputError for a folder that is gone and not known, or unreadable."""
        key = f"{name} {channels}"
        if key not in self._sets:
            image_set = find(name)
            gone = key in self.known and image_set.folder is not None and not _is_there(image_set.folder)
            self._sets[key] = self.known[key] if gone else image_set.digest(channels)
            if image_set.folder is not None:
                self.folders[key] = self._sets[key]
        return self._sets[key]


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # no access to it
        return False
