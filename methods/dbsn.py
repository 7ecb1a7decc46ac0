"""Dilated blind-spot network: masked and dilated convolutions, and Bayes' rule (Wu et al., ECCV 2020)."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method, Output
from .networks.blindspot import he_normal
from .registry import register

WIDTH, BLOCKS = 96, 8  # of the official network


class MaskedConv(nn.Conv2d):
    """A convolution that does not see its centre."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__(width, width, kernel, padding=kernel // 2)
        mask = torch.ones(kernel, kernel)
        mask[kernel // 2, kernel // 2] = 0.0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]; the mask acts on the weights at every call, whatever an optimiser did to them."""
        return F.conv2d(x, self.weight * self.get_buffer("mask"), self.bias, padding=self.padding)


def pointwise(*widths: int) -> nn.Sequential:
    """1x1 convolutions with ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class Block(nn.Module):
    """x + inception of 1x1, 1x1 + dilated 3x3, 1x1 + dilated 5x5; then two 1x1."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(pointwise(width, width) for _ in range(3))
        self.small, self.large = (
            nn.Conv2d(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation) for kernel in (3, 5)
        )
        self.join = pointwise(3 * width, width)
        self.leave = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W]."""
        a, b, c = (enter(x) for enter in self.enter)
        joined = self.join(torch.cat([a, F.relu(self.small(b)), F.relu(self.large(c))], dim=1))
        left: Tensor = self.leave(x + joined)
        return left


def branch(width: int, blocks: int, kernel: int) -> nn.Sequential:
    """First offsets of 1..kernel//2, then multiples of the dilation (kernel + 1) / 2: they never cancel."""
    dilated = [Block(width, (kernel + 1) // 2) for _ in range(blocks)]
    return nn.Sequential(
        MaskedConv(width, kernel), nn.ReLU(), *pointwise(width, width, width), *dilated, *pointwise(width, width)
    )


class Network(nn.Module):
    """mu, the standard deviation of its error, and that of the noise, all per pixel."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = pointwise(channels, width)
        self.branches = nn.ModuleList(branch(width, blocks, kernel) for kernel in (3, 5))
        self.tail = pointwise(2 * width, width, width, width)
        self.mu = nn.Conv2d(width, channels, 1)
        self.sigma_mu = nn.Sequential(*pointwise(width, 32, 32), nn.Conv2d(32, channels, 1))
        self.sigma_n = nn.Sequential(*pointwise(channels, 32, 32, 32, 32), nn.Conv2d(32, channels, 1))
        he_normal(self)
        for name, parameter in self.named_parameters():
            if name.endswith("leave.2.weight"):  # halved: signals keep their size over the blocks
                nn.init.normal_(parameter, std=(0.5 / width) ** 0.5)
            if name in ("sigma_mu.4.weight", "sigma_n.8.weight"):  # all sigma start at softplus(-4)
                nn.init.zeros_(parameter)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 4 C, H, W]: mu, raw sigma_mu, raw sigma_n of y and of mu."""
        x = self.head(y)
        features = self.tail(torch.cat([each(x) for each in self.branches], dim=1))
        with torch.autocast(y.device.type, enabled=False):
            features = features.to(self.mu.weight.dtype)
            mu = self.mu(features)
            return torch.cat([mu, self.sigma_mu(features), self.sigma_n(y), self.sigma_n(mu)], dim=1)


@register("dbsn")
class DBSN(Method, frozen=True):
    """min E (y - mu)^2 / (s_mu + s_n) + log(s_mu + s_n); map = (s_mu y + s_n mu) / (s_mu + s_n)."""

    card = Card(
        paper="Wu et al., Unpaired Learning of Deep Image Denoising, ECCV 2020",
        equations="Eq. 7-11",
        deviations="one stage of training as for gray images in the official code, diagonal variances, no "
        "distillation (its second stage needs clean images); He initialisation, sigma's last layers 0; shared recipe",
    )
    knowledge = "family"
    multiple = 1
    revision = 2  # 1 had the framework's initial weights, with which it did not learn in short runs
    outputs = (Output("mu", blind=True, primary=False), Output("map"))
    width: int = WIDTH
    blocks: int = BLOCKS
    model: Literal["simulated", "gauss", "poisson"] = (
        "simulated"  # of the noise; simulated: that of the simulated noise
    )

    def __post_init__(self) -> None:
        """InputError for a width for which oneDNN's bf16 gradient of dilated convolutions is not a number."""
        if self.width < 16 or self.width % 16:
            raise InputError(f"dbsn: width = {self.width}; allowed: multiples of 16")

    def applies(self, noise: Noise, channels: int) -> str | None:
        """A noise family: one level per image (Gaussian), or a level that depends on the intensity (Poisson)."""
        if self.model == "simulated" and noise.family.distribution == "other":
            return "DBSN needs a noise model: set the field model to gauss or poisson"
        return None

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Network(channels, self.width, self.blocks)

    def distributions(self, net: nn.Module, y: Tensor, ctx: Context) -> tuple[Tensor, Tensor, Tensor]:
        """mu, s_mu, s_n [B, C, H, W]; s_n from y, one per image (Gaussian), or from mu, per pixel (Poisson)."""
        mu, s_mu, of_y, of_mu = net(y).chunk(4, dim=1)
        model: str = self.model
        if model == "simulated":
            assert ctx.noise is not None
            model = ctx.noise.distribution
        s_n = of_y.mean((2, 3), keepdim=True) if model == "gauss" else of_mu
        return mu, deviation(s_mu).square(), deviation(s_n).square().expand_as(mu)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Half the mean over pixels and channels."""
        mu, s_mu, s_n = self.distributions(net, batch.noisy, ctx)
        s = s_mu + s_n
        yield 0.5 * ((batch.noisy - mu).square() / s + s.log()).mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """mu without the pixel itself, map with it."""
        mu, s_mu, s_n = self.distributions(net, noisy, ctx)
        return {"mu": mu, "map": (s_mu * noisy + s_n * mu) / (s_mu + s_n)}

    def reduced_settings(self, steps: int) -> str:
        """A smaller network than the official one."""
        return "" if (self.width, self.blocks) == (WIDTH, BLOCKS) else f"{self.width}x{self.blocks} network"


def deviation(raw: Tensor) -> Tensor:
    """softplus(o - 4) + 1e-3: a standard deviation."""
    return F.softplus(raw - 4.0) + 1e-3
