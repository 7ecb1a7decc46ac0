"""The noise card on images whose noise is known."""

import re

import numpy as np
import pytest
from msgspec import structs
from support.noisy_scenes import OFFSET, WHITE, correlated, frame, jpeg, photons, scene, sentences, shared

from bench.apply.defects import ROUNDED, ends, jpeg_blocks, spikes, steps
from bench.apply.estimates import Estimate
from bench.apply.noise_card import Card, noise_card
from bench.apply.noise_card_text import text
from bench.apply.noise_findings import shown
from bench.datasets.errors import InputError
from bench.methods.registry import methods


@pytest.fixture(scope="module")
def astronaut() -> Card:
    planes = [photons(scene("astronaut"), 2.0, 6.0, seed) for seed in range(4)]
    return noise_card([[frame(plane)] for plane in planes], bits=16, offset=OFFSET)


def test_gain_and_read_noise_of_a_camera_are_found(astronaut: Card) -> None:
    (plane,) = astronaut.planes
    assert plane.gain.value == pytest.approx(2.0, rel=0.05)
    assert plane.read_noise.value == pytest.approx(6.0, rel=0.1)
    assert 2.0 in plane.gain
    assert 6.0 in plane.read_noise
    assert plane.level.value == pytest.approx(np.sqrt(2.0 * (plane.brightness - OFFSET) + 36.0), rel=0.02)


def test_white_noise_gets_a_blind_spot_method(astronaut: Card) -> None:
    assert astronaut.whiteness == "white"
    assert astronaut.recommended is not None
    assert astronaut.recommended.method == "b2u"
    suits = {advice.method for advice in astronaut.advice if advice.applies}
    assert {"b2u", "n2v", "nbr2nbr", "bm3d-vst"} <= suits
    assert not {"n2c", "n2n"} & suits


def test_more_photons_than_a_name_holds_are_gaussian_noise() -> None:
    """Frames that are averages of very many: a level of seven digits is no noise that can be named."""
    planes = [photons(scene("astronaut"), 2e-4 * WHITE / 100.0, 0.0, seed) for seed in range(4)]
    noise = noise_card([[frame(plane)] for plane in planes], offset=OFFSET).noise()
    assert noise is None or not noise.family.counts


@pytest.mark.parametrize(
    ("closest", "top", "name"),
    [
        ("gauss25", 255e4, "gauss0.0025"),
        ("gauss10", 6e5, "gauss0.00425"),
        ("gauss10", 1e9, ""),
        ("gauss10", 1e-9, ""),
        ("poisson30", 255e3, "poisson30000"),
        ("poisson30", 1e-6, ""),
        ("poisson30+gauss4", 0.01, "poisson0.001176+gauss102000"),
        ("poisson30+gauss4", 1e-4, ""),
    ],
)
def test_noise_in_another_range_has_a_name_or_is_not_known(
    closest: str, top: float, name: str, astronaut: Card
) -> None:
    noise = structs.replace(astronaut, closest=closest, value_range=(0.0, 255.0)).noise((0.0, top))
    assert (noise.name if noise else "") == name


def test_more_photons_than_a_name_holds_are_gaussian_noise_in_another_range_too(astronaut: Card) -> None:
    (plane,), (low, high) = astronaut.planes, astronaut.value_range
    noise = astronaut.noise((low, low + 1000.0 * (high - low)))
    assert noise is not None
    assert noise.family.distribution == "gauss"
    assert noise.low == pytest.approx(255.0 * plane.level.value / (1000.0 * (high - low)), rel=0.01)


def test_the_closest_known_noise_has_the_variance_that_was_fitted(astronaut: Card) -> None:
    noise, (low, high) = astronaut.noise(), astronaut.value_range
    assert noise is not None
    assert noise.family.counts
    assert (low, high) == (OFFSET, pytest.approx(OFFSET + WHITE, rel=0.1))
    x = 0.5
    expected = (2.0 * x * (high - low) + 36.0) / (high - low) ** 2
    assert noise.family.variance(x, noise.low) == pytest.approx(expected, rel=0.06)


