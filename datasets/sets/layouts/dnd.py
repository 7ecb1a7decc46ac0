"""DND's photographs, which have no public clean images: to train on, with noise `none`."""

from collections.abc import Iterable
from pathlib import Path

from ...images import SetImage
from .. import dnd
from ..image_set import CatalogueSet, register_layout


@register_layout("dnd")
class Crops(CatalogueSet):
    """<folder>/info.mat and images_srgb/0001.mat...: every box is an image."""

    def load(self, data: Path | None, channels: int) -> list[SetImage]:
        """The crops; InputError naming the file that is missing or wrong."""
        self.require(channels)
        folder = self.existing(data)
        found = [
            SetImage.decoded(name, dnd.image_path(folder, number), pixels, channels)
            for number, boxes in enumerate(dnd.image_boxes(folder), 1)
            for name, pixels in dnd.crops(folder, number, boxes)
        ]
        return self.counted(folder, found)

    def parts(self, data: Path | None) -> Iterable[str]:
        """The names of the crops whose photograph is there."""
        folder = self.place(data)
        if not (folder / dnd.INFO).is_file():
            return []
        boxes = enumerate(dnd.image_boxes(folder), 1)
        there = [(number, len(one)) for number, one in boxes if dnd.image_path(folder, number).is_file()]
        return [f"{number:04}-{b + 1:02}" for number, count in there for b in range(count)]

    def photograph(self, image: str) -> str:
        """The photograph that a crop lies in."""
        return image.partition("-")[0]
