"""2x2 packing and its inverse; a mosaic that is made to begin with red keeps the colour of every pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.matlab import mosaic

from bench.datasets.errors import InputError
from bench.datasets.formats.bayer import OFFSETS, aligned, offset, pack, restored, unpack

SIZES = [(2, 2), (4, 6), (5, 8), (7, 7)]


def colours(pattern: str, height: int, width: int) -> NDArray[np.str_]:
    """The colour of every pixel [height, width, 1], by the letters of a pattern; greens told apart by their row."""
    letters = np.array(list(pattern)).reshape(2, 2)
    red_row = int(np.argwhere(letters == "R")[0, 0])
    letters = np.where(letters == "G", np.array([["g"], ["h"]] if red_row == 0 else [["h"], ["g"]]), letters)
    return np.tile(letters, (height, width))[:height, :width, None]


def test_channels_are_the_places_of_a_quad_in_reading_order() -> None:
    np.testing.assert_array_equal(pack(np.arange(8).reshape(2, 4, 1)), [[[0, 1, 4, 5], [2, 3, 6, 7]]])


@pytest.mark.parametrize("shape", [(4, 6, 1), (2, 2, 1), (10, 4, 1)])
def test_unpacking_undoes_packing(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(unpack(pack(mosaic(*shape))), mosaic(*shape), strict=True)


@pytest.mark.parametrize("shape", [(5, 6, 1), (4, 7, 1), (4, 6, 3)])
def test_odd_sides_and_colour_images_are_not_packed(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="even H and W"):
        pack(mosaic(*shape))


@pytest.mark.parametrize("channels", [1, 3])
def test_only_four_channels_are_unpacked(channels: int) -> None:
    with pytest.raises(InputError, match=r"expected \[h, w, 4\]"):
        unpack(mosaic(4, 6, channels))


@pytest.mark.parametrize("pattern", OFFSETS)
def test_the_offset_is_where_red_is(pattern: str) -> None:
    row, column = offset(pattern)
    assert pattern[2 * row + column] == "R"


def test_an_unknown_pattern_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean 'RGGB'"):
        offset("rggb")
    with pytest.raises(InputError, match="unknown Bayer pattern ''"):
        aligned(mosaic(4, 6, 1), "")


@pytest.mark.parametrize("pattern", OFFSETS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_an_aligned_mosaic_is_rggb_everywhere(pattern: str, height: int, width: int) -> None:
    turned = aligned(colours(pattern, height, width), pattern)
    assert turned.shape[0] % 2 == turned.shape[1] % 2 == 0
    np.testing.assert_array_equal(turned, colours("RGGB", *turned.shape[:2]))


@pytest.mark.parametrize("pattern", OFFSETS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_crop_gives_the_mosaic_back(pattern: str, height: int, width: int) -> None:
    stored = mosaic(height, width, 1)
    np.testing.assert_array_equal(restored(aligned(stored, pattern), pattern, height, width), stored, strict=True)


def test_an_even_mosaic_that_begins_with_red_stays_as_it_is() -> None:
    np.testing.assert_array_equal(aligned(mosaic(4, 6, 1), "RGGB"), mosaic(4, 6, 1), strict=True)


def test_less_than_a_quad_is_not_aligned() -> None:
    with pytest.raises(InputError, match="at least one Bayer quad"):
        aligned(mosaic(1, 6, 1), "BGGR")