def test_the_offset_is_bounded_where_it_is_not_known() -> None:
    card = noise_card([[frame(photons(scene("astronaut"), 2.0, 6.0, 0))]], bits=16)
    (plane,) = card.planes
    assert OFFSET in plane.offset or plane.offset.high == pytest.approx(OFFSET, abs=3.0)
    assert plane.read_noise.low < 6.0 < plane.read_noise.high * 1.1
    assert "--offset" in sentences(card)


def test_noise_that_does_not_grow_is_gaussian() -> None:
    clean = scene("astronaut")
    noisy = 3000.0 * clean + np.random.default_rng(0).normal(0.0, 60.0, clean.shape) + 500.0
    card = noise_card([[frame(np.round(noisy))]], bits=16)
    noise = card.noise()
    assert noise is not None
    assert noise.family.distribution == "gauss"
    low, high = card.value_range
    assert noise.low == pytest.approx(60.0 * 255.0 / (high - low), rel=0.05)


@pytest.mark.parametrize("kind", ["0.6", "pairs", "row"])
def test_correlated_noise_is_found_and_blind_spots_are_advised_against(kind: str) -> None:
    card = noise_card([[frame(correlated(scene("rocket"), kind, 2.0, 0))]], bits=16)
    assert card.whiteness == "correlated"
    against = {advice.method: advice.why for advice in card.advice if not advice.applies}
    assert {"n2v", "b2u", "laine19-muonly", "nbr2nbr"} <= against.keys()
    assert "neighbours" in against["laine19-muonly"]
    assert "ap-bsn" not in against
    assert card.recommended is not None
    assert card.recommended.method.startswith("bm3d")


def test_the_correlation_has_the_right_size() -> None:
    noise = shared("0.6", (256, 256), 0)
    truth = (noise * np.roll(noise, 1, axis=1)).mean()
    card = noise_card([[frame(2000.0 + 100.0 * noise)]], bits=16)
    found = {(lag.rows, lag.columns): lag.correlation for lag in card.planes[0].lags}
    assert found[0, 1].value == pytest.approx(truth, abs=0.05)
    assert truth in found[0, 1]
    assert "copy" in sentences(card)


def test_the_deviation_of_correlated_noise_is_that_of_a_pixel() -> None:
    """High frequencies alone have a third of it."""
    card = noise_card([[frame(2000.0 + 100.0 * shared("0.6", (256, 256), 1))]], bits=16)
    assert card.planes[0].level.value == pytest.approx(100.0, rel=0.1)


def test_stripes_are_noise_of_whole_rows() -> None:
    card = noise_card([[frame(2000.0 + 100.0 * shared("row", (256, 256), 2))]], bits=16)
    rows = card.planes[0].rows
    assert rows.value == pytest.approx(0.5 / np.sqrt(1.25), abs=0.08)
    assert card.planes[0].columns.value < 0.2
    assert "stripes" in sentences(card)


def test_texture_everywhere_gives_bounds_instead_of_numbers() -> None:
    card = noise_card([[frame(photons(scene("grass"), 0.5, 8.0, 0))]], bits=16, offset=OFFSET)
    (plane,) = card.planes
    assert plane.textured
    assert card.whiteness == "unknown"
    assert 0.5 in plane.gain
    assert 8.0 in plane.read_noise
    assert card.noise() is None
    assert "not known" in sentences(card)


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_jpeg_is_recognised_at_any_place_of_its_grid(quality: int) -> None:
    noisy = 255.0 * scene("camera") + 8.0 * shared("white", (256, 256), 0)
    assert jpeg_blocks(jpeg(noisy, quality)[3:, 5:].astype(float)) < ROUNDED
    assert jpeg_blocks(np.clip(np.round(noisy), 0, 255)) > ROUNDED


def test_jpeg_is_said_on_the_card() -> None:
    noisy = 255.0 * scene("camera") + 8.0 * shared("white", (256, 256), 0)
    assert "JPEG" in sentences(noise_card([[jpeg(noisy, 90)[..., None]]], bits=8))


