"""Images are read exactly as stored or refused by name; sets are checked image by image."""

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.ruined import png
from support.sets import noise_image

from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import read
from bench.datasets.images import SetImage


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)], ids=["gray", "rgb"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    stored = noise_image(*shape)
    Pillow.fromarray(stored).save(path := tmp_path / f"a.{suffix}")
    pixels = read(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (13, 17, 3 if len(shape) == 3 else 1)
    np.testing.assert_array_equal(pixels.squeeze(), stored)


def palette_image() -> tuple[Pillow.Image, NDArray[np.uint8]]:
    index, colours = noise_image(13, 17), noise_image(256, 3, seed=1)
    image = Pillow.fromarray(index)
    image.putpalette(colours.tobytes())  # mode becomes P
    return image, colours[index]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_is_expanded_exactly(tmp_path: Path, suffix: str) -> None:
    image, colours = palette_image()
    image.save(path := tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read(path), colours)


def test_a_palette_with_an_unused_transparent_colour_is_expanded(tmp_path: Path) -> None:
    index, colours = noise_image(13, 17) % 255, noise_image(256, 3, seed=1)  # entry 255 is not used
    image = Pillow.fromarray(index)
    image.putpalette(colours.tobytes())
    image.save(path := tmp_path / "a.png", transparency=255)
    np.testing.assert_array_equal(read(path), colours[index])


def test_a_palette_with_a_transparent_colour_in_use_is_refused(tmp_path: Path) -> None:
    image, _ = palette_image()
    image.save(path := tmp_path / "a.png", transparency=int(np.asarray(image)[0, 0]))
    with pytest.raises(InputError, match=r"a\.png: has transparent pixels"):
        read(path)


@pytest.mark.parametrize("colours", [1, 3])
def test_opaque_alpha_is_dropped(tmp_path: Path, colours: int) -> None:
    stored = noise_image(9, 8, colours + 1)
    stored[..., -1] = 255
    Pillow.fromarray(stored).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(read(path), stored[..., :-1])


@pytest.mark.parametrize("colours", [1, 3])
def test_one_pixel_of_real_alpha_is_refused(tmp_path: Path, colours: int) -> None:
    stored = noise_image(9, 8, colours + 1)
    stored[..., -1] = 255
    stored[4, 5, -1] = 254
    Pillow.fromarray(stored).save(path := tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: has transparent pixels"):
        read(path)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_transparent_colour_without_a_palette_is_refused(tmp_path: Path, colours: int) -> None:
    stored = noise_image(9, 8, colours).squeeze()
    key = int(stored[0, 0]) if colours == 1 else tuple(map(int, stored[0, 0]))
    Pillow.fromarray(stored).save(path := tmp_path / "a.png", transparency=key)
    with pytest.raises(InputError, match=r"a\.png: has transparent pixels"):
        read(path)


def test_one_bit_becomes_0_and_255(tmp_path: Path) -> None:
    stored = noise_image(9, 8) > 127
    Pillow.fromarray(stored).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(read(path)[..., 0], stored * np.uint8(255))


def save_16_bit(path: Path) -> None:
    Pillow.fromarray(noise_image(9, 8).astype(np.uint16) * 257).save(path)


def save_16_bit_colour(path: Path) -> None:
    row = b"\0" + np.arange(24, dtype=">u2").tobytes()  # all below 256: an 8-bit reader would return zeros
    path.write_bytes(png(8, 9, 16, 2, zlib.compress(row * 9)))


def save_frames(path: Path) -> None:
    frames = [Pillow.fromarray(noise_image(9, 8, 3, seed=i)) for i in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


REFUSED: list[tuple[str, Callable[[Path], object], str]] = [
    ("gray16.png", save_16_bit, "16-bit"),
    ("gray16.tif", save_16_bit, "16-bit"),
    ("rgb16.png", save_16_bit_colour, "16-bit"),
    ("cmyk.jpg", lambda path: Pillow.fromarray(noise_image(9, 8, 4), "CMYK").save(path), "CMYK"),
    ("float.tif", lambda path: Pillow.fromarray(noise_image(9, 8).astype(np.float32)).save(path), "floating point"),
    ("int32.tif", lambda path: Pillow.fromarray(noise_image(9, 8).astype(np.int32)).save(path), "32-bit"),
    ("frames.tif", save_frames, "2 frames"),
    ("frames.png", save_frames, "2 frames"),
    ("empty.png", lambda path: path.write_bytes(b""), "an empty file"),
    ("text.png", lambda path: path.write_text("not an image"), "not a readable image"),
    ("page.jpg", lambda path: path.write_text("<html>404</html>"), "not a readable image"),
    ("folder.png", lambda path: path.mkdir(), "not a readable image"),
    ("nowhere.png", lambda path: None, "no such file"),
]


@pytest.mark.parametrize(("name", "save", "reason"), [pytest.param(*row, id=row[0]) for row in REFUSED])
def test_what_is_not_8_bit_gray_or_rgb_is_refused_by_name(
    tmp_path: Path, name: str, save: Callable[[Path], object], reason: str
) -> None:
    save(tmp_path / name)
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str, share: float) -> None:
    Pillow.fromarray(noise_image(40, 40, 3)).save(path := tmp_path / f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"a\.{suffix}: not a readable image"):
        read(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_damaged_bytes_give_an_image_or_an_input_error(tmp_path: Path, suffix: str) -> None:
    """A decoder may raise anything on a damaged header; a user must see the file's name."""
    Pillow.fromarray(noise_image(16, 12, 3)).save(path := tmp_path / f"a.{suffix}")
    content, draw, refusals = path.read_bytes(), random.Random(0), list[str]()
    tail = len(content) - 220  # a TIFF keeps its directory at the end
    for trial in range(120):
        damaged = bytearray(content)
        damaged[(tail if trial % 2 else 0) + draw.randrange(min(220, len(content)))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except InputError as error:
            refusals.append(str(error))
    assert refusals
    assert all(str(path) in error for error in refusals)


def test_gray_is_repeated_for_three_channels(tmp_path: Path) -> None:
    stored = noise_image(9, 8)
    Pillow.fromarray(stored).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(SetImage("a", path, 3).pixels, np.stack([stored] * 3, axis=2))


def test_colour_in_a_gray_set_is_refused(photos: Path) -> None:
    with pytest.raises(InputError, match="colour image in a gray set"):
        _ = SetImage("coffee", photos / "coffee.png", 1).pixels


@pytest.mark.parametrize("keep", [True, False])
def test_a_kept_image_is_decoded_once_and_others_at_each_use(photos: Path, keep: bool) -> None:
    set_image = SetImage("coffee", photos / "coffee.png", 3, keep)
    assert (set_image.pixels is set_image.pixels) == keep


def test_an_images_name_in_seeds_is_its_pixels_and_shape(tmp_path: Path) -> None:
    stored = noise_image(6, 8, 3)
    for name, pixels in {"a.png": stored, "b.bmp": stored, "c.png": stored.reshape(8, 6, 3)}.items():
        Pillow.fromarray(pixels).save(tmp_path / name)
    a, b, c = (SetImage(path.stem, path, 3).digest for path in sorted(tmp_path.iterdir()))
    assert a == b != c
