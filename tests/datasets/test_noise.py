"""The noise is the one asked for, and every draw is a function of its name alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.datasets.noise.captured import NONE
from bench.datasets.noise.conditions import eight_bits
from bench.datasets.noise.gauss import Gauss
from bench.datasets.noise.model import Image, Noise, parse
from bench.datasets.noise.named import named
from bench.datasets.sampling import Patches, one_sample

NAMES = ["gauss25", "gauss5_50", "poisson30", "poisson5_50"]


def ramp(side: int = 128) -> Image:
    """Every gray value from 0 to 1, so that Poisson noise has every variance."""
    return np.linspace(0, 1, side * side * 3, dtype=np.float32).reshape(side, side, 3)


@pytest.mark.parametrize(
    "name",
    [*NAMES, "none", "gauss0.5", "gauss12.5_30", "poisson1000", "poisson30+gauss10", "poisson5_50+gauss2.5",
     "poisson30+gauss10:8bit", "gauss25:correlated:8bit"],
)  # fmt: skip
def test_names_round_trip(name: str) -> None:
    assert parse(name).name == name


@pytest.mark.parametrize("name", ["poisson100000", "gauss12.345678"])
def test_names_keep_every_digit(name: str) -> None:
    assert parse(parse(name).name) == parse(name)


@pytest.mark.parametrize("name", ["gauss25_25", "gauss025", "gauss25.0"])
def test_one_noise_has_one_name(name: str) -> None:
    assert parse(name).name == "gauss25"


@pytest.mark.parametrize("name", ["gauss25:8bit:correlated", "gauss25:correlated:8bit"])
def test_conditions_have_one_order(name: str) -> None:
    assert parse(name).name == "gauss25:correlated:8bit"


@pytest.mark.parametrize(
    ("name", "says"),
    [("gauss25:8bit:8bit", "twice"), ("poisson30+gauss10:correlated", "counts"), ("gauss25:8bits", "'8bit'")],
)
def test_conditions_that_do_not_fit_are_refused(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(name)


@pytest.mark.parametrize("name", ["poisson30+gauss0", "poisson30+gauss5_50", "gauss10+poisson30", "poisson30+sensor5"])
def test_mixtures_that_are_no_family_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"Allowed: .*poisson30\+gauss10"):
        parse(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("gauss0.1", "gauss25.5"), ("gauss0.02_0.2", "gauss5.1_51"), ("poisson30+gauss0.04", "gauss10.2")],
)
def test_levels_in_units_of_one_are_doubted(name: str, meant: str) -> None:
    assert parse(name).warning.endswith(meant)


@pytest.mark.parametrize("name", ["gauss1", "gauss0.5_50", "poisson0.5", "sensor0.5", "poisson30+gauss1", "none"])
def test_other_levels_are_not_doubted(name: str) -> None:
    assert parse(name).warning == ""


def test_composed_conditions_are_applied_one_after_the_other() -> None:
    correlated, _ = named(parse("gauss25:correlated"), ramp(), "x", 0)
    both, _ = named(parse("gauss25:correlated:8bit"), ramp(), "x", 0)
    np.testing.assert_array_equal(both, eight_bits(correlated))
    assert np.abs(both - ramp()).max() > 0.1


@pytest.mark.parametrize("value", [0.0, 0.2, 0.8])
def test_poisson_gaussian_noise_has_both_variances(value: float) -> None:
    """To 3 %, six standard errors; the mean is kept."""
    noise = parse("poisson30+gauss10")
    clean = np.full((256, 256, 3), value, np.float32)
    noisy, level = named(noise, clean, "x", 0)
    expected = value / 30.0 + (10.0 / 255.0) ** 2
    assert level == 30.0
    assert noisy.var() == pytest.approx(expected, rel=0.03)
    assert noisy.mean() == pytest.approx(value, abs=5 * np.sqrt(expected / clean.size))
    assert noise.std(clean, level) == pytest.approx(np.sqrt(expected))


@pytest.mark.parametrize("name", ["gauss25", "poisson30", "poisson30+gauss10", "sensor20"])
def test_one_formula_gives_the_variance_of_arrays_and_tensors(name: str) -> None:
    """A tensor has a level for each image; the sensor's parameters are computed in float64."""
    family, x = parse(name).family, np.linspace(0.0, 1.0, 24, dtype=np.float32).reshape(2, 3, 2, 2)
    levels = np.array([10.0, 40.0], np.float32).reshape(2, 1, 1, 1)
    found = family.variance(torch.from_numpy(x), torch.from_numpy(levels)) + torch.zeros(2, 3, 2, 2)
    assert found.dtype == torch.float32
    for i in range(2):
        expected = family.variance(x[i].astype(np.float64), float(levels[i, 0, 0, 0]))
        np.testing.assert_allclose(found[i].numpy(), np.broadcast_to(expected, (3, 2, 2)), rtol=1e-6)


