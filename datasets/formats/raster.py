"""PNG, JPEG, BMP and WebP, and the 8-bit TIFFs of catalogue sets."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile as PillowFile

from ..errors import InputError
from .image_format import ImageFile, ImageFormat, readable, register_format

ALLOWED = "expected 8-bit gray or RGB"
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")  # Pillow would start Ghostscript for PostScript, whatever its name
LARGEST = 2**28 // 3  # pixels, 256 MiB in RGB, where Pillow begins to warn; photographs have up to 60 million
SECOND = "its second image, such as a preview or a depth map, is neither denoised nor written"
CHUNKS = b"pHYs iCCP sRGB gAMA cHRM tEXt zTXt iTXt eXIf tIME".split()  # of PNG: true whatever the pixels are

warnings.filterwarnings("ignore", module=r"PIL\.")  # a file is read or refused; warnings tell a user nothing


class Raster(ImageFormat):
    """Images of five formats, recognised by their content."""

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The stored pixels [H, W, 1 or 3], palettes expanded; InputError for what is not 8-bit gray or RGB."""
        with _opened(path) as image:
            if _is_deep(image):  # Pillow would cut colour to 8 bits
                raise InputError(f"{path}: 16-bit pixels; {ALLOWED}")
            pixels = _pixels(image, path)
        if pixels.shape[2] in (2, 4):
            if pixels[..., -1].min() < 255:
                raise InputError(f"{path}: has transparent pixels; flatten it onto a background first")
            pixels = pixels[..., :-1]
        return pixels

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) from the file's header alone."""
        with _opened(path) as image:
            return image.size

    def open(self, path: Path) -> ImageFile:
        """The pixels [H, W, 1 to 4], 8 or 16 bits; an even number of channels ends with alpha."""
        with _opened(path) as image:
            pixels: NDArray[Any]
            if _is_deep(image) and image.format == "PNG":
                pixels = imagecodecs.png_decode(path.read_bytes())
                pixels = pixels[..., None] if pixels.ndim == 2 else pixels
            elif image.format == "TIFF":
                raise InputError(f"{path}: a TIFF by its content; rename it to {path.stem}.tif")
            else:
                pixels = _pixels(image, path)
            notes = (SECOND,) if getattr(image, "n_frames", 1) > 1 else ()
        return ImageFile(pixels, "YXS", pixels.shape[2] in (2, 4), notes)


@register_format
class Png(Raster):
    """PNG of 8 or 16 bits."""

    suffixes = (".png",)
    writes = ("uint8", "uint16")

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Pixels, with the descriptive chunks (pixel size, colour profile, texts, EXIF) of `like`."""
        content = bytes(imagecodecs.png_encode(_plain(file)))
        path.write_bytes(content[:33] + b"".join(_chunks(like.read_bytes())) + content[33:])  # behind the header


@register_format
class Photograph(Raster):
    """8-bit formats that Pillow writes: JPEG at its best quality, the others without loss."""

    suffixes = (".jpg", ".jpeg", ".bmp", ".webp")
    writes = ("uint8",)

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Pixels, with the resolution, EXIF and colour profile of `like`."""
        with _opened(like) as image:
            kind = "JPEG" if image.format == "MPO" else image.format
            about = {name: image.info[name] for name in ("dpi", "exif", "icc_profile") if image.info.get(name)}
        best: dict[str, Any] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}
        Pillow.fromarray(_plain(file)).save(path, format=kind, **about, **best.get(kind or "", {}))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Any 8-bit photograph as RGB [H, W, 3], CMYK without its colour profile; InputError for other images."""
    with readable(path):
        with _opened(path) as image:
            if image.mode == "CMYK":
                return np.asarray(image.convert("RGB"))
        pixels = Raster.read(Png(), path)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[-1] == 1 else pixels


@contextmanager
def _opened(path: Path) -> Iterator[PillowFile]:
    with Pillow.open(path, formats=FORMATS) as image:
        if image.width * image.height > LARGEST:
            size = f"{image.width}x{image.height}"
            raise InputError(f"{path}: {size}; allowed: up to {LARGEST} pixels (cut it, or save it as TIFF)")
        yield image


def _is_deep(image: PillowFile) -> bool:
    return any(";16" in str(tile) for tile in image.tile)


def _pixels(image: Pillow.Image, path: Path) -> NDArray[np.uint8]:
    """[H, W, 1 to 4] of an 8-bit image, palettes expanded; an even number of channels ends with alpha."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG: the photograph comes first, then a preview or depth
        raise InputError(f"{path}: {frames} frames in one file; expected a single image")
    image.load()
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        kind = {"I": "16- or 32-bit", "F": "floating point"}.get(image.mode, image.mode)
        raise InputError(f"{path}: {kind} pixels; {ALLOWED}")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _plain(file: ImageFile) -> NDArray[Any]:
    """[H, W] of one channel, else [H, W, 2 to 4]."""
    return file.array[..., 0] if file.array.shape[2] == 1 else file.array


def _chunks(content: bytes) -> Iterator[bytes]:
    """Those chunks of a PNG file that describe the image, whatever its pixels; none of another file."""
    at = 8 if content.startswith(b"\x89PNG\r\n\x1a\n") else len(content)
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if kind in CHUNKS:
            yield content[at : at + size + 12]
        at += size + 12
