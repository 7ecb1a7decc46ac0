"""PNG, JPEG, BMP and TIFF: 8-bit images exactly as stored, or refused by name."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from ..errors import InputError
from .image_format import ImageFormat, readable, register_format

ALLOWED = "allowed: 8-bit gray or RGB (convert it, for instance to PNG, first)"
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # whatever a file is called: Pillow would start Ghostscript for PostScript
LARGEST = 2**28 // 3  # pixels, 256 MiB in RGB, where Pillow begins to warn; photographs have up to 60 million

warnings.filterwarnings("ignore", module=r"PIL\.")  # a file is read or refused, which is all that there is to say


@register_format
class Raster(ImageFormat):
    """8-bit images of four formats, recognised by their content."""

    suffixes = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The stored pixels [H, W, 1 or 3], palettes expanded; InputError for what is not 8-bit gray or RGB."""
        with _opened(path) as image:
            if any(";16" in str(tile) for tile in image.tile):  # Pillow would cut colour to 8 bits
                raise InputError(f"{path}: 16-bit pixels; {ALLOWED}")
            image.load()
            return _plain(image, path)

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) from the file's header alone."""
        with _opened(path) as image:
            return image.size


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3] of any 8-bit photograph: gray repeated, CMYK by Pillow without a colour profile; InputError else."""
    with readable(path):
        with _opened(path) as image:
            if image.mode == "CMYK":
                return np.asarray(image.convert("RGB"))
        pixels = Raster().read(path)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[-1] == 1 else pixels


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    with Pillow.open(path, formats=FORMATS) as image:
        if image.width * image.height > LARGEST:
            raise InputError(f"{path}: {image.width}x{image.height}; allowed: up to {LARGEST} pixels (cut it)")
        yield image


def _plain(image: Pillow.Image, path: Path) -> NDArray[np.uint8]:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG: the photograph comes first, then a preview or depth
        raise InputError(f"{path}: {frames} frames in one file; expected a single image")
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    if image.mode in ("LA", "RGBA"):
        if np.asarray(image)[..., -1].min() < 255:
            raise InputError(f"{path}: has transparent pixels; flatten it onto a background first")
        image = image.convert(image.mode[:-1])
    if image.mode not in ("L", "RGB"):
        kind = {"I": "16- or 32-bit", "F": "floating point"}.get(image.mode, image.mode)
        raise InputError(f"{path}: {kind} pixels; {ALLOWED}")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
