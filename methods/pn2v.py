"""Probabilistic Noise2Void with a Gaussian-mixture noise model (Krull et al. 2020; Prakash et al., ISBI 2020)."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Batch, Card, Context, Method, Output
from .masks import mask_of, masked_index, masked_mean
from .n2v import neighbours
from .networks.readout import Pixels, at_pixels, values_at
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register

SPREAD = 0.1  # of the first samples around the first channel
FLOOR = 1e-4  # of a variance, in (0..1)^2


class Probabilistic(nn.Module):
    """A network whose channels are a mean and K samples of the signal, and a noise model p(y | s)."""

    def __init__(self, net: nn.Module, components: int, samples: int, channels: int) -> None:
        super().__init__()
        self.net, self.samples, self.channels = net, samples, channels
        start = torch.zeros(components, 2, 3)  # component; signal's power 0, 1; weight, shift, variance
        start[:, 0, 2] = torch.linspace(-1.0, 1.0, components)
        self.mixture = nn.Parameter(start)
        quantiles = (torch.arange(samples) + 0.5) / samples
        self.register_buffer("spread", SPREAD * math.sqrt(2.0) * torch.erfinv(2.0 * quantiles - 1.0), persistent=False)

    @property
    def reads_pixels(self) -> bool:
        """Whether the network takes `Pixels`."""
        return getattr(self.net, "reads_pixels", False)

    def forward(self, y: Tensor, *read: Pixels) -> Tensor:
        """[B, C, H, W] -> [B, (1 + K) C, H, W], or what is read of it: mean, then samples, which begin around it."""
        mean, samples = self.net(y, *read).split([self.channels, self.samples * self.channels], dim=1)
        apart = samples.unflatten(1, (self.samples, self.channels))
        apart = apart + mean.unsqueeze(1) + self.get_buffer("spread").view(-1, 1, 1, 1)
        return torch.cat([mean, apart.flatten(1, 2)], dim=1)


def log_likelihood(mixture: Tensor, y: Tensor, s: Tensor) -> Tensor:
    """log p(y | s), elementwise: a mixture of Gaussians whose weights, shifts and variances are linear in s."""
    a, b = (mixture[:, power].unbind(1) for power in (0, 1))
    weight, shift, raw = (x + z * (s.unsqueeze(-1) - 0.5) for x, z in zip(a, b, strict=True))
    variance = 0.01 * F.softplus(raw) + FLOOR
    distance = (y - s).unsqueeze(-1) - 0.1 * (shift - shift.mean(-1, keepdim=True))
    exponent = -0.5 * (distance.square() / variance + variance.log() + math.log(2.0 * math.pi))
    return torch.logsumexp(weight.log_softmax(-1) + exponent, -1)


@register("pn2v")
class PN2V(Method, frozen=True):
    """min E - log (1/K) sum_k p(y | s_k), s_k from the masked image; x^ = sum_k p(y | s_k) s_k / sum_k p(y | s_k).

    p is bootstrapped: min E - log p(y | mu), with the mean mu that Noise2Void's loss, min E (mu - y)^2, trains.
    """

    card = Card(
        paper="Krull et al., Probabilistic Noise2Void, Frontiers 2020; Prakash et al., Fully Unsupervised "
        "Probabilistic Noise2Void, ISBI 2020",
        deviations="shared U-Net and recipe; mean, noise model and samples are trained together, where the authors "
        "train one after the other; 100 samples, where they have 800; two components linear in the signal, whose plain "
        "mean of the shifts is 0, where theirs is weighted; all channels of a pixel share their samples; masks of "
        "Noise2Void, the pixel itself never drawn",
    )
    outputs = (Output("prior mean", primary=False), Output("mmse"))
    revision = 2  # 1 computed the whole output
    K: Annotated[int, Meta(ge=2, le=1000)] = 100
    components: Annotated[int, Meta(ge=1, le=32)] = 2
    perc: Annotated[float, Meta(gt=0.0, le=25.0)] = 1.5
    radius: Annotated[int, Meta(ge=1, le=64)] = 5
    net: Network = UNetConfig()

    def build(self, channels: int) -> nn.Module:
        """The network with (1 + K) C outputs, and the noise model."""
        return Probabilistic(self.net.build(channels, (1 + self.K) * channels), self.components, self.K, channels)

    def split(self, made: Tensor) -> tuple[Tensor, Tensor]:
        """mu [B, C, ...], s [B, K, C, ...] of the network's outputs [B, (1 + K) C, ...]."""
        channels = made.shape[1] // (1 + self.K)
        return made[:, :channels], made[:, channels:].reshape(made.shape[0], self.K, channels, *made.shape[2:])

    def losses(self, net: Any, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The three terms at the masked pixels; none but its own moves the mean, and none the noise model."""
        y = batch.noisy
        index, inside = masked_index(ctx.rng, self.perc, 1, *y.shape[2:])  # no other pixel is read
        M = mask_of(index, inside, *y.shape[2:])
        made = at_pixels(net, torch.where(M, neighbours(ctx.rng, y, self.radius, False), y), index)
        y, (mu, s) = values_at(y, index), self.split(made)
        n2v = (mu - y).square().mean(1) / SPREAD**2
        model = -log_likelihood(net.mixture, y, mu.detach()).mean(1)
        likely = log_likelihood(net.mixture.detach(), y.unsqueeze(1), s - mu.unsqueeze(1) + mu.detach().unsqueeze(1))
        prior = math.log(self.K) - likely.sum(2).logsumexp(1)
        yield masked_mean(n2v + model + prior, inside[:, 0]).mean()

    def denoise(self, net: Any, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The mean of the samples, and their mean weighted by the likelihood of the pixel itself."""
        _, s = self.split(net(noisy))
        weights = log_likelihood(net.mixture, noisy.unsqueeze(1), s).sum(2, keepdim=True).softmax(1)
        return {"prior mean": s.mean(1), "mmse": (weights * s).sum(1)}
