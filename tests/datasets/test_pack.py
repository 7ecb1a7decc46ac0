"""A pack gives back what was put in, survives a kill at any moment, and is refused when it is not whole; `prepare`."""

import os
import shutil
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import finish, start
from support.matlab import mosaic, save73, scene

from bench.datasets.errors import InputError
from bench.datasets.formats.pack import Pack, Writer
from bench.datasets.sets import prepare
from bench.datasets.sets.prepare import prepare_ilsvrc, prepare_sidd, prepare_sidd_srgb
from bench.datasets.sets.sidd import crop_corners

Prepare = Callable[[Path, Callable[[int, int], None]], Pack]  # into a target, with a report


def go_on(*_: object) -> None:
    """Nothing to report."""


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("pixels.bin", "index.jsonl", "pack.json")}


def image(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


IMAGES = {"a": image(5, 7, 3), "b": image(2, 3, 3, seed=1), "ä \"'\n": image(4, 4, 1, seed=2)}


def write(folder: Path, count: int = len(IMAGES), finish: bool = True) -> Path:
    """Goes on with a pack of the first IMAGES."""
    with Writer(folder, "|u1") as writer:
        for name in list(IMAGES)[len(writer.names) : count]:
            writer.append(name, IMAGES[name], pattern="BGGR" if name == "b" else "")
        if finish:
            writer.finish("test images")
    return folder


def test_a_pack_gives_back_what_was_put_in(tmp_path: Path) -> None:
    pack = Pack(write(tmp_path / "pack"))
    assert (len(pack), pack.names) == (3, list(IMAGES))
    for i, stored in enumerate(IMAGES.values()):
        np.testing.assert_array_equal(pack[i], stored, strict=True)
    assert [entry.pattern for entry in pack.entries] == ["", "BGGR", ""]
    assert (pack.header.count, pack.header.dtype, pack.header.source) == (3, "|u1", "test images")
    pack.verify()


def test_floats_are_kept_exactly(tmp_path: Path) -> None:
    with Writer(tmp_path, "<f4") as writer:
        writer.append("a", mosaic(4, 6, 1)[::-1], "RGGB")
        writer.append("b", mosaic(6, 2, 1, seed=1))
        writer.finish("")
    np.testing.assert_array_equal(Pack(tmp_path)[0], mosaic(4, 6, 1)[::-1], strict=True)
    np.testing.assert_array_equal(Pack(tmp_path)[-1], mosaic(6, 2, 1, seed=1), strict=True)


def test_an_image_is_a_view_of_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    pack = Pack(write(tmp_path))
    assert isinstance(pack[1], np.memmap)
    assert np.shares_memory(pack[1], pack[1])
    with pytest.raises(ValueError, match="read-only"):
        pack[1][0] = 0
    with pytest.raises(IndexError):
        pack[3]


def test_a_packs_digest_is_that_of_its_pixels_names_and_patterns(tmp_path: Path) -> None:
    digests = {Pack(write(tmp_path / "same")).header.digest, Pack(write(tmp_path / "again")).header.digest}
    for i, (name, pixels, pattern) in enumerate([("a", 0, ""), ("a", 1, ""), ("b", 0, ""), ("a", 0, "RGGB")]):
        with Writer(tmp_path / str(i), "|u1") as writer:
            writer.append(name, image(4, 6, 1, seed=pixels), pattern)
            writer.finish("")
        digests.add(Pack(tmp_path / str(i)).header.digest)
    assert len(digests) == 5


@pytest.mark.parametrize("pixels", [mosaic(4, 6, 1), image(4, 6), image(4, 6, 1).astype(np.uint16)])
def test_only_images_of_the_packs_dtype_are_appended(tmp_path: Path, pixels: NDArray[Any]) -> None:
    with Writer(tmp_path, "|u1") as writer, pytest.raises(InputError, match=r"a: .*this pack holds \|u1 \[H, W, C\]"):
        writer.append("a", pixels)


@pytest.mark.slow
def test_a_kill_at_any_byte_of_the_index_leaves_a_pack_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", go_on)  # slow, and the disk is not what is tested
    whole = bytes_of(write(tmp_path / "whole"))
    for length in range(len(whole["index.jsonl"]) + 1):
        (folder := tmp_path / str(length)).mkdir()
        (folder / "pixels.bin").write_bytes(whole["pixels.bin"])
        (folder / "index.jsonl").write_bytes(whole["index.jsonl"][:length])
        assert bytes_of(write(folder)) == whole
        shutil.rmtree(folder)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
@pytest.mark.parametrize("surplus", [0, 1, 10])
def test_a_kill_within_pixels_leaves_a_pack_to_go_on_with(tmp_path: Path, done: int, surplus: int) -> None:
    whole = bytes_of(write(tmp_path / "whole"))
    write(folder := tmp_path / "killed", done, finish=False)
    with (folder / "pixels.bin").open("ab") as file:
        file.write(b"?" * surplus)
    (folder / "pack.json.tmp").write_bytes(b"{")
    assert bytes_of(write(folder)) == whole


@pytest.mark.parametrize("length", [0, 1, 104, 105, 110, 122])
def test_an_index_line_without_its_pixels_is_cut_off(tmp_path: Path, length: int) -> None:
    """A machine that lost its power may have kept the line alone."""
    whole = bytes_of(write(tmp_path / "whole"))
    write(folder := tmp_path / "killed", finish=False)
    os.truncate(folder / "pixels.bin", length)
    assert bytes_of(write(folder)) == whole


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from bench.datasets.formats.pack import Writer

calls = []
os.fsync = lambda _: calls.append(None) or len(calls) < 2 or os._exit(9)  # no buffer is flushed on the way out
with Writer(Path(sys.argv[1]), "|u1") as writer:
    for name, seed in (("a", 0), ("b", 1)):
        writer.append(name, np.full((4, 6, 1), seed, np.uint8))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_the_images_before(tmp_path: Path) -> None:
    assert finish(start(tmp_path, program=("-c", KILLED))).code == 9
    with Writer(tmp_path, "|u1") as writer:
        assert writer.names == ["a"]
        writer.append("b", image(4, 6, 1))
        writer.finish("")
    np.testing.assert_array_equal(Pack(tmp_path)[0], np.zeros((4, 6, 1), np.uint8))
    np.testing.assert_array_equal(Pack(tmp_path)[1], image(4, 6, 1))


def test_one_process_at_a_time_writes_a_pack(tmp_path: Path) -> None:
    with Writer(tmp_path, "|u1"), pytest.raises(InputError, match="another process is writing"):
        Writer(tmp_path, "|u1")


def test_a_whole_pack_is_not_written_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a whole pack already"):
        Writer(write(tmp_path), "|u1")


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("no folder", shutil.rmtree, "no pack in this folder"),
    ("unfinished", lambda folder: (folder / "pack.json").unlink(), "unfinished pack; run the command"),
    ("header", lambda folder: (folder / "pack.json").write_text("{"), r"pack\.json: damaged"),
    ("other header", lambda folder: (folder / "pack.json").write_text('{"dtype": "O"}'), r"pack\.json: damaged"),
    ("no index", lambda folder: (folder / "index.jsonl").unlink(), r"index\.jsonl: damaged"),
    ("index", lambda folder: os.truncate(folder / "index.jsonl", 200), r"index\.jsonl: damaged"),
    ("no pixels", lambda folder: (folder / "pixels.bin").unlink(), r"pixels\.bin: 0 bytes, expected 139"),
    ("pixels", lambda folder: os.truncate(folder / "pixels.bin", 138), r"pixels\.bin: 138 bytes, expected 139"),
    ("surplus", lambda folder: os.truncate(folder / "pixels.bin", 140), r"pixels\.bin: 140 bytes, expected 139"),
]


