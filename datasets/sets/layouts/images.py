"""A folder of images, each with a reference digest; or such images inside installed packages."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError, few
from ...formats import bayer
from ...formats.image_format import Stored, listing
from ...images import SetImage, gray
from ..catalogue import Reference, references
from ..image_set import CatalogueSet, Finding, checked, compare, register_layout


@register_layout("images")
class Images(CatalogueSet):
    """<folder>/<stem>.<suffix>, every image with a reference digest."""

    def present(self, data: Path | None) -> dict[str, Path]:
        """The images in the folder by stem, none if there is no such folder."""
        folder = self.place(data)
        return listing(folder) if folder.is_dir() else {}

    def parts(self, data: Path | None) -> Iterable[str]:
        """The stems of the files."""
        return self.present(data)

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The images, each compared with its reference; InputError naming what is missing, extra or altered."""
        self.require(channels)
        self.existing(data)
        rows, paths = self.references, self.present(data)
        if missing := [row.stem for row in rows if row.stem not in paths]:
            raise InputError(f"the set {self.name!r} is incomplete: {few(missing)} of {len(rows)} images missing")
        if extra := self._extra(paths):
            raise InputError(
                f"the set {self.name!r} has images that do not belong to it: {few(list(map(str, extra)))} "
                f"(move them elsewhere)"
            )
        found: list[SetImage] = []
        for row in rows:
            path = paths[row.stem]
            found.append(self._converted(row.stem, path, checked(self.name, row, path), channels, len(found)))
        return found

    def verify(self, data: Path | None) -> list[Finding]:
        """Every image compared with its reference, then what does not belong to the set."""
        paths = self.present(data)
        extra = [Finding(str(path), "extra", "does not belong to the set") for path in self._extra(paths)]
        return [_compared(self.name, row, paths.get(row.stem)) for row in self.references] + extra

    def _extra(self, paths: dict[str, Path]) -> list[Path]:
        """The images that belong neither to the set nor to the one it is a part of."""
        known = {row.stem for row in references(self.entry.part_of or self.name)}
        return [path for stem, path in paths.items() if stem not in known]

    def _converted(self, stem: str, path: Path, pixels: Stored, channels: int, number: int) -> SetImage:
        """An image converted as the catalogue says; the mosaics of a set have the patterns of all phones in turn."""
        if self.entry.converted == "bayer":
            pattern = list(bayer.OFFSETS)[number % len(bayer.OFFSETS)]
            return SetImage.decoded(stem, path, bayer.mosaic(pixels, pattern), channels, pattern=pattern)
        return SetImage.decoded(stem, path, gray(pixels) if self.entry.converted == "gray" else pixels, channels)


@register_layout("packaged")
class Packaged(Images):
    """Images that installed packages contain."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.how_to_get = ""

    def present(self, data: Path | None) -> dict[str, Path]:
        """The images by stem; InputError if a package is not installed."""
        found = map(_installed, self.whole.packaged)
        return {path.stem: path for path in found if path.is_file()}

    def existing(self, data: Path | None) -> Path:
        """The folder of the first image; the others may lie elsewhere."""
        return _installed(self.whole.packaged[0]).parent

    def where(self, data: Path | None) -> str:
        """The place of the images, in words."""
        return "an installed package"


def _installed(name: str) -> Path:
    package, path = name.split(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{name}: the package {package} is not installed (pip install {package})")
    return Path(spec.submodule_search_locations[0]) / path


def _compared(name: str, row: Reference, path: Path | None) -> Finding:
    if path is None:
        return Finding(row.stem, "missing")
    try:
        state, detail, _ = compare(name, row, path)
    except InputError as error:
        return Finding(row.stem, "unreadable", str(error))
    return Finding(row.stem, state, detail and f"{path}: {detail}")
