"""SIDD's files: blocks in order, frames of whole scene instances, official crops, a submission the server can read."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.io import savemat
from support.matlab import mosaic, save73, scene

from bench.datasets.errors import InputError
from bench.datasets.sets import catalogue
from bench.datasets.sets.find import find_known
from bench.datasets.sets.sidd import blocks, crop_corners, instances, pattern_of


def block_file(folder: Path, name: str, *shape: int, seed: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    savemat(folder / f"{name}.mat", {name: mosaic(*shape, seed=seed)}, do_compression=True)
    return folder / f"{name}.mat"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("0001_001_S6_00100_00060_3200_L", "GRBG"),
        ("0005_001_G4_00400_00400_5500_L", "BGGR"),
        ("0009_002_IP_00800_02000_5500_L", "RGGB"),
        ("GP", "BGGR"),
        ("a/0200_010_N6_01600/0200", "BGGR"),
        ("0001", ""),
        ("0001_CLIP_S60", ""),
    ],
)
def test_a_phone_is_known_by_its_code(name: str, pattern: str) -> None:
    assert pattern_of(name) == pattern


def test_blocks_come_in_order_each_with_its_clean_one(tmp_path: Path) -> None:
    noisy = block_file(tmp_path, "ValidationNoisyBlocksRaw", 2, 3, 8, 8)
    clean = block_file(tmp_path, "ValidationGtBlocksRaw", 2, 3, 8, 8, seed=1)
    found = list(blocks(noisy, clean))
    assert [name for name, _, _ in found] == ["000-00", "000-01", "000-02", "001-00", "001-01", "001-02"]
    for (_, observed, truth), (i, b) in zip(found, np.ndindex(2, 3), strict=True):
        np.testing.assert_array_equal(observed, mosaic(2, 3, 8, 8)[i, b, :, :, None], strict=True)
        np.testing.assert_array_equal(truth, mosaic(2, 3, 8, 8, seed=1)[i, b, :, :, None], strict=True)


def test_blocks_are_counted_by_the_names_that_they_are_loaded_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, kind in enumerate(("Noisy", "Gt")):
        block_file(tmp_path / "sidd", f"Validation{kind}BlocksRaw", 2, 3, 8, 8, seed=seed)
    small = {"sidd_val": replace(catalogue.catalogue()["sidd_val"], count=6)}
    monkeypatch.setattr(catalogue, "catalogue", lambda: small)
    image_set = find_known("sidd_val")
    assert list(image_set.parts(tmp_path)) == [image.name for image in image_set.load(tmp_path, 1)]


def test_blocks_of_doubles_or_without_clean_ones_are_float32(tmp_path: Path) -> None:
    savemat(tmp_path / "BenchmarkNoisyBlocksRaw.mat", {"BenchmarkNoisyBlocksRaw": mosaic(1, 2, 4, 4).astype(float)})
    for _, observed, truth in blocks(tmp_path / "BenchmarkNoisyBlocksRaw.mat", None):
        assert (observed.dtype, observed.shape, truth) == (np.float32, (4, 4, 1), None)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((8, 8, 3, 2), "axes are probably reversed"), ((2, 3, 7, 7), "even sides"), ((2, 8, 8), "3 axes")],
)
def test_files_that_hold_no_blocks_are_refused(tmp_path: Path, shape: tuple[int, ...], reason: str) -> None:
    path = block_file(tmp_path, "ValidationNoisyBlocksRaw", *shape)
    with pytest.raises(InputError, match=reason) as caught:
        blocks(path, None)
    assert str(path) in str(caught.value)


def test_noisy_and_clean_blocks_of_other_shapes_are_refused(tmp_path: Path) -> None:
    noisy = block_file(tmp_path, "ValidationNoisyBlocksRaw", 2, 3, 8, 8)
    clean = block_file(tmp_path, "ValidationGtBlocksRaw", 2, 2, 8, 8)
    with pytest.raises(InputError, match=r"ValidationGtBlocksRaw\.mat: shape \(2, 2, 8, 8\), but Val.* \(2, 3, 8, 8\)"):
        blocks(noisy, clean)


def test_a_renamed_file_is_told_what_is_in_it(tmp_path: Path) -> None:
    path = block_file(tmp_path, "ValidationNoisyBlocksRaw", 1, 1, 4, 4).rename(tmp_path / "ValidationNoisyBlocks.mat")
    with pytest.raises(InputError, match="expected the variable ValidationNoisyBlocks, found ValidationNoisyBlocksRaw"):
        blocks(path, None)


def test_instances_are_sorted_and_know_their_phone(tmp_path: Path) -> None:
    later = scene(tmp_path / "Data", "0002_001_IP_00100_00160_3200_L", 4, 6)
    first = scene(tmp_path, height=4, width=6)
    found = instances(tmp_path)
    assert [(one.scene, one.pattern) for one in found] == [("0001", "GRBG"), ("0002", "RGGB")]
    assert found[0].noisy == (first / "0001_NOISY_RAW_010.MAT", first / "0001_NOISY_RAW_011.MAT")
    assert found[1].clean == (later / "0002_GT_RAW_010.MAT", later / "0002_GT_RAW_011.MAT")


def test_frames_in_srgb_are_told_from_raw_ones(tmp_path: Path) -> None:
    folder = scene(tmp_path, height=4, width=6)
    with pytest.raises(InputError, match=r"no frames <scene>_NOISY_SRGB_<nnn>\.PNG"):
        instances(tmp_path, "SRGB")
    names = [f"0001_{kind}_SRGB_{frame}.PNG" for kind in ("NOISY", "GT") for frame in ("010", "011")]
    for name in names[1:]:
        (folder / name).write_bytes(b"not read here")
    with pytest.raises(InputError, match="scene 0001 has no NOISY_SRGB_010; expected"):
        instances(tmp_path, "SRGB")
    (folder / names[0]).write_bytes(b"not read here")
    (found,) = instances(tmp_path, "SRGB")
    assert [path.name for path in (*found.noisy, *found.clean)] == names
    assert len(instances(tmp_path)) == 1


def test_all_frames_may_lie_in_one_folder(tmp_path: Path) -> None:
    for path in (*scene(tmp_path / "a", "0001_S6").iterdir(), *scene(tmp_path / "a", "0002_S6").iterdir()):
        path.rename(tmp_path / path.name)
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "._0001_NOISY_RAW_010.MAT").write_bytes(b"what archivers leave behind")
    assert [(one.scene, one.pattern, len(one.noisy)) for one in instances(tmp_path)] == [
        ("0001", "", 2),
        ("0002", "", 2),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "0001_GT_RAW_011.MAT").unlink(), "scene 0001 has no GT_RAW_011; expected"),
        (lambda folder: (folder / "0001_NOISY_RAW_010.MAT").unlink(), "scene 0001 has no NOISY_RAW_010; expected"),
        (lambda folder: save73(folder / "0001_GT_RAW_012.MAT", x=mosaic(4, 6)), "scene 0001 also has GT_RAW_012"),
        (lambda folder: save73(folder / "b" / "0001_GT_RAW_011.MAT", x=mosaic(4, 6)), "the same frame as"),
        (lambda folder: save73(folder / "b" / "0001_gt_raw_011.mat", x=mosaic(4, 6)), "the same frame as"),
        (shutil.rmtree, "no frames"),
    ],
)
def test_scene_instances_that_are_not_whole_are_refused(tmp_path: Path, change: object, reason: str) -> None:
    assert callable(change)
    change(scene(tmp_path, height=4, width=6))
    with pytest.raises(InputError, match=reason):
        instances(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        instances(tmp_path / "nowhere")


@pytest.mark.parametrize(("length", "starts"), [(8, [0]), (9, [0, 1]), (12, [0, 4]), (13, [0, 4, 5]), (16, [0, 4, 8])])
def test_crops_cover_a_frame_and_none_comes_twice(length: int, starts: list[int]) -> None:
    assert crop_corners(length, 8, 8, 4) == [(start, 0) for start in starts]
    assert crop_corners(8, length, 8, 4) == [(0, start) for start in starts]


def test_a_frame_smaller_than_a_crop_is_refused() -> None:
    with pytest.raises(InputError, match="511x600 is smaller than a crop of 512x512"):
        crop_corners(511, 600)
