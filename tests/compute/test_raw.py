"""Raw mosaics: made from photographs, with a sensor's noise; what methods see of them, and how they are scored."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.stats import kstest
from support.cli import photo, photos, refused, snapshot
from support.matlab import mosaic

from bench.compute.inference import seen
from bench.compute.machine import Machine
from bench.compute.noisy_images import Noisy
from bench.compute.scoring import compare
from bench.compute.training import source_of, train
from bench.compute.zero_shot import restore
from bench.datasets.errors import InputError
from bench.datasets.formats import bayer
from bench.datasets.formats.bayer import OFFSETS
from bench.datasets.formats.pack import Writer
from bench.datasets.images import SetImage
from bench.datasets.noise.captured import CAPTURED
from bench.datasets.noise.model import Image, parse
from bench.datasets.noise.named import named
from bench.datasets.sampling import Patches, one_sample
from bench.datasets.sets.find import find
from bench.methods.classical.noisy import Noisy as Input
from bench.protocol import suites
from bench.protocol.metrics.builtin import ssim
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.protocol.suites import View
from bench.protocol.units import Fit, Score

RAW = Scoring(quantise="float", data_range=1.0)
COLOURS = {"R": 0.1, "Gr": 0.3, "Gb": 0.5, "B": 0.7}  # greens by the colour that they share a row with
Work = Callable[..., Fit]


def encoded(pattern: str, height: int, width: int) -> Image:
    """A mosaic [height, width, 1] whose values are its pixels' colours."""
    quad = np.array(list(pattern)).reshape(2, 2)
    names = [["G" + ("r" if "R" in row else "b") if letter == "G" else letter for letter in row] for row in quad]
    values = np.array([[COLOURS[name] for name in row] for row in names], np.float32)
    return np.tile(values, (height, width))[:height, :width, None]


def set_image(pixels: Image, pattern: str) -> SetImage:
    return SetImage.decoded("mosaic", Path("mosaic.mat"), pixels, 1, pattern=pattern)


# ---- mosaics of photographs


def linear(value: int) -> float:
    """sRGB's gamma undone (IEC 61966-2-1)."""
    v = value / 255
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("pattern", OFFSETS)
def test_a_mosaic_has_one_colour_of_each_pixel_without_gamma(pattern: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    photo[0, 0] = (0, 10, 11)  # the curve is straight up to 10
    made = bayer.mosaic(photo, pattern)
    for row, column in np.ndindex(4, 6):
        channel = "RGB".index(pattern[2 * (row % 2) + column % 2])
        assert made[row, column, 0] == pytest.approx(linear(int(photo[row, column, channel])), rel=1e-6)


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (10, 0.0030353), (128, 0.2158605), (255, 1.0)])
def test_linearisation_is_that_of_the_standard(value: int, expected: float) -> None:
    made = bayer.mosaic(np.full((2, 2, 3), value, np.uint8), "RGGB")
    np.testing.assert_allclose(made, expected, atol=1e-7)


def test_odd_photographs_lose_their_last_row_and_column() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(bayer.mosaic(photo, "GBRG"), bayer.mosaic(photo[:6, :8], "GBRG"), strict=True)


def test_embedded_mosaics_are_even_in_range_and_have_all_phones_patterns() -> None:
    set_images = find("embedded_raw_train").load(None, 1)
    assert [one.pattern for one in set_images] == [*OFFSETS, *OFFSETS][: len(set_images)]
    for one in set_images:
        height, width, channels = one.pixels.shape
        assert (height % 2, width % 2, channels, one.pixels.dtype) == (0, 0, 1, np.float32)
        assert one.pixels.min() >= 0
        assert 0.5 < one.pixels.max() <= 1


# ---- a sensor's noise