@pytest.mark.parametrize("name", ["gauss0", "gauss50_5", "gauss-5", "gauss", "gauss5_50_60", "", "none25", "gauss1e2"])
def test_other_names_are_errors_that_list_examples(name: str) -> None:
    with pytest.raises(InputError, match=r"Allowed: .*poisson5_50"):
        parse(name)


@pytest.mark.parametrize(("name", "near"), [("gaus25", "gauss25"), ("poison30", "poisson30"), ("non", "none")])
def test_a_misspelt_name_gets_a_suggestion(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{near}'"):
        parse(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["named", "fresh"])
def test_the_deviation_within_an_image_is_the_levels(name: str, source: str) -> None:
    """To 2 %, five deviations of the estimate; a constant drawn once per image (torch.normal's trap) has none."""
    noise, clean = parse(name), ramp()
    for i in range(4):
        if source == "named":
            noisy, level = named(noise, clean, "x", i)
        else:
            draws = np.random.default_rng(i)
            level = noise.draw_level(draws)
            noisy = noise.apply(clean, level, draws)
        variance = level / 255.0 if noise.family.name == "gauss" else float(np.sqrt(clean.mean() / level))
        assert (noisy - clean).std() == pytest.approx(variance, rel=0.02)
        assert noise.std(clean, level) == pytest.approx(variance)
        assert abs((noisy - clean).mean()) < 5 * variance / np.sqrt(clean.size)


def test_poisson_values_are_counts_over_lambda() -> None:
    noisy, _ = named(parse("poisson30"), ramp(), "x", 0)
    np.testing.assert_allclose(noisy * 30, np.rint(noisy * 30), atol=1e-4)


@pytest.mark.parametrize("level", [0.2, 0.8])
def test_poisson_variance_grows_with_the_signal(level: float) -> None:
    noisy, _ = named(parse("poisson30"), np.full((128, 128, 3), level, np.float32), "x", 0)
    assert noisy.var() == pytest.approx(level / 30, rel=0.05)


@pytest.mark.parametrize(("name", "values"), [("gauss50", (0.0, 1.0)), ("poisson10", (1.0,))])
def test_nothing_is_clipped(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        noisy, _ = named(parse(name), np.full((64, 64, 3), value, np.float32), "x", 0)
        outside = noisy < value if value == 0 else noisy > value
        assert 0.3 < outside.mean() < 0.6


def test_noise_is_float32_and_leaves_the_clean_image_alone() -> None:
    for name in NAMES:
        clean = ramp()
        noisy, _ = named(parse(name), clean, "x", 0)
        assert noisy.dtype == np.float32
        np.testing.assert_array_equal(clean, ramp())


@pytest.mark.parametrize("name", ["gauss5_50", "poisson5_50"])
def test_a_range_has_one_uniform_level_per_image(name: str) -> None:
    noise = parse(name)
    levels = np.array([noise.draw_level(np.random.default_rng(i)) for i in range(2000)])
    assert levels.min() >= 5 and levels.max() <= 50  # noqa: PT018 - one idea
    assert np.ptp(levels) > 44
    assert levels.mean() == pytest.approx(27.5, abs=5 * 13 / np.sqrt(2000))


def test_a_fixed_level_draws_nothing() -> None:
    used, untouched = np.random.default_rng(0), np.random.default_rng(0)
    assert parse("gauss25").draw_level(used) == 25
    assert used.random() == untouched.random()


@pytest.mark.parametrize("name", NAMES)
def test_named_noise_does_not_depend_on_what_was_drawn_before(name: str) -> None:
    noise, clean = parse(name), ramp(16)
    first = named(noise, clean, "a", 0)
    named(noise, clean, "b", 3)
    np.random.default_rng().random()
    again = named(noise, clean, "a", 0)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize(
    "other", [("gauss25", "b", 0), ("gauss25", "a", 1), ("gauss26", "a", 0), ("gauss25_26", "a", 0)]
)
def test_named_noise_differs_by_image_repeat_and_model(other: tuple[str, str, int]) -> None:
    clean = ramp(32)
    name, digest, repeat = other
    one = (named(parse("gauss25"), clean, "a", 0)[0] - clean).ravel()
    two = (named(parse(name), clean, digest, repeat)[0] - clean).ravel()
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(clean.size)


def test_equal_pixels_get_equal_noise_under_any_file_name(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    for name in ("a.png", "b.bmp"):
        Pillow.fromarray(pixels).save(tmp_path / name)
    a, b = (SetImage(path.stem, path, 3) for path in sorted(tmp_path.iterdir()))
    clean = pixels.astype(np.float32) / 255
    np.testing.assert_array_equal(
        named(parse("gauss25"), clean, a.digest, 0)[0], named(parse("gauss25"), clean, b.digest, 0)[0]
    )


def test_named_noise_is_frozen() -> None:
    """A level and three pixels of the stream: no numpy, machine or refactoring may change published test noise."""
    noisy, level = named(parse("gauss5_50"), np.zeros((1, 3, 1), np.float32), "digest", 0)
    assert level == pytest.approx(23.77919310455772, rel=1e-12)
    np.testing.assert_allclose(noisy.ravel(), [0.05688046, -0.16695343, -0.11926366], rtol=1e-6)


# ---- training samples


@pytest.fixture
def gray(tmp_path: Path) -> list[SetImage]:
    """Three gray images of 16x16 whose pixels are all different: a pixel's value tells where it was cut."""
    made = []
    for i in range(3):
        pixels = np.roll(np.arange(256, dtype=np.uint8), 85 * i).reshape(16, 16)
        Pillow.fromarray(pixels).save(path := tmp_path / f"{i}.png")
        made.append(SetImage(str(i), path, 1))
    return made


Source = Callable[..., Patches]


@pytest.fixture
def source(gray: list[SetImage]) -> Source:
    def make(kind: str = "fresh", noise: str = "gauss25", crop: int = 16, seed: int = 0) -> Patches:
        return Patches(gray, parse(noise), kind, crop, seed)  # type: ignore[arg-type]

    return make


def noisy_pixels(patches: Patches, gray: list[SetImage], epochs: int) -> list[dict[tuple[int, int], float]]:
    """For every epoch, (image, value of the clean pixel) -> its noisy value."""
    found = []
    for epoch in range(epochs):
        seen: dict[tuple[int, int], float] = {}
        for number in range(3 * epoch, 3 * epoch + 3):
            view = one_sample(patches, number, 1)
            assert view.clean is not None
            clean = np.rint(view.clean * 255).astype(int)
            image = next(i for i in range(3) if holds(gray[i].pixels, clean))
            seen |= {(image, int(c)): float(n) for c, n in zip(clean.ravel(), view.frames[0].ravel(), strict=True)}
        found.append(seen)
    return found


def holds(pixels: np.ndarray, clean: np.ndarray) -> bool:
    """Whether the crop is a window of the image."""
    row, column = (int(index[0]) for index in np.where(pixels[..., 0] == clean[0, 0, 0]))
    window = pixels[row : row + clean.shape[0], column : column + clean.shape[1]]
    return window.shape == clean.shape and bool((window == clean).all())


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("crop", [16, 12])
def test_fixed_noise_is_one_noisy_image_per_clean_one(
    gray: list[SetImage], source: Source, crop: int, keep: bool
) -> None:
    for set_image in gray:
        set_image.keep = keep
    first, *others = noisy_pixels(source("fixed", crop=crop), gray, 4)
    for other in others:
        shared = first.keys() & other.keys()
        assert len(shared) > 100
        assert all(first[pixel] == other[pixel] for pixel in shared)


@pytest.mark.parametrize("crop", [16, 12])
def test_fresh_noise_is_drawn_again_every_epoch(gray: list[SetImage], source: Source, crop: int) -> None:
    first, second = noisy_pixels(source("fresh", crop=crop), gray, 2)
    shared = first.keys() & second.keys()
    assert len(shared) > 100
    assert not any(first[pixel] == second[pixel] for pixel in shared)


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_noise_differs_by_training_seed(gray: list[SetImage], source: Source, kind: str) -> None:
    one, two = (noisy_pixels(source(kind, seed=seed), gray, 1)[0] for seed in (0, 1))
    assert one.keys() == two.keys()
    assert not any(one[pixel] == two[pixel] for pixel in one)


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_noise_differs_by_image(source: Source, kind: str) -> None:
    one, two = (view.frames[0] - view.clean for view in (one_sample(source(kind), number, 1) for number in (0, 1)))  # type: ignore[operator]
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 5 / np.sqrt(one.size)


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("noise", ["gauss5_50", "poisson5_50", "none"])
def test_a_sample_does_not_depend_on_the_order_of_calls(source: Source, kind: str, noise: str) -> None:
    forward, backward = source(kind, noise, 8), source(kind, noise, 8)
    expected = [one_sample(forward, number, 2) for number in range(8)]
    for number in [7, 0, 3, 3, 5, 1, 6, 2, 4]:
        got, want = one_sample(backward, number, 2), expected[number]
        assert got.levels == want.levels
        for a, b in zip(got.frames, want.frames, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_sample_does_not_depend_on_how_many_captures_are_asked_for(source: Source) -> None:
    """So N2C, N2N and B2U train on the same noisy images."""
    one, two = one_sample(source(), 5, 1), one_sample(source(), 5, 2)
    np.testing.assert_array_equal(one.frames[0], two.frames[0])


def test_every_epoch_has_each_image_once_in_another_order(source: Source, gray: list[SetImage]) -> None:
    patches, orders = source(), []
    for epoch in range(12):
        views = [one_sample(patches, number, 1).clean for number in range(3 * epoch, 3 * epoch + 3)]
        tops = [int(np.rint(view[0, 0, 0] * 255)) for view in views if view is not None]  # crop 16: the first pixel
        assert sorted(tops) == sorted(int(set_image.pixels[0, 0, 0]) for set_image in gray)
        orders.append(tuple(tops))
    assert len(set(orders)) > 3


def test_every_crop_position_is_drawn(source: Source) -> None:
    patches = source(crop=14)
    corners = {(number % 3, round(float(one_sample(patches, number, 1).clean[0, 0, 0]) * 255)) for number in range(400)}  # type: ignore[index]
    assert len({value for _, value in corners}) == 27  # 3 images, 3x3 positions


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_two_captures_have_independent_noise_of_their_own_level(set_images: list[SetImage], kind: str) -> None:
    patches = Patches(set_images, parse("gauss5_50"), kind, 64, 0)  # type: ignore[arg-type]
    for number in range(3):
        (one, two), levels, clean = one_sample(patches, number, 2)
        assert clean is not None
        fields = [(one - clean).ravel(), (two - clean).ravel()]
        assert abs(np.corrcoef(*fields)[0, 1]) < 5 / np.sqrt(clean.size)
        assert abs(levels[0] - levels[1]) > 1e-3
        for field, level in zip(fields, levels, strict=True):
            assert field.std() * 255 == pytest.approx(level, rel=0.05)


def test_noisy_images_without_clean_ones_give_no_clean_view(gray: list[SetImage]) -> None:
    view = one_sample(Patches(gray, NONE, "fresh", 8, 0), 0, 1)
    assert view.clean is None
    assert view.levels == [0.0]


def test_an_image_smaller_than_the_crop_is_named(gray: list[SetImage]) -> None:
    with pytest.raises(InputError, match=r"0\.png: 16x16 is smaller than the crop of 17"):
        Patches(gray, Noise(Gauss(), 25, 25), "fresh", 17, 0)
