"""Noise2Same: the noisy image as target, and a bound on how much of it may be copied (Xie et al., NeurIPS 2020)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .masks import interpolate, mask_of, masked_index, masked_mean
from .networks.readout import at_pixels, values_at
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register

TINY = 1e-12  # under the root, whose slope at zero has no bound


@register("n2same")
class N2Same(Method, frozen=True):
    """min E || f(y) - y ||^2 / m + 2 sigma (|| f(y)_J - f(y_{J^c})_J ||^2 / |J|)^(1/2), both f without a blind spot."""

    card = Card(
        paper="Xie et al., Noise2Same, NeurIPS 2020",
        equations="its bound; sigma = 1 in units of the standard deviation of a crop, as images are normalised there",
        deviations="shared U-Net and recipe, no batch norm; masked pixels become the weighted mean of neighbours, the "
        "official code's other choice, and lose all channels at once; the root is taken for each crop and not for the "
        "batch",
    )
    revision = 2  # 1 computed the whole output
    perc: float = 0.5  # per cent of the pixels in J
    sigma: float = 1.0  # of the noise at most, in standard deviations of the noisy crop
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError unless 0 < perc <= 25 and sigma >= 0."""
        if not 0.0 < self.perc <= 25.0 or self.sigma < 0.0:
            allowed = "allowed: 0 < perc <= 25, sigma >= 0"
            raise InputError(f"n2same: perc = {self.perc:g}, sigma = {self.sigma:g}; {allowed}")

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Reconstruction and invariance, means over the pixels of a crop; all channels of a pixel are masked."""
        y = batch.noisy
        index, inside = masked_index(ctx.rng, self.perc, 1, *y.shape[2:])
        y_J = torch.where(mask_of(index, inside, *y.shape[2:]), interpolate(y), y)
        f_y = net(y)
        rec = (f_y - y).square().mean((1, 2, 3))
        inv = masked_mean((values_at(f_y, index) - at_pixels(net, y_J, index)).square(), inside)
        unit = y.var((1, 2, 3), correction=0)  # of a normalised image's square
        yield (rec + 2.0 * self.sigma * (unit * inv + TINY).sqrt()).mean()
