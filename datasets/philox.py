"""Philox4x32-10 (Salmon et al., SC 2011): random numbers that are a function of a key and a counter, on any device."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # the key's steps from round to round
LOW = 0xFFFFFFFF
Words = tuple[Tensor, Tensor, Tensor, Tensor]
FUSED: ContextVar[bool] = ContextVar("fused", default=False)


@contextmanager
def fused(on: bool) -> Iterator[None]:
    """While `on`, one compiled kernel draws the same words as about 130 small kernels otherwise."""
    before = FUSED.set(on)
    try:
        yield
    finally:
        FUSED.reset(before)


def philox(counter: Words, low: int | Tensor, high: int | Tensor) -> Words:
    """Four words in 0..2^32-1 for each counter of four such words, int64; the key is two such words."""
    a, b, c, d = counter
    for _ in range(10):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]  # the 64 bits are right, though the sign may not be
        a = (second >> 32).bitwise_and_(LOW).bitwise_xor_(b).bitwise_xor_(low)
        c = (first >> 32).bitwise_and_(LOW).bitwise_xor_(d).bitwise_xor_(high)
        b, d = second.bitwise_and_(LOW), first.bitwise_and_(LOW)
        low, high = low + WEYL[0] & LOW, high + WEYL[1] & LOW
    return a, b, c, d


def words(key: int, element: Tensor, sample: Tensor, draw: int = 0) -> Words:
    """The words of every (element, sample); element below 2^32, sample below 2^63, both int64 and broadcast."""
    low, high = key & LOW, key >> 32 & LOW
    if torch.compiler.is_compiling() or not FUSED.get():  # a network may draw within its own graph
        return _words(element, sample, draw, low, high)
    device = element.device  # tensors, as the kernel would be compiled again for other numbers
    return _kernel()(element, sample, *(torch.full((), word, device=device) for word in (draw, low, high)))


def _words(element: Tensor, sample: Tensor, draw: int | Tensor, low: int | Tensor, high: int | Tensor) -> Words:
    zero = torch.zeros_like(element + sample)
    return philox((element + zero, zero + draw, (sample & LOW) + zero, (sample >> 32) + zero), low, high)


@cache
def _kernel() -> Callable[..., Words]:
    return torch.compile(_words, dynamic=True)


def integers(word: Tensor, high: int | Tensor) -> Tensor:
    """Words as int64 in 0..high-1, high at most 2^31."""
    return word * high >> 32


def uniform(word: Tensor) -> Tensor:
    """Words as float32 in [0, 1)."""
    return (word >> 8).float() * 2.0**-24


def normal(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two words as two standard normal numbers, float32 (Box and Muller)."""
    radius = ((first.float() + 0.5) * 2.0**-32).log().mul(-2.0).clamp(min=0.0).sqrt()
    angle = second.float() * (2.0**-31 * math.pi)
    return radius * angle.cos(), radius * angle.sin()
