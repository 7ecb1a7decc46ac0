"""AP-BSN: a blind-spot network on images taken apart, for noise that neighbours share (Lee et al., CVPR 2022)."""

from collections.abc import Iterator
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method, Output
from .networks.dbsn import DBSNLight, reduced
from .pixel2pixel import reflected
from .registry import register

WIDTH, BLOCKS, A = 128, 9, 5  # the authors' network, and their stride in training
BORDER = 2  # reflected pixels around what R3 gives to the network


def apart(y: Tensor, stride: int) -> Tensor:
    """PD: [B, C, H, W] -> [B s s, C, H / s, W / s], the sub-images of every s-th row and column."""
    cells = F.pixel_unshuffle(y, stride).view(len(y), y.shape[1], stride**2, y.shape[2] // stride, -1)
    return cells.transpose(1, 2).flatten(0, 1)


def together(parts: Tensor, stride: int) -> Tensor:
    """The inverse of PD."""
    cells = parts.view(-1, stride**2, *parts.shape[1:]).transpose(1, 2)
    return F.pixel_shuffle(cells.flatten(1, 2), stride)


@register("ap-bsn")
class APBSN(Method, frozen=True):
    """min E | PD_a^-1(f(PD_a(y))) - y |, f blind; x0 = PD_b^-1(f(PD_b(y))), x^ = mean_t f(x0 with a share p of y).

    PD_s takes an image apart with the stride s, so that neighbours, whose noise is alike, are far apart: a = 5 in
    training; b = 2 in the test, which keeps more detail. The last step is random-replacing refinement, R3.
    """

    card = Card(
        paper="Lee et al., AP-BSN, CVPR 2022",
        deviations="sub-images are separate, where the authors' network sees some of the next ones beyond a border of "
        "zeros; crops, recipe and He initialisation as in the other rows",
    )
    correlated = True
    outputs = (Output("without R3", blind=True, primary=False), Output("with R3"))
    revision = 3  # 1 had DBSN's own network, reflected borders, and replaced whole pixels in R3; 2 had zeros around R3
    multiple = 1  # zeros fill up what a stride does not divide
    a: Annotated[int, Meta(ge=1, le=16)] = A
    b: Annotated[int, Meta(ge=1, le=16)] = 2
    p: float = 0.16
    T: Annotated[int, Meta(ge=1, le=1000)] = 8
    width: int = WIDTH
    blocks: Annotated[int, Meta(ge=1, le=1000)] = BLOCKS

    def __post_init__(self) -> None:
        """InputError unless the width is a multiple of 16 from 16 to 1024, as for DBSN, and 0 <= p <= 1."""
        if not 16 <= self.width <= 1024 or self.width % 16 or not 0.0 <= self.p <= 1.0:
            raise InputError(f"ap-bsn: width = {self.width}, p = {self.p:g}; multiples of 16 up to 1024, 0 <= p <= 1")

    def build(self, channels: int) -> nn.Module:
        """The blind-spot network."""
        return DBSNLight(channels, self.width, self.blocks)

    def f(self, net: nn.Module, y: Tensor, stride: int) -> Tensor:
        """PD^-1(f(PD(y)))."""
        height, width = y.shape[2:]
        wide = F.pad(y, (0, -width % stride, 0, -height % stride))
        return together(net(apart(wide, stride)), stride)[:, :, :height, :width]

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean absolute difference."""
        yield (self.f(net, batch.noisy, self.a) - batch.noisy).abs().mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """x0, and its refinement by T passes in which random values are those of y."""
        x0, total = self.f(net, noisy, self.b), torch.zeros_like(noisy)
        for t in range(self.T):
            replaced = ctx.rng.uniform(f"R3 {t}", *noisy.shape[1:]) < self.p
            seen = reflected(torch.where(replaced, noisy, x0), BORDER)
            total += net(seen)[:, :, BORDER:-BORDER, BORDER:-BORDER]
        return {"without R3": x0, "with R3": total / self.T}

    def passes(self) -> dict[str, int]:
        """One, and T more."""
        return {"without R3": 1, "with R3": 1 + self.T}

    def reduced_settings(self, steps: int) -> str:
        """A smaller network than the authors', or another stride."""
        network = reduced(self.width, self.blocks, (WIDTH, BLOCKS))
        return ", ".join(filter(None, (network, "" if self.a == A else f"stride {self.a} in training")))
