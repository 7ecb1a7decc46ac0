"""GR2R: one observation split into two independent ones (Monroy et al., CVPR 2025)."""

from torch import Tensor

from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from .base import Card, Context
from .r2r import Recorrupted
from .registry import register

MOST = 3000  # photons in a white pixel, so that counts stay below 2^12


@register("gr2r")
class GR2R(Recorrupted, frozen=True):
    """min E || f(y1) - y2 ||^2, y2 = (y - (1 - a) y1) / a; x^ = mean_j f(y1_j).

    Gaussian: y1 = y + (a / (1 - a))^(1/2) sigma w, w ~ N(0, 1). Poisson: y1 = (y - g w) / (1 - a), w ~ Bin(y / g, a).
    """

    card = Card(
        paper="Monroy et al., Generalized Recorrupted-to-Recorrupted, CVPR 2025",
        equations="the splits of its library (deepinv); the demonstration scripts of its repository have y1 = y + a w, "
        "with which the covariance of y1 and y2 is sigma^2 (1 - a (1 - a)) and not 0",
        deviations="shared U-Net and recipe; for Gaussian noise it is R2R with alpha^2 = a / (1 - a), "
        "for Poisson noise the binomial thinning of counts; the configuration r2r-thinning has R2R's alpha = 0.5",
    )
    draw = "w"
    a: float = 0.15  # how much of the information goes to y2
    ensemble: int = 5

    def __post_init__(self) -> None:
        """InputError unless 0 < a < 1 and 1 <= ensemble <= 10,000."""
        if not 0.0 < self.a < 1.0 or not 1 <= self.ensemble <= 10_000:
            allowed = "allowed: 0 < a < 1, ensemble 1 to 10,000"
            raise InputError(f"gr2r: a = {self.a:g}, ensemble = {self.ensemble}; {allowed}")

    def applies(self, noise: Noise, channels: int) -> str | None:
        """The two families with a split of their own."""
        if noise.family.distribution == "other":
            return "GR2R needs Gaussian or Poisson noise of a known level"
        many = noise.family.distribution == "poisson" and noise.high > MOST
        return f"its draws are exact up to counts of about {MOST} photons" if many else None

    def pair(self, y: Tensor, level: Tensor, ctx: Context, name: str) -> tuple[Tensor, Tensor]:
        """(y1, y2) for a named draw; level: sigma in 0..255 units, or 1 / g."""
        assert ctx.noise is not None
        level = level.view(-1, 1, 1, 1)
        if ctx.noise.distribution == "poisson":
            w = ctx.rng.binomial(name, (y * level).round(), self.a)
            y1 = (y - w / level) / (1.0 - self.a)
        else:
            y1 = y + (self.a / (1.0 - self.a)) ** 0.5 * level / 255.0 * ctx.rng.normal(name, *y.shape[1:])
        return y1, (y - (1.0 - self.a) * y1) / self.a
