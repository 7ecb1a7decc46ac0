"""SIDD's validation blocks: a MATLAB file of noisy blocks and one of clean blocks."""

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...formats import mat
from ...images import SetImage
from .. import sidd
from ..image_set import CatalogueSet, register_layout

NAMES = {1: "Raw", 3: "Srgb"}  # by channels


@register_layout("blocks")
class Blocks(CatalogueSet):
    """<folder>/ValidationNoisyBlocksRaw.mat and ValidationGtBlocksRaw.mat, or Srgb; one noisy frame of each block."""

    patterns_known = False

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The blocks; InputError naming the file that is missing or wrong."""
        self.require(channels)
        folder = self.existing(data)
        return self.counted(folder, blocks(*self.files(folder), channels))

    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of the blocks, from a header."""
        noisy, clean = self.files(self.place(data))
        if not (noisy.is_file() and clean.is_file()):
            return []
        kinds = mat.BYTES if sidd.is_srgb(noisy) else mat.FLOATS
        images, count, *_ = mat.shape_and_dtype(noisy, noisy.stem, kinds)[0]
        return [sidd.block_name(i, b) for i in range(images) for b in range(count)]

    def files(self, folder: Path) -> tuple[Path, Path]:
        """The noisy blocks and the clean ones."""
        noisy, clean = (f"Validation{kind}Blocks{NAMES[self.entry.channels]}.mat" for kind in ("Noisy", "Gt"))
        return folder / noisy, folder / clean

    def photograph(self, image: str) -> str:
        """The photograph that a block was cut from."""
        return image.partition("-")[0]


def blocks(noisy: Path, clean: Path, channels: int) -> list[SetImage]:
    """The clean blocks, each with its noisy frame; InputError naming the file."""
    for path in (noisy, clean):
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected {noisy.name} and {clean.name} in one folder")
    found = []
    for stem, observed, truth in sidd.blocks(noisy, clean):
        assert truth is not None, "the clean file was given"
        frame = SetImage.decoded(stem, noisy, observed, channels)
        found.append(SetImage.decoded(stem, clean, truth, channels, frames=(frame,)))
    return found
