"""The image set of a name: one of the catalogue, or a folder of a user's own images."""

from . import layouts  # noqa: F401 - its modules register themselves
from .catalogue import entry
from .image_set import LAYOUTS, CatalogueSet, ImageSet, whole
from .own_folder import USABLE, OwnFolder, UsableFolder, names_folder


def find(name: str) -> ImageSet:
    """The set of a name; InputError with the nearest names if the catalogue has none of that name."""
    if names_folder(name):
        return UsableFolder(name) if name.startswith(USABLE) else OwnFolder(name)
    return find_known(name)


def find_known(name: str) -> CatalogueSet:
    """The set of a name in the catalogue; InputError with the nearest names if there is none."""
    entry(name)
    return LAYOUTS[whole(name).layout](name)
