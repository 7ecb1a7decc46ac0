"""High-quality self-supervised denoising: a blind-spot network and Bayes' rule (Laine et al., NeurIPS 2019)."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import mse_loss

from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method, Output
from .networks.blindspot import BlindSpot, Gaussians
from .networks.unet import UNetConfig
from .noise_model import NoiseModel
from .registry import register

PAPER = "Laine et al., High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019"
BORDER = (
    "reflect padding after the noise mirrors the own pixel into sight near the border of images whose sides are not "
    "multiples of 32, as in Blind2Unblind's evaluation"
)
FLOOR = 1e-3  # of sigma, and of mu in Poisson's variance


def prior(x: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """mu [B, H, W, C] and Sigma_x = U U^T [B, H, W, C, C] in float64; U is upper triangular, row by row."""
    x = x.permute(0, 2, 3, 1).double()
    lengths = list(range(channels, 0, -1))
    rows = torch.split(x[..., channels : channels + sum(lengths)], lengths, dim=-1)
    u = torch.stack([F.pad(row, (channels - row.shape[-1], 0)) for row in rows], dim=-2)
    return x[..., :channels], u @ u.mT


def variance(model: str, mu: Tensor, parameter: Tensor) -> Tensor:
    """Of the noise, per pixel and channel: sigma^2, or max(mu, 1e-3) / lambda; `parameter` [B]: sigma, 1 / lambda."""
    parameter = parameter.double().view(-1, 1, 1, 1)
    return parameter.square().expand_as(mu) if model == "gauss" else mu.clamp(min=FLOOR) * parameter


def negative_log_likelihood(y: Tensor, mu: Tensor, sigma_x: Tensor, noise: Tensor, bonus: float) -> Tensor:
    """d^T S^-1 d + log det S per pixel, halved for C > 1, less `bonus` times the mean noise level; d = y - mu."""
    factor = torch.linalg.cholesky_ex(sigma_x + torch.diag_embed(noise))[0]
    d = torch.linalg.solve_triangular(factor, (y - mu).unsqueeze(-1), upper=False).squeeze(-1)
    distance: Tensor = d.square().sum(-1)
    log_det: Tensor = 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (distance + log_det) / (1.0 if y.shape[-1] == 1 else 2.0) - bonus * noise.sqrt().mean(-1)


def posterior_mean(y: Tensor, mu: Tensor, sigma_x: Tensor, noise: Tensor) -> Tensor:
    """mu + Sigma_x S^-1 (y - mu), by a solve: two inverses lose whole gray levels in float32."""
    factor = torch.linalg.cholesky_ex(sigma_x + torch.diag_embed(noise))[0]
    solved = torch.cholesky_solve((y - mu).unsqueeze(-1), factor)
    return mu + (sigma_x @ solved).squeeze(-1)


@register("laine19")
class Laine19(NoiseModel, frozen=True):
    """min E -log N(y; mu, Sigma_x + Sigma_n), with mu, Sigma_x from all pixels but the own one; pme = E[x | y]."""

    card = Card(
        paper=PAPER,
        equations="Eq. 4-6; p = softplus(r - 4) + 1e-3 and the bonus of 0.1 noise deviations from the official code",
        deviations=f"shared widths and recipe; {BORDER}",
    )
    outputs = (Output("mu", blind=True, primary=False), Output("pme"))
    bonus: ClassVar[float] = 0.1  # for noise: only Sigma_x + Sigma_n can be observed
    parameter: Literal["global", "per_image"] = "global"  # noise level: one for the data set, or one per image
    net: UNetConfig = UNetConfig()

    def build(self, channels: int) -> nn.Module:
        """The blind-spot network, with what estimates the noise unless it is known."""
        return Gaussians(self.net, channels, self.parameter)

    def noise_parameter(self, x: Tensor, level: Tensor | None, model: str) -> Tensor:
        """sigma in 0..1 or 1 / lambda of every image [B]; estimated: p = softplus(r - 4) + 1e-3."""
        return F.softplus(x[:, -1, 0, 0].double() - 4.0) + FLOOR

    def distributions(
        self, net: nn.Module, y: Tensor, level: Tensor | None, ctx: Context
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y, mu [B, H, W, C], Sigma_x [B, H, W, C, C] and the noise's variance [B, H, W, C], in float64."""
        x = net(y)
        mu, sigma_x = prior(x, y.shape[1])
        model = self.distribution(ctx)
        parameter = self.noise_parameter(x, level, model)
        return y.permute(0, 2, 3, 1).double(), mu, sigma_x, variance(model, mu, parameter)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean over pixels; nothing is detached: Poisson's variance and the bonus depend on mu."""
        yield negative_log_likelihood(*self.distributions(net, batch.noisy, batch.level, ctx), self.bonus).mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """mu without the pixel itself, pme with it."""
        y, mu, sigma_x, noise = self.distributions(net, noisy, ctx.level, ctx)
        images = {"mu": mu, "pme": posterior_mean(y, mu, sigma_x, noise)}
        return {name: image.permute(0, 3, 1, 2).to(noisy.dtype) for name, image in images.items()}


@register("laine19-known")
class Laine19Known(Laine19, frozen=True):
    """Laine19 with the noise level of every image given, in training and test."""

    knowledge = "level"  # type: ignore[assignment]
    bonus = 0.0
    parameter: Literal["known"] = "known"  # type: ignore[assignment]

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Levels that belong to the model."""
        if self.model not in ("simulated", noise.family.distribution):
            return f"the levels of {noise.family.name} noise mean nothing to the model {self.model}"
        return super().applies(noise, channels)

    def noise_parameter(self, x: Tensor, level: Tensor | None, model: str) -> Tensor:
        """max(sigma, 1e-3), or 1 / lambda."""
        assert level is not None
        return (level.double() / 255.0).clamp(min=FLOOR) if model == "gauss" else 1.0 / level.double()


@register("laine19-muonly")
class Laine19MuOnly(Method, frozen=True):
    """min E || mu(y without the pixel) - y ||^2: the blind-spot network alone."""

    card = Card(paper=PAPER, equations="Section 3, `blindspot_mean` of the official code", deviations=BORDER)
    outputs = (Output("mu", blind=True),)
    net: UNetConfig = UNetConfig()

    def build(self, channels: int) -> nn.Module:
        """The blind-spot network."""
        return BlindSpot(self.net, channels, channels)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Mean (mu - y)^2."""
        yield mse_loss(net(batch.noisy), batch.noisy)
