"""Losses and denoisers of deepinv, on our network and in our loop."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from ...datasets.noise.model import Noise
from ..base import Batch, Card, Context, Method
from ..networks.registry import Network
from ..networks.unet import UNetConfig
from ..registry import register
from .library import each, missing, seeded

LIBRARY = "deepinv (BSD-3-Clause), tested with 0.5.0"
OURS = "theirs: the loss and its random draws; ours: U-Net, loop, recipe, the mean over samples of each sample's loss"


class Given(nn.Module):
    """A network that is called as deepinv calls its models."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """f(y)."""
        output: Tensor = self.net(y)
        return output


class DeepinvLoss(Method, frozen=True):
    """A loss of deepinv: a subclass says how it is called."""

    net: Network = UNetConfig()

    def unavailable(self) -> str | None:
        """Without the extra."""
        return missing("deepinv")

    def loss(self, net: nn.Module, y: Tensor, level: Tensor | None, ctx: Context) -> Any:
        """The loss of one sample y [1, C, H, W] and its level [1]; random numbers are torch's global ones."""
        raise NotImplementedError

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """deepinv's loss of every sample."""
        for one, seed in each(ctx.rng):
            with seeded(seed, batch.noisy.device):
                level = None if batch.level is None else batch.level[one]
                loss = self.loss(net, batch.noisy[one], level, ctx)
            yield loss.mean() / len(batch.noisy)


@register("deepinv-r2r")
class DeepinvR2R(DeepinvLoss, frozen=True):
    """min E || f(y1) - y2 ||^2, y1 = y + sqrt(alpha / (1 - alpha)) z, y2 = (y - (1 - alpha) y1) / alpha.

    z is drawn like the noise of y. Of Poisson counts y1 is a binomial thinning.
    """

    card = Card(
        paper=f"Monroy et al., Generalized Recorrupted-to-Recorrupted, CVPR 2025; {LIBRARY}",
        deviations=f"R2RLoss and its model; {OURS}. R2R's alpha is sqrt(alpha / (1 - alpha)) of this one",
    )
    knowledge = "level"
    alpha: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.15
    eval_n_samples: Annotated[int, Meta(ge=1, le=10_000)] = 5

    def applies(self, noise: Noise, channels: int) -> str | None:
        """A known level of Gaussian or Poisson noise."""
        return None if noise.family.distribution != "other" else "deepinv's R2R is for Gaussian or Poisson noise"

    def parts(self, net: nn.Module, level: Tensor, ctx: Context) -> tuple[Any, Any]:
        """deepinv's loss, and the network with the recorruption before it."""
        from deepinv.loss import R2RLoss
        from deepinv.physics import GaussianNoise, PoissonNoise

        assert ctx.noise is not None
        gauss = ctx.noise.distribution == "gauss"
        noise = GaussianNoise(level / 255.0) if gauss else PoissonNoise(1.0 / level)
        loss = R2RLoss(noise_model=noise, alpha=self.alpha, eval_n_samples=self.eval_n_samples)
        return loss, loss.adapt_model(Given(net))

    def loss(self, net: nn.Module, y: Tensor, level: Tensor | None, ctx: Context) -> Any:
        """R2RLoss."""
        assert level is not None
        loss, model = self.parts(net, level, ctx)
        x_net = model(y, physics(), update_parameters=True)
        return loss(x_net, y, physics(), model)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The mean over eval_n_samples recorruptions, by deepinv's model."""
        assert ctx.level is not None
        images = []
        for one, seed in each(ctx.rng):
            model = self.parts(net, ctx.level[one], ctx)[1]
            with seeded(seed, noisy.device):
                images.append(model.eval()(noisy[one], physics()))
        return {"denoised": torch.cat(images)}

    def passes(self) -> dict[str, int]:
        """One per recorruption."""
        return {"denoised": self.eval_n_samples}


@register("deepinv-nbr2nbr")
class DeepinvNBR2NBR(DeepinvLoss, frozen=True):
    """min E || f(g1 y) - g2 y ||^2 + gamma || f(g1 y) - g2 y - (g1 f(y) - g2 f(y)) ||^2."""

    card = Card(
        paper=f"Huang et al., Neighbor2Neighbor, CVPR 2021; {LIBRARY}",
        deviations=f"Neighbor2Neighbor; {OURS}, and gamma's ramp where it is asked for",
    )
    gamma: float = 2.0
    ramp: bool = False  # gamma grows linearly over the epochs, as in the authors' code; deepinv's is constant

    @property
    def crop_multiple(self) -> int:
        """The sub-images have half the sides of a crop."""
        return 2 * self.multiple

    def loss(self, net: nn.Module, y: Tensor, level: Tensor | None, ctx: Context) -> Any:
        """Neighbor2Neighbor."""
        from deepinv.loss import Neighbor2Neighbor

        gamma = ctx.progress.t * self.gamma if self.ramp else self.gamma
        return Neighbor2Neighbor(gamma=gamma)(y, physics(), Given(net))


@register("deepinv-sure")
class DeepinvSURE(DeepinvLoss, frozen=True):
    """min E || f(y) - y ||^2 / m - sigma^2 + 2 sigma^2 div f(y) / m, or its equal for Poisson noise."""

    card = Card(
        paper=f"Ramani et al., Monte-Carlo SURE, TIP 2008; Le Montagner et al., TIP 2014; {LIBRARY}",
        deviations=f"SureGaussianLoss, SurePoissonLoss; {OURS}; one tau, 0.01, for both: smaller ones are lost in bf16",
    )
    knowledge = "level"
    tau: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.01

    def applies(self, noise: Noise, channels: int) -> str | None:
        """A known level of Gaussian or Poisson noise."""
        return None if noise.family.distribution != "other" else "deepinv's SURE is for Gaussian or Poisson noise"

    def loss(self, net: nn.Module, y: Tensor, level: Tensor | None, ctx: Context) -> Any:
        """SureGaussianLoss or SurePoissonLoss."""
        from deepinv.loss import SureGaussianLoss, SurePoissonLoss

        assert level is not None
        assert ctx.noise is not None
        gauss = ctx.noise.distribution == "gauss"
        loss = SureGaussianLoss(level / 255.0, self.tau) if gauss else SurePoissonLoss(1.0 / level, self.tau)
        model = Given(net)
        return loss(y=y, x_net=model(y, physics()), physics=physics(), model=model)


@register("deepinv-denoiser")
class DeepinvDenoiser(Method, frozen=True):
    """x^ = D(y, sigma) for a denoiser of deepinv.models that needs no weights."""

    card = Card(
        paper=LIBRARY,
        deviations="called with sigma, which TVDenoiser takes for the weight of its regulariser",
    )
    supervision = "none"
    knowledge = "level"
    trains_on = "nothing"
    keeps_images = True
    model: Literal["TVDenoiser", "MedianFilter"] = "TVDenoiser"

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Gaussian noise."""
        return None if noise.family.distribution == "gauss" else "deepinv's denoisers are for Gaussian noise"

    def unavailable(self) -> str | None:
        """Without the extra."""
        return missing("deepinv")

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """One image after the other, each by a new model: TVDenoiser begins where its last image ended."""
        from deepinv import models

        assert ctx.level is not None
        images = zip(noisy[:, None], ctx.level / 255.0, strict=True)
        return {"denoised": torch.cat([getattr(models, self.model)()(y, float(sigma)) for y, sigma in images])}


def physics() -> Any:
    """deepinv's forward operator of denoising: the identity."""
    from deepinv.physics import Denoising

    return Denoising()
