"""Views of a microscope (FMDD): noisy frames of each, and their mean as its clean image."""

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError, few
from ...formats.image_format import Stored, listing, read
from ...images import SetImage
from ..image_set import CatalogueSet, Finding, checked, register_layout
from .images import Images

CLEAN = "avg50"  # FMDD's estimate of the clean image: the mean of a view's 50 frames


@register_layout("views")
class Views(Images):
    """<folder>/raw/<view>/*.png beside gt/<view>/avg50.png; a view is a number, such as 19."""

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The clean images with their frames; InputError for anything else than the layout says."""
        self.require(channels)
        folder = self.existing(data)
        return [self._scene(folder, folder / "raw" / str(number)) for number in self.entry.views]

    def present(self, data: Path | None) -> dict[str, Path]:
        """The frames and clean images by their path below the folder, without the suffix."""
        folder = self.place(data)
        found = [
            path
            for kind in ("raw", "gt")
            for number in self.entry.views
            for path in (folder / kind).glob(f"{number}/*.png")
        ]
        return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(found)}

    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of the files; where no digests are known, the views with all their frames."""
        if self.references:
            return self.present(data)
        views = (self.place(data) / "raw" / str(number) for number in self.entry.views)
        return [view.name for view in views if view.is_dir() and len(listing(view)) == self.entry.frames]

    def verify(self, data: Path | None) -> list[Finding]:
        """Every file compared with its reference; without references, the set as a whole."""
        return super().verify(data) if self.references else CatalogueSet.verify(self, data)

    def _scene(self, folder: Path, view: Path) -> SetImage:
        paths = listing(view)
        if len(paths) != self.entry.frames:
            raise InputError(f"{view}: {len(paths)} frames, expected {self.entry.frames} in the set {self.name!r}")
        truth = folder / "gt" / view.name / f"{CLEAN}.png"
        clean = self._pixels(f"gt/{view.name}/{CLEAN}", truth)
        noisy = []
        for stem, path in paths.items():
            pixels = self._pixels(f"raw/{view.name}/{stem}", path)
            if pixels.shape != clean.shape:
                raise InputError(f"{path}: shape {pixels.shape}, but {truth.name} of its view has {clean.shape}")
            noisy.append(SetImage.decoded(stem, path, pixels, 1))
        return SetImage.decoded(f"{folder.name}-{view.name}", truth, clean, 1, frames=tuple(noisy))

    def _pixels(self, stem: str, path: Path) -> Stored:
        """The pixels of a file, compared with its reference where there are references."""
        known = {row.stem: row for row in self.references}
        if not known:
            return read(path)
        if stem not in known:
            raise InputError(f"{path}: does not belong to the set {self.name!r}; allowed: {few(list(known))}")
        return checked(self.name, known[stem], path)
