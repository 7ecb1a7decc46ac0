"""Named random draws of the methods, on the device where the step runs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..datasets import philox
from ..datasets.seeds import seed


class Rng:
    """A method's random draws [B, ...]: functions of (name, seed, sample), so equal for any batch splitting."""

    def __init__(self, seed: object, samples: Tensor) -> None:
        """`samples` [B]: int64, the number of each."""
        self.seed, self.samples = seed, samples

    def part(self, which: slice) -> "Rng":
        """The draws of some samples of the batch."""
        return Rng(self.seed, self.samples[which])

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """Uniform in 0..high-1, int64 [B, *shape]."""
        return philox.integers(self._words(name, shape), high)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform in [0, 1), float32 [B, *shape]."""
        return philox.uniform(self._words(name, shape))

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal, float32 [B, *shape]."""
        a, b, c, d = self._four(name, shape)
        return self._joined([*philox.normal(a, b), *philox.normal(c, d)], shape)

    def binomial(self, name: str, counts: Tensor, p: float) -> Tensor:
        """Bin(counts, p) for counts [B, ...] below 2^12, float32: the sum over their binary digits; NaN for others."""
        total = torch.zeros_like(counts, dtype=torch.float32)
        for digit in range(12):
            n = 2**digit
            k = torch.arange(n + 1, dtype=torch.float64, device=counts.device)
            ways = math.lgamma(n + 1.0) - torch.lgamma(k + 1.0) - torch.lgamma(n - k + 1.0)
            share = (ways + k * math.log(p) + (n - k) * math.log1p(-p)).exp()
            below = (share * 2.0**62).long().cumsum(0)[:-1] >> 30  # integers: the same sum in any order
            below += below == philox.LOW  # 1 but for the rounding: no word is above it
            word = self._words(f"{name} {n}", counts.shape[1:]).contiguous()
            drawn = torch.bucketize(word, below, right=True)
            total += drawn * (counts.long() >> digit & 1)
        return total.masked_fill(counts >= 2**12, torch.nan)

    def _four(self, name: str, shape: tuple[int, ...]) -> philox.Words:
        element = torch.arange(-(-_size(shape) // 4), device=self.samples.device)
        return philox.words(seed("draw", name, self.seed), element, self.samples.unsqueeze(1))

    def _words(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return self._joined(list(self._four(name, shape)), shape)

    def _joined(self, four: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        return torch.cat(four, dim=1)[:, : _size(shape)].reshape(-1, *shape)


def _size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def numbered(names: Sequence[tuple[object, ...]], device: str) -> Tensor:
    """Sample numbers [B] of images with these names, int64: draws at test time depend on nothing else."""
    return torch.tensor([seed("sample", *name) % 2**63 for name in names], device=device)
