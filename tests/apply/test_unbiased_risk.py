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


def half(z: np.ndarray) -> np.ndarray:
    return 0.5 * z


def square(z: np.ndarray) -> np.ndarray:
    return 0.8 * z * z


@pytest.mark.parametrize(
    ("function", "gain", "read"),
    [(half, 0.0, 0.1), (half, 1 / 30, 0.0), (half, 1 / 10, 0.1), (half, 1 / 5, 0.3), (square, 0.0, 0.1)],
)
def test_unbiased(function: Callable[[np.ndarray], np.ndarray], gain: float, read: float) -> None:
    y = noisy(gain, read)
    found = risk.unbiased(function, y, Variance(gain, read**2), "test").error
    error = float(np.square(function(y) - X).mean())
    assert found.mean() == pytest.approx(error, abs=5 * found.std() / np.sqrt(found.size))


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
