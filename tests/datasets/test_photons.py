"""Counts of photons have exactly Poisson's distribution, for images of 8 and 16 bits and a level for each."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, pdtr
from torch import Tensor

from bench.datasets.noise.field import Field
from bench.datasets.noise.photons import counts, cumulative, inverted
from bench.datasets.philox import LOW

SIDE = 100


def drawn(x: Tensor, levels: list[float], highest: float | None = None) -> Tensor:
    """Counts of images [B, C, H, W]."""
    size, channels, height, width = x.shape
    places = [torch.arange(side).expand(size, -1) for side in (height, width)]
    field = Field(("photons", 0), torch.arange(size), *places, torch.tensor([[height, width]] * size), channels)
    return counts(x, torch.tensor(levels).view(-1, 1, 1, 1), field, highest or max(levels))


def ramp(bits: int) -> Tensor:
    """A gray image of all values of 8 bits, or of many of 16, from 0 to 1."""
    steps = 2**bits - 1
    return (torch.linspace(0, steps, SIDE * SIDE).round() / steps).view(1, 1, SIDE, SIDE)


@pytest.mark.parametrize("x", [37 / 255, 12_345 / 65_535, 1.0])
@pytest.mark.parametrize("rate", [0.3, 5.0, 30.0, 50.0, 1000.0])
def test_counts_of_one_rate_have_its_probabilities(rate: float, x: float) -> None:
    """Chi-square over all counts that are expected at least five times; those beyond are one cell on each side."""
    level = float(np.float32(rate / x))
    found = drawn(torch.full((1, 1, SIDE, SIDE), x), [level]).flatten().long().numpy()
    edges = np.arange(found.max() + 2)
    cumulated = pdtr(edges, level * x)
    inner = edges[(SIDE**2 * cumulated >= 5) & (SIDE**2 * (1 - cumulated) >= 5)]
    expected = SIDE**2 * np.diff(np.concatenate([[0.0], cumulated[inner], [1.0]]))
    cells = np.bincount(np.searchsorted(inner, found), minlength=len(expected))
    keep = expected >= 5
    square = float(((cells - expected)[keep] ** 2 / expected[keep]).sum())
    assert found.min() >= 0
    assert len(expected) > 1
    assert chdtrc(keep.sum() - 1, square) > 1e-3


def chance(found: NDArray[np.float64], rates: NDArray[np.float64]) -> float:
    """Kolmogorov and Smirnov's, of a number drawn uniformly between a count's probability and that of one less."""
    low = np.where(found > 0, pdtr(found - 1, rates), 0.0)
    share = np.sort(low + np.random.default_rng(1).uniform(size=found.shape) * (pdtr(found, rates) - low), axis=None)
    steps = np.arange(share.size + 1) / share.size
    return float(kolmogorov(max((share - steps[:-1]).max(), (steps[1:] - share).max()) * share.size**0.5))


@pytest.mark.parametrize("bits", [8, 16])
def test_every_image_has_its_own_level(bits: int) -> None:
    levels = [0.5, 5.0, 50.0, 700.0]
    x = ramp(bits).expand(4, 1, -1, -1)
    found = drawn(x, levels)
    assert found.dtype == torch.float32
    for image, one, level in zip(found.double().numpy(), x.double().numpy(), levels, strict=True):
        assert chance(image, level * one) > 0.01
    assert torch.equal(found[2:3].round(), found[2:3])


def test_a_higher_range_of_levels_does_not_change_the_counts() -> None:
    assert torch.equal(drawn(ramp(8), [30.0]), drawn(ramp(8), [30.0], highest=900.0))


def test_values_between_two_steps_of_16_bits_are_rounded_to_the_nearer_one() -> None:
    between, nearer = (torch.full((1, 1, SIDE, SIDE), step / 65_535) for step in (255.9, 256.0))
    assert torch.equal(drawn(between, [5000.0]), drawn(nearer, [5000.0]))


def test_black_has_no_photons_and_values_out_of_range_are_cut() -> None:
    x = torch.tensor([-0.5, 0.0, 1.0, 1.5]).view(1, 1, 2, 2).expand(1, 3, -1, -1).repeat(1, 1, 8, 8)
    found = drawn(x, [30.0])
    assert not found[x <= 0].any()
    assert found[x >= 1].min() > 0
    assert found[x > 1].mean() == pytest.approx(30.0, abs=2.5)


@pytest.mark.parametrize("highest", [1e-6, 0.3, 30.0, 1000.0, 50_000.0])
def test_the_table_is_the_cumulative_distribution(highest: float) -> None:
    """To one word in 2^32, at every rate; a range of levels has one width."""
    rate = torch.tensor([highest, 0.01 * highest], dtype=torch.float64) / 255
    first, below = cumulative(rate, highest / 255)
    assert first.min() >= 0
    index = [0, 1, 77, 255]
    k = first[:, index].unsqueeze(-1).numpy() + np.arange(below.shape[-1])
    mean = (rate.view(-1, 1) * torch.tensor(index)).unsqueeze(-1).numpy()
    expected = np.where(mean > 0, pdtr(k, np.maximum(mean, 1e-300)), 1.0)
    found = (below[:, index].double().numpy() + 2.0**31) * 2.0**-32
    assert np.abs(found - expected).max() < 2 * 2.0**-32 + 2e-9 * (highest > 1e4)
    assert (below[..., -1] == 2**31 - 1).all()  # nothing is beyond the table


@pytest.mark.parametrize("highest", [0.3, 30.0, 1000.0])
@pytest.mark.parametrize("word", [0, 1, LOW - 1, LOW])
def test_the_outermost_words_are_counts_that_occur(word: int, highest: float) -> None:
    """Once in 2^32 numbers, the highest word gave a count far beyond what its rate can have."""
    i = torch.arange(256).view(1, 1, 16, 16).int()
    found = inverted(i, torch.tensor([highest / 255], dtype=torch.float64), torch.full(i.shape, word), highest / 255)
    mean = i.double() * highest / 255
    assert found[0, 0, 0, 0] == 0
    assert ((found - mean).abs() <= 6.8 * mean.sqrt() + 9).all()
