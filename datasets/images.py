"""Reading 8-bit images exactly as stored, or refusing them by name."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from .errors import InputError

Pixels = NDArray[np.uint8]  # [H, W, C]
Stored = NDArray[Any]  # uint8 or float32: [H, W, C] in 0..255 or in 0..1
ALLOWED = "allowed: 8-bit gray or RGB (convert it, for instance to PNG, first)"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # whatever a file is called: Pillow would start Ghostscript for PostScript
LARGEST = 2**28 // 3  # pixels, 256 MiB in RGB, where Pillow begins to warn; photographs have up to 60 million

warnings.filterwarnings("ignore", module=r"PIL\.")  # a file is read or refused, which is all that there is to say


def read(path: Path) -> Pixels:
    """The stored pixels [H, W, 1 or 3], palettes expanded; InputError for what is not 8-bit gray or RGB."""
    with _opened(path) as image:
        if any(";16" in str(tile) for tile in image.tile):  # Pillow would cut colour to 8 bits
            raise InputError(f"{path}: 16-bit pixels; {ALLOWED}")
        image.load()
        return _plain(image, path)


def read_rgb(path: Path) -> Pixels:
    """[H, W, 3] of any 8-bit photograph: gray repeated, CMYK by Pillow without a colour profile; InputError else."""
    with _opened(path) as image:
        if image.mode == "CMYK":
            return np.asarray(image.convert("RGB"))
    pixels = read(path)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[-1] == 1 else pixels


def size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header alone."""
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    try:
        with Pillow.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise InputError(f"{path}: {image.width}x{image.height}; allowed: up to {LARGEST} pixels (cut it)")
            yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # decoders raise anything when a file is damaged
        what = "an empty file" if path.is_file() and path.stat().st_size == 0 else f"not a readable image ({error})"
        raise InputError(f"{path}: {what}") from None


def _plain(image: Pillow.Image, path: Path) -> Pixels:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
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


def digest(pixels: NDArray[Any]) -> str:
    """SHA-256 of the pixels, row-major, channels last (the shape is kept beside it)."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def unit(pixels: Stored) -> NDArray[np.float32]:
    """[H, W, C] in 0..1."""
    return pixels.astype(np.float32) / np.float32(255.0) if pixels.dtype == np.uint8 else pixels.astype(np.float32)


def gray(pixels: Pixels) -> Pixels:
    """Luminance [H, W, 1] of RGB: floor(0.2989 R + 0.5870 G + 0.1140 B + 0.5), as Urban100's gray copy was made."""
    rounded: Pixels = np.floor(pixels @ np.array([0.2989, 0.5870, 0.1140]) + 0.5).astype(np.uint8)[..., None]
    return rounded


class SetImage(Struct, dict=True):
    """One image of a set, held as it is stored (or decoded at each use when the set is too large)."""

    name: str
    path: Path
    channels: int
    keep: bool = True
    frames: tuple["SetImage", ...] = ()  # real noisy observations of it
    clean: "SetImage | None" = None  # of a frame: the clean image aligned to it, where every frame has its own
    pattern: str = ""  # of a Bayer mosaic, where it is known

    @property
    def pixels(self) -> Stored:
        """[H, W, channels]; gray is expanded when three channels are asked for."""
        return self._kept if self.keep else self._decode()

    @classmethod
    def decoded(cls, name: str, path: Path, pixels: Stored, channels: int, **more: Any) -> "SetImage":
        """A image whose stored pixels are at hand."""
        set_image = cls(name, path, channels, **more)
        set_image.__dict__["_kept"] = set_image._expand(pixels)
        return set_image

    @cached_property
    def _kept(self) -> Stored:
        return self._decode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and pixels: the name of this image in every seed."""
        pixels = self.pixels
        shape = "x".join(map(str, pixels.shape))
        return hashlib.sha256(f"{shape} {digest(pixels)}".encode()).hexdigest()

    def _decode(self) -> Stored:
        return self._expand(read(self.path))

    def _expand(self, pixels: Stored) -> Stored:
        if pixels.shape[-1] > self.channels:
            raise InputError(f"{self.path}: a colour image in a gray set; convert it first")
        return np.repeat(pixels, self.channels, axis=2) if pixels.shape[-1] < self.channels else pixels


def listing(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem, sorted; InputError if two files share a stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise InputError(f"{path}: the same image name as {found[path.stem].name}; keep one of them")
            found[path.stem] = path
    return found
