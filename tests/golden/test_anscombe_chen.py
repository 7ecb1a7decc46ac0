"""Anscombe's transform with its inverses, and the noise level from the patch covariance."""

import numpy as np
import pytest

from bench.methods.classical.anscombe import (
    ZERO,
    algebraic,
    asymptotic,
    closed,
    exact,
    expected,
    forward,
    scale,
    unscale,
)
from bench.methods.classical.chen import noise_level, redundant, spectrum

from .conftest import Array, golden, matching

ARRAYS = golden("anscombe_chen")
IMAGES = sorted({int(name.split("_")[0]) for name in matching("anscombe_chen", "ans_img")})
NOISY = range(int(ARRAYS["chen_n"]))
SPECTRA = range(int(ARRAYS["spec_n"]))
HIGHEST = 400.0  # the counts up to which the exact inverse's tolerance is stated

every_image = pytest.mark.parametrize("i", IMAGES)


def test_forward() -> None:
    np.testing.assert_allclose(forward(ARRAYS["ans_counts"]), ARRAYS["ans_forward"], rtol=1e-12)


def test_expected() -> None:
    np.testing.assert_allclose(expected(ARRAYS["ans_mean"]), ARRAYS["ans_expected_forward"], rtol=1e-9)


@pytest.mark.parametrize("inverse", [closed, asymptotic, algebraic])
def test_inverse_formulas(inverse: object) -> None:
    assert callable(inverse)
    found, wanted = inverse(ARRAYS["ans_d"]), ARRAYS[f"ans_inv_{inverse.__name__}"]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_exact_inverse() -> None:
    found, wanted = exact(ARRAYS["ans_d"]), ARRAYS["ans_inv_exact"]
    assert (wanted[ARRAYS["ans_d"] <= ZERO] == 0.0).all()
    assert (found[ARRAYS["ans_d"] <= ZERO] == 0.0).all()
    low = wanted <= HIGHEST
    assert low.sum() > 10
    np.testing.assert_allclose(found[low], wanted[low], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[~low], wanted[~low], rtol=1e-6)


def test_exact_inverse_undoes_the_expectation() -> None:
    mean = ARRAYS["ans_mean"]
    np.testing.assert_allclose(exact(ARRAYS["ans_expected_forward"]), mean, rtol=1e-6, atol=1e-4)


def image(i: int) -> tuple[Array, float]:
    """f(lambda y) and lambda."""
    counts = float(ARRAYS[f"ans_img{i}_lam"])
    return forward(counts * ARRAYS[f"ans_img{i}_y"].astype(np.float64)), counts


@every_image
def test_forward_image(i: int) -> None:
    np.testing.assert_allclose(image(i)[0], ARRAYS[f"ans_img{i}_forward"], rtol=1e-12)


@every_image
def test_scale(i: int) -> None:
    d, _ = image(i)
    scaled, sigma = scale(d)
    np.testing.assert_allclose(scaled, ARRAYS[f"ans_img{i}_scaled"], rtol=1e-12)
    assert sigma == pytest.approx(float(ARRAYS[f"ans_img{i}_sigma"]), rel=1e-12)
    assert 0.7 / sigma == pytest.approx(float(ARRAYS[f"ans_img{i}_span"]), rel=1e-12)


@every_image
def test_round_trip(i: int) -> None:
    """What a filter that does nothing would give back."""
    d, counts = image(i)
    restored = unscale(scale(d)[0], d)
    np.testing.assert_allclose(restored, d, rtol=1e-12)
    np.testing.assert_allclose(algebraic(restored), counts * ARRAYS[f"ans_img{i}_y"].astype(np.float64), atol=1e-9)
    wanted = ARRAYS[f"ans_img{i}_inv_exact_of_scaled"]
    np.testing.assert_allclose(exact(restored) / counts, wanted, rtol=0, atol=1e-4 / counts)


def noisy(i: int) -> Array:
    """[H, W, C] in 0..1."""
    stored = ARRAYS[f"chen{i}_noisy"]
    floats = stored.astype(np.float64) / (255.0 if stored.dtype == np.uint8 else 1.0)
    return floats.reshape(*floats.shape[:2], -1)


@pytest.mark.parametrize("i", NOISY)
def test_chen_spectrum(i: int) -> None:
    wanted = ARRAYS[f"chen{i}_spectrum_cover"]
    np.testing.assert_allclose(spectrum(noisy(i), 8), wanted, rtol=0, atol=1e-8 * wanted.max())


@pytest.mark.parametrize("patch", [7, 8])
@pytest.mark.parametrize("i", NOISY)
def test_chen_noise_level(i: int, patch: int) -> None:
    sigma, number = ARRAYS[f"chen{i}_p{patch}_cover_all"]
    assert noise_level(noisy(i), patch) == pytest.approx(sigma, rel=1e-6)
    assert redundant(spectrum(noisy(i), patch))[1] == number


@pytest.mark.parametrize("i", SPECTRA)
def test_chen_bare_spectrum(i: int) -> None:
    eigenvalues, (mean, number) = np.sort(ARRAYS[f"spec{i}"]), ARRAYS[f"spec{i}_all"]
    found = redundant(eigenvalues)
    assert found[0] == pytest.approx(mean, rel=1e-9, abs=1e-15)
    # Among equal eigenvalues the rounding of their mean decides how many are kept.
    assert eigenvalues[found[1] - 1] == eigenvalues[int(number) - 1]
