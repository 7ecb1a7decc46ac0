"""A user's own images: what is read of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from ..datasets.errors import InputError
from ..datasets.own.collection import Channels, Collection, collect
from .options import PathLike


class Images(TypedDict, total=False):
    """How files of images are understood."""

    axes: str  # letters of TZCYXS, for arrays with as many axes
    value_range: tuple[float, float] | None  # the values that stand for 0 and 1
    channels: Channels
    recursive: bool  # sub-folders, too


def opened(paths: Sequence[PathLike], **images: Unpack[Images]) -> Collection:
    """The images of files and folders with what was understood of them; InputError if none can be used."""
    if isinstance(paths, str):
        raise InputError(f"paths = {paths!r}: expected a list of files and folders, such as [{paths!r}]")
    return collect([Path(path) for path in paths], **images)
