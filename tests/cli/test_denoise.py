"""A user's own images, denoised through the command line: every value, axis and type comes back."""

import json
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import bench as command
from support.cli import file_of, photos, record
from support.own_files import tiff
from support.tiny import finished

import bench
from bench.apply import denoising
from bench.datasets.own.collection import collect
from bench.runner.signals import StopSignals

pytestmark = pytest.mark.usefixtures("narrow")
QUICK = ("--steps", "3", "--threads", "1")
Denoise = Callable[..., Any]


def photons(height: int = 96, width: int = 112) -> NDArray[np.float64]:
    """Bright structures of up to 120 photons on a dark ground."""
    sky = skimage.data.hubble_deep_field()[100 : 100 + height, 300 : 300 + width].mean(axis=2)
    return np.clip(sky / 150.0, 0.0, 1.0) * 120.0


def microscopy(seed: int, height: int = 96, width: int = 112) -> NDArray[np.uint16]:
    """A 12-bit frame: offset 100, gain 4, read noise 5."""
    rng, clean = np.random.default_rng(seed), photons(height, width)
    noisy = 4.0 * rng.poisson(clean) + rng.normal(0.0, 5.0, clean.shape) + 100.0
    return np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)


def error(image: NDArray[Any]) -> float:
    """Root mean square, in stored units."""
    height, width = image.shape[-2:]
    return float(np.sqrt(np.mean((image - (4.0 * photons(height, width) + 100.0)) ** 2)))


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Four 12-bit images in 16-bit TIFFs."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(4):
        tifffile.imwrite(folder / f"cell {i}, é.tif", microscopy(i), resolution=(2.5, 2.5), metadata={"axes": "YX"})
    return folder