@pytest.mark.parametrize("value", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("level", [2, 50])
def test_a_sensors_variance_is_affine_in_the_signal(value: float, level: int) -> None:
    noisy, told = named(parse(f"sensor{level}"), np.full((256, 256, 1), value, np.float32), "x", 0)
    a = level * 1e-4
    assert told == level
    assert noisy.var() == pytest.approx(a * value + np.exp(2.18 * np.log(a) + 1.2), rel=0.03)  # 5 deviations


def test_a_range_of_sensors_is_uniform_in_stops() -> None:
    noise = parse("sensor1_120")
    levels = np.array([noise.draw_level(np.random.default_rng(i)) for i in range(2000)])
    assert kstest(np.log(levels) / np.log(120), "uniform").pvalue > 0.01
    assert kstest((levels - 1) / 119, "uniform").pvalue < 1e-9


@pytest.mark.parametrize("name", ["sensor1_120", "sensor20", "sensor0.5", "sensor20:8bit", "sensor1_120:correlated"])
def test_sensors_names_round_trip(name: str) -> None:
    assert parse(name).name == name


@pytest.mark.parametrize("name", ["sensor", "sensor0", "sensor120_1", "sensor-1", "captured25", "captured:8bit"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"Allowed: .*sensor1_120"):
        parse(name)


# ---- views


class Echo(Input, frozen=True):
    """Returns its input, which is padded as a network's is."""

    multiple: ClassVar[int] = 32


@pytest.fixture
def score(work: Work) -> Callable[..., Score]:
    """A score of a method that returns its input."""

    def make(view: View, padding: Literal["square", "next"] = "next", method: Input | None = None) -> Score:
        asked = work(method or Echo(), "sensor20", channels=1, view=view)
        return Score(fit=asked, test="x", noise=asked.noise, repeats=1, padding=padding, scoring=RAW)

    return make


@pytest.mark.parametrize("method", [Input(), Echo()], ids=["as it is", "padded"])
@pytest.mark.parametrize("padding", ["square", "next"])
@pytest.mark.parametrize(
    ("view", "height", "width"),
    [("plain", 33, 50), ("bayer", 34, 50), ("bayer-aligned", 34, 50), ("bayer-aligned", 33, 51)],
)
@pytest.mark.parametrize("pattern", OFFSETS)
def test_what_returns_its_input_gives_the_mosaic_back(
    score: Callable[..., Score],
    machine: Machine,
    pattern: str,
    view: View,
    height: int,
    width: int,
    padding: Literal["square", "next"],
    method: Input,
) -> None:
    stored = mosaic(height, width, 1)
    noisy = Noisy(set_image(stored, pattern), 0, stored, 20.0)
    found = restore(score(view, padding, method), None, noisy, machine, lambda report: None, lambda: False, None)
    np.testing.assert_array_equal(found["noisy"], stored, strict=True)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47)])
@pytest.mark.parametrize("pattern", OFFSETS)
def test_the_planes_of_the_aligned_view_are_red_two_greens_and_blue(pattern: str, height: int, width: int) -> None:
    stored = encoded(pattern, height, width)
    planes, _ = seen(Noisy(set_image(stored, pattern), 0, stored, 0.0), "bayer-aligned")
    np.testing.assert_array_equal(planes, np.broadcast_to(np.array(list(COLOURS.values()), np.float32), planes.shape))


@pytest.mark.parametrize("pattern", OFFSETS)
def test_the_planes_of_the_plain_bayer_view_are_the_places_in_a_quad(pattern: str) -> None:
    stored = encoded(pattern, 32, 48)
    planes, _ = seen(Noisy(set_image(stored, pattern), 0, stored, 0.0), "bayer")
    np.testing.assert_array_equal(planes, np.broadcast_to(stored[:2, :2].ravel(), planes.shape))


@pytest.mark.parametrize("pattern", OFFSETS)
@pytest.mark.parametrize("side", [65, 66, 75])
def test_aligned_crops_begin_with_red_wherever_they_are_cut(work: Work, pattern: str, side: int) -> None:
    asked = work("n2c", "none", channels=1, view="bayer-aligned", crop=64)
    source = source_of(asked, [set_image(encoded(pattern, side, side), pattern)])
    for number in range(20):
        (planes,) = one_sample(source, number, 1).frames
        np.testing.assert_array_equal(planes, np.full((32, 32, 4), list(COLOURS.values()), np.float32), strict=True)


def test_aligned_crops_come_from_everywhere(work: Work) -> None:
    """Of 12x11, 4x4 crops that begin with a red pixel have 4 x 4 places; row and column are told by the values."""
    ramp = np.arange(12 * 11, dtype=np.float32).reshape(12, 11, 1) / 256
    source = source_of(work("n2c", "none", channels=1, view="bayer-aligned", crop=4), [set_image(ramp, "GBRG")])
    found = {round(float(one_sample(source, number, 1).frames[0][0, 0, 0]) * 256) for number in range(300)}
    assert found == {11 * row + column for row in (1, 3, 5, 7) for column in (0, 2, 4, 6)}


