"""The network of Self2Self (Quan et al., CVPR 2020): partial convolutions, and dropout in the decoder."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..rng import Rng
from .layers import Float32Conv


class PartialConv(nn.Conv2d):
    """A 3x3 convolution of the known pixels, divided by their share of the window."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, 3, padding=1)

    def known(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] and its mask [B, 1 or C, H, W] -> features, and where a window had a known pixel."""
        share = F.avg_pool2d(mask.mean(1, keepdim=True), 3, 1, 1)
        seen = (share > 0).to(x.dtype)
        bias = self.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
        features = F.conv2d(x * mask, self.weight, padding=1) / share.clamp(min=1e-6) * seen + bias
        return F.leaky_relu(features, 0.1), seen


class Self2SelfNet(nn.Module):
    """An encoder of partial convolutions, a decoder with dropout before every convolution, sigmoid output."""

    multiple = 32  # five 2x2 poolings

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        w, self.channels, self.dropout = width, channels, dropout
        self.encoder = nn.ModuleList([PartialConv(channels, w), *(PartialConv(w, w) for _ in range(6))])
        sizes = [(2 * w, 2 * w, 2 * w)] + [(3 * w, 2 * w, 2 * w)] * 3
        layers = [nn.Conv2d(a, b, 3, padding=1) for size in sizes for a, b in (size[:2], size[1:])]
        layers += [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((2 * w + channels, 4 * w // 3, 2 * w // 3))]
        layers.append(Float32Conv(2 * w // 3, channels, 3, padding=1))
        self.decoder = nn.ModuleList(layers)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, rng: Rng, draw: str) -> Tensor:
        """[B, 2 C, H, W], the masked image and its mask -> [B, C, H, W] in 0..1; sides are multiples of 32.

        The dropout stays on in the ensemble; `rng` draws it, under the name `draw`.
        """
        image, mask = x.chunk(2, dim=1)
        skips = [image]
        x, mask = self.encoder[0].known(image, mask)  # type: ignore[operator]
        for i in range(1, 6):
            x, mask = self.encoder[i].known(x, mask)  # type: ignore[operator]
            x, mask = F.max_pool2d(x, 2), F.max_pool2d(mask, 2)
            skips.append(x)
        x, _ = self.encoder[6].known(x, mask)  # type: ignore[operator]
        skips.pop()
        for i, conv in enumerate(self.decoder[:-1]):
            if i % 2 == 0 and skips:
                x = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1)
            x = F.leaky_relu(conv(dropped(x, self.dropout, rng, f"dropout {i} {draw}")), 0.1)
        x = dropped(x, self.dropout, rng, f"dropout {len(self.decoder)} {draw}")
        return torch.sigmoid(self.decoder[-1](x))


def dropped(x: Tensor, share: float, rng: Rng, name: str) -> Tensor:
    """[B, C, H, W], this share of the entries set to 0, the others divided by 1 - share."""
    return x * (rng.uniform(name, *x.shape[1:]) >= share) / (1.0 - share)
