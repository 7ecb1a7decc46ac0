"""PURE: an estimate of the error under Poisson noise as loss (Le Montagner et al., TIP 2014)."""

from collections.abc import Iterator

from torch import Tensor, nn

from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .sure import STEP, Step, with_divergence


@register("pure")
class PURE(Method, frozen=True):
    """min E || f(y) - y ||^2 / m - g sum_i y_i / m + 2 g sum_i y_i df_i(y) / dy_i / m, y / g ~ Poisson(x / g)."""

    card = Card(
        paper="Le Montagner et al., An unbiased risk estimator for image denoising in the presence of mixed "
        "Poisson-Gaussian noise, TIP 2014; Kim et al., Unsupervised training of denoisers for low-dose CT, MICCAI 2019",
        deviations="shared U-Net and recipe; the slope of f stands for f(y) - f(y - g e_i), as in these papers, so "
        "that the estimate is unbiased only for f that are linear in each pixel",
    )
    knowledge = "level"
    step: Step = STEP  # of the difference along the probe
    net: Network = UNetConfig()

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Poisson noise."""
        return None if noise.family.distribution == "poisson" else "PURE is for Poisson noise of a known level"

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The estimate of the mean squared error itself: it may be below zero."""
        y = batch.noisy
        assert batch.level is not None
        g = 1.0 / batch.level
        f_y, divergence = with_divergence(net, y, y, ctx.rng, self.step)
        risk = (f_y - y).square().mean((1, 2, 3)) - g * y.mean((1, 2, 3)) + 2.0 * g * divergence / y[0].numel()
        yield risk.mean()
