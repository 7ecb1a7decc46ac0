"""The images of a set: their pixels, digests and frames."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .errors import InputError
from .formats.image_format import Stored, digest, read, size


def unit(pixels: Stored) -> NDArray[np.float32]:
    """Stored pixels [H, W, C] as float32 in 0..1."""
    return pixels.astype(np.float32) / np.float32(255.0) if pixels.dtype == np.uint8 else pixels.astype(np.float32)


def gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance [H, W, 1] of RGB: floor(0.2989 R + 0.5870 G + 0.1140 B + 0.5), as Urban100's gray copy was made."""
    luminance: NDArray[np.uint8] = np.floor(pixels @ np.array([0.2989, 0.5870, 0.1140]) + 0.5).astype(np.uint8)
    return luminance[..., None]


class SetImage(Struct, dict=True):
    """One image of a set, held as it is stored (or decoded at each use when the set is too large)."""

    name: str  # unique in its set
    path: Path
    channels: int  # of `pixels`: 1 or 3
    keep: bool = True  # in memory, once it is decoded
    frames: tuple["SetImage", ...] = ()  # real noisy observations, each of the shape of `pixels`
    clean: "SetImage | None" = None  # of a frame: the clean image aligned to it, where every frame has its own
    pattern: str = ""  # of a Bayer mosaic, such as "RGGB", where it is known
    decode: Callable[[], Stored] | None = None  # where its pixels are not simply those of the file

    @property
    def pixels(self) -> Stored:
        """[H, W, channels]; gray is expanded when three channels are asked for."""
        return self._kept if self.keep else self._decode()

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width), from the file's header if the pixels are not kept in memory."""
        if self.keep or self.decode:
            return self.pixels.shape[:2]
        width, height = size(self.path)
        return height, width

    @classmethod
    def decoded(cls, name: str, path: Path, pixels: Stored, channels: int, **more: Any) -> "SetImage":
        """An image whose stored pixels [H, W, C] were read already."""
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
        return self._expand(self.decode() if self.decode else read(self.path))

    def _expand(self, pixels: Stored) -> Stored:
        if pixels.shape[-1] > self.channels:
            raise InputError(f"{self.path}: a colour image in a gray set; convert it first")
        return np.repeat(pixels, self.channels, axis=2) if pixels.shape[-1] < self.channels else pixels
