"""The hourglass of Deep Image Prior (Ulyanov et al., CVPR 2018): strided convolutions down, bilinear steps up."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Float32Conv


class EachNorm(nn.Module):
    """Every feature of every image to mean 0 and variance 1, then a learned scale and shift.

    In training, batch normalisation does this of a batch of one; here a map may be a single pixel.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]."""
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.scale + self.shift


class Normed(nn.Module):
    """A convolution with reflected borders, each feature of each image normalised, and a leaky ReLU."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = [kernel // 2] * 4
        self.conv = nn.Conv2d(before, after, kernel, stride)
        self.norm = EachNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, after, H / stride, W / stride]."""
        padded = F.pad(x, self.pad, mode="reflect" if min(x.shape[2:]) > 1 else "replicate")
        return F.leaky_relu(self.norm(self.conv(padded)), 0.2)


class Hourglass(nn.Module):
    """Five levels, each with a narrow skip; a sigmoid at the end. Sides are multiples of 32."""

    def __init__(self, inputs: int, channels: int, width: int, skip: int) -> None:
        super().__init__()
        ends = [inputs, *[width] * 5]
        self.skips = nn.ModuleList(Normed(end, skip, 1) for end in ends[:5])
        self.down = nn.ModuleList(nn.Sequential(Normed(end, width, 3, 2), Normed(width, width, 3)) for end in ends[:5])
        self.norms = nn.ModuleList(EachNorm(width + skip) for _ in range(5))
        self.up = nn.ModuleList(
            nn.Sequential(Normed(width + skip, width, 3), Normed(width, width, 1)) for _ in range(5)
        )
        self.last = Float32Conv(width, channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, channels, H, W] in 0..1."""
        x, beside = z, []
        for skip, down in zip(self.skips, self.down, strict=True):
            beside.append(skip(x))
            x = down(x)
        for norm, up in zip(self.norms, self.up, strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = up(norm(torch.cat([x, beside.pop()], dim=1)))
        return torch.sigmoid(self.last(x))
