"""Folders of a user's own images as training and test sets: deep and float files, stacks, pairs, repeated frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from support.cli import bench, line, lines, photo, refused

from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.datasets.noise.captured import NONE
from bench.datasets.sampling import Patches
from bench.datasets.sets.digests import SetDigests
from bench.datasets.sets.find import find
from bench.datasets.sets.own_folder import absolute, short_name, short_names, usable
from bench.protocol.request import Request

SIGMA = 160.0  # of 4095


def clean(name: str, side: int = 64) -> NDArray[np.float64]:
    """A gray photograph in 0..4095 [side, side]."""
    return photo(name, side, side)[..., 1] * (4095.0 / 255.0)


def noisy(name: str, seed: int, side: int = 64) -> NDArray[np.uint16]:
    """A frame of it, 12 bits in 16."""
    image = clean(name, side) + np.random.default_rng(seed).normal(0, SIGMA, (side, side))
    return np.rint(image.clip(0, 4095)).astype(np.uint16)


def save(path: Path, array: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack", **({"metadata": None} | options))


def images(folder: Path, said: str = "", channels: int = 1) -> list[SetImage]:
    return find(f"folder:{folder}{said}").load(None, channels)


# ---- what is read


def test_deep_files_and_stacks_are_images_in_the_unit_range(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", noisy("coffee", 0))
    save(tmp_path / "b.tif", np.stack([noisy("coffee", i) for i in range(3)]), metadata={"axes": "ZYX"})
    found = images(tmp_path)
    assert [image.name for image in found] == ["a", "b-0", "b-1", "b-2"]
    np.testing.assert_allclose(found[2].pixels[..., 0], noisy("coffee", 1) / 65535, rtol=1e-6)
    scaled = images(tmp_path, "@0..4095")
    np.testing.assert_allclose(scaled[2].pixels[..., 0], noisy("coffee", 1) / 4095, rtol=1e-6)
    assert scaled[0].digest != found[0].digest
    assert images(tmp_path, channels=3)[0].pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("kind", ["folder", "usable"])
def test_a_frame_with_the_name_of_another_file_is_refused(kind: str, tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.stack([noisy("coffee", i) for i in range(2)]), metadata={"axes": "ZYX"})
    save(tmp_path / "a-0.tif", noisy("chelsea", 0))
    with pytest.raises(InputError, match=r"a-0\.tif, .*a\.tif: .*'a-0'; rename"):
        find(f"{kind}:{tmp_path}").digest(1)


def test_axes_of_an_array_are_said_behind_the_path(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([noisy("coffee", i) for i in range(3)]))
    with pytest.raises(InputError, match="folder:PATH@ZYX"):
        images(tmp_path)
    assert len(images(tmp_path, "@ZYX@0..4095")) == len(images(tmp_path, "@0..4095@ZYX")) == 3
    with pytest.raises(InputError, match="3 channels, but this suite has 1"):
        images(tmp_path, "@CYX")


def test_floats_are_in_the_unit_range_or_it_is_said(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", (clean("coffee") / 4095).astype(np.float32))
    np.testing.assert_array_equal(images(tmp_path)[0].pixels[..., 0], (clean("coffee") / 4095).astype(np.float32))
    save(tmp_path / "b.tif", clean("coffee"))
    with pytest.raises(InputError, match=r"b\.tif: float64 values .*folder:PATH@"):
        images(tmp_path)
    assert images(tmp_path, "@0..4095")[1].pixels.max() <= 1.0


def test_names_of_folders_keep_what_is_said_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x@home").mkdir()
    assert absolute("folder:x@home@ZYX@0..4095") == f"folder:{tmp_path}/x@home@ZYX@0..4095"
    assert usable("folder:x@0..1") == "usable:x@0..1"
    assert short_name(f"folder:{tmp_path}/x@home@0..1") == "folder x@home@0..1"
    with pytest.raises(InputError, match="LOW below HIGH"):
        images(_one(tmp_path), "@5..5")


def test_a_label_has_the_names_of_folders_without_the_paths_to_them() -> None:
    asked = Request(
        train="folder:/home/a+b/photos", tests=("usable:/c, d/e", 'folder:/f/g"h', "kodak", "folder:/i,j/k")
    )
    assert short_names(asked.label) == 'mini, train=folder photos, test-sets=folder e+folder g"h+kodak+folder k'


@pytest.mark.parametrize("said", ["", "@0..4095"])
def test_the_name_of_a_folder_may_end_like_what_is_said_of_it(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "dir@XY" / "a.tif", noisy("coffee", 0))
    name = f"folder:{tmp_path}/dir@XY{said}"
    assert absolute(f"folder:~/dir@XY{said}") == absolute(name) == name
    assert short_name(name) == f"folder dir@XY{said}"
    assert [image.name for image in find(name).load(None, 1)] == ["a"]


def _one(folder: Path) -> Path:
    save(folder / "one" / "a.tif", noisy("coffee", 0))
    return folder / "one"


# ---- pairs and repeated frames


def paired(folder: Path) -> Path:
    """Two pairs of files, and a stack beside one clean image."""
    for seed, name in enumerate(("coffee", "chelsea")):
        save(folder / "clean" / f"{name}.tif", np.rint(clean(name)).astype(np.uint16))
        save(folder / "noisy" / f"{name}.tif", noisy(name, seed))
    save(folder / "clean" / "stack.tif", np.rint(clean("astronaut")).astype(np.uint16))
    save(folder / "noisy" / "stack.tif", np.stack([noisy("astronaut", i) for i in range(2)]))
    return folder


def repeated(folder: Path, frames: int = 4) -> Path:
    """Frames of two scenes."""
    for name in ("coffee", "chelsea"):
        for i in range(frames):
            save(folder / name / f"frame-{i}.tif", noisy(name, i))
    return folder


def test_a_pair_is_a_clean_image_with_its_noisy_frame(tmp_path: Path) -> None:
    chelsea, coffee, stack = images(paired(tmp_path))
    assert [len(image.frames) for image in (chelsea, coffee, stack)] == [1, 1, 2]
    np.testing.assert_allclose(coffee.pixels[..., 0], np.rint(clean("coffee")) / 65535, rtol=1e-6)
    np.testing.assert_allclose(coffee.frames[0].pixels[..., 0], noisy("coffee", 0) / 65535, rtol=1e-6)


def test_a_frame_of_a_scene_is_compared_with_the_mean_of_the_others(tmp_path: Path) -> None:
    _, coffee = images(repeated(tmp_path), "@0..4095")
    frames = [noisy("coffee", i) / 4095.0 for i in range(4)]
    np.testing.assert_allclose(coffee.pixels[..., 0], np.mean(frames, axis=0), atol=1e-6)
    for i, frame in enumerate(coffee.frames):
        assert frame.clean is not None
        others = np.mean([one for j, one in enumerate(frames) if j != i], axis=0)
        np.testing.assert_allclose(frame.clean.pixels[..., 0], others, atol=1e-6)


@pytest.mark.parametrize("kind", ["missing", "other size", "other count", "one frame", "size of a frame"])
def test_what_does_not_fit_together_is_named_or_left_out(kind: str, tmp_path: Path) -> None:
    folder = (paired if kind in ("missing", "other size", "other count") else repeated)(tmp_path)
    if kind == "missing":
        (folder / "clean" / "coffee.tif").unlink()
    elif kind == "other size":
        save(folder / "clean" / "coffee.tif", np.zeros((32, 64), np.uint16))
    elif kind == "other count":
        save(folder / "clean" / "stack.tif", np.zeros((3, 64, 64), np.uint16))
    elif kind == "one frame":
        save(folder / "one" / "frame-0.tif", noisy("coffee", 0))
    else:
        save(folder / "coffee" / "frame-9.tif", noisy("coffee", 0, side=32))
    says = {"missing": "coffee.* no file of this name in clean/", "other size": "coffee.*32 x 64",
            "other count": r"stack.*2 frames, but 3 in clean/", "one frame": "only frame of its scene",
            "size of a frame": "different sizes"}[kind]  # fmt: skip
    with pytest.raises(InputError, match=says):
        images(folder)
    some = find(f"usable:{folder}")
    used, left_out = some.chosen(some.load(None, 1), 0)
    assert (len(used), len(left_out)) == ((2 if kind != "size of a frame" else 1), 1)


def test_the_digest_of_a_folder_knows_its_frames(tmp_path: Path) -> None:
    name = f"folder:{paired(tmp_path)}"
    before = SetDigests()(name, 1)
    save(tmp_path / "noisy" / "coffee.tif", noisy("coffee", 7))
    assert SetDigests()(name, 1) != before


def test_noise_none_does_not_take_clean_images_for_noisy_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--noise captured"):
        Patches(images(paired(tmp_path)), NONE, "fresh", 32, 0)


def test_sub_folders_alone_are_named(tmp_path: Path) -> None:
    save(tmp_path / "day 1" / "a.tif", noisy("coffee", 0))
    with pytest.raises(InputError, match=r"no images in it, but sub-folders \(day 1\)"):
        images(tmp_path)


# ---- runs


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("make", [paired, repeated])
def test_a_run_trains_and_scores_on_captured_noise(make: Any, tmp_path: Path) -> None:
    name = f"folder:{make(tmp_path / 'mine')}@0..4095"
    asked = ("--suite", "fluorescence", "--train", name, "--test-sets", name, "--steps", "2")
    store = ("--store", tmp_path / "s")
    result = bench("run", "--methods", "nbr2nbr", *asked, *store)
    assert result.code == 0, result.err
    found = lines(*asked, *map(str, store))
    expected = 20 * np.log10(4095 / SIGMA) - (0 if make is paired else 10 * np.log10(1 + 1 / 3))
    assert line(found, method="noisy")["metrics"]["psnr"] == pytest.approx(expected, abs=0.4)
    assert "done" in {one["state"] for one in found if one["method"] == "nbr2nbr"}
    if make is repeated:
        again = bench("run", "--methods", "noisy", *asked, "--repeats", "4", *store)
        assert again.code == 0, again.err
        assert "5" in refused("run", "--methods", "noisy", *asked, "--repeats", "5", *store)
