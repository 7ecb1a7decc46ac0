"""Exact Poisson counts from one random word each, in tensor code: inversion in tables of the cumulative distribution.

x is rounded to 16 bits. The counts of its high byte and of its low byte are drawn apart and added, since the sum of two
independent Poisson counts is a Poisson count of the summed rate. So 2 x 256 rates serve images of 8 and of 16 bits.
"""

import math

import torch
from torch import Tensor

from .model import Numbers

STEPS = 65535  # of x in 0..1


def counts(x: Tensor, level: Tensor, numbers: Numbers, highest: float) -> Tensor:
    """Poisson(level x), float32 [B, C, H, W], for x in 0..1 and levels [B, 1, 1, 1] of at most `highest`."""
    steps = (x.clamp(0.0, 1.0) * STEPS).round().int()
    rate = level.view(-1).double() / STEPS  # of one step
    upper = inverted(steps >> 8, 256.0 * rate, numbers.words("photons"), 256.0 * highest / STEPS)
    lower = inverted(steps & 255, rate, numbers.words("photons below"), highest / STEPS)
    return (upper + lower).to(x.dtype)


def inverted(i: Tensor, rate: Tensor, word: Tensor, highest: float) -> Tensor:
    """The number of counts k with P(count <= k) * 2^32 <= word, for Poisson(i * rate), i in 0..255; int32 as i."""
    first, below = cumulative(rate, highest)
    size = below.shape[-1]
    index = torch.int32 if below.numel() < 2**31 else torch.int64
    batch = torch.arange(len(i), dtype=index, device=i.device)
    row = (i + 256 * batch.view(-1, 1, 1, 1)).reshape(-1)
    # The highest word counts as the one below it: no entry of a row exceeds it, so the search would run past the row.
    found, word = row * size, (word - 2**31).clamp(max=2**31 - 2).int().reshape(-1)
    step = size // 2
    while step:  # bisection in the row
        found = found.add(below.view(-1).index_select(0, found + (step - 1)) <= word, alpha=step)
        step //= 2
    return (found - row * size + first.view(-1).index_select(0, row)).view(i.shape)


def cumulative(rate: Tensor, highest: float) -> tuple[Tensor, Tensor]:
    """Of Poisson(i * rate [B]) for i = 0..255: a first count [B, 256], and P(count <= first + j) [B, 256, J], int32.

    The probabilities are scaled to -2^31..2^31-1. All counts outside these J together are rarer than one word.
    """
    mean = 255.0 * highest
    size = 1 << math.ceil(math.log2(14.0 * math.sqrt(mean) + 10.0))
    mu = rate.view(-1, 1) * torch.arange(256, device=rate.device)
    first = (mu - 7.0 * mu.sqrt()).floor().clamp(min=0.0)
    k, mu = first.unsqueeze(-1) + torch.arange(size, device=rate.device), mu.unsqueeze(-1)
    share = (torch.xlogy(k, mu) - mu - torch.lgamma(k + 1.0)).exp()
    # A sum of integers is the same in any order; CUDA has no deterministic one of floats.
    below = (share * 2.0**62).long().cumsum(-1) >> 30
    return first.int(), (below - 2**31).clamp(max=2**31 - 1).int()
