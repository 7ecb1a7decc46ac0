"""The two parts of a split: noise of the right strength, and none of it in both."""

import numpy as np
import pytest

from bench.apply.recorruption import Variance, of_split, splits, variance_of
from bench.datasets.noise.model import parse

SIZE = (200_000, 1, 1)


def noisy(x: float, gain: float, read: float) -> np.ndarray:
    draws = np.random.RandomState(0)
    photons = gain * draws.poisson(x / gain, SIZE) if gain else np.full(SIZE, x)
    return (photons + read * draws.standard_normal(SIZE)).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "gain", "read"),
    [(0.5, 0.0, 0.1), (0.1, 1 / 30, 0.0), (0.02, 1 / 30, 0.0), (0.3, 1 / 30, 0.04), (0.5, 1 / 1000, 0.02)],
)
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_parts_have_the_scene_as_mean_and_independent_noise(x: float, gain: float, read: float, share: float) -> None:
    variance = Variance(gain, read**2)
    for part in splits(noisy(x, gain, read), variance, np.random.RandomState(1), share):
        given, held = (one.astype(np.float64).ravel() - x for one in part)
        deviation = np.sqrt(gain * x + read**2)
        assert abs(given.mean()) < 5 * deviation / np.sqrt(given.size)
        assert abs(held.mean()) < 5 * deviation / np.sqrt(share * held.size)
        assert given.var() * (1 - share) == pytest.approx(deviation**2, rel=0.03)
        assert held.var() * share == pytest.approx(deviation**2, rel=0.03)
        assert abs(np.corrcoef(given, held)[0, 1]) < 0.012
        assert abs(np.corrcoef(given**2, held)[0, 1]) < 0.015  # independent, not only uncorrelated


def test_a_wrong_noise_level_leaves_noise_in_both_parts() -> None:
    image = noisy(0.5, 0.0, 0.1)
    given, held = splits(image, Variance(0.0, 0.05**2), np.random.RandomState(1))[0]
    assert np.corrcoef(given.ravel(), held.ravel())[0, 1] > 0.1


def test_parts_make_the_image_again_and_antithetic_ones_their_mean() -> None:
    image = noisy(0.2, 1 / 20, 0.02)[:1000]
    first, second = splits(image, Variance(1 / 20, 0.02**2), np.random.RandomState(1), 0.1)
    for part in (first, second):
        np.testing.assert_allclose(0.9 * part.given + 0.1 * part.held, image, atol=1e-5)
    assert np.corrcoef((first.held - image).ravel(), (second.held - image).ravel())[0, 1] < -0.4


def test_an_offset_of_black_is_no_light() -> None:
    """Poisson noise above an offset of 0.3: the variance g (x - 0.3) has a negative floor."""
    gain, x = 1 / 40, 0.5
    image = 0.3 + noisy(x - 0.3, gain, 0.0)
    given, held = (one.ravel() - x for one in splits(image, Variance(gain, -0.3 * gain), np.random.RandomState(1))[0])
    assert abs(np.corrcoef(given, held)[0, 1]) < 0.012
    assert held.var() * 0.05 == pytest.approx(gain * (x - 0.3), rel=0.03)


@pytest.mark.parametrize("name", ["gauss25", "poisson30", "poisson30+gauss10"])
def test_the_noise_of_what_is_given_is_known(name: str) -> None:
    noise = parse(name)
    found = of_split(noise, 0.2)
    assert found is not None
    assert parse(found.name) == found
    assert variance_of(found) == pytest.approx(np.array(variance_of(noise)) / 0.8, rel=1e-4)
