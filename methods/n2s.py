"""Noise2Self: predict the pixels of a grid from all the others (Batson and Royer, ICML 2019)."""

from collections.abc import Iterator
from math import lcm

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method, Output
from .masks import blind_output, box_index, interpolate, mask_of, masked_mean
from .networks.readout import at_pixels, values_at
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register


@register("n2s")
class N2S(Method, frozen=True):
    """min E || f(y_{J^c})_J - y_J ||^2 / |J|, J a grid of spacing s whose pixels are interpolated in y_{J^c}."""

    card = Card(
        paper="Batson and Royer, Noise2Self, ICML 2019",
        equations="its self-supervised loss; the weights 1/6 and 1/12 of the eight neighbours from the official code",
        deviations="shared U-Net and recipe; a random grid for every crop, where the official code takes them in turn; "
        "each channel from its own neighbours, where the official code fills all channels with their common mean; the "
        "reflect padding mirrors some masked pixels into sight at the border",
    )
    outputs = (Output("j-invariant", blind=True), Output("single pass", primary=False))
    revision = 2  # 1 computed the whole output
    s: int = 4  # spacing of the grid, as in the official examples
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError for a grid in which a pixel has masked neighbours, or with more masks than are of use."""
        if not 2 <= self.s <= 32:
            raise InputError(f"n2s: spacing s = {self.s}; allowed: 2 to 32")

    @property
    def multiple(self) -> int:
        """Sides that suit the network, and that the cells tile."""
        return lcm(self.network.multiple, self.s)

    @property
    def crop_multiple(self) -> int:
        """The network's: in training the cells may overhang."""
        return self.network.multiple

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean over the masked pixels of each crop."""
        y = batch.noisy
        chosen = ctx.rng.integers("grid", self.s**2, 1, 1, 1)
        index, inside = box_index(chosen // self.s, chosen % self.s, self.s, *y.shape[2:])
        y_J = torch.where(mask_of(index, inside, *y.shape[2:]), interpolate(y), y)
        yield masked_mean((at_pixels(net, y_J, index) - values_at(y, index)).square(), inside).mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """Every pixel from the pass that masks it, of which the paper speaks; and one pass without a mask."""
        return {"j-invariant": blind_output(net, noisy, self.s, ctx.chunk), "single pass": net(noisy)}

    def passes(self) -> dict[str, int]:
        """s*s masked ones, one plain."""
        return {"j-invariant": self.s**2, "single pass": 1}
