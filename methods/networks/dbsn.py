"""The dilated blind-spot network of DBSN (Wu et al., ECCV 2020), and the lighter one of AP-BSN (Lee et al., 2022)."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blindspot import he_normal


def reduced(width: int, blocks: int, published: tuple[int, int]) -> str:
    """How many of the published features and blocks a network has; empty if all."""
    of = f"{width} of {published[0]} features, {blocks} of {published[1]} blocks"
    return "" if (width, blocks) == published else of


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


class LightBlock(nn.Module):
    """x + dilated 3x3, then 1x1."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        dilated = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.leave = nn.Sequential(dilated, nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W]."""
        left: Tensor = x + self.leave(x)
        return left


def branch(width: int, blocks: int, kernel: int, block: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """First offsets of 1..kernel//2, then multiples of the dilation (kernel + 1) / 2: they never cancel."""
    dilated = [block(width, (kernel + 1) // 2) for _ in range(blocks)]
    return nn.Sequential(
        MaskedConv(width, kernel), nn.ReLU(), *pointwise(width, width, width), *dilated, *pointwise(width, width)
    )


def initialise(net: nn.Module, width: int) -> None:
    """He's, halved in the last layer of a block: signals keep their size over the blocks."""
    he_normal(net)
    for name, parameter in net.named_parameters():
        if name.endswith("leave.2.weight"):
            nn.init.normal_(parameter, std=(0.5 / width) ** 0.5)


SIGMA_N = 2.0  # softplus(2 - 4) is 32 / 255, sigma_mu starts at 5 / 255: the loss sees only the sum of both variances


class DBSNet(nn.Module):
    """mu, the standard deviation of its error, and that of the noise, all per pixel."""

    multiple = 1  # it has no poolings

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = pointwise(channels, width)
        self.branches = nn.ModuleList(branch(width, blocks, kernel, Block) for kernel in (3, 5))
        self.tail = pointwise(2 * width, width, width, width)
        self.mu = nn.Conv2d(width, channels, 1)
        self.sigma_mu = nn.Sequential(*pointwise(width, 32, 32), nn.Conv2d(32, channels, 1))
        self.sigma_n = nn.Sequential(*pointwise(channels, 32, 32, 32, 32), nn.Conv2d(32, channels, 1))
        initialise(self, width)
        for name, value in {"sigma_mu.4.weight": 0.0, "sigma_n.8.weight": 0.0, "sigma_n.8.bias": SIGMA_N}.items():
            nn.init.constant_(self.get_parameter(name), value)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 4 C, H, W]: mu, raw sigma_mu, raw sigma_n of y and of mu."""
        x = self.head(y)
        features = self.tail(torch.cat([each(x) for each in self.branches], dim=1))
        with torch.autocast(y.device.type, enabled=False):
            features = features.to(self.mu.weight.dtype)
            mu = self.mu(features)
            return torch.cat([mu, self.sigma_mu(features), self.sigma_n(y), self.sigma_n(mu)], dim=1)


class DBSNLight(nn.Module):
    """The mean alone."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = pointwise(channels, width)
        self.branches = nn.ModuleList(branch(width, blocks, kernel, LightBlock) for kernel in (3, 5))
        self.tail = nn.Sequential(
            *pointwise(2 * width, width, width // 2, width // 2), nn.Conv2d(width // 2, channels, 1)
        )
        initialise(self, width)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W]; the last layer runs in float32."""
        x = self.head(y)
        features = self.tail[:-1](torch.cat([each(x) for each in self.branches], dim=1))
        with torch.autocast(y.device.type, enabled=False):
            mean: Tensor = self.tail[-1](features.to(self.tail[-1].weight.dtype))
        return mean
