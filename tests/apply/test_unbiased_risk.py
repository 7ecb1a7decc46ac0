"""Estimates of the error without the clean image, against the error with it."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.apply import risk
from bench.apply.recorruption import Variance

X = 0.4
SIZE = (800, 500, 1)


def noisy(gain: float, read: float) -> np.ndarray:
    draws = np.random.RandomState(0)
    photons = gain * draws.poisson(X / gain, SIZE) if gain else np.full(SIZE, X)
    return (photons + read * draws.standard_normal(SIZE)).astype(np.float32)


def square(z: np.ndarray) -> np.ndarray:
    return 0.8 * z * z


@pytest.mark.parametrize(("gain", "read"), [(0.0, 0.1), (1 / 30, 0.0), (1 / 10, 0.1), (1 / 5, 0.3)])
@pytest.mark.parametrize("function", [lambda z: 0.5 * z, square], ids=["linear", "square"])
def test_unbiased(gain: float, read: float, function: Callable[[np.ndarray], np.ndarray]) -> None:
    y = noisy(gain, read)
    found = risk.unbiased(function, y, Variance(gain, read**2), "test", curved=True).error
    error = float(np.square(function(y) - X).mean())
    assert found.mean() == pytest.approx(error, abs=5 * found.std() / np.sqrt(found.size))


def test_the_sign_of_the_last_term() -> None:
    """With + instead of -, or without the part of the photons, the error of a curved function is missed."""
    gain, read = 1 / 10, 0.1
    y, variance = noisy(gain, read), Variance(gain, read**2)
    error = float(np.square(square(y) - X).mean())
    plain = risk.unbiased(square, y, variance, "test").error.mean()
    curvature = 1.6
    minus = plain - (2 * gain * read**2 + gain**2 * X) * curvature
    plus = plain + (2 * gain * read**2 + gain**2 * X) * curvature
    half = plain - 2 * gain * read**2 * curvature
    assert abs(minus - error) < 0.1 * abs(half - error) < 0.1 * abs(plus - error)


def test_masked_loss_is_the_blind_error_plus_the_noise() -> None:
    y = noisy(0.0, 0.1)[:200, :200]
    found = risk.masked(lambda z: np.full_like(z, X - 0.05), y)
    known = np.isfinite(found)
    assert known.mean() == pytest.approx(len(risk.PHASES) / risk.GRID**2)
    assert found[known].mean() == pytest.approx(0.05**2 + 0.1**2, rel=0.05)


def test_masked_loss_does_not_favour_copies_of_the_noise() -> None:
    """The identity copies every pixel: its masked loss is that of its neighbours' mean, 1.25 times the noise."""
    y = noisy(0.0, 0.1)[:200, :200]
    assert np.nanmean(risk.masked(lambda z: z, y)) == pytest.approx(1.25 * 0.1**2, rel=0.05)
