"""The check of training noise never calls correct noise wrong, and says nothing where a crop cannot tell."""

import numpy as np
import pytest
from support.cli import photo

from bench.compute.sanity import CANNOT_TELL, WrongNoiseError, check_noise, relative_variance
from bench.datasets.noise.model import Image, Noise, parse
from bench.datasets.sampling import Sample

NAMES = ["gauss25", "poisson5_50", "poisson1000", "poisson30+gauss10", "sensor1_120"]


def spots(number: int, seed: int, width: float = 1.0, side: int = 128) -> Image:
    """Bright Gaussian spots on black [side, side, 1], as fluorescent beads are."""
    draws, image = np.random.default_rng(seed), np.zeros((side, side))
    rows, columns = np.mgrid[:side, :side]
    for row, column in draws.uniform(0.0, side, (number, 2)):
        image += np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2.0 * width**2))
    return image.clip(0.0, 1.0)[..., None].astype(np.float32)


def drawn(clean: Image, noise: Noise, seed: int, factor: float = 1.0) -> Sample:
    """A sample whose noise is too strong by a factor."""
    draws = np.random.default_rng(seed)
    level = noise.draw_level(draws)
    noisy = clean + np.float32(factor) * (noise.apply(clean, level, draws) - clean)
    return Sample([noisy], [level], clean)


def wrong(sample: Sample, noise: Noise) -> bool:
    try:
        check_noise(sample, noise)
    except WrongNoiseError:
        return True
    return False


@pytest.mark.parametrize("name", ["poisson1000", "poisson30", "poisson5_50", "poisson30+gauss10"])
@pytest.mark.parametrize(("number", "width"), [(1, 1.0), (6, 0.7), (6, 1.0), (6, 3.0), (0, 1.0)])
def test_correct_noise_of_sparse_bright_spots_is_never_called_wrong(name: str, number: int, width: float) -> None:
    noise = parse(name)
    assert not [i for i in range(50) if wrong(drawn(spots(number, i, width), noise, i), noise)]


def test_a_fixed_band_would_call_it_wrong() -> None:
    """What the check above is there for: the measured standard deviation is off by more than 15 % now and then."""
    noise, outside = parse("poisson1000"), 0
    for i in range(200):
        frames, levels, clean = drawn(spots(6, i, 0.7), noise, i)
        assert clean is not None
        found, chance, _ = relative_variance(frames[0], clean, noise, levels[0])
        outside += not 0.85 <= np.sqrt(found) <= 1.15
        assert chance > CANNOT_TELL
    assert outside > 2


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("name", NAMES)
def test_correct_noise_of_photographs_is_not_called_wrong(name: str, side: int) -> None:
    clean, noise = photo("astronaut", side, side).astype(np.float32) / np.float32(255.0), parse(name)
    assert not [i for i in range(20) if wrong(drawn(clean, noise, i), noise)]


@pytest.mark.parametrize("factor", [0.0, 0.8, 1.2, 10.0])
@pytest.mark.parametrize("name", NAMES)
def test_noise_that_is_wrong_on_an_ordinary_crop_is_caught(name: str, factor: float) -> None:
    clean, noise = photo("astronaut", 64, 64).astype(np.float32) / np.float32(255.0), parse(name)
    assert all(wrong(drawn(clean, noise, i, factor), noise) for i in range(10))


def test_a_black_crop_says_nothing_of_counts_but_of_normal_noise() -> None:
    clean = np.zeros((64, 64, 1), np.float32)
    for name, caught in (("poisson30", False), ("gauss25", True), ("poisson30+gauss10", True)):
        noise = parse(name)
        assert wrong(Sample([clean], [noise.low], clean), noise) == caught


def test_heavy_tails_explain_more() -> None:
    """Few very large errors of the right variance: the frame itself shows how uncertain its variance is."""
    noise, clean = parse("gauss25"), np.full((64, 64, 1), 0.5, np.float32)
    for i in range(20):
        hit = np.random.default_rng(i).random(clean.shape) < 1e-3
        noisy = clean + (hit * (25.0 / 255.0) / np.sqrt(1e-3)).astype(np.float32)
        if hit.any():
            assert not wrong(Sample([noisy], [25.0], clean), noise)