def test_clipped_values_are_counted_and_do_not_bias_the_fit() -> None:
    noisy = photons(scene("camera"), 8.0, 30.0, 0, offset=0.0)
    cut = np.clip(noisy, 0, 3000)
    found = ends([frame(cut)])
    assert (found.low, found.high) == (0.0, 3000.0)
    assert found.share_low == pytest.approx((noisy <= 0).mean())
    assert found.share_high == pytest.approx((noisy >= 3000).mean())
    card = noise_card([[frame(cut)]], bits=16, offset=0.0)
    assert card.planes[0].gain.value == pytest.approx(8.0, rel=0.1)
    assert {"clipped at the lowest value", "clipped at the highest value"} <= {one.name for one in card.findings}


def test_where_the_range_cuts_all_noise_the_numbers_are_rough() -> None:
    """The astronaut's flat areas are black or nearly white."""
    cut = np.clip(photons(scene("astronaut"), 8.0, 30.0, 0, offset=0.0), 0, 3000)
    card = noise_card([[frame(cut)]], bits=16, offset=0.0)
    assert 8.0 in card.planes[0].gain
    assert "rough" in sentences(card)
    assert "Two frames of the same scene" not in sentences(card)
    assert card.noise() is None


def test_counted_photons_end_at_zero_rightly() -> None:
    counts = np.random.default_rng(0).poisson(3.0 * scene("camera")).astype(np.uint8)[..., None]
    card = noise_card([[counts]], bits=8)
    assert card.planes[0].gain.value == pytest.approx(1.0, rel=0.05)
    noise = card.noise()
    assert noise is not None
    assert noise.family.distribution == "poisson"


def test_values_that_end_without_a_pile_are_not_clipped() -> None:
    found = ends([frame(photons(scene("camera"), 2.0, 6.0, 0))])
    assert found.share_low == found.share_high == 0.0


def test_bits_that_are_used() -> None:
    values = frame(np.clip(photons(scene("camera"), 2.0, 6.0, 0), 0, 4095))
    assert steps([values]).bits == 12
    assert steps([values * 16])[:2] == (16.0, 12)
    assert steps([values.astype(np.float32) / 7.0]).step == 0.0
    card = noise_card([[values]], bits=16)
    assert "--range" in sentences(card)
    assert "12 bits" in sentences(card)
    assert "lower bits are empty" in sentences(noise_card([[values * 16]], bits=16))


def test_hot_pixels_are_counted() -> None:
    plane = photons(scene("camera"), 2.0, 6.0, 0)
    places = np.random.default_rng(1).choice(plane.size, 40, replace=False)
    planted = plane.copy()
    planted.flat[places] += 8000.0
    assert spikes(plane, 2.0, 36.0)[0].sum() <= 1
    assert spikes(planted, 2.0, 36.0)[0].sum() >= 36
    assert "hot pixels" in sentences(noise_card([[frame(planted)]], bits=16))
    assert "hot pixels" not in sentences(noise_card([[frame(plane)]], bits=16))


def test_values_after_a_gamma_curve_give_no_line() -> None:
    clean = scene("rocket")
    noisy = 3000.0 * clean + np.random.default_rng(0).normal(0.0, 60.0, clean.shape) + 300.0
    bent = 4095.0 * (noisy / 5000.0) ** 0.4
    names = {finding.name for finding in noise_card([[frame(np.round(bent))]], bits=16).findings}
    assert "curvature" in names
    straight = {finding.name for finding in noise_card([[frame(noisy)]], bits=16).findings}
    assert "curvature" not in straight


def test_planes_of_a_mosaic_have_their_own_gain() -> None:
    clean = scene("astronaut")
    gains = {(0, 0): 2.0, (0, 1): 4.0, (1, 0): 4.0, (1, 1): 8.0}
    mosaic = np.zeros((2 * clean.shape[0], 2 * clean.shape[1]))
    for (y, x), gain in gains.items():
        mosaic[y::2, x::2] = photons(clean, gain, 6.0, 2 * y + x)
    card = noise_card([[frame(mosaic)]], bits=16, pattern="RGGB", offset=OFFSET)
    found = {plane.name: plane.gain.value for plane in card.planes}
    expected = {"red": 2.0, "green beside red": 4.0, "green beside blue": 4.0, "blue": 8.0}
    assert found == {name: pytest.approx(gain, rel=0.1) for name, gain in expected.items()}


