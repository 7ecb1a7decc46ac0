"""Digests of image sets, of folders as they are now or, where a folder is gone, as records knew them."""

from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
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
        image_set, plain = find(name), f"{name} {channels}"
        key = f"{plain} {least}" if image_set.selects and least else plain
        if key in self._sets:
            return self._sets[key]
        known = image_set.folder is not None and not _is_there(image_set.folder) and self._known(key, plain)
        try:
            self._sets[key] = known or image_set.digest(channels, least)
        except InputError:  # such as images of a format whose plug-in is not loaded
            if key not in self.known:
                raise
            self._sets[key] = self.known[key]
        if image_set.folder is not None and (key in self.known or not known):
            self.folders[key] = self._sets[key]
        return self._sets[key]

    def _known(self, key: str, plain: str) -> str:
        """The digest of a folder that is gone, empty if it is not known.

        If it is known for crops of other sizes only: a word that is no digest, which no record has.
        """
        others = any(one.startswith(f"{plain} ") for one in self.known)
        return self.known.get(key, "gone" if others else "")


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # no access to it
        return False
