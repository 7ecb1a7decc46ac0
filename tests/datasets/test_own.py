"""A user's own images: what is read of them, and what is written back."""

import errno
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from support.own_files import FLOATS, INTEGERS, names, one, returned, tiff, values

from bench import api
from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import ImageFile, ImageFormat, opened, register_format, size
from bench.datasets.own import own_file
from bench.datasets.own.collection import Collection, collect

# ---- there and back


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_every_type_comes_back_as_it_was(dtype: str, suffix: str, tmp_path: Path) -> None:
    array, path = values(dtype, 13, 17), tmp_path / f"a{suffix}"
    np.save(path, array) if suffix == ".npy" else tiff(path, array)
    own = one(path)
    back = opened(returned(own, tmp_path / "out"))
    assert (back.array.dtype, back.axes, own.dtype.name) == (array.dtype, "YX", dtype)
    np.testing.assert_allclose(back.array, array, rtol=1e-3 if dtype == "float16" else 2e-7, atol=2e-5)
    if dtype in INTEGERS:
        np.testing.assert_array_equal(back.array, array)
    as_float = opened(returned(own, tmp_path / "floats", dtype="float32"))
    assert as_float.array.dtype == np.float32
    np.testing.assert_allclose(as_float.array, array.astype(np.float32), rtol=1e-6, atol=4e-3)  # of a range of 65535