@pytest.mark.parametrize(("damage", "reason"), [pytest.param(*row[1:], id=row[0]) for row in DAMAGE])
def test_what_is_not_a_whole_pack_is_refused(tmp_path: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(write(tmp_path / "pack"))
    with pytest.raises(InputError, match=reason):
        Pack(tmp_path / "pack")


def test_a_changed_pixel_is_found_and_its_image_named(tmp_path: Path) -> None:
    with (write(tmp_path) / "pixels.bin").open("r+b") as file:
        file.seek(5 * 7 * 3)
        file.write(bytes([IMAGES["b"].flat[0] ^ 1]))
    with pytest.raises(InputError, match="damaged, b has other pixels"):
        Pack(tmp_path).verify()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Five images whose sides are in 256..512, one gray and one CMYK among them, and three others."""
    folder = tmp_path / "ilsvrc"
    folder.mkdir()
    shapes = [(256, 256, 3), (512, 300, 3), (300, 512), (256, 512, 4), (255, 300, 3), (300, 513, 3), (300, 300, 3)]
    for i, shape in enumerate(shapes):
        pixels = Pillow.fromarray(image(*shape, seed=i), mode="CMYK") if shape[-1] == 4 else image(*shape, seed=i)
        set_image = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(pixels)
        set_image.save(folder / f"ILSVRC2012_val_{i:08}.JPEG", "JPEG")
    (folder / "ILSVRC2012_val_00000004.JPEG").write_bytes(
        (folder / "ILSVRC2012_val_00000004.JPEG").read_bytes()[:2000]  # its header is all that is read
    )
    return folder


def photograph_pack(source: Path, target: Path, report: Callable[[int, int], None] = go_on) -> Pack:
    return prepare_ilsvrc(source, target, report, expected=5)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scene instances: two crops and one."""
    folder = tmp_path_factory.mktemp("frames") / "sidd"
    scene(folder / "Data", "0001_001_S6_00100_00060_3200_L", 512, 640)
    scene(folder / "Data", "0002_001_IP_00100_00160_3200_N", 512, 512)
    return folder


def crop_pack(source: Path, target: Path, report: Callable[[int, int], None] = go_on) -> Pack:
    return prepare_sidd(source, target, report, expected=2)


@pytest.fixture(params=["ilsvrc", "sidd"])
def preparing(request: pytest.FixtureRequest) -> Prepare:
    if request.param == "ilsvrc":
        return partial(photograph_pack, request.getfixturevalue("photographs"))
    return partial(crop_pack, request.getfixturevalue("frames"))


def test_photographs_are_chosen_by_their_sides_and_made_rgb(tmp_path: Path, photographs: Path) -> None:
    pack = photograph_pack(photographs, tmp_path / "pack")
    assert pack.names == [f"ILSVRC2012_val_{i:08}" for i in (0, 1, 2, 3, 6)]
    assert [pack[i].shape for i in range(5)] == [
        (256, 256, 3),
        (512, 300, 3),
        (300, 512, 3),
        (256, 512, 3),
        (300, 300, 3),
    ]
    for i, name in enumerate(pack.names):
        with Pillow.open(photographs / f"{name}.JPEG") as set_image:
            np.testing.assert_array_equal(pack[i], np.asarray(set_image.convert("RGB")), strict=True)
    pack.verify()


def test_another_count_of_photographs_is_refused_before_anything_is_written(tmp_path: Path, photographs: Path) -> None:
    (photographs / "ILSVRC2012_val_00000001.JPEG").unlink()
    with pytest.raises(InputError, match=r"ilsvrc: 4 images with sides in 256\.\.512, expected 5"):
        photograph_pack(photographs, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_crops_are_upright_and_known_by_scene_number_and_frame(tmp_path: Path, frames: Path) -> None:
    pack = crop_pack(frames, tmp_path / "pack")
    kinds = ["noisy010", "noisy011", "clean010", "clean011"]
    assert pack.names == [f"{crop}/{kind}" for crop in ("0001_s001", "0001_s002", "0002_s001") for kind in kinds]
    assert [entry.pattern for entry in pack.entries] == ["GRBG"] * 8 + ["RGGB"] * 4
    corners = crop_corners(512, 640)
    assert corners == [(0, 0), (0, 128)]
    for i in range(8):  # the seeds of `scene`: one per frame
        top, left = corners[i // 4]
        crop = mosaic(512, 640, seed=1 + i % 4)[top : top + 512, left : left + 512, None]
        np.testing.assert_array_equal(pack[i], crop, strict=True)
    pack.verify()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((512, 642), "of the same scene has"),
        ((511, 640), "even sides"),
        ((2, 512, 640), "even sides"),
        ((510, 512), "smaller"),
    ],
)
def test_frames_of_a_wrong_shape_are_refused_before_anything_is_written(
    tmp_path: Path, frames: Path, shape: tuple[int, ...], reason: str
) -> None:
    frames = shutil.copytree(frames, tmp_path / "sidd")
    folder = next((frames / "Data").glob("0001*"))
    changed = folder.glob("*_011.MAT" if "same" in reason else "*_RAW_01[01].MAT")
    for path in [path for path in changed if "METADATA" not in path.name]:
        save73(path, x=np.zeros(shape, np.float32))
    with pytest.raises(InputError, match=reason):
        crop_pack(frames, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_crops_in_srgb_are_bytes_and_overlap_by_128(tmp_path: Path) -> None:
    folder = tmp_path / "Data" / "0001_001_S6_00100_00060_3200_L"
    folder.mkdir(parents=True)
    stored = [image(512, 900, 3, seed=seed) for seed in range(4)]
    for pixels, name in zip(stored, ("NOISY_SRGB_010", "NOISY_SRGB_011", "GT_SRGB_010", "GT_SRGB_011"), strict=True):
        Pillow.fromarray(pixels).save(folder / f"0001_{name}.PNG", compress_level=1)
    pack = prepare_sidd_srgb(tmp_path, tmp_path / "pack", go_on, expected=1)
    kinds = ["noisy010", "noisy011", "clean010", "clean011"]
    assert pack.names == [f"0001_s00{crop}/{kind}" for crop in (1, 2, 3) for kind in kinds]
    for i in range(12):
        left = (0, 384, 388)[i // 4]
        np.testing.assert_array_equal(pack[i], stored[i % 4][:, left : left + 512], strict=True)


def test_another_count_of_scene_instances_is_refused(tmp_path: Path, frames: Path) -> None:
    with pytest.raises(InputError, match="sidd: 2 scene instances, expected 160"):
        prepare_sidd(frames, tmp_path / "pack", go_on)


def test_stopped_between_two_images_the_same_call_goes_on(tmp_path: Path, preparing: Prepare) -> None:
    def stop_after(images: int, done: int, total: int) -> None:
        if done == images:
            raise KeyboardInterrupt

    preparing(tmp_path / "whole", go_on)
    for images in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            preparing(tmp_path / "parts", partial(stop_after, images))
        with pytest.raises(InputError, match="unfinished"):
            Pack(tmp_path / "parts")
    preparing(tmp_path / "parts", go_on)
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


def test_progress_counts_every_image_once_also_across_a_stop(tmp_path: Path, photographs: Path) -> None:
    seen: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        seen.append((done, total))
        if seen == [(1, 5), (2, 5)]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_ilsvrc(photographs, tmp_path / "pack", report, expected=5)
    prepare_ilsvrc(photographs, tmp_path / "pack", report, expected=5)
    assert seen == [(done, 5) for done in range(1, 6)]


def test_what_is_prepared_is_not_prepared_again(
    tmp_path: Path, preparing: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = preparing(tmp_path / "pack", go_on).header
    monkeypatch.setattr(prepare, "Writer", None)
    assert preparing(tmp_path / "pack", go_on).header == before


def test_another_pack_in_the_folder_is_refused(tmp_path: Path, preparing: Prepare) -> None:
    write(tmp_path / "pack")
    with pytest.raises(InputError, match="holds test images, not "):
        preparing(tmp_path / "pack", go_on)


def test_a_pack_begun_with_other_images_is_refused(tmp_path: Path, photographs: Path) -> None:
    write(tmp_path / "pack", finish=False)
    with pytest.raises(InputError, match="begun with other images"):
        photograph_pack(photographs, tmp_path / "pack")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_scenes(tmp_path: Path) -> None:
    peaks = []
    for count in (1, 4):
        for i in range(1, count + 1):
            scene(tmp_path / str(count), f"000{i}_001_S6", 512, 512)
        tracemalloc.start()
        prepare_sidd(tmp_path / str(count), tmp_path / f"pack{count}", go_on, expected=count)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1.5 * 512 * 512 * 4  # one frame more: it is read before the oldest one is dropped
