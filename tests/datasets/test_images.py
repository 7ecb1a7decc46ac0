"""Images are read exactly as stored or refused by name; sets are checked image by image."""

import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import digest, listing, read
from bench.datasets.images import SetImage
from bench.datasets.sets import catalogue, image_set
from bench.datasets.sets.catalogue import Entry, Reference
from bench.datasets.sets.digests import SetDigests
from bench.datasets.sets.find import find


def noise_image(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(depth: int, kind: int, width: int, height: int, rows: bytes) -> bytes:
    """A PNG written by hand: Pillow cannot write 16-bit colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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
    path.write_bytes(png(16, 2, 8, 9, row * 9))


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
    content, draw = path.read_bytes(), random.Random(0)
    tail = len(content) - 220  # a TIFF keeps its directory at the end
    for trial in range(120):
        damaged = bytearray(content)
        damaged[(tail if trial % 2 else 0) + draw.randrange(min(220, len(content)))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017 - most of the damaged files can still be read


def test_gray_is_repeated_for_three_channels(tmp_path: Path) -> None:
    stored = noise_image(9, 8)
    Pillow.fromarray(stored).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(SetImage("a", path, 3).pixels, np.stack([stored] * 3, axis=2))


def test_colour_in_a_gray_set_is_refused(photos: Path) -> None:
    with pytest.raises(InputError, match="colour image in a gray set"):
        _ = SetImage("coffee", photos / "coffee.png", 1).pixels


@pytest.mark.parametrize("keep", [True, False])
def test_a_kept_picture_is_decoded_once_and_others_at_each_use(photos: Path, keep: bool) -> None:
    set_image = SetImage("coffee", photos / "coffee.png", 3, keep)
    assert (set_image.pixels is set_image.pixels) == keep


def test_an_images_name_in_seeds_is_its_pixels_and_shape(tmp_path: Path) -> None:
    stored = noise_image(6, 8, 3)
    for name, pixels in {"a.png": stored, "b.bmp": stored, "c.png": stored.reshape(8, 6, 3)}.items():
        Pillow.fromarray(pixels).save(tmp_path / name)
    a, b, c = (SetImage(path.stem, path, 3).digest for path in sorted(tmp_path.iterdir()))
    assert a == b != c


# ---- sets


@pytest.fixture
def known(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one set, whose references are the photographs and one JPEG; its data folder."""
    Pillow.fromarray(noise_image(24, 32, 3)).save(photos / "noise.jpg")
    common = {"role": "test", "channels": 3, "source": "here", "licence": "none"}
    entries = {
        "tiny": Entry(title="tiny", count=4, folder="photos", **common),  # type: ignore[arg-type]
        "fit": Entry(title="fit", count=2, part_of="tiny", every=-2, **common),  # type: ignore[arg-type]
        "held": Entry(title="held", count=2, part_of="tiny", every=2, **common),  # type: ignore[arg-type]
        "sized": Entry(title="sized", count=3, folder="photos", layout="selected", sides=(64, 96), **common),  # type: ignore[arg-type]
    }
    rows = [
        Reference(stem, *read(path).shape, digest(read(path)), hashlib.sha256(path.read_bytes()).hexdigest())
        for stem, path in listing(photos).items()
    ]
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setattr(catalogue, "_references", lambda: {"tiny": rows})
    return photos.parent


def test_a_complete_set_loads_in_the_order_of_its_references(known: Path) -> None:
    assert [set_image.name for set_image in find("tiny").load(known, 3)] == ["astronaut", "chelsea", "coffee", "noise"]


def test_a_missing_image_is_named(known: Path) -> None:
    (known / "photos" / "coffee.png").unlink()
    with pytest.raises(InputError, match="'tiny' is incomplete: coffee of 4"):
        find("tiny").load(known, 3)


def test_an_extra_image_is_named(known: Path) -> None:
    Pillow.fromarray(noise_image(9, 9, 3)).save(known / "photos" / "stranger.png")
    with pytest.raises(InputError, match=r"do not belong to it: .*stranger\.png"):
        find("tiny").load(known, 3)


def test_one_altered_pixel_is_noticed(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    pixels = read(path).copy()
    pixels[-1, -1, -1] ^= 1
    Pillow.fromarray(pixels).save(path)
    with pytest.raises(InputError, match=r"coffee\.png: altered: other pixels"):
        find("tiny").load(known, 3)


def test_a_resized_image_is_noticed_with_both_shapes(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path)[:-1]).save(path)
    with pytest.raises(InputError, match=r"coffee\.png: altered: shape \(71, 80, 3\), expected \(72, 80, 3\)"):
        find("tiny").load(known, 3)


def test_equal_pixels_of_another_shape_are_noticed(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path).reshape(80, 72, 3)).save(path)
    with pytest.raises(InputError, match=r"shape \(80, 72, 3\)"):
        find("tiny").load(known, 3)


@pytest.mark.parametrize("suffix", ["bmp", "tiff"])
def test_a_lossless_copy_in_another_format_is_accepted(known: Path, suffix: str) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path)).save(path.with_suffix(f".{suffix}"))
    path.unlink()
    assert len(find("tiny").load(known, 3)) == 4