def test_sixteen_bit_images_come_back_as_they_were(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("denoise", frames, "--out", out, "--method", "bm3d-vst")
    assert result.code == 0, result.err
    assert "4 files" in result.err
    assert "uint16" in result.err
    for source in sorted(frames.iterdir()):
        with tifffile.TiffFile(out / source.name) as made:
            image = made.asarray()
            assert (image.dtype, image.shape) == (np.uint16, (96, 112))
            assert made.pages[0].tags["XResolution"].value == (5, 2)
        assert error(image) < 0.95 * error(tifffile.imread(source))


def test_the_record_says_how_each_output_was_made(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = tmp_path / "out", ["denoise", "a b.tif", "--out", "o'ut"]
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    assert command("denoise", frames, "--out", out, "--method", "nbr2nbr", *QUICK).code == 0
    record = json.loads((out / denoising.RECORD).read_bytes())
    assert shlex.split(record["command"]) == ["python", "-m", "bench", *words]
    assert record["method"] == "nbr2nbr"
    assert record["identity"]["steps"] == 3
    assert set(record["outputs"]) == {path.name for path in frames.iterdir()}
    assert (out / record["weights"]).is_file()
    assert "Content-Security-Policy" in (out / "report.html").read_text()
    made = record["outputs"]["cell 0, é.tif"]
    assert re.fullmatch("[0-9a-f]{64}", made["sha256"])
    assert made["dtype"] == "uint16"


def test_the_same_command_again_does_nothing_twice(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("denoise", frames, "--out", out, "--method", "nbr2nbr", *QUICK)
    assert command(*asked).code == 0
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "cell 1, é.tif").unlink()
    again = command(*asked)
    assert again.code == 0
    assert "3 of 4 units done" in again.err
    assert "1 written, 3 were there" in again.err
    assert [
        name for name, when in times.items() if (out / name).stat().st_mtime_ns != when and name.endswith("tif")
    ] == ["cell 1, é.tif"]


def test_other_outputs_are_not_overwritten_unasked(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("denoise", frames, "--out", out, "--method", "nbr2nbr", *QUICK).code == 0
    other = command("denoise", frames, "--out", out, "--method", "n2v", *QUICK)
    assert other.code == 2
    assert "--overwrite" in other.err
    assert command("denoise", frames, "--out", out, "--method", "n2v", "--overwrite", *QUICK).code == 0


def test_a_stack_and_a_float_file(tmp_path: Path) -> None:
    stack = np.stack([microscopy(i, 70, 80) for i in range(5)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "real.tif", microscopy(9, 70, 80).astype(np.float32) / 4095)
    for name, axes in (("stack.tif", "ZYX"), ("real.tif", "YX")):
        out = tmp_path / "out"
        result = command("denoise", tmp_path / name, "--out", out, "--method", "n2v", *QUICK)
        assert result.code == 0, result.err
        with tifffile.TiffFile(tmp_path / name) as before, tifffile.TiffFile(out / name) as made:
            assert made.series[0].axes == before.series[0].axes == axes
            assert made.asarray().dtype == before.asarray().dtype
            assert made.asarray().shape == before.asarray().shape


def test_several_channels_stay(tmp_path: Path) -> None:
    six = np.stack([microscopy(i, 64, 64) for i in range(6)])
    tifffile.imwrite(tmp_path / "six.tif", six, imagej=True, metadata={"axes": "CYX"})
    for channels in ("joint", "each"):
        out = tmp_path / channels
        result = command(
            "denoise", tmp_path / "six.tif", "--out", out, "--method", "n2v", "--channels", channels, *QUICK
        )
        assert result.code == 0, result.err
        assert tifffile.imread(out / "six.tif").shape == six.shape


@pytest.mark.parametrize("odd", [(90, 112), (3, 96, 112)])
def test_frames_of_a_scene_that_differ_in_size_do_not_train_together(odd: tuple[int, ...], tmp_path: Path) -> None:
    for number in range(1, 4):
        pixels = np.broadcast_to(microscopy(number, *odd[-2:]), odd) if number == 1 else microscopy(number)
        tiff(tmp_path / f"frame-{number}.tif", pixels, metadata={"axes": "ZYX"[-pixels.ndim :]})
    repeated, *alone = denoising.training_images(collect([tmp_path]))
    assert [one.sides for one in repeated.frames] == [(96, 112)] * 2
    assert [(one.sides, one.frames) for one in alone] == [(odd[-2:], ())] * (odd[0] if len(odd) > 2 else 1)


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(frames: Path, tmp_path: Path) -> None:
    (frames / "broken.tif").write_bytes(b"II*\0 nothing more")
    result = command("denoise", frames, "--out", tmp_path / "out", "--method", "nbr2nbr", *QUICK)
    assert result.code == 1
    assert "broken.tif" in result.err
    assert len(list((tmp_path / "out").glob("*.tif"))) == 4


def test_weights_of_before_need_no_training(frames: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert command("denoise", frames, "--out", first, "--method", "nbr2nbr", *QUICK).code == 0
    (weights,) = (first / denoising.WEIGHTS).glob("*.safetensors")
    result = command("denoise", frames, "--out", second, "--method", "nbr2nbr", "--weights", weights)
    assert result.code == 0, result.err
    for path in first.glob("*.tif"):
        np.testing.assert_array_equal(tifffile.imread(path), tifffile.imread(second / path.name))


@pytest.mark.parametrize(
    ("said", "more", "expected"),
    [
        ("@110..610", (), "range 110..610 (of the training)"),
        ("", (), "(of the noise card)"),
        ("@110..610", ("--range", "90,700"), "range 90..700 (asked for)"),
    ],
)
def test_weights_of_the_store_see_the_range_of_their_training(
    said: str, more: tuple[str, ...], expected: str, frames: Path, tmp_path: Path
) -> None:
    store, out = ("--store", tmp_path / "store"), tmp_path / "out"
    asked = ("--suite", "gray", "--train", f"folder:{frames}{said}", "--noise", "none")
    assert command("run", "--methods", "nbr2nbr", *asked, *store, *QUICK).code == 0
    result = command("denoise", frames, "--out", out, "--method", "nbr2nbr", "--from", "nbr2nbr none", *store, *more)
    assert result.code == 0, result.err
    assert expected in result.err
    assert all(tifffile.imread(path).mean() > 50.0 for path in out.glob("*.tif"))


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", "range 0..255 (of uint8)"), ("uint16", "(of the noise card)")]
)
def test_weights_trained_on_photographs_see_photographs_in_their_range(
    dtype: str, expected: str, tmp_path: Path
) -> None:
    store, file = ("--store", tmp_path / "store"), tmp_path / f"{dtype}.tif"
    dark = np.random.default_rng(0).normal(100.0, 10.0, (96, 96)).clip(0, 255).astype(dtype)
    tifffile.imwrite(file, dark)
    assert command("run", "--methods", "nbr2nbr", "--suite", "gray", "--noise", "gauss25", *store, *QUICK).code == 0
    asked = ("--method", "nbr2nbr", "--from", "nbr2nbr gauss25", "--out", tmp_path / "out")
    result = command("denoise", file, *asked, *store)
    assert result.code == 0, result.err
    assert expected in result.err


def test_weights_of_a_method_that_is_told_the_noise_are_told_it_again(tmp_path: Path) -> None:
    file, first, second = tmp_path / "noisy.png", tmp_path / "first", tmp_path / "second"
    (photo,) = photos(tmp_path / "photos", "astronaut", height=256, width=256, gray=True).iterdir()
    noise = np.random.default_rng(0).normal(0.0, 20.0, (256, 256))
    Pillow.fromarray((np.asarray(Pillow.open(photo)) + noise).clip(0, 255).astype(np.uint8)).save(file)
    assert command("denoise", file, "--out", first, "--method", "noisier2noise", *QUICK).code == 0
    (weights,) = (first / denoising.WEIGHTS).glob("*.safetensors")
    for number, more in enumerate((("--weights", weights), ("--range", "0,255", *QUICK))):
        result = command("denoise", file, "--out", second / str(number), "--method", "noisier2noise", *more)
        assert result.code == 0, result.err


def test_a_configuration_of_a_suite_is_a_method(frames: Path, tmp_path: Path) -> None:
    asked, first = ("--method", "n2v-bsd68"), tmp_path / "first"
    result = command("denoise", frames, "--out", first, *asked, "--range", "0,4095", *QUICK)
    assert result.code == 0, result.err
    (weights,) = (first / denoising.WEIGHTS).glob("*.safetensors")
    result = command("denoise", frames, "--out", tmp_path / "second", *asked, "--weights", weights)
    assert result.code == 0, result.err


def test_a_range_in_which_the_noise_has_no_name_is_named(tmp_path: Path) -> None:
    file, out = tmp_path / "noisy.tif", tmp_path / "out"
    tifffile.imwrite(file, np.random.default_rng(0).normal(100.0, 10.0, (96, 96)).clip(0, 255).astype(np.uint8))
    asked = ("denoise", file, "--out", out, *QUICK, "--range", "0,1e9", "--method")
    refused = command(*asked, "r2r")
    assert (refused.code, "--range" in refused.err, "noise" in refused.err) == (2, True, True)
    result = command(*asked, "laine19-gauss")
    assert result.code == 0, result.err


def test_supervised_training_on_pairs(frames: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    for kind in ("noisy", "clean"):
        (pairs / kind).mkdir(parents=True)
    for i in range(2):
        tifffile.imwrite(pairs / "noisy" / f"{i}.tif", microscopy(i))
        tifffile.imwrite(pairs / "clean" / f"{i}.tif", microscopy(i + 10))
    result = command("denoise", frames, "--train", pairs, "--out", tmp_path / "out", "--method", "n2c", *QUICK)
    assert result.code == 0, result.err
    refused = command("denoise", frames, "--out", tmp_path / "other", "--method", "n2c", *QUICK)
    assert refused.code == 2
    assert "clean" in refused.err


def test_training_images_of_other_channels_are_refused_before_training(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "colour").mkdir()
    Pillow.fromarray(skimage.data.astronaut()[:96, :96]).save(tmp_path / "colour" / "a.png")
    result = command("denoise", frames, "--train", tmp_path / "colour", "--out", tmp_path / "out", *QUICK)
    assert (result.code, "channels" in result.err, (tmp_path / "out").exists()) == (2, True, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_its_code(
    number: signal.Signals, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopSignals, "__call__", lambda self: bool(self._note(number, None)) or True)
    result = command("denoise", frames, "--out", tmp_path / "out", "--method", "n2v", *QUICK)
    assert result.code == 128 + number


def test_a_method_is_chosen_and_the_reason_printed(frames: Path, tmp_path: Path) -> None:
    result = command("denoise", frames, "--out", tmp_path / "out", *QUICK)
    assert result.code == 0, result.err
    assert re.search(r"method: [\w-]+ \(.+\)", result.err)


def test_an_array_to_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the page for files, which nobody would see."""
    monkeypatch.setattr("bench.api.denoising._write_page", None)
    stack = np.stack([microscopy(i, 70, 80) for i in range(3)])
    made = bench.denoise(stack, axes="ZYX", method="bm3d-vst")
    assert (made.dtype, made.shape) == (stack.dtype, stack.shape)
    assert error(made) < 0.95 * error(stack)
    trained = bench.denoise(stack, axes="ZYX", method="nbr2nbr", steps=2)
    assert (trained.dtype, trained.shape) == (stack.dtype, stack.shape)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--method", "nbr2nb"), "nbr2nbr"),
        (("--minutes", "0"), "minutes"),
        (("--minutes", "1", "--steps", "5"), "exclude"),
        (("--weights", "nothing.safetensors"), "--method"),
        (("--method", "n2v", "--weights", "."), "a folder; expected a file"),
        (("--method", "auto", "--weights", "weights.safetensors"), "--method auto"),
    ],
)
def test_wrong_options_say_what_to_do(frames: Path, tmp_path: Path, more: tuple[str, ...], word: str) -> None:
    result = command("denoise", frames, "--out", tmp_path / "out", *more)
    assert result.code == 2
    assert word in result.err
    assert not list(tmp_path.glob("out/*.tif"))


def test_eight_bit_colour_and_opacity(tmp_path: Path) -> None:
    colour = skimage.data.astronaut()[:72, :80]
    alpha = np.dstack([colour, np.full((72, 80), 128, np.uint8)])
    Pillow.fromarray(alpha).save(tmp_path / "alpha.png")
    result = command("denoise", tmp_path / "alpha.png", "--out", tmp_path / "out", "--method", "n2v", *QUICK)
    assert result.code == 0, result.err
    made = np.asarray(Pillow.open(tmp_path / "out" / "alpha.png"))
    assert made.shape == (72, 80, 4)
    assert (made[..., 3] == 128).all()


def test_minutes_are_turned_into_steps_once(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = ("denoise", frames, "--out", out, "--method", "n2v", "--minutes", "0.01", "--threads", "1", "--overwrite")
    assert command(*argv).code == 0
    (note,) = out.rglob("*.steps")
    before = note.stat().st_mtime_ns, note.read_text()
    assert json.loads((out / denoising.RECORD).read_bytes())["identity"]["steps"] == int(before[1])
    assert command(*argv).code == 0
    assert (note.stat().st_mtime_ns, note.read_text()) == before


def test_the_weights_of_a_cell_are_those_of_its_file(tmp_path: Path) -> None:
    place, photo = finished(tmp_path), photos(tmp_path / "mine", "astronaut") / "astronaut.png"
    key = record(place.store, "fit", "n2c")["key"]
    file = file_of(place.store, "fit", "n2c", ".safetensors")
    for name, more in {"cell": ("--from", key, "--store", place.store), "file": ("--weights", file)}.items():
        result = command("denoise", photo, "--out", tmp_path / name, "--method", "n2c", *more)
        assert result.code == 0, result.err
    made = [np.asarray(Pillow.open(tmp_path / name / photo.name)) for name in ("cell", "file")]
    np.testing.assert_array_equal(*made)


def test_the_seed_and_the_type_of_an_output_can_be_asked_for(frames: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        argv = ("--out", tmp_path / seed, "--method", "n2v", *QUICK, "--seed", seed, "--dtype", "float32")
        assert command("denoise", frames, *argv).code == 0
    one, two = (tifffile.imread(next((tmp_path / seed).glob("*.tif"))) for seed in ("0", "1"))
    assert (one.dtype, two.dtype) == (np.float32, np.float32)
    assert not np.array_equal(one, two)
