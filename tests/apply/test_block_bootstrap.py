"""Intervals hold the true mean as often as they say, whatever the correlation."""

import numpy as np
import pytest
import scipy

from bench.apply.block_bootstrap import resampled
from bench.datasets.errors import InputError

SIZE = 96


def fields(kind: str, seed: int) -> np.ndarray:
    """Two fields [2, H, W] of mean 0 whose difference is correlated as `kind` says."""
    z = np.random.RandomState(seed).standard_normal((2, SIZE, SIZE))
    if kind == "smooth":
        return np.stack([scipy.ndimage.gaussian_filter(one, 3.0, mode="wrap") for one in z])
    if kind == "rows":
        return z + np.random.RandomState(seed + 1000).standard_normal((2, SIZE, 1))
    return z


@pytest.mark.parametrize("kind", ["white", "smooth", "rows"])
def test_coverage(kind: str) -> None:
    held = 0
    for seed in range(100):
        low, high = resampled([fields(kind, seed)]).interval(lambda means: means[..., 0] - means[..., 1])
        held += low <= 0.0 <= high
    assert held / 100 >= 0.9


def test_pixels_alone_would_promise_too_much() -> None:
    """The planted mistake: an interval for independent pixels misses most of the time in smooth noise."""
    held = 0
    for seed in range(40):
        first, second = fields("smooth", seed)
        held += abs((first - second).mean()) < 1.96 * (first - second).std() / SIZE
    assert held / 40 < 0.7


def test_rows_are_drawn_whole() -> None:
    assert resampled([fields("rows", 0)]).block in ("2 rows", "8 rows")


def test_unknown_pixels_and_several_sizes() -> None:
    maps = [np.ones((2, 50, 70)), np.full((2, 90, 40), 3.0)]
    maps[0][:, ::2] = np.nan
    found = resampled(maps)
    assert found.means == pytest.approx([(1750 + 3 * 3600) / (1750 + 3600)] * 2)
    assert np.isfinite(found.draws).all()


def test_the_same_every_time() -> None:
    np.testing.assert_array_equal(resampled([fields("white", 1)]).draws, resampled([fields("white", 1)]).draws)


def test_too_small() -> None:
    with pytest.raises(InputError, match="too small"):
        resampled([np.ones((2, 16, 16))])
