"""The U-Net of N2V2 (Hoeck et al., ECCVW 2022): blurred poolings, and no skip at the full size."""

from collections.abc import Iterable
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .readout import Pixels
from .registry import register_network
from .unet import Conv3, UNet, UNetConfig, he_tenth


@register_network("unet-blurpool")
class BlurUNetConfig(UNetConfig, frozen=True):
    """The shared U-Net, but a 2x2 maximum at every pixel and a binomial blur before every second one is kept."""

    label = "U-Net with blur pooling"
    upsample: Literal["nearest"] = "nearest"  # its last step has no weights

    def build(self, channels: int, outputs: int | None = None) -> "BlurUNet":
        """The network for images of `channels` channels."""
        return BlurUNet(self, channels, outputs or channels)


class BlurUNet(UNet):
    """Nothing reaches the output but through a pooling: a single pixel's value cannot be copied."""

    reads_grid = reads_corner = False  # reads_pixels stays

    def __init__(self, net: UNetConfig, channels: int, outputs: int) -> None:
        super().__init__(net, channels, outputs)
        wide = 2 * net.width
        self.up = self.up[:-1]
        self.top = nn.ModuleList(Conv3(wide, wide) for _ in range(2))
        if net.init == "he/10":
            self.top.apply(he_tenth)
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4.0
        self.register_buffer("blur", torch.outer(binomial, binomial).expand(net.width, 1, 3, 3), persistent=False)

    def pool(self, x: Tensor) -> Tensor:
        """Half the sides."""
        largest = F.pad(F.max_pool2d(x, 2, 1), (1, 1, 1, 1), mode="replicate")
        return F.conv2d(largest, self.get_buffer("blur").to(x.dtype), stride=2, groups=x.shape[1])

    def features(self, x: Tensor, read: object = None) -> Tensor:
        """[B, C, H, W] -> [B, 2 width, H, W], or what is read of it."""
        skips = self.encoded(x)[1:]
        x = skips.pop()
        for decode in self.up:
            x = decode(x, skips.pop())
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        first, second = cast(Iterable[Conv3], self.top)
        x = F.leaky_relu(first(x), self.slope)
        return F.leaky_relu(read.convolve(second, x) if isinstance(read, Pixels) else second(x), self.slope)
