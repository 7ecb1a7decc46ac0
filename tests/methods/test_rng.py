"""The draws of methods: their distributions, any splitting of the batch, and the device on which they are made."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import bdtr, chdtrc
from support.watch import on_device
from torch import Tensor

from bench.datasets.philox import LOW, Words
from bench.methods.rng import Rng

Draw = Callable[[Rng], Tensor]
SAMPLES = torch.tensor([4, 5, 2**62])


COUNTS = torch.tensor([0.0, 1.0, 37.0, 512.0, 4095.0]).expand(3, 2, -1)
DRAWS: dict[str, Draw] = {
    "integers": lambda rng: rng.integers("a", 8, 2, 5),
    "uniform": lambda rng: rng.uniform("a", 2, 5),
    "normal": lambda rng: rng.normal("a", 2, 5),
    "binomial": lambda rng: rng.binomial("a", COUNTS[: len(rng.samples)], 0.2),
    "one number": lambda rng: rng.uniform("a"),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_a_draw_is_the_same_under_any_splitting(draw: Draw) -> None:
    whole = draw(Rng(0, SAMPLES))
    parts = [draw(Rng(0, SAMPLES).part(slice(0, 1))), draw(Rng(0, SAMPLES).part(slice(1, 3)))]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_a_draw_is_made_on_the_device_of_the_samples(draw: Draw) -> None:
    rng = Rng(0, SAMPLES)
    with on_device():
        draw(rng)


def test_draws_differ_by_name_seed_and_sample() -> None:
    rngs = [Rng(seed, torch.tensor([sample])) for seed, sample in ((0, 4), (1, 4), (0, 5))]
    streams = torch.cat([rng.uniform(name, 3000) for rng in rngs for name in "ab"])
    assert np.abs(np.corrcoef(streams.numpy()) - np.eye(6)).max() < 4 / 3000**0.5
    assert torch.equal(rngs[0].uniform("a", 50, 60).flatten(), streams[0])


@pytest.mark.parametrize("p", [0.2, 0.9])
@pytest.mark.parametrize("n", [1, 2, 30, 513, 4095])
def test_binomial_draws_have_their_probabilities(n: int, p: float) -> None:
    """Chi-square; counts that are expected less than five times are one cell on each side."""
    total = 6000
    found = Rng(0, SAMPLES).binomial("w", torch.full((3, total // 3), float(n)), p).flatten().long().numpy()
    cumulated = bdtr(np.arange(n), n, p)
    inner = np.arange(n)[(total * cumulated >= 5) & (total * (1 - cumulated) >= 5)]
    expected = total * np.diff(np.concatenate([[0.0], cumulated[inner], [1.0]]))
    cells = np.bincount(np.searchsorted(inner, found), minlength=len(expected))
    keep = expected >= 5
    assert 0 <= found.min() <= found.max() <= n
    assert chdtrc(keep.sum() - 1, float(((cells - expected)[keep] ** 2 / expected[keep]).sum())) > 1e-3


def test_counts_of_too_many_digits_are_not_drawn() -> None:
    found = Rng(0, SAMPLES).binomial("w", torch.tensor([4095.0, 4096.0, 5000.0]).expand(3, -1), 0.5)
    assert torch.equal(found.isnan(), torch.tensor([False, True, True]).expand(3, -1))


@pytest.mark.parametrize("word", [0, LOW - 1, LOW])
def test_the_outermost_words_are_draws_that_occur(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in 2^32 numbers, the highest word was a success of all, however many."""

    def four(self: Rng, name: str, shape: tuple[int, ...]) -> Words:
        return (torch.full((len(self.samples), 16), word),) * 4

    monkeypatch.setattr(Rng, "_four", four)
    found = Rng(0, SAMPLES).binomial("w", torch.full((3, 7), 2048.0), 0.2)
    assert ((found - 410).abs() < 140).all()
