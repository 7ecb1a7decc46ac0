"""SetImages that show a region of one photograph are found, with the place; others are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import SHARED, needs_shared_data, photo

from bench.datasets.images import SetImage
from bench.datasets.sets import duplicates
from bench.datasets.sets.duplicates import Overlap, near_duplicates
from bench.datasets.sets.find import find

Image = NDArray[np.uint8]
NAMES = ("astronaut", "chelsea", "coffee")


def set_image(pixels: Image, name: str = "one") -> SetImage:
    return SetImage.decoded(name, Path(name), pixels, pixels.shape[-1])


def compared(first: Image, second: Image) -> list[Overlap]:
    return near_duplicates([("a", [set_image(first)]), ("b", [set_image(second)])])


def jpeg(pixels: Image) -> Image:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=40)
    return np.asarray(Pillow.open(file))


def noisy(pixels: Image) -> Image:
    noise = np.random.default_rng(0).normal(0, 5, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def gray(pixels: Image) -> Image:
    return np.asarray(Pillow.fromarray(pixels).convert("L"))[..., None]


def brighter(pixels: Image) -> Image:
    return np.rint(255 * (pixels / 255.0) ** 0.7).astype(np.uint8)


def half(pixels: Image) -> Image:
    return np.asarray(
        Pillow.fromarray(pixels).resize((pixels.shape[1] // 2, pixels.shape[0] // 2), Pillow.Resampling.BICUBIC)
    )


@pytest.mark.parametrize("change", [np.copy, jpeg, noisy, gray, brighter])
@pytest.mark.parametrize("name", NAMES)
def test_crops_that_overlap(name: str, change: Callable[[Image], Image]) -> None:
    whole = photo(name, 200, 320)
    (found,) = compared(whole[:150, :200], change(np.ascontiguousarray(whole[37:, 83:])))
    assert found.box == (37, 83, 113, 117)
    assert found.share == pytest.approx(113 * 117 / (150 * 200))
    assert (found.scale, found.first_set, found.second_set) == (1, "a", "b")
    assert found.score > 0.85


@pytest.mark.parametrize("name", NAMES)
def test_half_sizes_both_ways(name: str) -> None:
    whole = photo(name, 200, 320)
    reduced = half(whole[20:, 100:])
    (large_first,), (small_first,) = compared(whole, reduced), compared(reduced, whole)
    assert (large_first.scale, large_first.box) == (0.5, (20, 100, 180, 220))
    assert (small_first.scale, small_first.box) == (2, (0, 0, 90, 110))
    assert small_first.share == 1
    assert min(large_first.score, small_first.score) > 0.9


def test_equal_pixels_of_a_small_image() -> None:
    (found,) = compared(photo("coffee", 48, 64), photo("coffee", 48, 64))
    assert (found.share, found.box) == (1, (0, 0, 48, 64))
    assert found.score == pytest.approx(1)


def test_too_little_in_common() -> None:
    whole = photo("chelsea", 200, 320)
    assert compared(whole[:, :180], whole[:, 140:]) == []


def test_unrelated_photographs() -> None:
    whole = [photo(name, 200, 320) for name in NAMES]
    set_images = [set_image(part, str(i)) for i, x in enumerate(whole) for part in (x, x[::-1], x[:, ::-1])]
    assert near_duplicates([("set", set_images), ("set", set_images)]) == []


def test_flat_images() -> None:
    flat = np.full((128, 128, 1), 90, np.uint8)
    ramp = flat + np.arange(128, dtype=np.uint8)[:, None]
    grain = flat + np.random.default_rng(0).integers(0, 2, flat.shape, dtype=np.uint8)  # the same one, too
    set_images = [set_image(x, str(i)) for i, x in enumerate((flat, ramp, grain, flat, ramp, grain))]
    assert near_duplicates([("set", set_images), ("set", set_images)]) == []


def test_within_one_set_and_progress() -> None:
    crops = [photo("astronaut", 150, 150), photo("coffee", 130, 200), photo("astronaut", 180, 160)]
    set_images = [set_image(crop, str(i)) for i, crop in enumerate(crops)]
    steps: list[tuple[int, int]] = []
    found = near_duplicates([("set", set_images), ("set", set_images)], lambda done, total: steps.append((done, total)))
    assert [(one.first, one.second, one.share) for one in found] == [("0", "2", 1)]
    assert steps[-1] == (9, 9)
    assert steps == sorted(steps)


def test_every_shift_is_a_normalised_correlation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20, 17)).astype(np.float32), rng.normal(size=(3, 11, 24)).astype(np.float32)
    least = 6
    for i, correlations in enumerate(duplicates._correlations(a, b, least)):
        assert correlations.shape == (3, 20 + 11 - 2 * least + 1, 17 + 24 - 2 * least + 1)
        for n, y, x in np.ndindex(correlations.shape):
            direct, _ = duplicates._score(a[i], b[n], y + least - 11, x + least - 24)
            assert correlations[n, y, x] == pytest.approx(direct, abs=1e-5)


@pytest.mark.slow
@needs_shared_data
def test_bsd400_holds_a_part_of_an_image_of_set12() -> None:
    sets = [(name, find(f"folder:{SHARED / name}").load(None, 1)) for name in ("set12", "bsd400")]
    (found,) = near_duplicates(sets)
    assert (found.first, found.second, found.box) == ("04", "test_020", (72, 0, 180, 106))
    assert found.share == pytest.approx(0.29, abs=0.005)
    assert found.score > 0.99


def test_sets_of_floats_are_compared_too() -> None:
    """Raw images are in 0..1: their details are as many gray levels as those of 8-bit ones."""
    mosaics = find("embedded_raw_test").load(None, 1)[:1]
    (overlap,) = near_duplicates([("one", mosaics), ("other", mosaics)])
    assert (overlap.first, overlap.second, overlap.share) == (mosaics[0].name, mosaics[0].name, 1.0)