def test_plain_bayer_crops_begin_at_any_offset(work: Work) -> None:
    source = source_of(work("n2c", "none", channels=1, view="bayer", crop=32), [set_image(encoded("GRBG", 48, 48), "")])
    found = {round(float(one_sample(source, number, 1).frames[0][0, 0, 0]), 1) for number in range(40)}
    assert found == set(COLOURS.values())


@pytest.mark.parametrize(("view", "channels"), [("plain", 1), ("bayer", 4), ("bayer-aligned", 4)])
def test_networks_are_trained_on_packed_mosaics(work: Work, machine: Machine, view: View, channels: int) -> None:
    asked = work("n2c", "sensor20", channels=1, view=view, crop=64, steps=1, train="embedded_raw_train")
    trained = train(asked, [set_image(mosaic(80, 80, 1), "BGGR")], machine)
    assert next(iter(trained.net.parameters())).shape[1] == asked.planes == channels


def test_the_noise_of_packed_mosaics_is_the_mosaics_own(work: Work) -> None:
    """Clean and noisy planes belong together, and the sensor's noise is in them."""
    source = source_of(work("n2n", "sensor50", channels=1, view="bayer", crop=64), [set_image(mosaic(80, 80, 1), "")])
    view = one_sample(source, 0, 2)
    assert view.clean is not None
    expected = parse("sensor50").std(view.clean, 50)
    for frame in view.frames:
        assert (frame - view.clean).std() == pytest.approx(expected, rel=0.08)


def test_the_aligned_view_needs_a_pattern(work: Work) -> None:
    with pytest.raises(InputError, match=r"mosaic\.mat: its Bayer pattern is not known; use the view bayer"):
        source_of(work("n2c", "sensor20", channels=1, view="bayer-aligned"), [set_image(mosaic(80, 80, 1), "")])


def test_a_mosaic_smaller_than_an_aligned_crop_is_named(work: Work) -> None:
    with pytest.raises(InputError, match=r"mosaic\.mat: 64x64 is smaller than the crop of 65"):
        source_of(
            work("n2c", "sensor20", channels=1, view="bayer-aligned", crop=64), [set_image(mosaic(64, 64, 1), "BGGR")]
        )


# ---- scoring


def test_raw_is_scored_as_floats_in_0_to_1() -> None:
    clean = mosaic(40, 48, 1) ** 3
    output = (clean + np.random.default_rng(1).normal(0, 0.1, clean.shape)).astype(np.float32)
    assert output.min() < 0 < 1 < output.max()
    clipped = np.clip(output, 0, 1).astype(np.float64)
    decibels, similarity = compare(output, clean, RAW).values()
    assert decibels == pytest.approx(-10 * np.log10(np.mean((clipped - clean) ** 2)), abs=1e-9)
    assert similarity == pytest.approx(ssim(clipped * 255, clean.astype(np.float64) * 255, 255.0), abs=1e-9)
    rounded = compare(output, clean, Scoring())["psnr"]
    assert abs(rounded - decibels) > 1e-4


@pytest.mark.parametrize(("height", "width"), [(63, 64), (64, 65)])
def test_mosaics_of_odd_sides_are_refused_before_training(tmp_path: Path, height: int, width: int) -> None:
    path = photos(tmp_path / "odd", "chelsea") / "chelsea.png"
    Pillow.fromarray(photo("chelsea", height, width)[..., 1]).save(path)
    argv = ("--steps", "1", "--test-sets", f"folder:{path.parent}", "--precision", "float32", "--store", tmp_path / "s")
    message = refused("run", "--suite", "raw", "--methods", "n2c", *argv)
    assert f"{path}: {width}x{height}, expected even sides (whole Bayer quads)" in message
    assert snapshot(tmp_path / "s") == {}


