"""The one U-Net of every method (Laine et al. 2019; Neighbor2Neighbor's variant by parameters)."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Float32Conv
from .readout import Corner, Grid, Pixels
from .registry import Network, Width, register_network


@register_network("unet")
class UNetConfig(Network, frozen=True):
    """What distinguishes the authors' U-Nets: defaults are Blind2Unblind's, with the layers of Laine19's plain net."""

    multiple: ClassVar[int] = 32  # five 2x2 poolings
    label: ClassVar[str] = "U-Net"
    width: Width = 48
    slope: float = 0.1
    upsample: Literal["nearest", "transposed"] = "nearest"
    init: Literal["torch", "he/10"] = "torch"

    def build(self, channels: int, outputs: int | None = None) -> "UNet":
        """The network for images of `channels` channels."""
        return UNet(self, channels, outputs or channels)


BAND = 2 * 128 * 128  # pixels of a map that inference computes at a time


class Conv3(nn.Conv2d):
    """A 3x3 convolution with zero padding."""

    reads_image = False  # true where the noisy image is concatenated with features; the optimiser asks for it

    def __init__(self, channels: int, outputs: int, padding: int | tuple[int, int] = 1) -> None:
        super().__init__(channels, outputs, 3, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, H, W]."""
        return self.partly(x, self.weight)

    def partly(self, x: Tensor, weight: Tensor) -> Tensor:
        """With another kernel, such as the part of its own that meets some of its input channels."""
        return F.conv2d(x, weight, self.bias, padding=self.padding)


Convolution = Callable[[int, int], Conv3]  # (channels in, channels out) -> a layer


class Decoder(nn.Module):
    """Upsample x2, concatenate [upsampled, skip], two 3x3 convolutions."""

    def __init__(self, net: UNetConfig, below: int, skip: int, conv: Convolution) -> None:
        super().__init__()
        wide = 2 * net.width
        self.deconv = nn.ConvTranspose2d(below, below, 2, 2) if net.upsample == "transposed" else None
        self.conv1 = conv(below + skip, wide)
        self.conv2 = conv(wide, wide)
        self.slope = net.slope
        self.register_buffer("repeat", _repeat(), persistent=False)

    def forward(self, x: Tensor, skip: Tensor, read: Grid | Pixels | None = None) -> Tensor:
        """[B, C, H, W] and the skip of twice its sides."""
        joined = None if self.deconv is None else torch.cat([self.deconv(x), skip], dim=1)
        x = F.leaky_relu(self.upsampled(x, skip) if joined is None else self.conv1(joined), self.slope)
        return F.leaky_relu(self.conv2(x) if read is None else read.convolve(self.conv2, x), self.slope)

    def upsampled(self, x: Tensor, skip: Tensor) -> Tensor:
        """conv1 of [x with every pixel repeated in a 2x2 cell, skip], with 4 instead of 9 products per pixel of x.

        A cell's pixels are equal, so the entries of the 3x3 kernel that meet the same one add up first.
        """
        below, rows, weight = x.shape[1], skip.shape[2], self.conv1.weight
        kernel = (weight[:, :below].flatten(2) @ self.get_buffer("repeat")).view(-1, below, 4, 4)
        up = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2, padding=self.conv1.padding)[:, :, :rows]  # type: ignore[arg-type]
        return up + self.conv1.partly(skip, weight[:, below:])


def _repeat() -> Tensor:
    """[9, 16]: which entries of the transposed convolution of stride 2 each entry of a 3x3 kernel adds to."""
    one = torch.zeros(3, 4)
    for k in range(3):
        one[k, 2 - k : 4 - k] = 1.0
    return torch.kron(one, one)


class Trunk(nn.Module):
    """Five poolings, 48 features, skips taken after the pooling; sides are multiples of 32."""

    def __init__(self, net: UNetConfig, channels: int, conv: Convolution) -> None:
        super().__init__()
        w, self.slope = net.width, net.slope
        self.head = nn.ModuleList([conv(channels, w), conv(w, w)])
        self.down = nn.ModuleList(conv(w, w) for _ in range(5))
        below, skips = [w, 2 * w, 2 * w, 2 * w, 2 * w], [w, w, w, w, channels]
        up = [Decoder(net, b, s, conv) for b, s in zip(below, skips, strict=True)]
        up[-1].conv1.reads_image = True
        self.up = nn.ModuleList(up)

    def pool(self, x: Tensor) -> Tensor:
        """Half the sides."""
        return F.max_pool2d(x, 2)

    def encoded(self, x: Tensor) -> list[Tensor]:
        """[B, C, H, W] -> the skips from fine to coarse, and the coarsest map."""
        skips = [x]
        for conv in self.head:
            x = F.leaky_relu(conv(x), self.slope)
        for conv in self.down:
            x = self.pool(x)
            skips.append(x)
            x = F.leaky_relu(conv(x), self.slope)
        return [*skips[:-1], x]  # the coarsest pooling has no skip

    def features(self, x: Tensor, read: Grid | Pixels | None = None) -> Tensor:
        """[B, C, H, W] -> [B, 2 width, H, W], or what is read of it."""
        skips = self.encoded(x)
        x = skips.pop()
        for decode in self.up[:-1]:
            x = decode(x, skips.pop())
        features: Tensor = self.up[-1](x, skips.pop(), read)
        return features


class UNet(Trunk):
    """The trunk and a 1x1 tail."""

    reads_grid = reads_pixels = reads_corner = True  # `forward` takes a Grid, Pixels, or a Corner

    def __init__(self, net: UNetConfig, channels: int, outputs: int) -> None:
        super().__init__(net, channels, Conv3)
        w = net.width
        self.tail = nn.ModuleList(nn.Conv2d(2 * w, 2 * w, 1) for _ in range(2))
        self.last = Float32Conv(2 * w, outputs, 1)
        if net.init == "he/10":
            self.apply(he_tenth)

    def forward(self, x: Tensor, read: Grid | Pixels | Corner | None = None) -> Tensor:
        """[B, C, H, W] -> [B, outputs, H, W], or what is read of it."""
        if isinstance(read, Corner) or (read is None and self.reads_corner and not self.training):
            return self.corner(x, read or Corner(*x.shape[2:]))
        return self.outputs(self.features(x, read))

    def outputs(self, x: Tensor) -> Tensor:
        """The 1x1 layers."""
        for conv in self.tail:
            x = F.leaky_relu(conv(x), self.slope)
        output: Tensor = self.last(x)
        return output

    def corner(self, x: Tensor, read: Corner) -> Tensor:
        """The output there, from no more of the decoders' maps than it depends on.

        Two 3x3 convolutions see two pixels further: one row or column of the map that a decoder upsamples.
        """
        *skips, x = self.encoded(x)
        sizes = [(-(-read.height // 2), -(-read.width // 2))]  # of what each decoder upsamples, the last one first
        while len(sizes) < len(self.up):
            sizes.append((sizes[-1][0] // 2 + 1, sizes[-1][1] // 2 + 1))
        for decode in self.up:
            rows, columns = map(min, sizes.pop(), x.shape[2:])
            stage = decode if sizes else lambda *maps, last=decode: self.outputs(last(*maps))
            x = banded(stage, x[..., : columns + 1], skips.pop()[..., : 2 * columns + 2], rows)[..., : 2 * columns]
        return x[:, :, : read.height, : read.width]


def banded(stage: Callable[[Tensor, Tensor], Tensor], x: Tensor, skip: Tensor, rows: int) -> Tensor:
    """What a decoder makes of the first rows of [B, C, H, W]; on CPUs band by band, so that maps stay in the caches."""
    band = max(1, BAND // (2 * len(skip) * skip.shape[3])) if x.device.type == "cpu" else rows
    found = []
    for top in range(0, rows, band):
        end, low = min(top + band, rows), max(0, top - 1)
        y = stage(x[:, :, low : end + 1], skip[:, :, 2 * low : 2 * end + 2])
        found.append(y[:, :, 2 * (top - low) : 2 * (end - low)])
    return torch.cat(found, dim=2)


def he_tenth(module: nn.Module) -> None:
    """Neighbor2Neighbor's initialisation: He normal (fan-in) times 0.1, biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            module.weight.mul_(0.1)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
