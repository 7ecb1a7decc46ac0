"""The one U-Net of every method (Laine et al. 2019; Neighbor2Neighbor's variant by parameters)."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .registry import Network, register_network


@register_network("unet")
class UNetConfig(Network, frozen=True):
    """What distinguishes the authors' U-Nets: defaults are Blind2Unblind's (= Laine19's plain net)."""

    multiple: ClassVar[int] = 32  # five 2x2 poolings
    label: ClassVar[str] = "U-Net"
    width: int = 48
    slope: float = 0.1
    upsample: Literal["nearest", "transposed"] = "nearest"
    init: Literal["torch", "he/10"] = "torch"

    def build(self, channels: int, outputs: int | None = None) -> "UNet":
        """The network for images of `channels` channels."""
        return UNet(self, channels, outputs or channels)


BAND = 2 * 128 * 128  # pixels of a map that inference computes at a time: two maps of 96 features fit a CPU's cache
Convolution = Callable[[int, int], nn.Conv2d]  # (channels in, channels out) -> a layer of 3x3 kernels


def _conv3(channels: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(channels, outputs, 3, padding=1)


class Decoder(nn.Module):
    """Upsample x2, concatenate [upsampled, skip], two 3x3 convolutions."""

    def __init__(self, net: UNetConfig, below: int, skip: int, conv: Convolution) -> None:
        super().__init__()
        wide = 2 * net.width
        self.deconv = nn.ConvTranspose2d(below, below, 2, 2) if net.upsample == "transposed" else None
        self.conv1 = conv(below + skip, wide)
        self.conv2 = conv(wide, wide)
        self.slope = net.slope

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """[B, C, H, W] and the skip of twice its sides."""
        up = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.deconv is None else self.deconv(x)
        x = F.leaky_relu(self.conv1(torch.cat([up, skip], dim=1)), self.slope)
        return F.leaky_relu(self.conv2(x), self.slope)

    def lean(self, x: Tensor, skip: Tensor) -> Tensor:
        """As `forward`; where x is upsampled by `nearest`, conv1 becomes a transposed one: 4 products instead of 9."""
        if self.deconv is not None:
            return self.forward(x, skip)
        weight, n = self.conv1.weight, x.shape[1]
        taps = weight[:, :n].flip(2, 3)
        shifts = ((0, 0), (0, 1), (1, 0), (1, 1))  # every value of x stands at four pixels
        kernel = torch.stack([F.pad(taps, (j, 1 - j, i, 1 - i)) for i, j in shifts]).sum(0).transpose(0, 1)
        y = F.conv_transpose2d(x, kernel, self.conv1.bias, stride=2, padding=1) + F.conv2d(
            skip, weight[:, n:], padding=1
        )
        return F.leaky_relu_(self.conv2(F.leaky_relu_(y, self.slope)), self.slope)


class Trunk(nn.Module):
    """Five poolings, 48 features, skips taken after the pooling; sides are multiples of 32."""

    def __init__(self, net: UNetConfig, channels: int, conv: Convolution) -> None:
        super().__init__()
        w, self.slope = net.width, net.slope
        self.head = nn.ModuleList([conv(channels, w), conv(w, w)])
        self.down = nn.ModuleList(conv(w, w) for _ in range(5))
        below, skips = [w, 2 * w, 2 * w, 2 * w, 2 * w], [w, w, w, w, channels]
        self.up = nn.ModuleList(Decoder(net, b, s, conv) for b, s in zip(below, skips, strict=True))

    def pool(self, x: Tensor) -> Tensor:
        """Half the sides."""
        return F.max_pool2d(x, 2)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 2 width, H, W]."""
        skips = [x]
        for conv in self.head:
            x = F.leaky_relu(conv(x), self.slope)
        for conv in self.down:
            x = self.pool(x)
            skips.append(x)
            x = F.leaky_relu(conv(x), self.slope)
        skips.pop()  # the coarsest pooling has no skip
        for decode in self.up:
            x = decode(x, skips.pop())
        return x


class UNet(Trunk):
    """The trunk and a 1x1 tail."""

    def __init__(self, net: UNetConfig, channels: int, outputs: int) -> None:
        super().__init__(net, channels, _conv3)
        w = net.width
        self.tail = nn.ModuleList(nn.Conv2d(2 * w, 2 * w, 1) for _ in range(2))
        self.last = nn.Conv2d(2 * w, outputs, 1)
        if net.init == "he/10":
            self.apply(_he_tenth)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, H, W]; the last layer runs in float32 also under autocast."""
        if self.training or torch.is_autocast_enabled(x.device.type):
            return self.outputs(self.features(x))
        return self.corner(x, *x.shape[2:])

    def outputs(self, x: Tensor) -> Tensor:
        """The 1x1 layers."""
        for conv in self.tail:
            x = F.leaky_relu(conv(x), self.slope)
        with torch.autocast(x.device.type, enabled=False):
            output: Tensor = self.last(x.to(self.last.weight.dtype))
            return output

    def corner(self, x: Tensor, height: int, width: int) -> Tensor:
        """forward(x)[:, :, :height, :width], for which the decoders compute no more than what is seen from there.

        Decoders work in units of one coarse and two fine pixels; two 3x3 convolutions see one unit more on each side.
        """
        y, skips = banded(self.reduced, x.shape[2] // 2, ((x, 2),), 1), [x]
        for conv in self.down:
            skips.append(y)
            y = F.leaky_relu_(conv(y), self.slope)
            y = self.pool(y) if conv is not self.down[-1] else y
        skips.pop()  # the coarsest pooling has no skip
        sizes = [(-(-height // 2), -(-width // 2))]
        while len(sizes) < len(self.up):
            sizes.append((sizes[-1][0] // 2 + 1, sizes[-1][1] // 2 + 1))
        stages: list[Callable[..., Tensor]] = [decode.lean for decode in self.up]  # type: ignore[misc]
        stages[-1] = self.finished
        for stage, needed in zip(stages, reversed(sizes), strict=True):
            rows, columns = map(min, needed, y.shape[2:])
            inputs = (y[..., : columns + 1], 1), (skips.pop()[..., : 2 * columns + 2], 2)
            y = banded(stage, rows, inputs, 2)[..., : 2 * columns]
        return y[:, :, :height, :width]

    def reduced(self, x: Tensor) -> Tensor:
        """The first two layers and the first pooling."""
        for conv in self.head:
            x = F.leaky_relu_(conv(x), self.slope)
        return self.pool(x)

    def finished(self, x: Tensor, skip: Tensor) -> Tensor:
        """The last decoder and the 1x1 layers."""
        return self.outputs(self.up[-1].lean(x, skip))  # type: ignore[operator]


def banded(stage: Callable[..., Tensor], rows: int, inputs: tuple[tuple[Tensor, int], ...], scale: int) -> Tensor:
    """`stage` of inputs [B, C, H, W], each with so many rows per unit; its first `rows` units, `scale` rows each.

    On CPUs band by band, so that maps stay in the caches. Each band sees one unit more on both sides.
    """
    pixels = max(len(x) * x.shape[3] * per for x, per in inputs)
    band = max(1, BAND // pixels) if inputs[0][0].device.type == "cpu" else rows
    found = []
    for top in range(0, rows, band):
        end, low = min(top + band, rows), max(0, top - 1)
        y = stage(*(x[:, :, low * per : (end + 1) * per] for x, per in inputs))
        found.append(y[:, :, (top - low) * scale : (end - low) * scale])
    return torch.cat(found, dim=2)


def _he_tenth(module: nn.Module) -> None:
    """Neighbor2Neighbor's initialisation: He normal (fan-in) times 0.1, biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            module.weight.mul_(0.1)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
