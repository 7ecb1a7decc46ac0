"""The dilated blind-spot network of DBSN (Wu et al., ECCV 2020), and the lighter one of AP-BSN (Lee et al., 2022)."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blindspot import he_normal
from .layers import Float32Conv


def reduced(width: int, blocks: int, published: tuple[int, int]) -> str:
    """How many of the published features and blocks a network has where they are fewer; empty if none are."""
    numbers = zip((width, blocks), published, ("features", "blocks"), strict=True)
    return ", ".join(f"{n} of {of} {what}" for n, of, what in numbers if n < of)


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
        self.leave = pointwise(width, width, width)

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
        MaskedConv(width, kernel), nn.ReLU(), *pointwise(width, width, width), *dilated, nn.Conv2d(width, width, 1)
    )


def initialise(net: nn.Module, block_variance: float) -> None:
    """He's, and a smaller variance (in units of 1 / fan_in) in the last layer of a block: signals keep their size."""
    he_normal(net)
    for name, parameter in net.named_parameters():
        if name.endswith("leave.2.weight"):
            nn.init.normal_(parameter, std=(block_variance / parameter.shape[1]) ** 0.5)


SIGMA_N = 2.0  # softplus(2 - 4) is 32 / 255
SIGMA_MU = 5 / 255  # well below SIGMA_N: the loss sees only the sum of both variances


class DBSNet(nn.Module):
    """mu, the standard deviation of its error, and that of the noise, all per pixel."""

    multiple = 1  # it has no poolings

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = pointwise(channels, width)
        self.branches = nn.ModuleList(branch(width, blocks, kernel, Block) for kernel in (3, 5))
        self.concat = nn.Conv2d(2 * width, width, 1)
        self.tail = pointwise(width, width, width)
        self.mu = nn.Conv2d(width, channels, 1)
        self.sigma_mu = nn.Sequential(*pointwise(width, 32, 32), nn.Conv2d(32, channels, 1))
        self.sigma_n = nn.Sequential(*pointwise(channels, 32, 32, 32, 32), nn.Conv2d(32, channels, 1))
        initialise(self, 2 / (2 + 2 / math.pi))  # a block adds two rectified signals of equal size and of positive mean
        for net, bias in ((self.sigma_mu, SIGMA_MU), (self.sigma_n, SIGMA_N)):
            last = list(net.parameters())[-2:]
            nn.init.zeros_(last[0])
            nn.init.constant_(last[1], bias)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 4 C, H, W]: mu, raw sigma_mu, raw sigma_n of y and of mu."""
        x = self.head(y)
        features = self.concat(torch.cat([each(x) for each in self.branches], dim=1))
        last = self.tail(features)
        with torch.autocast(y.device.type, enabled=False):
            kind = self.mu.weight.dtype
            mu = self.mu(last.to(kind))
            return torch.cat([mu, self.sigma_mu(features.to(kind)), self.sigma_n(y), self.sigma_n(mu)], dim=1)


class DBSNLight(nn.Module):
    """The mean alone."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.head = pointwise(channels, width)
        self.branches = nn.ModuleList(branch(width, blocks, kernel, LightBlock) for kernel in (3, 5))
        self.tail = nn.Sequential(
            *pointwise(2 * width, width, width // 2, width // 2), Float32Conv(width // 2, channels, 1)
        )
        initialise(self, 0.5)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W]."""
        x = self.head(y)
        mean: Tensor = self.tail(torch.cat([F.relu(each(x)) for each in self.branches], dim=1))
        return mean