STACKS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "imagej": ("ZCYX", (3, 2, 12, 16), {"imagej": True, "metadata": {"axes": "ZCYX", "spacing": 0.5, "unit": "um"}}),
    "ome": ("TCYX", (3, 6, 12, 16), {"ome": True, "metadata": {"axes": "TCYX", "PhysicalSizeX": 0.1}}),
    "ome, deflated": ("ZYX", (3, 48, 48), {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"}),
    "pages": ("TYX", (4, 12, 16), {}),
    "bigtiff": ("ZYX", (3, 12, 16), {"bigtiff": True, "metadata": {"axes": "ZYX"}}),
    "other byte order": ("CYX", (2, 12, 16), {"byteorder": ">", "metadata": {"axes": "CYX"}}),
    "tiled": ("YX", (48, 33), {"tile": (16, 16)}),
    "lzw": ("YXS", (48, 33, 3), {"photometric": "rgb", "compression": "lzw", "predictor": 2, "tile": (16, 32)}),
    "zstd": ("YX", (48, 33), {"compression": "zstd"}),
    "planes apart": ("SYX", (3, 12, 16), {"photometric": "rgb", "planarconfig": "separate"}),
    "six samples": ("YXS", (12, 16, 6), {"planarconfig": "contig"}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["keep", "float32"])
@pytest.mark.parametrize("kind", STACKS)
def test_a_tiff_keeps_axes_layout_and_metadata(kind: str, dtype: Any, tmp_path: Path) -> None:
    axes, shape, options = STACKS[kind]
    array = values("uint16", *shape)
    path = tiff(tmp_path / "a.tif", array, resolution=(20000, 10000), resolutionunit="CENTIMETER", **options)
    own = one(path)
    assert own.axes == axes
    out = returned(own, tmp_path / "out", dtype=dtype)
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(out) as new:
        (was,), (now,) = old.series, new.series
        assert (was.axes, was.shape) == (now.axes, now.shape)
        assert now.dtype == ("uint16" if dtype == "keep" else "float32")
        np.testing.assert_array_equal(now.asarray(), array.astype(now.dtype))
        first, then = old.pages.first, new.pages.first
        for name in ("photometric", "planarconfig", "compression", "tile", "resolution", "resolutionunit"):
            assert getattr(first, name) == getattr(then, name), name
        assert (old.is_bigtiff, old.byteorder, old.imagej_metadata) == (
            new.is_bigtiff,
            new.byteorder,
            new.imagej_metadata,
        )
        if old.is_ome:
            assert new.is_ome
            assert tifffile.xml2dict(new.ome_metadata)["OME"]["Image"]["Pixels"]["Type"] == now.dtype.name.removesuffix(
                "32"
            )


@pytest.mark.parametrize(("name", "channels"), [*product(("a.png", "a.webp"), (1, 3, 4)), ("a.bmp", 1), ("a.bmp", 3)])
def test_images_without_loss_come_back_with_their_opacity(name: str, channels: int, tmp_path: Path) -> None:
    array = values("uint8", 12, 16, channels)
    if (name, channels) == ("a.webp", 1):  # WebP has colour alone
        channels, array = 3, np.repeat(array, 3, axis=2)
    Pillow.fromarray(array.squeeze()).save(tmp_path / name, lossless=True, exact=True, dpi=(300, 300))
    own = one(tmp_path / name)
    assert (own.channels, own.alpha) == (min(channels, 3), channels == 4)
    with Pillow.open(returned(own, tmp_path / "out")) as back:
        np.testing.assert_array_equal(np.asarray(back), array.squeeze())
        if name != "a.webp":
            assert back.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_of_a_png_come_back(channels: int, tmp_path: Path) -> None:
    array = values("uint16", 12, 16, channels)
    (path := tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
    own = one(path)
    assert (own.dtype.name, own.channels) == ("uint16", {1: 1, 2: 1, 3: 3, 4: 3}[channels])
    back = imagecodecs.png_decode(returned(own, tmp_path / "out").read_bytes())
    np.testing.assert_array_equal(back.reshape(array.shape), array)


def test_a_jpeg_stays_one_and_its_second_image_is_named(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 40 * 40 * 3).reshape(40, 40, 3).astype(np.uint8)
    first, second = Pillow.fromarray(smooth), Pillow.fromarray(smooth[:16, :16])
    first.save(path := tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    found = collect([path])
    assert sum("second image" in line for line in found.lines()) == 1
    with Pillow.open(returned(found.files[0], tmp_path / "out")) as back:
        assert back.format == "JPEG"
        np.testing.assert_allclose(np.asarray(back), opened(path).array, atol=4)


def test_opacity_is_kept_aside_unless_it_is_asked_for_as_a_channel(tmp_path: Path) -> None:
    array = values("uint16", 12, 16, 4)
    path = tiff(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    own = one(path)
    assert (own.channels, own.alpha) == (3, True)
    out = tmp_path / "out" / "a.tif"
    own.write(out, [np.zeros((12, 16, 3), np.float32)])
    back = tifffile.imread(out)
    np.testing.assert_array_equal(back[..., 3], array[..., 3])
    assert not back[..., :3].any()
    assert one(path, axes="YXC").channels == 4


def test_a_format_of_ones_own_opens_and_writes(tmp_path: Path) -> None:
    @register_format
    class Words(ImageFormat):
        """Text: one row of whole numbers per line."""

        suffixes = (".numbers",)
        writes = ("int64",)

        def open(self, path: Path) -> ImageFile:
            return ImageFile(np.loadtxt(path, np.int64), "YX")

        def write(self, path: Path, file: ImageFile, like: Path) -> None:
            np.savetxt(path, file.array, "%d")

    np.savetxt(tmp_path / "a.numbers", values("int32", 12, 16), "%d")
    own = one(tmp_path / "a.numbers")
    assert (own.output(), own.output("float32"), size(own.path)) == ("a.numbers", "a.tif", (16, 12))
    for dtype in ("keep", "float32"):
        back = returned(own, tmp_path / "out", dtype=dtype)
        np.testing.assert_allclose(opened(back).array, values("int32", 12, 16), atol=1e-2 if dtype == "float32" else 0)
        assert opened(back).axes == "YX"


# ---- frames


def test_leading_axes_are_frames_and_channels_are_joined_or_alone(tmp_path: Path) -> None:
    array = values("uint16", 2, 3, 4, 12, 16)
    path = tiff(tmp_path / "a.tif", array, metadata={"axes": "TZCYX"}, ome=True)
    own, each = one(path), one(path, channels="each")
    assert (own.count, own.channels, own.sides) == (6, 4, (12, 16))
    assert (each.count, each.channels) == (24, 1)
    np.testing.assert_array_equal(own.stored(4), array[1, 1].transpose(1, 2, 0))
    np.testing.assert_array_equal(each.stored(4 * 4 + 3)[..., 0], array[1, 1, 3])
    np.testing.assert_array_equal(own.stored(4, slice(3, 7)), own.stored(4)[3:7])
    np.testing.assert_array_equal(own.frame(4, slice(3, 7)), own.frame(4)[3:7])
    for read in (own, each):
        assert np.array_equal(opened(returned(read, tmp_path / f"out{read.count}")).array, array)


def test_values_are_scaled_by_the_range_and_not_clipped(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", np.array([[98, 4071], [0, 65535]], np.uint16))
    own = one(path, value_range=(0.0, 4095.0))
    expected = np.array([[98, 4071], [0, 65535]]) / 4095
    np.testing.assert_allclose(own.frame(0)[..., 0], expected, rtol=1e-6)
    assert (own.range, own.seen) == ((0.0, 4095.0), (0.0, 65535.0))
    own.write(tmp_path / "out.tif", [np.array([[-1.0, 0.5], [1.0, 99.0]])[..., None]])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), [[0, 2048], [4095, 65535]])


def test_floats_are_scaled_by_percentiles_of_all_files(tmp_path: Path) -> None:
    for i in range(3):
        tiff(tmp_path / f"{i}.tif", values("float32", 40, 50, seed=i) + 100 * i)
    found = collect([tmp_path])
    every = np.concatenate([own.stored(0) for own in found.files])
    assert {own.range for own in found.files} == {tuple(np.percentile(every.astype(float), (0.1, 99.9)))}
    assert "percentiles 0.1 and 99.9" in found.lines()[0]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_black_and_constant_images_are_read_and_written(dtype: str, tmp_path: Path) -> None:
    for value in (0, 7):
        own = one(tiff(tmp_path / f"{value}.tif", np.full((12, 16), value, dtype)))
        assert np.isfinite(own.frame(0)).all()
        np.testing.assert_array_equal(opened(returned(own, tmp_path / "out")).array, opened(own.path).array)


def test_a_denoised_image_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    own = one(tiff(tmp_path / "a.tif", values("uint16", 12, 16)))
    with pytest.raises(InputError, match=r"a\.tif.*NaN"):
        own.write(tmp_path / "out.tif", [np.full((12, 16, 1), np.nan)])
    assert names(tmp_path) == ["a.tif"]


# ---- what cannot be used, and what is said


def test_what_was_understood_is_said_in_a_line_per_kind(tmp_path: Path) -> None:
    for i in range(12):
        tiff(tmp_path / f"{i:02}.tif", values("uint16", 12, 16, seed=i))
    tiff(tmp_path / "stack.tif", values("uint8", 20, 12, 16))
    (tmp_path / "bad.png").write_text("a poem")
    (tmp_path / "notes.txt").write_text("a poem")
    found = api.opened([tmp_path])
    pixels, stack, count, bad, notes = found.lines()
    assert pixels.startswith("12 files, uint16, axes YX, 1 channel, 12 frames of 16x12, ")
    assert pixels.endswith("values 3..4094 (12 of 16 bits), range 0..65535 (of uint16)")
    assert stack.startswith("1 file, uint8, axes TYX, 1 channel, 20 frames of 16x12")
    assert (count, found.failed) == ("not used, 2:", 1)
    assert "bad.png: not a readable image" in bad
    assert "notes.txt: not an image" in notes


def damaged(path: Path) -> None:
    """Half of a file."""
    tiff(path, values("uint16", 48, 48), compression="zlib")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nan(path: Path) -> None:
    """One value that is no number."""
    array = values("float32", 12, 16)
    array[3, 4] = np.nan
    tiff(path, array)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated": ("bad.tif", damaged, "not a readable image"),
    "truncated, plain": ("bad.tif", lambda path: os.truncate(tiff(path, np.ones((99, 99))), 9000), "not a"),
    "text": ("bad.tif", lambda path: path.write_text("a poem"), "not a TIFF"),
    "empty": ("bad.npy", lambda path: path.write_bytes(b""), "empty file"),
    "NaN": ("bad.tif", nan, "NaN or infinite"),
    "infinite": ("bad.npy", lambda path: np.save(path, np.full((9, 9), np.inf)), "NaN or infinite"),
    "complex": ("bad.npy", lambda path: np.save(path, np.ones((9, 9), complex)), "complex128"),
    "objects": ("bad.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), "not a readable image"),
    "bits": ("bad.tif", lambda path: tiff(path, np.eye(9, dtype=bool)), "bool"),
    "no pixels": ("bad.npy", lambda path: np.save(path, np.ones((0, 9))), "no pixels"),
    "one axis": ("bad.npy", lambda path: np.save(path, np.ones(9)), "--axes"),
    "three axes": ("bad.npy", lambda path: np.save(path, np.ones((3, 9, 9))), "3x9x9 have no names; give --axes"),
    "axes of tifffile": ("bad.tif", lambda path: tiff(path, np.ones((3, 9, 9)), metadata={}), "--axes ZYX"),
    "palette": ("bad.tif", lambda path: Pillow.new("P", (9, 9)).save(path), "PALETTE"),
    "png inside": ("bad.tif", lambda path: Pillow.new("L", (9, 9)).save(path, "PNG"), "not a TIFF"),
    "tiff inside": ("bad.png", lambda path: tiff(path, values("uint16", 9, 9)), "rename it to bad.tif"),
    "cmyk": ("bad.jpg", lambda path: Pillow.new("CMYK", (9, 9)).save(path), "CMYK"),
    "no such file": ("bad.tif", lambda path: None, "no such file"),
    "no such folder": ("bad", lambda path: None, "no such file or folder"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_file_is_named_and_the_others_go_on(kind: str, tmp_path: Path) -> None:
    name, make, says = BAD[kind]
    good = tiff(tmp_path / "good.tif", values("uint16", 12, 16))
    make(tmp_path / name)
    found = collect([good, tmp_path / name])
    assert ([own.name for own in found.files], found.failed) == (["good.tif"], 1)
    assert str(tmp_path / name) in found.unused[0]
    assert says in found.unused[0]
    with pytest.raises(InputError, match="no image that can be used"):
        collect([tmp_path / name])


def test_sub_folders_are_read_when_asked_for(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        tiff(tmp_path / folder / "x.tif", values("uint16", 12, 16))
    with pytest.raises(InputError, match="--recursive"):
        collect([tmp_path])
    found = collect([tmp_path], recursive=True)
    assert [own.name for own in found.files] == [str(Path("a", "x.tif")), str(Path("b", "x.tif"))]


def test_names_are_unique_and_a_file_given_twice_is_named(tmp_path: Path) -> None:
    a, b = (tiff(tmp_path / folder / "x.tif", values("uint16", 12, 16)) for folder in ("a", "b"))
    other = tiff(tmp_path / "y.tif", values("uint16", 12, 16))
    found = collect([a, b, other, a])
    assert [own.name for own in found.files] == [str(Path("a", "x.tif")), str(Path("b", "x.tif")), "y.tif"]
    assert (found.unused, found.failed) == ([f"{a}: given twice"], 0)


@pytest.mark.parametrize("name", ["Zellkerne ä µ, Nr. 2.tif", "a b.tif", "α/β,γ.tif"])
def test_any_path_is_read_and_written(name: str, tmp_path: Path) -> None:
    path = tiff(tmp_path / name, values("uint16", 12, 16))
    assert returned(one(path), path.parent / "out, ä").is_file()


def test_repeated_frames_are_known_by_scene(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        for i in range(3):
            tiff(tmp_path / scene / f"frame-{i}.tif", values("uint16", 12, 16, seed=i))
    tiff(tmp_path / "c" / "frame-0.tif", values("uint16", 12, 16))
    found = collect([tmp_path], recursive=True)
    assert [[own.name for own in scene] for scene in found.scenes] == [
        [str(Path(scene, f"frame-{i}.tif")) for i in range(3)] for scene in ("a", "b")
    ]
    assert not any(" frames " in line for line in found.lines()[1:])


@pytest.mark.parametrize(
    ("sides", "scenes", "others"),
    [((12, 12, 12, 10), [3], "1 of 4"), ((12, 12, 12, 10, 10), [3, 2], "2 of 5"), ((12, 10), [], "1 of 2")],
)
def test_repeated_frames_have_one_size(sides: tuple[int, ...], scenes: list[int], others: str, tmp_path: Path) -> None:
    for i, side in enumerate(sides):
        tiff(tmp_path / f"frame-{i}.tif", values("uint16", side, 16, seed=i))
    found = collect([tmp_path])
    assert [len(scene) for scene in found.scenes] == scenes
    assert any(f"{tmp_path}: {others}" in line for line in found.lines())


@pytest.mark.parametrize(
    ("options", "says"),
    [({"axes": "ZYQ"}, "--axes ZYQ"), ({"axes": "YYX"}, "each once"), ({"axes": "ZC"}, "expected Y, X"),
     ({"value_range": (5.0, 5.0)}, "--range 5,5"), ({"value_range": (0.0, np.inf)}, "--range")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        collect([tiff(tmp_path / "a.tif", values("uint16", 12, 16))], **options)


def test_a_collection_is_what_the_api_gives(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", values("uint16", 12, 16))
    assert isinstance(api.opened([str(tmp_path)], value_range=(0, 4095)), Collection)
    with pytest.raises(InputError, match="expected a list"):
        api.opened(str(tmp_path))


# ---- where output goes


def test_outputs_replace_neither_inputs_nor_each_other_nor_old_files(tmp_path: Path) -> None:
    path = tiff(tmp_path / "in" / "a.tif", values("uint16", 12, 16))
    np.save(tmp_path / "in" / "a.npy", values("float32", 12, 16))
    (tmp_path / "in" / "b.png").write_bytes(imagecodecs.png_encode(values("uint16", 12, 16)))
    found, out = collect([tmp_path / "in"]), tmp_path / "out"
    assert [path.name for path in found.outputs(out)] == ["a.npy", "a.tif", "b.png"]
    assert [path.name for path in found.outputs(out, "float32")] == ["a.npy", "a.tif", "b.tif"]
    for inside in (tmp_path / "in", tmp_path):
        with pytest.raises(InputError, match="choose another --out"):
            found.outputs(inside)
    tiff(out / "a.tif", values("uint16", 12, 16))
    with pytest.raises(InputError, match="--overwrite"):
        found.outputs(out)
    assert len(found.outputs(out, overwrite=True)) == 3
    Pillow.new("L", (9, 9)).save(tmp_path / "in" / "b.bmp")
    with pytest.raises(InputError, match=r"b\.tif"):
        collect([tmp_path / "in"]).outputs(tmp_path / "new", "float32")
    own = one(path)
    for target, says in ((out / "a.tif", "--overwrite"), (path, "choose another")):
        with pytest.raises(InputError, match=says):
            own.write(target, [own.frame(0)])
    own.write(out / "a.tif", [own.frame(0)], overwrite=True)


@pytest.mark.parametrize("in_memory", [2**28, 0])
def test_a_full_disk_leaves_nothing_behind(in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = one(tiff(tmp_path / "a.tif", values("uint16", 12, 16)))
    monkeypatch.setattr(own_file, "IN_MEMORY", in_memory)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"out\.tif: cannot be written \(No space left"):
        own.write(tmp_path / "out.tif", [own.frame(0)])
    assert names(tmp_path) == ["a.tif"]
