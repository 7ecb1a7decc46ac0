"""Images as PNG planes of 8 bits: one is exact for 8-bit images, two keep enough depth for exposure and gamma."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Floats = NDArray[np.floating]


def planes(image: Floats, low: float, high: float, bits: int) -> list[bytes]:
    """PNG files of [H, W, 1 or 3], the high bytes first: q = round((x - low) / (high - low) qmax), clipped."""
    largest = 2**bits - 1
    scaled = (image.astype(np.float64) - low) / (high - low) * largest
    codes = np.clip(np.nan_to_num(scaled) + 0.5, 0, largest).astype(np.uint16)
    parts = [codes] if bits == 8 else [codes >> 8, codes & 255]
    return [_png(part.astype(np.uint8)) for part in parts]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", optimize=True)
    return file.getvalue()
