"""Noisier2Noise: predict the noisy image from a noisier one (Moran et al., CVPR 2020)."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register


@register("noisier2noise")
class Noisier2Noise(Method, frozen=True):
    """min E || f(z) - y ||^2 for z = y + m, m ~ N(0, alpha^2 sigma^2); x^ = ((1 + alpha^2) f(z) - z) / alpha^2."""

    card = Card(
        paper="Moran et al., Noisier2Noise, CVPR 2020",
        equations="E[x|z] = ((1 + alpha^2) E[y|z] - z) / alpha^2",
        deviations="shared U-Net and recipe; one draw of m per image, alpha = 1",
    )
    knowledge = "level"
    pixelwise = True
    alpha: float = 1.0
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError unless alpha > 0."""
        if self.alpha <= 0.0:
            raise InputError(f"noisier2noise: alpha = {self.alpha:g}; allowed: above 0")

    def applies(self, noise: Noise, channels: int) -> str | None:
        """One known Gaussian level, as in the paper's only cell."""
        if noise.family.distribution == "gauss" and noise.fixed:
            return None
        return "Noisier2Noise adds noise of one known Gaussian level"

    def noisier(self, y: Tensor, level: Tensor, ctx: Context) -> Tensor:
        """z = y + m; level [B], sigma in 0..255 units."""
        return y + self.alpha * (level / 255.0).view(-1, 1, 1, 1) * ctx.rng.normal("m", *y.shape[1:])

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Mean (f(z) - y)^2."""
        assert batch.level is not None
        yield mse_loss(net(self.noisier(batch.noisy, batch.level, ctx)), batch.noisy)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """E[x|z] from f(z) = E[y|z]; the correction amplifies an error of f by (1 + alpha^2) / alpha^2."""
        assert ctx.level is not None
        z, a = self.noisier(noisy, ctx.level, ctx), self.alpha**2
        return {"denoised": ((1.0 + a) * net(z) - z) / a}
