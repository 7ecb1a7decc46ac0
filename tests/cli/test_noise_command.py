"""bench noise on files as users have them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.cli import bench
from support.noisy_scenes import correlated, frame, photons, scene

from bench import api


@pytest.fixture(scope="module")
def microscope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve 12-bit images in uint16."""
    folder = tmp_path_factory.mktemp("microscope")
    for seed, name in enumerate(("astronaut", "camera", "cell") * 4):
        plane = np.clip(photons(scene(name)[:128, :128], 2.0, 6.0, seed), 0, 4095)
        tifffile.imwrite(folder / f"cells {seed:02d}.tif", plane.astype(np.uint16))
    return folder


def test_a_folder_of_tiffs(microscope: Path, tmp_path: Path) -> None:
    result = bench("noise", microscope, "--offset", "100", "--out", tmp_path / "card")
    assert result.code == 0, result.err
    assert "12 files, uint16" in result.err
    assert "12 files, 12 frames, uint16, 1 channel" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    for words in ("photoelectron", "independent", "--range", "Begin with b2u", "n2c: needs clean images"):
        assert words in " ".join(result.out.split())
    names = {path.name for path in (tmp_path / "card").iterdir()}
    assert names == {f"noise-card.{ending}" for ending in ("txt", "json", "png", "pdf")}
    card = json.loads((tmp_path / "card" / "noise-card.json").read_text(encoding="utf-8"))
    assert card["planes"][0]["gain"]["value"] == pytest.approx(2.0, rel=0.05)
    assert card["planes"][0]["read_noise"]["low"] <= 6.0 <= card["planes"][0]["read_noise"]["high"]
    assert card["closest"].startswith("poisson")


def test_the_card_as_json_and_as_a_table(microscope: Path) -> None:
    result = bench("noise", microscope, "--format", "json")
    (card,) = json.loads(result.out)
    assert card["whiteness"] == "white"
    assert card["recommended"]["method"] == "b2u"
    table = bench("noise", microscope, "--format", "md")
    assert "| gain " in table.out


def test_a_stack_of_repeats_and_one_of_planes(tmp_path: Path) -> None:
    frames = [photons(scene("grass"), 2.0, 6.0, seed) for seed in range(4)]
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(frames).astype(np.uint16), metadata={"axes": "TYX"}, imagej=True)
    repeats = bench("noise", tmp_path / "stack.tif", "--repeats")
    assert repeats.code == 0, repeats.err
    assert "Begin with n2n" in repeats.out
    single = bench("noise", tmp_path / "stack.tif")
    assert "structure everywhere" in single.out
    assert "n2n: needs two frames of each scene" in single.out


def test_frames_in_a_folder_are_repeats(tmp_path: Path) -> None:
    for seed in range(3):
        (tmp_path / "scene").mkdir(exist_ok=True)
        plane = correlated(scene("camera"), "0.6", 2.0, seed)
        tifffile.imwrite(tmp_path / "scene" / f"frame-{seed}.tif", frame(plane)[..., 0])
    result = bench("noise", tmp_path / "scene")
    assert "Begin with n2n" in result.out
    assert "b2u: predicts" in result.out or "b2u: takes" in result.out


def test_files_of_several_kinds_have_a_card_each(microscope: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "colour.tif", np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8))
    paths = [microscope / "cells 00.tif", tmp_path / "colour.tif"]
    cards = api.noise_card(paths)
    assert [card.channels for card in cards] == [1, 3]
    written = api.write_noise_cards(cards, tmp_path / "out")
    assert {path.stem for path in written} == {"noise-card-1", "noise-card-2"}


def test_frames_of_a_scene_with_other_channels_are_images_of_their_own(tmp_path: Path) -> None:
    gray = frame(photons(scene("camera"), 2.0, 6.0, 0))[..., 0]
    for number, pixels in enumerate((np.stack([gray] * 3, axis=2), gray), 1):
        tifffile.imwrite(tmp_path / f"frame-{number}.tif", pixels, photometric=("rgb", "minisblack")[number - 1])
    cards = api.noise_card([tmp_path])
    assert [(card.channels, card.movement) for card in cards] == [(3, None), (1, None)]


def test_an_offset_above_the_images_is_one_line(microscope: Path) -> None:
    result = bench("noise", microscope / "cells 00.tif", "--offset", "10000")
    assert result.code == 2
    assert "--offset 10000" in result.err.splitlines()[-1]


def test_frames_of_another_size_are_told(tmp_path: Path) -> None:
    for number, side in enumerate((128, 128, 128, 96), 1):
        plane = photons(scene("camera")[:side, :side], 2.0, 6.0, number)
        tifffile.imwrite(tmp_path / f"frame-{number}.tif", frame(plane)[..., 0])
    result = bench("noise", tmp_path)
    assert f"{tmp_path}: 1 of 4 frames" in result.err
    assert "The 3 frames differ" in " ".join(result.out.split())


def test_a_mosaic_is_looked_at_by_colour(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", frame(photons(scene("camera"), 2.0, 6.0, 0))[..., 0])
    result = bench("noise", tmp_path / "raw.tif", "--pattern", "GRBG")
    assert "gain, green beside red" in result.out
    wrong = bench("noise", tmp_path / "raw.tif", "--pattern", "RGBG")
    assert wrong.code == 2
    assert "RGGB" in wrong.err


def test_constant_images_and_bad_files(microscope: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((100, 100), np.uint16))
    black = bench("noise", tmp_path / "black.tif")
    assert black.code == 0
    assert "No noise can be measured" in " ".join(black.out.split())
    tifffile.imwrite(tmp_path / "nan.tif", np.full((100, 100), np.nan, np.float32))
    assert bench("noise", tmp_path / "nan.tif").code == 2
    some = bench("noise", tmp_path / "nan.tif", microscope / "cells 00.tif")
    assert some.code == 1
    assert "nan.tif" in some.err
    assert bench("noise", tmp_path / "missing.tif").code == 2


def test_a_folder_that_cannot_be_written_is_one_line(microscope: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = bench("noise", microscope / "cells 00.tif", "--out", tmp_path / "file")
    assert result.code == 2
    assert "--out" in result.err
    assert len(result.err.strip().splitlines()) == 2


def test_a_large_image_is_looked_at_in_windows(tmp_path: Path) -> None:
    large = np.tile(photons(scene("camera"), 2.0, 6.0, 0), (9, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "large.tif", large)
    (card,) = api.noise_card([tmp_path / "large.tif"], offset=100.0)
    assert card.pixels == large.size
    assert card.planes[0].gain.value == pytest.approx(2.0, rel=0.05)