def test_channels_are_measured_one_by_one() -> None:
    clean = scene("astronaut")
    stack = np.stack([photons(clean, gain, 6.0, 3) for gain in (1.0, 4.0)], axis=2).astype(np.uint16)
    card = noise_card([[stack]], bits=16, offset=OFFSET)
    assert [plane.gain.value for plane in card.planes] == [pytest.approx(1.0, rel=0.1), pytest.approx(4.0, rel=0.1)]
    assert card.channels == 2
    assert "Channel 2: One detected photoelectron" in sentences(card)


@pytest.mark.parametrize("shape", [(7, 9), (20, 20), (60, 9)])
def test_images_that_are_too_small_say_so(shape: tuple[int, int]) -> None:
    card = noise_card([[frame(100.0 + 10.0 * shared("white", shape, 0))]], bits=16)
    assert card.planes == ()
    assert "smaller than" in sentences(card)
    assert card.recommended is None


@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_images_have_no_noise(value: int) -> None:
    card = noise_card([[np.full((128, 128, 1), value, np.uint8)]], bits=8)
    assert card.planes == ()
    assert card.noise() is None
    assert card.whiteness != "white"


def test_a_small_image_gets_a_method_that_trains_nothing() -> None:
    card = noise_card([[frame(2000.0 + 50.0 * shared("white", (128, 128), 0))]], bits=16)
    assert card.recommended is not None
    assert card.recommended.method in ("bm3d", "bm3d-vst")


@pytest.mark.parametrize(("kind", "instead"), [("white", "b2u"), ("0.6", "ap-bsn")])
def test_what_cannot_be_used_here_is_not_recommended(kind: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bm3d", "bm3d-vst"):
        monkeypatch.setattr(methods()[name], "unavailable", lambda self: "the package bm3d is missing")
    card = noise_card([[frame(2000.0 + 50.0 * shared(kind, (128, 128), 0))]], bits=16)
    assert card.recommended is not None
    assert card.recommended.method == instead
    assert instead in {one.method for one in card.advice if one.applies}


def test_where_flat_areas_are_equally_bright_the_gain_is_not_claimed() -> None:
    """Beads on a dark ground: all flat areas are ground, whose blocks differ in brightness by noise alone."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256]
    clean = np.zeros((256, 256))
    for y, x in draws.uniform(0, 256, (150, 2)):
        clean += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.0)
    card = noise_card([[frame(photons(0.5 * clean + 1e-3, 2.0, 4.0, 0))]], bits=16, offset=OFFSET)
    assert 2.0 in card.planes[0].gain
    assert "cannot be told" in sentences(card)


def test_real_numbers_have_no_bits() -> None:
    plane = photons(scene("astronaut"), 2.0, 6.0, 0) / 5000.0
    card = noise_card([[plane.astype(np.float32)[..., None]]], offset=OFFSET / 5000.0)
    assert card.planes[0].gain.value == pytest.approx(2.0 / 5000.0, rel=0.06)
    assert "bits" not in {finding.name for finding in card.findings}
    printed = text(card)
    for name in ("gain", "read noise", "noise level"):
        assert re.search(rf"^{name}: [0-9.e-]+ \([0-9.e-]+ to [0-9.e-]+\)", printed, re.MULTILINE)
        assert not re.search(rf"^{name}: 0 ", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("one", "printed"),
    [
        (Estimate(4.1e-4, 4.0e-4, 4.2e-4), "0.00041 (0.0004 to 0.00042)"),
        (Estimate(1e-9, 0.0, 2e-5), "0 (0 to 2e-05)"),
        (Estimate(0.0, 0.0, 0.0), "0"),
        (Estimate(-0.0, -0.0, -0.0), "0"),
        (Estimate(1234.5, 1200.0, 1300.0), "1234 (1200 to 1300)"),
    ],
)
def test_small_numbers_keep_their_digits(one: Estimate, printed: str) -> None:
    assert shown(one) == printed


def test_an_unknown_pattern_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'RGGB'"):
        noise_card([[frame(photons(scene("camera"), 2.0, 6.0, 0))]], pattern="RGG")
    with pytest.raises(InputError, match="mosaic"):
        noise_card([[np.zeros((64, 64, 3), np.uint8)]], pattern="RGGB")
