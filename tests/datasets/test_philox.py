"""The generator: published known answers, its distributions, and numbers that do not depend on each other."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import kolmogorov, ndtr
from torch import Tensor

from bench.compute.machine import can_compile
from bench.datasets.philox import LOW, Words, fused, integers, normal, philox, uniform, words

COUNT = 20_000
KNOWN = [  # of the authors' Random123: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
FUSED_COUNTERS: list[tuple[Any, ...]] = [
    (5, torch.arange(1000), torch.tensor([[0], [7], [2**40 + 3]])),
    (2**64 - 1, torch.arange(77), torch.tensor([[2**62 + 1]]), 1),
    (2**63 + 12345, torch.zeros(4, dtype=torch.int64), torch.arange(4)),
    (77, torch.arange(60).view(1, 6, 10), torch.arange(3).view(3, 1, 1), 2),
]


def read(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def drawn(key: int = 1, sample: int = 5, draw: int = 0, count: int = COUNT) -> Words:
    return words(key, torch.arange(count), torch.tensor(sample), draw)


def chance(numbers: Tensor, cumulative: NDArray[np.float64]) -> float:
    """Kolmogorov and Smirnov's probability of such numbers; `cumulative` are the distribution's at the sorted ones."""
    steps = np.arange(len(numbers) + 1) / len(numbers)
    distance = max((cumulative - steps[:-1]).max(), (steps[1:] - cumulative).max())
    return float(kolmogorov(distance * len(numbers) ** 0.5))


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_published_answers(counter: str, key: str, expected: str) -> None:
    """Alone, and among others in a tensor."""
    low, high = read(key)
    for shape in ((), (2, 3)):
        found = philox(tuple(torch.full(shape, word) for word in read(counter)), low, high)  # type: ignore[arg-type]
        assert [sorted(set(word.flatten().tolist())) for word in found] == [[word] for word in read(expected)]


def test_a_counter_is_element_draw_and_sample() -> None:
    """Samples have 63 bits; a key has 64, what is above them does not count."""
    element, draw, low, high = read(KNOWN[2][0])
    sample = low | (high & 0x7FFFFFFF) << 32
    found = words(7 + 2**64, torch.tensor(element), torch.tensor(sample), draw)
    expected = philox(tuple(map(torch.tensor, (element, draw, low, high & 0x7FFFFFFF))), 7, 0)  # type: ignore[arg-type]
    assert [int(word) for word in found] == [int(word) for word in expected]


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="no C compiler (cc) or no Python.h on this machine")
def test_one_compiled_kernel_draws_the_same_words() -> None:
    """For any key, draw and shape; of a single sample, too."""
    with fused(True):
        found = [words(key, *counters) for key, *counters in FUSED_COUNTERS]
    for kernel, (key, *counters) in zip(found, FUSED_COUNTERS, strict=True):
        assert torch.equal(torch.stack(kernel), torch.stack(words(key, *counters)))


@pytest.mark.parametrize("word", range(4))
def test_words_are_uniform(word: int) -> None:
    numbers = uniform(drawn()[word])
    assert numbers.dtype == torch.float32
    assert 0.0 <= numbers.min() <= numbers.max() < 1.0
    assert chance(numbers, numbers.sort().values.double().numpy()) > 0.01


@pytest.mark.parametrize("pair", [(0, 1), (2, 3)])
def test_two_words_are_two_normal_numbers(pair: tuple[int, int]) -> None:
    four = drawn()
    one, two = normal(four[pair[0]], four[pair[1]])
    for numbers in (one, two):
        assert chance(numbers, ndtr(numbers.sort().values.double().numpy())) > 0.01
    for power in (1, 2):
        assert abs(np.corrcoef(one**power, two**power)[0, 1]) < 4 / COUNT**0.5


def test_the_outermost_words_are_numbers_as_well() -> None:
    ends = torch.tensor([0, 1, LOW - 1, LOW])
    assert uniform(ends).tolist() == [0.0, 0.0, 1 - 2.0**-24, 1 - 2.0**-24]
    found = torch.stack(normal(*torch.meshgrid(ends, ends, indexing="ij")))
    assert found.isfinite().all()
    assert found.abs().max() < 6.8


@pytest.mark.parametrize("high", [1, 2, 3, 8, 1000, 2**31])
def test_integers_are_below_their_bound_and_equally_frequent(high: int) -> None:
    assert integers(torch.tensor([0, LOW]), high).tolist() == [0, high - 1]
    assert integers(torch.tensor([0, LOW]), torch.tensor([high, high])).tolist() == [0, high - 1]
    counts = np.bincount((integers(drawn()[0], high) * min(high, 8)) // high, minlength=min(high, 8))
    expected = COUNT * np.bincount(np.arange(min(high, 1000)) * min(high, 8) // min(high, 1000)) / min(high, 1000)
    assert (np.abs(counts - expected) < 4 * expected**0.5).all()


def test_keys_samples_draws_and_words_are_independent() -> None:
    """Neighbours of each, and the number after the next."""
    sets = [drawn(), drawn(key=2), drawn(key=1 + 2**32), drawn(sample=6), drawn(sample=5 + 2**32), drawn(draw=1)]
    streams = [uniform(word) for one in sets for word in one]
    streams += [streams[0].roll(shift) for shift in (1, 2, 4)]
    correlations = np.corrcoef(torch.stack(streams).numpy())
    pairs = [abs(correlations[i, j]) for i, j in itertools.combinations(range(len(streams)), 2)]
    assert max(pairs) < 4.5 / COUNT**0.5