def test_mosaics_of_unknown_pattern_are_not_aligned(tmp_path: Path) -> None:
    path = photos(tmp_path / "even", "chelsea") / "chelsea.png"
    Pillow.fromarray(photo("chelsea", 64, 64)[..., 1]).save(path)
    argv = ("--steps", "1", "--test-sets", f"folder:{path.parent}", "--precision", "float32", "--store", tmp_path / "s")
    message = refused("run", "--suite", "raw", "--methods", "n2c-aligned", *argv)
    assert f"{path}: its Bayer pattern is not known; use the view bayer" in message
    assert snapshot(tmp_path / "s") == {}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("channels = 1", "channels = 3", "channels = 3"),
        ("[presets.mini.budgets.laine19]\n", "[presets.mini.budgets.laine19]\ncentre_crop = 65\n", "centre_crop = 65"),
    ],
)
def test_suites_that_cannot_pack_their_mosaics_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (Path(suites.__file__).parent / "suites" / "raw.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new), encoding="utf-8")
    assert says in refused("tables", "--suite", tmp_path / "mine.toml", "--store", tmp_path)


@pytest.mark.parametrize(("view", "possible"), [('view = "bayer"\n', False), ("", True)])
def test_a_crop_of_a_mosaic_has_whole_multiples_of_the_network_s_after_packing(
    view: str, possible: bool, tmp_path: Path
) -> None:
    text = (Path(suites.__file__).parent / "suites" / "raw.toml").read_text(encoding="utf-8")
    text = text.replace("crop = 128 #", "crop = 96 #").replace('view = "bayer"\n', view)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    cells = make(Request(suite=str(tmp_path / "mine.toml"), methods=("n2c", "n2c-aligned"))).cells
    excluded = {cell.name: cell.excluded for cell in cells}
    assert (excluded["n2c"] is None) == possible
    state = excluded["n2c-aligned"]
    assert state is not None
    assert state.kind == "not possible"
    assert "multiples of 64" in state.reason
    assert excluded["noisy"] is None  # nothing is trained


# ---- packs of SIDD Medium

KINDS = ("clean010", "clean011", "noisy010", "noisy011")


def base(scene: int) -> NDArray[np.float32]:
    return mosaic(144, 144, 1, seed=scene) / np.float32(2)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Two crops; frame i of KINDS is the scene plus i / 10, so that differences tell which frames they are of."""
    with Writer(tmp_path / "sidd_medium", "<f4") as writer:
        for scene, pattern in enumerate(("GRBG", "BGGR")):
            for i, kind in enumerate(KINDS):
                writer.append(f"000{scene}_s001/{kind}", base(scene) + np.float32(i / 10), pattern)
        writer.finish("a test")
    return tmp_path


def test_a_packs_crop_is_one_image_with_two_captures(packed: Path) -> None:
    set_images = find("sidd_medium").load(packed, 1)
    assert [(one.pattern, len(one.frames)) for one in set_images] == [("GRBG", 2), ("BGGR", 2)]
    for scene, one in enumerate(set_images):
        for i, frame in enumerate(one.frames):
            np.testing.assert_array_equal(frame.pixels, base(scene) + np.float32((i + 2) / 10), strict=True)
            assert frame.clean is not None
            np.testing.assert_array_equal(frame.clean.pixels, base(scene) + np.float32(i / 10), strict=True)


def test_each_capture_has_its_own_clean_image_and_the_other_as_its_pair(packed: Path) -> None:
    set_images = find("sidd_medium").load(packed, 1)
    patches, seconds = Patches(set_images, CAPTURED, "fresh", 128, 0), []
    for number in range(8):
        (first, second), _, clean = one_sample(patches, number, 2)
        np.testing.assert_allclose(first - clean, 0.2, atol=1e-6)  # its own clean image, in one window
        seconds.append(round(float((second - first)[0, 0, 0]), 3))
        np.testing.assert_allclose(second - first, seconds[-1], atol=1e-6)
    assert sorted(seconds) == [-0.1] * 4 + [0.1] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_without_one_of_the_frames_is_named(tmp_path: Path, kind: str) -> None:
    with Writer(tmp_path / "sidd_medium", "<f4") as writer:
        for other in KINDS:
            if other != kind:
                writer.append(f"0001_s001/{other}", base(0))
        writer.finish("a test")
    with pytest.raises(
        InputError, match=rf"0001_s001 has no {kind}; expected noisy010, .*; prepare it again"
    ) as caught:
        find("sidd_medium").load(tmp_path, 1)
    assert str(tmp_path / "sidd_medium") in str(caught.value)