def test_other_pixels_from_the_same_bytes_are_the_decoders_fault(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = image_set.read
    monkeypatch.setattr(image_set, "read", lambda path: plain(path) ^ np.uint8(path.suffix == ".jpg"))
    with pytest.raises(InputError, match=r"noise\.jpg: .*only this machine's JPEG decoder differs"):
        find("tiny").load(known, 3)


def test_a_jpeg_saved_again_is_altered(known: Path) -> None:
    path = known / "photos" / "noise.jpg"
    Pillow.fromarray(read(path)).save(path, quality=60)
    with pytest.raises(InputError, match=r"noise\.jpg: altered"):
        find("tiny").load(known, 3)


def test_two_files_of_one_stem_are_named(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    path.with_suffix(".bmp").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"coffee\.png: the same image name as coffee\.bmp"):
        find("tiny").load(known, 3)


def test_files_that_are_no_images_are_ignored(known: Path) -> None:
    for name in ("README.md", ".hidden.png", "Thumbs.db", "list.txt", "coffee.json"):
        (known / "photos" / name).write_text("x")
    assert len(find("tiny").load(known, 3)) == 4


def test_parts_are_disjoint_complete_and_by_rule(known: Path) -> None:
    fit, held = ([set_image.name for set_image in find(name).load(known, 3)] for name in ("fit", "held"))
    assert (held, fit) == (["astronaut", "coffee"], ["chelsea", "noise"])


def test_an_extra_image_is_named_in_a_part_too(known: Path) -> None:
    Pillow.fromarray(noise_image(9, 9, 3)).save(known / "photos" / "stranger.png")
    with pytest.raises(InputError, match=r"stranger\.png"):
        find("fit").load(known, 3)


def test_a_set_chosen_by_its_sides_keeps_those_and_holds_none(known: Path) -> None:
    set_images = find("sized").load(known, 3)
    assert [set_image.name for set_image in set_images] == ["astronaut", "chelsea", "coffee"]
    assert not any(set_image.keep for set_image in set_images)


def test_a_set_chosen_by_its_sides_is_counted(known: Path) -> None:
    (known / "photos" / "coffee.png").unlink()
    with pytest.raises(InputError, match="'sized': 2 images"):
        find("sized").load(known, 3)


def test_a_set_chosen_by_its_sides_names_a_file_that_is_no_image(known: Path) -> None:
    (known / "photos" / "coffee.png").write_text("not an image")
    with pytest.raises(InputError, match=r"coffee\.png"):
        find("sized").load(known, 3)


@pytest.mark.parametrize("data", [True, False])
def test_a_set_that_is_not_there_says_how_to_get_it(known: Path, data: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(InputError, match=r"photos/.*get: 4 images from here"):
        find("tiny").load(known / "photos" if data else None, 3)


def test_the_data_folder_may_come_from_the_environment(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(known))
    assert len(find("tiny").load(None, 3)) == 4


def test_a_colour_set_does_not_serve_one_channel(known: Path) -> None:
    with pytest.raises(InputError, match="a colour set"):
        find("tiny").load(known, 1)


def test_an_unknown_set_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean 'kodak'"):
        find("kodac").load(None, 3)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        find(f"folder:{tmp_path}").load(None, 3)


def test_a_folder_names_its_bad_file(photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.png: an empty file"):
        find(f"folder:{photos}").load(None, 3)


@pytest.mark.parametrize(("name", "count"), [("embedded_train", 7), ("embedded_test", 3)])
def test_embedded_sets_need_no_data_folder(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert len({set_image.digest for set_image in find(name).load(None, 3)}) == count


@pytest.mark.parametrize("name", list(catalogue.catalogue()))
def test_every_entry_has_as_many_references_as_images(name: str) -> None:
    """Captures have their own; none is known of SIDD, of sets with all 50 frames or of those chosen by sides."""
    known, found = catalogue.entry(name), len(catalogue.references(name))
    whole = known.count * (1 + known.frames) if known.layout == "views" else known.count
    unknown = known.layout in ("blocks", "pack", "selected") or known.frames == 50
    assert found == (0 if unknown else whole)


def test_training_and_test_photographs_share_none() -> None:
    train, test = ({row.pixels for row in catalogue.references(f"embedded_{kind}")} for kind in ("train", "test"))
    assert not train & test


def test_a_sets_digest_needs_no_files_and_tells_sets_and_channels_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    asked = [(name, channels) for name in catalogue.catalogue() for channels in (1, 3)]
    assert len({find(name).digest(channels) for name, channels in asked}) == len(asked)


def test_a_folders_digest_is_its_pixels_wherever_it_lies(photos: Path, tmp_path: Path) -> None:
    before = find(f"folder:{photos}").digest(3)
    moved = photos.rename(tmp_path / "moved")
    assert find(f"folder:{moved}").digest(3) == before
    buffer = io.BytesIO()
    Pillow.fromarray(read(moved / "coffee.png") ^ 1).save(buffer, "png")
    (moved / "coffee.png").write_bytes(buffer.getvalue())
    assert find(f"folder:{moved}").digest(3) != before


def test_a_folder_that_is_gone_has_the_digest_that_records_knew(photos: Path) -> None:
    name = f"folder:{photos}"
    digests = SetDigests()
    before = digests(name, 3)
    assert digests.folders == {f"{name} 3": before}
    photos.rename(photos.with_name("elsewhere"))
    assert SetDigests(digests.folders)(name, 3) == before
    with pytest.raises(InputError, match="no such folder"):
        SetDigests()(name, 3)


def test_a_process_that_lives_long_sees_changed_files(photos: Path) -> None:
    name = f"folder:{photos}"
    before = SetDigests()(name, 3)
    path = photos / "coffee.png"
    Pillow.fromarray(read(path)[::-1]).save(path)
    assert SetDigests({f"{name} 3": before})(name, 3) != before
