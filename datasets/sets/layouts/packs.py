"""Sets that are too large to decode at every use: packs, and images that are selected by their size."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import InputError
from ...formats.image_format import listing, size
from ...formats.pack import HEADER, Pack
from ...images import SetImage
from .. import sidd
from ..image_set import CatalogueSet, Finding, register_layout


@register_layout("pack")
class Packs(CatalogueSet):
    """A pack in the folder, as `bench data prepare` makes it."""

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The images of the pack, read when they are used; InputError for a pack that is not whole."""
        self.require(channels)
        return packed(self.existing(data), channels)

    def prepared(self, data: Path | None) -> bool:
        """Whether the pack is there."""
        return (self.place(data) / HEADER).is_file()

    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of the scenes."""
        return {name.split("_s")[0] for name in Pack(self.place(data)).names} if self.prepared(data) else ()

    def verify(self, data: Path | None) -> list[Finding]:
        """Every pixel compared with what was packed."""
        if not self.prepared(data):
            return super().verify(data)
        try:
            Pack(self.place(data)).verify()
            count = len(self.load(data, self.entry.channels))
        except InputError as error:
            return [Finding(self.name, "unreadable", str(error))]
        return [Finding(self.name, "ok", f"{count} images, every pixel as it was packed")]


@register_layout("selected")
class Selected(Packs):
    """The images of a folder with both sides in a range, as files or prepared as a pack."""

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The images, read when they are used; InputError for another count than the catalogue's."""
        if self.prepared(data):
            return self.counted(self.place(data), super().load(data, channels))
        self.require(channels)
        folder, (low, high) = self.existing(data), self.entry.sides
        chosen = [(stem, path) for stem, path in listing(folder).items() if in_range(path, low, high)]
        if len(chosen) != self.entry.count:
            raise InputError(
                f"the set {self.name!r}: {len(chosen)} images in {folder} have sides in {low}..{high}, expected "
                f"{self.entry.count}"
            )
        return [SetImage(stem, path, channels, keep=False) for stem, path in chosen]

    def parts(self, data: Path | None) -> Iterable[str]:
        """The stems of the images, whatever their size."""
        if self.prepared(data):
            return super().parts(data)
        folder = self.place(data)
        return listing(folder) if folder.is_dir() else ()

    def verify(self, data: Path | None) -> list[Finding]:
        """Every pixel of a pack; else the images are counted by their size."""
        return super().verify(data) if self.prepared(data) else list(self._sized(data))

    def _sized(self, data: Path | None) -> Iterator[Finding]:
        folder, (low, high), found = self.place(data), self.entry.sides, 0
        for stem, path in (listing(folder) if folder.is_dir() else {}).items():
            try:
                inside = in_range(path, low, high)
            except InputError as error:
                yield Finding(stem, "unreadable", str(error))
                continue
            if inside:
                found += 1
                yield Finding(stem, "ok")
        if found != self.entry.count:
            detail = f"{found} images with both sides in {low}..{high}, expected {self.entry.count}"
            yield Finding(self.name, "missing" if found < self.entry.count else "extra", detail)


def in_range(path: Path, low: int, high: int) -> bool:
    """Whether both sides of an image are in low..high [pixels]; InputError if it cannot be read."""
    sides = size(path)
    return low <= min(sides) and max(sides) <= high


def packed(folder: Path, channels: int) -> list[SetImage]:
    """The images of a pack, or its scenes with their two frames; memory-mapped, so that a crop reads only itself."""
    pack = Pack(folder)
    images = {
        entry.name: SetImage.decoded(entry.name, folder, pack[i], channels, pattern=entry.pattern)
        for i, entry in enumerate(pack.entries)
    }
    scenes: dict[str, dict[str, SetImage]] = {}
    for name, set_image in images.items():
        scene, _, kind = name.rpartition("/")
        scenes.setdefault(scene, {})[kind] = set_image
    if set(scenes) == {""}:
        return list(images.values())
    return [_scene(folder, scene, kinds) for scene, kinds in scenes.items()]


def _scene(folder: Path, scene: str, kinds: dict[str, SetImage]) -> SetImage:
    """A crop of SIDD Medium: two noisy frames, each with the clean image that is aligned to it."""
    wanted = [f"{kind}{frame}" for kind in ("noisy", "clean") for frame in sidd.FRAMES]
    if missing := [name for name in wanted if name not in kinds]:
        raise InputError(
            f"{folder}: {scene} has no {', '.join(missing)}; expected {', '.join(wanted)}; prepare it again"
        )
    frames = tuple(kinds[f"noisy{frame}"] for frame in sidd.FRAMES)
    cleans = [kinds[f"clean{frame}"] for frame in sidd.FRAMES]
    for noisy, clean in zip(frames, cleans, strict=True):
        noisy.clean = clean
    cleans[0].frames = frames
    return cleans[0]
