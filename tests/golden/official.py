"""What the golden vectors were made with: weights under the official names, the probe network, given draws."""

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.noise.model import Image, Noise
from bench.methods.base import Context, Progress
from bench.methods.networks.official_names import parameters
from bench.methods.rng import Rng

from .conftest import Array


class OfficialNoise:
    """The official test noise: one RandomState(101) through all sets, repeats and images."""

    def __init__(self) -> None:
        self._draws = np.random.RandomState(101)  # legacy on purpose: the published numbers use it

    def __call__(self, noise: Noise, clean: Image) -> tuple[Image, float]:
        """The next image's noise: the level first, then the field."""
        level = noise.draw_level(self._draws)
        return noise.apply(clean, level, self._draws), level


def keys(layers: dict[str, str]) -> list[str]:
    """Our parameter names in the sorted order of the official ones."""
    names = parameters(layers)
    return [names[theirs] for theirs in sorted(names)]


def fill(net: nn.Module, layers: dict[str, str], seed: int) -> nn.Module:
    """The network with the recipe's weights; fails unless the names are exactly the network's."""
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    state = {}
    for k, name in enumerate(keys(layers)):
        z = np.random.default_rng(seed + k).standard_normal(shapes[name])
        scale = 0.05 if z.ndim == 1 else np.sqrt(2.0 / np.prod(z.shape[1:]))
        state[name] = torch.from_numpy((z * scale).astype(np.float32))
    net.load_state_dict(state)
    return net


def digest(net: nn.Module, layers: dict[str, str]) -> str:
    """SHA-256 of the float32 weights in the sorted order of the official names."""
    state = net.state_dict()
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in keys(layers))).hexdigest()


class Recorder(nn.Module):
    """Keeps what it is given and returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """The identity."""
        self.seen.append(x)
        return x


class Probe(nn.Module):
    """P(x) = 0.2 x + 0.8 B(x) + 0.01, B the 3x3 mean with zero padding."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W], any size."""
        # A convolution, as when the vectors were made: sums in another order tip pixels that end in .5 levels.
        mean = torch.full((x.shape[1], 1, 3, 3), 1.0 / 9.0).to(x)
        return 0.2 * x + 0.8 * F.conv2d(x, mean, padding=1, groups=x.shape[1]) + 0.01


class Given(Rng):
    """Recorded draws instead of random ones."""

    def __init__(self, integers: Array, high: int) -> None:
        self.recorded, self.high = torch.from_numpy(integers), high

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """The recorded integers, image by image."""
        assert high == self.high
        return self.recorded.view(-1, *shape)


def context(epoch: int = 1, epochs: int = 1, chunk: int = 16, rng: Rng | None = None) -> Context:
    """What the training loop tells a method in epoch e of N, at one step per epoch."""
    rng = rng or Rng("none", torch.zeros(0, dtype=torch.int64))
    return Context(Progress(epoch, epochs), rng, chunk)


def nearest(x: Tensor, among: Tensor) -> Tensor:
    """For each image of x the index of the image it is most like, so that a fake network knows whom it was given."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(x.double().flatten(1), among.double().flatten(1), compute_mode=exact).argmin(1)


def compare_gradients(gradients: dict[str, Tensor], layers: dict[str, str], arrays: dict[str, Array]) -> None:
    """Of a whole step: norms in sorted official order, and every entry of the last layer's gradients."""
    norms = [float(gradients[name].double().norm()) for name in keys(layers)]
    assert norms == pytest.approx(arrays["step_grad_norms"].tolist(), rel=1e-3)
    for kind in ("weight", "bias"):
        expected = arrays[f"step_grad_last_{kind}"]
        atol = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(gradients[f"last.{kind}"], expected, rtol=1e-3, atol=atol)
