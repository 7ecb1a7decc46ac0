"""The blind-spot U-Net of Laine et al. (NeurIPS 2019): no output pixel sees its own input pixel."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Float32Conv
from .unet import Conv3, Trunk, UNetConfig


class ShiftedConv(Conv3):
    """A 3x3 convolution that sees the rows at and above its own: two zero rows on top, none below."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, (0, 1))

    def partly(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, H, W]."""
        return super().partly(F.pad(x, (0, 0, 2, 0)), weight)


def down_one(x: Tensor) -> Tensor:
    """Every row one lower, zeros on top."""
    return F.pad(x, (0, 0, 1, -1))


class HalfPlane(Trunk):
    """The U-Net's trunk seeing only the rows at and above each pixel."""

    def __init__(self, net: UNetConfig, channels: int) -> None:
        super().__init__(net, channels, ShiftedConv)

    def pool(self, x: Tensor) -> Tensor:
        """One row down first: else the upper row of each cell would see the lower one."""
        return F.max_pool2d(down_one(x), 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 2 width, H, W] that sees only rows above."""
        return down_one(self.features(x))


class BlindSpot(nn.Module):
    """Four half planes that share weights, one per quarter turn, joined by 1x1 convolutions."""

    def __init__(self, net: UNetConfig, channels: int, outputs: int) -> None:
        super().__init__()
        w, self.slope = net.width, net.slope
        self.plane = HalfPlane(net, channels)
        self.tail = nn.ModuleList([nn.Conv2d(8 * w, 8 * w, 1), nn.Conv2d(8 * w, 2 * w, 1)])
        self.last = Float32Conv(2 * w, outputs, 1)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, H, W]; sides are multiples of 32."""
        # One turn at a time: sides may differ, and a batch of four turns would leave a processor's cache.
        maps = [torch.rot90(self.plane(torch.rot90(x, k, (2, 3))), -k, (2, 3)) for k in range(4)]
        x = torch.cat(maps, dim=1)
        for conv in self.tail:
            x = F.leaky_relu(conv(x), self.slope)
        output: Tensor = self.last(x)
        return output


class Gaussians(nn.Module):
    """mu and U of every pixel's prior from the blind-spot net, and the raw noise parameter of every image."""

    def __init__(self, net: UNetConfig, channels: int, parameter: str) -> None:
        super().__init__()
        self.blind = BlindSpot(net, channels, channels + channels * (channels + 1) // 2)
        self.raw = nn.Parameter(torch.zeros(())) if parameter == "global" else None
        self.estimator = net.build(channels, 1) if parameter == "per_image" else None  # it may see the pixel itself
        if self.estimator is not None:
            he_normal(self.estimator)
            nn.init.zeros_(self.estimator.last.weight)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C + C(C+1)/2 (+ 1), H, W]: mu, U by rows, the image's raw parameter at every pixel."""
        x: Tensor = self.blind(y)
        raw: Tensor | None = self.raw if self.estimator is None else self.estimator(y).mean((1, 2, 3), keepdim=True)
        if raw is None:
            return x
        return torch.cat([x, raw.to(x).expand(x.shape[0], 1, *x.shape[2:])], dim=1)


def he_normal(net: nn.Module) -> None:
    """Weights N(0, 2 / fan_in), N(0, 1 / fan_in) in `last`; biases 0."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            gain = 1.0 if name.endswith("last") else math.sqrt(2.0)
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            assert module.bias is not None
            with torch.no_grad():
                module.weight.mul_(gain)
            nn.init.zeros_(module.bias)
