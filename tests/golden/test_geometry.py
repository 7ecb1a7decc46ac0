"""Padding before a network."""

import numpy as np
import pytest

from bench.compute.inference import pad, padded
from bench.methods.networks.unet import UNetConfig
from bench.protocol.suite_files import load

from .conftest import golden, matching

ARRAYS = golden("geometry")
PADDING = load("synthetic").presets["paper"].padding  # the preset that claims the official evaluation
TABLE = ARRAYS["table_h_w_side_outh_outw"].tolist()


@pytest.mark.parametrize(("height", "width", "side", "out_height", "out_width"), TABLE)
def test_padded_size(height: int, width: int, side: int, out_height: int, out_width: int) -> None:
    """A square whose side is a multiple of 32."""
    sides = padded(np.zeros((height, width, 1), np.float32), UNetConfig.multiple, PADDING)
    assert (max(sides), *sides) == (side, out_height, out_width)


@pytest.mark.parametrize("i", [i for i in matching("geometry", "in") if i.isdigit()])
def test_padded_pixels(i: str) -> None:
    """Exact, also where an image is reflected more than once."""
    image = ARRAYS[f"in{i}"]
    found = pad(image, *padded(image, UNetConfig.multiple, PADDING))
    np.testing.assert_array_equal(found, ARRAYS[f"out{i}"], strict=True)
