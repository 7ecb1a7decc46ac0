"""Padding before a network, 2x2 packing, crops of raw frames."""

import numpy as np
import pytest
import torch

from bench.compute.inference import pad, padded
from bench.datasets.formats.bayer import pack, unpack
from bench.datasets.sets.sidd import crop_corners
from bench.methods.masks import cells
from bench.methods.networks.unet import UNetConfig
from bench.protocol.suite_files import load

from .conftest import golden, matching

ARRAYS = golden("geometry")
PADDING = load("synthetic").presets["paper"].padding  # the preset that claims the official evaluation
TABLE = ARRAYS["table_h_w_side_outh_outw"].tolist()
GRIDS = [name.removesuffix("_hw") for name in matching("geometry", "grid") if name.endswith("_hw")]


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


def test_packing() -> None:
    """A mosaic's quads as four channels, and back."""
    mosaics, packed, unpacked = (ARRAYS[name].transpose(0, 2, 3, 1) for name in ("mosaic", "packed", "unpacked"))
    for before, four, after in zip(mosaics, packed, unpacked, strict=True):
        np.testing.assert_array_equal(pack(before), four, strict=True)
        np.testing.assert_array_equal(unpack(four), after, strict=True)


def test_cells() -> None:
    """The same packing of every channel of a colour image."""
    found = cells(torch.from_numpy(ARRAYS["rgb_s2d_in"]), 2).flatten(1, 2)
    np.testing.assert_array_equal(found, ARRAYS["rgb_s2d_out"], strict=True)


@pytest.mark.parametrize("i", GRIDS)
def test_crops(i: str) -> None:
    """The corners of every crop of a raw frame, row by row."""
    (height, width), rows, columns = (ARRAYS[f"grid{i}_{part}"].tolist() for part in ("hw", "rows", "cols"))
    assert crop_corners(height, width) == [(top, left) for top in rows for left in columns]
