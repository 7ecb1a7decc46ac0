"""SURE: Stein's unbiased estimate of the error as loss (Soltanayev and Chun, NeurIPS 2018)."""

from collections.abc import Iterator
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .rng import Rng

Step = Annotated[float, Meta(gt=0.0, le=1.0)]
STEP = 0.01  # of the difference along the probe, in 0..1; smaller ones are lost in bf16


def with_divergence(net: nn.Module, y: Tensor, weight: Tensor, rng: Rng, step: float) -> tuple[Tensor, Tensor]:
    """f(y), and (w b)^T (f(y + step b) - f(y)) / step per sample [B], b = +-1: on average sum_i w_i df_i / dy_i.

    The derivative itself would not do: that of a network of ReLUs is piecewise constant in its weights, so that
    automatic differentiation gives the loss a wrong gradient; the difference has the right one on average.
    """
    b = 2.0 * rng.integers("probe", 2, *y.shape[1:]).to(y.dtype) - 1.0
    f_y, moved = net(torch.cat([y, y + step * b])).chunk(2)
    return f_y, (weight * b * (moved - f_y)).sum((1, 2, 3)) / step


@register("sure")
class SURE(Method, frozen=True):
    """min E || f(y) - y ||^2 / m - sigma^2 + 2 sigma^2 div f(y) / m, for Gaussian noise of known level."""

    card = Card(
        paper="Soltanayev and Chun, Training deep learning based denoisers without ground truth data, NeurIPS 2018; "
        "Ramani et al., Monte-Carlo SURE, TIP 2008",
        deviations="shared U-Net and recipe; a probe of +-1 and a fixed step, where the authors draw normal numbers",
    )
    knowledge = "level"
    step: Step = STEP
    net: Network = UNetConfig()

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Gaussian noise."""
        return None if noise.family.distribution == "gauss" else "SURE is for Gaussian noise of a known level"

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The estimate of the mean squared error itself: it may be below zero."""
        y = batch.noisy
        assert batch.level is not None
        variance = (batch.level / 255.0).square()
        f_y, divergence = with_divergence(net, y, torch.ones_like(y), ctx.rng, self.step)
        yield ((f_y - y).square().mean((1, 2, 3)) - variance + 2.0 * variance * divergence / y[0].numel()).mean()
