"""SIDD's validation blocks: a MATLAB file of noisy blocks and one of clean blocks."""

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...formats import mat
from ...images import SetImage
from .. import sidd
from ..image_set import CatalogueSet, layout

NOISY, CLEAN = "ValidationNoisyBlocksRaw.mat", "ValidationGtBlocksRaw.mat"


@layout("blocks")
class Blocks(CatalogueSet):
    """<folder>/ValidationNoisyBlocksRaw.mat and ValidationGtBlocksRaw.mat; one noisy frame of each block."""

    patterns_known = False

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The blocks; InputError naming the file that is missing or wrong."""
        self.require(channels)
        folder = self.existing(data)
        return self.counted(folder, blocks(folder / NOISY, folder / CLEAN))

    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of the blocks, from a header."""
        folder = self.place(data)
        if not ((folder / NOISY).is_file() and (folder / CLEAN).is_file()):
            return []
        images, count, *_ = mat.layout(folder / NOISY, Path(NOISY).stem)[0]
        return [f"{i}-{b}" for i in range(images) for b in range(count)]

    def photograph(self, image: str) -> str:
        """The photograph that a block was cut from."""
        return image.partition("-")[0]


def blocks(noisy: Path, clean: Path) -> list[SetImage]:
    """The clean blocks, each with its noisy frame; InputError naming the file."""
    for path in (noisy, clean):
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected {noisy.name} and {clean.name} in one folder")
    found = []
    for stem, observed, truth in sidd.blocks(noisy, clean):
        assert truth is not None, "the clean file was given"
        frame = SetImage.decoded(stem, noisy, observed, 1)
        found.append(SetImage.decoded(stem, clean, truth, 1, frames=(frame,)))
    return found
