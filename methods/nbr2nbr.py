"""Neighbor2Neighbor: two sub-images of neighbouring pixels as a noisy pair (Huang et al., CVPR 2021)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register

# Positions (2 * row + column) in a 2x2 cell that g1 and g2 take: the eight ordered pairs of side neighbours.
PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))


def subsample(image: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """g1, g2 of [B, C, H, W], by the pair 0..7 drawn for every cell [B, H/2, W/2]; each [B, C, H/2, W/2]."""
    cells = F.pixel_unshuffle(image, 2).view(len(image), -1, 4, *pairs.shape[1:])

    def taken(which: int) -> Tensor:
        table = sum(pair[which] << 2 * k for k, pair in enumerate(PAIRS))  # two bits each: nothing leaves the device
        position = torch.full_like(pairs, table) >> 2 * pairs & 3
        index = position[:, None, None].expand(-1, image.shape[1], -1, -1, -1)
        return cells.gather(2, index).squeeze(2)

    return taken(0), taken(1)


@register("nbr2nbr")
class NBR2NBR(Method, frozen=True):
    """min E || f(g1 y) - g2 y ||^2 + gamma || f(g1 y) - g2 y - (g1 f(y) - g2 f(y)) ||^2."""

    card = Card(
        paper="Huang et al., Neighbor2Neighbor, CVPR 2021",
        equations="Eq. 16-18; gamma's ramp from the official code",
        deviations="shared U-Net and crop; the authors' own are the configuration nbr2nbr-official",
    )
    gamma: float = 2.0  # reached in the last epoch, linear from the first
    net: Network = UNetConfig()

    @property
    def crop_multiple(self) -> int:
        """The sub-images have half the sides of a crop."""
        return 2 * self.multiple

    def gamma_at(self, t: float) -> float:
        """gamma in the epoch t = e / N."""
        return t * self.gamma

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Reconstruction of one sub-image from the other, plus the regulariser; no gradient through f(y)."""
        y = batch.noisy
        pairs = ctx.rng.integers("neighbour pairs", 8, y.shape[2] // 2, y.shape[3] // 2)
        with torch.no_grad():
            g1_fy, g2_fy = subsample(net(y), pairs)
        g1_y, g2_y = subsample(y, pairs)
        difference = net(g1_y) - g2_y
        expected = g1_fy - g2_fy
        yield (difference**2).mean() + self.gamma_at(ctx.progress.t) * ((difference - expected) ** 2).mean()
