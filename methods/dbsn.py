"""Dilated blind-spot network: masked and dilated convolutions, and Bayes' rule (Wu et al., ECCV 2020)."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Output
from .networks.dbsn import DBSNet, reduced
from .noise_model import NoiseModel
from .registry import register

WIDTH, BLOCKS = 96, 8  # of the official network


@register("dbsn")
class DBSN(NoiseModel, frozen=True):
    """min E (y - mu)^2 / (s_mu + s_n) + log(s_mu + s_n); map = (s_mu y + s_n mu) / (s_mu + s_n)."""

    card = Card(
        paper="Wu et al., Unpaired Learning of Deep Image Denoising, ECCV 2020",
        equations="Eq. 7-11",
        deviations="one stage of training as for gray images in the official code, diagonal variances, no "
        "distillation (its second stage needs clean images); He initialisation; the noise starts at 32 gray levels and "
        "sigma_mu at 5; with Poisson noise sigma_mu is a softplus, as that of the noise; shared recipe",
    )
    multiple = DBSNet.multiple
    revision = 4  # 3 had rectified linear units, and the input of sigma_mu, at other places than the official network
    outputs = (Output("mu", blind=True, primary=False), Output("map"))
    width: int = WIDTH
    blocks: Annotated[int, Meta(ge=1, le=1000)] = BLOCKS

    def __post_init__(self) -> None:
        """InputError for a width for which oneDNN's bf16 gradient of dilated convolutions is not a number."""
        if not 16 <= self.width <= 1024 or self.width % 16:
            raise InputError(f"dbsn: width = {self.width}; allowed: multiples of 16 up to 1024")

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return DBSNet(channels, self.width, self.blocks)

    def distributions(self, net: nn.Module, y: Tensor, ctx: Context) -> tuple[Tensor, Tensor, Tensor]:
        """mu, s_mu, s_n [B, C, H, W]; s_n from y, one per image (Gaussian), or from mu, per pixel (Poisson)."""
        mu, sigma_mu, of_y, of_mu = net(y).chunk(4, dim=1)
        if self.distribution(ctx) == "gauss":
            return mu, sigma_mu.square(), deviation(of_y.mean((2, 3), keepdim=True)).square().expand_as(mu)
        # Both variances are free at every pixel; as a square, sigma_mu takes all that the loss sees, and map is y.
        return mu, deviation(sigma_mu).square(), deviation(of_mu).square()

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Half the mean over pixels and channels."""
        mu, s_mu, s_n = self.distributions(net, batch.noisy, ctx)
        s = s_mu + s_n
        yield 0.5 * ((batch.noisy - mu).square() / s + s.log()).mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """mu without the pixel itself, map with it."""
        mu, s_mu, s_n = self.distributions(net, noisy, ctx)
        return {"mu": mu, "map": (s_mu * noisy + s_n * mu) / (s_mu + s_n)}

    def reduced_settings(self, steps: int) -> str:
        """A smaller network than the official one."""
        return reduced(self.width, self.blocks, (WIDTH, BLOCKS))


def deviation(raw: Tensor) -> Tensor:
    """softplus(o - 4) + 1e-3: a standard deviation."""
    return F.softplus(raw - 4.0) + 1e-3
