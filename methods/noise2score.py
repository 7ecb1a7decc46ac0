"""Noise2Score: the score of the noisy images, and Tweedie's formula (Kim and Ye, NeurIPS 2021)."""

from collections.abc import Iterator

from torch import Tensor, nn

from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register


@register("noise2score")
class Noise2Score(Method, frozen=True):
    """min E || u + d S(y + d u) ||^2, u ~ N(0, 1), d ~ N(0, delta^2): S is the score of y, whatever its noise.

    Gaussian: x^ = y + sigma^2 S(y). Poisson, y / g ~ Poisson(x / g): x^ = (y + g / 2) exp(g S(y)).
    """

    card = Card(
        paper="Kim and Ye, Noise2Score: Tweedie's approach to self-supervised image denoising, NeurIPS 2021",
        equations="Tweedie's formulas of its table, and the loss of its denoising autoencoder (AR-DAE)",
        deviations="shared U-Net and recipe; S(y) = (f(y) - y) / v with a fixed v, so that f is about an image; delta "
        "falls geometrically from 0.1 to 0.01 for all noises, in the released code linearly from 0.05 to 0.001 "
        "(Gaussian) or from 1 to 0.5 counts (Poisson)",
    )
    knowledge = "level"  # only in the formula: training does not read it
    delta_s: float = 0.1  # delta at t = 0
    delta_f: float = 0.01  # at t = 1, the last epoch; geometric in between
    v: float = 0.01
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError unless delta_s, delta_f and v are above 0."""
        if min(self.delta_s, self.delta_f, self.v) <= 0.0:
            numbers = f"delta_s = {self.delta_s:g}, delta_f = {self.delta_f:g}, v = {self.v:g}"
            raise InputError(f"noise2score: {numbers}; allowed: above 0")

    def applies(self, noise: Noise, channels: int) -> str | None:
        """The two families whose formula is here."""
        if noise.family.distribution == "other":
            return "Noise2Score needs the formula of a noise family of known level; here: Gaussian and Poisson"
        return None

    def score(self, net: nn.Module, y: Tensor) -> Tensor:
        """S(y) = d log p(y) / dy."""
        score: Tensor = (net(y) - y) / self.v
        return score

    def delta_at(self, t: float) -> float:
        """delta at t = e / N."""
        return float(self.delta_s * (self.delta_f / self.delta_s) ** t)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Mean (u + d S(y + d u))^2, with one d for each crop."""
        y = batch.noisy
        u = ctx.rng.normal("u", *y.shape[1:])
        d = self.delta_at(ctx.progress.t) * ctx.rng.normal("d", 1, 1, 1)
        yield (u + d * self.score(net, y + d * u)).square().mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """Tweedie's formula."""
        assert ctx.level is not None
        assert ctx.noise is not None
        level, S = ctx.level.to(noisy.dtype).view(-1, 1, 1, 1), self.score(net, noisy)
        if ctx.noise.distribution == "poisson":
            return {"denoised": (noisy + 0.5 / level) * (S / level).exp()}
        return {"denoised": noisy + (level / 255.0).square() * S}
