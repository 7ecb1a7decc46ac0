"""Known denoisers and clean images, for tests that compare a loss with what it stands for."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.noise.model import NoiseFamily, parse
from bench.methods.base import Context, Progress
from bench.methods.rng import Rng

SIGMA = 25.0 / 255.0


class Filter(nn.Module):
    """A 3x3 filter with periodic borders, the same for every channel: its divergence is its centre times the size."""

    def __init__(self, centre: float = 0.4, side: float = 0.1, corner: float = 0.05) -> None:
        super().__init__()
        rows = [[corner, side, corner], [side, centre, side], [corner, side, corner]]
        self.weight = nn.Parameter(torch.tensor(rows, dtype=torch.float64))

    def forward(self, y: Tensor) -> Tensor:
        around = F.pad(y, (1, 1, 1, 1), mode="circular")
        return F.conv2d(around, self.weight.to(y.dtype).expand(y.shape[1], 1, 3, 3), groups=y.shape[1])


def context(samples: int, family: str = "gauss", level: float = 25.0, seed: int = 0, t: float = 1.0) -> Context:
    """What a method is told of so many samples."""
    levels = torch.full((samples,), level, dtype=torch.float64)
    progress, rng = Progress(round(100 * t), 100), Rng(seed, torch.arange(samples))
    return Context(progress, rng, 100, family_of(family), levels)


def family_of(name: str) -> NoiseFamily:
    """Such as that of `gauss`."""
    return parse(f"{name}1").family


def smooth(samples: int, channels: int = 1, side: int = 32, seed: int = 0) -> Tensor:
    """Periodic clean images in 0.2..0.8 or so, float64 [B, C, side, side]."""
    draws = torch.from_numpy(np.random.default_rng(seed).standard_normal((samples, channels, side, side)))
    blurred = F.avg_pool2d(F.pad(draws, (2, 2, 2, 2), mode="circular"), 5, 1)
    return 0.5 + 0.1 * blurred / blurred.std()


def gaussian(x: Tensor, seed: int = 1) -> Tensor:
    """The images with noise of SIGMA."""
    return x + SIGMA * torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape))


def poisson(x: Tensor, level: float, seed: int = 1) -> Tensor:
    """The images as photon counts over the level."""
    return torch.from_numpy(np.random.default_rng(seed).poisson(level * x.numpy()) / level)


def standard_errors(values: Tensor, expected: float = 0.0) -> float:
    """How far the mean of independent values is from what it should be."""
    return abs(float(values.mean()) - expected) / (float(values.std()) / values.numel() ** 0.5)
