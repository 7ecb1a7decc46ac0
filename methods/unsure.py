"""UNSURE: SURE with an unknown noise level, as a saddle point (Tachella et al., ICLR 2025)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .base import Batch, Card, Context
from .networks.registry import Network
from .networks.unet import UNetConfig
from .noise_model import NoiseModel
from .registry import register
from .sure import STEP, Step, with_divergence


class Multiplied(nn.Module):
    """A network and the multiplier eta of its divergence."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.raw = nn.Parameter(torch.zeros(()))

    def forward(self, y: Tensor) -> Tensor:
        """f(y)."""
        output: Tensor = self.net(y)
        return output

    def eta(self) -> Tensor:
        """eta, with the gradient's sign turned: the optimiser that makes the loss small for f makes it large for eta.

        A tenth of the parameter, so that Adam's steps of about the rate move it by little of a noise variance.
        """
        eta = 0.1 * self.raw
        return 2.0 * eta.detach() - eta


@register("unsure")
class UNSURE(NoiseModel, frozen=True):
    """max_eta min_f E || f(y) - y ||^2 / m + 2 eta sum_i w_i df_i(y) / dy_i / m; w = 1 (Gaussian), w = y (Poisson)."""

    card = Card(
        paper="Tachella et al., UNSURE: self-supervised learning with unknown noise level, ICLR 2025",
        deviations="shared U-Net and recipe, also for eta: Adam at a tenth of the rate instead of gradient ascent with "
        "momentum; one eta also where every image has a level of its own",
    )
    step: Step = STEP  # of the difference along the probe
    net: Network = UNetConfig()

    def build(self, channels: int) -> nn.Module:
        """The network, and eta."""
        return Multiplied(self.net.build(channels))

    def losses(self, net: Any, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The Lagrangian of the least residual among all f without divergence; eta estimates the noise's variance."""
        y = batch.noisy
        w = torch.ones_like(y) if self.distribution(ctx) == "gauss" else y
        f_y, divergence = with_divergence(net, y, w, ctx.rng, self.step)
        yield ((f_y - y).square().mean((1, 2, 3)) + 2.0 * net.eta() * divergence / y[0].numel()).mean()
