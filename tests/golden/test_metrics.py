"""PSNR, SSIM and rounding to 8 bits."""

import numpy as np
import pytest

from bench.compute.scoring import quantise
from bench.protocol.metrics.builtin import psnr, ssim

from .conftest import golden, matching

ARRAYS = golden("metrics")
PAIRS = range(len(ARRAYS["psnr"]))
RAW = range(len(ARRAYS["raw_psnr"]))


def test_pairs() -> None:
    """Every pair has its scores."""
    assert sorted(map(int, filter(str.isdigit, matching("metrics", "a")))) == list(PAIRS)


@pytest.mark.parametrize("official", ["psnr", "psnr_nbr"])
@pytest.mark.parametrize("i", PAIRS)
def test_psnr(i: int, official: str) -> None:
    """8-bit images; inf for equal ones."""
    assert psnr(ARRAYS[f"a{i}"], ARRAYS[f"b{i}"]) == pytest.approx(ARRAYS[official][i], rel=0, abs=1e-4)


@pytest.mark.parametrize("i", PAIRS)
def test_ssim(i: int) -> None:
    """8-bit images, colour and gray."""
    assert ssim(ARRAYS[f"a{i}"], ARRAYS[f"b{i}"]) == pytest.approx(ARRAYS["ssim"][i], rel=0, abs=1e-6)


@pytest.mark.parametrize("i", RAW)
def test_raw_psnr(i: int) -> None:
    """Floats in 0..1."""
    value = psnr(ARRAYS[f"raw_a{i}"], ARRAYS[f"raw_b{i}"], 1.0)
    assert value == pytest.approx(ARRAYS["raw_psnr"][i], rel=0, abs=1e-4)


@pytest.mark.parametrize("i", RAW)
def test_raw_ssim(i: int) -> None:
    """Floats times 255."""
    value = ssim(ARRAYS[f"raw_a{i}"] * np.float32(255.0), ARRAYS[f"raw_b{i}"] * np.float32(255.0))
    assert value == pytest.approx(ARRAYS["raw_ssim"][i], rel=0, abs=1e-6)


def test_quantise() -> None:
    """Exact."""
    np.testing.assert_array_equal(quantise(ARRAYS["quant_in"]), ARRAYS["quant_out"], strict=True)
