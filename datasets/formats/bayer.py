"""Bayer mosaics: 2x2 quads as four channels, and padding after which a mosaic of any phone begins with red."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, unknown

OFFSETS = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}  # where the first red pixel is


def mosaic(pixels: NDArray[np.uint8], pattern: str) -> NDArray[np.float32]:
    """A Bayer mosaic [H, W, 1] in 0..1, even sides, of sRGB [H, W, 3], its gamma undone (IEC 61966)."""
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    v = pixels[:height, :width].astype(np.float64) / 255.0
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    dy, dx = offset(pattern)
    row, column = (np.arange(height) - dy) % 2, (np.arange(width) - dx) % 2
    channel = row[:, None] + column[None, :]  # of a quad that begins with red: R 0, G 1, G 1, B 2
    return np.take_along_axis(linear, channel[..., None], axis=2).astype(np.float32)


def pack(mosaic: NDArray[Any]) -> NDArray[Any]:
    """[H, W, 1] -> [H/2, W/2, 4]: pixels (0,0), (0,1), (1,0), (1,1) of every quad; InputError for odd sides."""
    height, width, channels = mosaic.shape
    if channels != 1 or height % 2 or width % 2:
        raise InputError(f"a mosaic of shape {mosaic.shape}; expected [H, W, 1] with even H and W (whole Bayer quads)")
    quads = mosaic.reshape(height // 2, 2, width // 2, 2)
    return quads.transpose(0, 2, 1, 3).reshape(height // 2, width // 2, 4)


def unpack(packed: NDArray[Any]) -> NDArray[Any]:
    """[h, w, 4] -> [2h, 2w, 1], the inverse of `pack`; InputError for other channels."""
    height, width, channels = packed.shape
    if channels != 4:
        raise InputError(f"a packed mosaic of shape {packed.shape}; expected [h, w, 4]")
    return packed.reshape(height, width, 2, 2).transpose(0, 2, 1, 3).reshape(2 * height, 2 * width, 1)


def offset(pattern: str) -> tuple[int, int]:
    """(row, column) of the first red pixel; InputError for an unknown pattern."""
    if pattern not in OFFSETS:
        raise unknown("Bayer pattern", pattern, OFFSETS)
    return OFFSETS[pattern]


def aligned(mosaic: NDArray[Any], pattern: str) -> NDArray[Any]:
    """[H, W, 1] padded by reflection to begin with red and to have even sides; every pixel keeps its colour."""
    height, width, _ = mosaic.shape
    if min(height, width) < 2:
        raise InputError(f"a mosaic of shape {mosaic.shape}; expected at least one Bayer quad")
    top, left = offset(pattern)
    # a reflection that does not repeat the edge puts every pixel where its colour belongs
    return np.pad(mosaic, ((top, (height + top) % 2), (left, (width + left) % 2), (0, 0)), mode="reflect")


def restored(mosaic: NDArray[Any], pattern: str, height: int, width: int) -> NDArray[Any]:
    """The mosaic [height, width, 1] without the padding of `aligned`."""
    top, left = offset(pattern)
    return mosaic[top : top + height, left : left + width]
