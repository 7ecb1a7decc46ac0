"""Named random draws of the methods."""

import torch
from torch import Tensor

from ..datasets.seeds import generator


class Rng:
    """A method's random draws. Each has a name; (seed, sample) seeds it, so it is equal for any batch splitting."""

    def __init__(self, seed: object, samples: tuple[object, ...], device: torch.device) -> None:
        self.seed, self.samples, self.device = seed, samples, device

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """Uniform in 0..high-1, int64 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).integers(high, size=shape) for s in self.samples])

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal, float32 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).standard_normal(shape, "float32") for s in self.samples])

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform in [0, 1), float32 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).random(shape, "float32") for s in self.samples])

    def binomial(self, name: str, counts: Tensor, p: float) -> Tensor:
        """Bin(counts, p) for counts [B, ...], float32."""
        each = zip(self.samples, counts.detach().cpu().numpy().astype("int64"), strict=True)
        return self._stack([generator(name, self.seed, s).binomial(k, p).astype("float32") for s, k in each])

    def _stack(self, arrays: list[object]) -> Tensor:
        return torch.stack([torch.as_tensor(array) for array in arrays]).to(self.device)
