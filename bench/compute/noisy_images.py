"""The noisy test images of a score: their noise, repeats and centre crop."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.images import SetImage, unit
from ..datasets.noise.captured import Captured
from ..datasets.noise.model import Image, Noise
from ..datasets.noise.named import named
from ..protocol.suites import View
from ..protocol.units import Score


class Noisy(NamedTuple):
    """One noisy test image."""

    set_image: SetImage
    repeat: int
    image: Image  # [H, W, C], its centre crop
    level: float

    @property
    def name(self) -> tuple[str, int]:
        """What seeds a method's own random numbers for it."""
        return (self.set_image.digest, self.repeat)

    @property
    def file(self) -> str:
        """The name of its files in a store; a long name of an image is cut, and its digest is put in."""
        name = self.set_image.name
        if len(name.encode()) > 200:  # bytes; suffixes follow, and file systems allow 255
            name = f"{name[:40]}-{self.set_image.digest[:16]}"
        return f"{name}-{self.repeat}"


def noisy_images(work: Score, set_images: list[SetImage]) -> Iterator[Noisy]:
    """All noisy test images in the order of the official evaluation: repeats, then images."""
    captured = isinstance(work.noise.family, Captured)
    for repeat in range(work.repeats):
        for set_image in set_images:
            if captured:
                image, level = work.noise.stored(unit(set_image.frames[repeat].pixels)), 0.0
            else:
                image, level = named(work.noise, unit(set_image.pixels), set_image.digest, repeat)
            yield Noisy(set_image, repeat, centre_crop(image, work.centre_crop), level)


def clean_of(noise: Noise, set_image: SetImage, repeat: int = 0) -> SetImage:
    """What a noisy image is compared with: a captured frame's own clean image, where it has one."""
    frame = set_image.frames[repeat] if isinstance(noise.family, Captured) else None
    return (frame.clean if frame else None) or set_image


def centre_crop(image: NDArray[Any], side: int) -> NDArray[Any]:
    """The centre square of [H, W, C], or what there is of it; the whole image if `side` is 0."""
    if not side:
        return image
    top, left = (max(0, n - side) // 2 for n in image.shape[:2])
    return image[top : top + side, left : left + side]


def check_images(set_images: list[SetImage], view: View, frames: int = 0) -> None:
    """InputError for an image that cannot be scored: size, unknown Bayer pattern, too few real frames."""
    for set_image in set_images:
        if len(set_image.frames) < frames:
            raise InputError(
                f"{set_image.path}: {len(set_image.frames)} frames of it, expected {frames}; noise `captured` needs "
                f"a set with real ones, and no more --repeats than there are"
            )
        if view == "bayer-aligned" and not set_image.pattern:
            raise InputError(f"{set_image.path}: its Bayer pattern is not known; use the view bayer, which ignores it")
        height, width = set_image.pixels.shape[:2]
        if view == "bayer" and (height % 2 or width % 2):
            raise InputError(f"{set_image.path}: {width}x{height}, expected even sides (whole Bayer quads)")
        if min(height, width) < 11:
            raise InputError(f"{set_image.path}: {width}x{height} is too small to be scored (SSIM's window is 11x11)")
