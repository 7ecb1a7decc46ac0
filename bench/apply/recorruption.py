"""One noisy image made into two whose noise is independent, so that one can be denoised and the other score it.

The noise is white with variance g x + b at the clean value x (`Variance`). `given` has 1 / (1 - a) and `held` 1 / a
times the noise's variance, a the share that is held out, and (1 - a) given + a held is the image itself.
"""

from typing import NamedTuple

import numpy as np
import scipy
from msgspec import structs
from numpy.typing import NDArray

from ..datasets.noise.model import Image, Noise
from ..datasets.noise.poisson_gauss import PoissonGauss

Floats = NDArray[np.float64]
SHARE = 0.05  # a: the noise of what is denoised is 2.6 % stronger (0.22 dB) than that of the image
SMALLEST = (
    0.03  # of the noise's deviation; a smaller gain is one of a thousand counts and more, whose noise is Gaussian
)

EXACT = 100  # counts; the numbers of more are normal


class Variance(NamedTuple):
    """The variance g x + b of white noise at clean values x in 0..1; b < 0 where black is an offset above 0."""

    gain: float
    floor: float

    def at(self, image: NDArray[np.floating]) -> Floats:
        """The variance for clean values, never below 0; for noisy values an unbiased estimate where it is not cut."""
        return np.maximum(self.gain * image.astype(np.float64) + self.floor, 0.0)

    def rescaled(self, old: tuple[float, float], new: tuple[float, float]) -> "Variance":
        """The same variance where other stored values stand for 0 and 1."""
        ratio = (old[1] - old[0]) / (new[1] - new[0])
        shift = (new[0] - old[0]) / (old[1] - old[0])
        return Variance(self.gain * ratio, ratio**2 * (self.gain * shift + self.floor))


class Split(NamedTuple):
    """Two images [H, W, C] of one scene whose noise is independent."""

    given: Image
    held: Image


def variance_of(noise: Noise) -> Variance:
    """The variance of a noise of one level, whose family must have a variance that is linear in x."""
    floor, white = (float(noise.family.variance(x, noise.low)) for x in (0.0, 1.0))
    return Variance(white - floor, floor)


def of_split(noise: Noise, share: float = SHARE) -> Noise | None:
    """The noise that `given` has; None for a family whose levels have another meaning."""
    family = noise.family
    if family.distribution == "gauss":
        level = noise.low / np.sqrt(1.0 - share)
    elif family.counts:
        level = noise.low * (1.0 - share)
        if isinstance(family, PoissonGauss):
            family = PoissonGauss(float(f"{family.sigma / np.sqrt(1.0 - share):.6g}"))
    else:
        return None
    level = float(f"{level:.6g}")  # names of noise keep no more digits
    return structs.replace(noise, family=family, low=level, high=level)


def splits(image: Image, variance: Variance, draws: np.random.RandomState, share: float = SHARE) -> tuple[Split, Split]:
    """Two splits [H, W, C] that are antithetic: what one draw adds the other takes away.

    The mean of both scores has nearly the precision that the image's own noise allows, not the 1 / a times larger
    variance of one draw.
    """
    y = image.astype(np.float64)
    mixed = variance.gain > SMALLEST * np.sqrt(max(variance.at(y).mean(), 1e-30))
    parts = _thinned(y, variance, draws, share) if mixed else _gaussian(y, variance, draws, share)
    first, second = (
        Split(((y - part) / (1.0 - share)).astype(np.float32), (part / share).astype(np.float32)) for part in parts
    )
    return first, second


def _gaussian(y: Floats, variance: Variance, draws: np.random.RandomState, share: float) -> tuple[Floats, Floats]:
    """The part a y + sqrt(a (1 - a)) w that is held out; its covariance with the rest is a (1 - a) (sigma^2 - w's)."""
    w = draws.standard_normal(y.shape) * np.sqrt(share * (1.0 - share) * variance.at(y))
    return share * y + w, share * y - w


def _thinned(y: Floats, variance: Variance, draws: np.random.RandomState, share: float) -> tuple[Floats, Floats]:
    """Every count falls into the part that is held out with chance a: exact for Poisson counts.

    A shift by b / g^2 makes the variance of counts with Gaussian noise equal to their mean, and so the parts
    uncorrelated. What rounding leaves is shared in proportion.
    """
    g = variance.gain
    shift = variance.floor / g**2
    counts = y / g + shift
    whole = np.maximum(np.floor(counts + draws.uniform(size=y.shape)), 0.0)
    u = draws.uniform(1e-12, 1.0, size=y.shape)
    drawn = (_binomial(chance, whole, share) for chance in (u, 1.0 - u))
    first, second = (g * (part + share * (counts - whole - shift)) for part in drawn)
    return first, second


def _binomial(u: Floats, n: Floats, share: float) -> Floats:
    """Binomial numbers by inversion at u in 0..1, normal ones for large n."""
    part: Floats = share * n + np.sqrt(share * (1.0 - share) * n) * scipy.special.ndtri(u)
    for trials in range(int(min(n.max(), EXACT)) + 1):
        here = n == trials
        part[here] = np.searchsorted(scipy.stats.binom.cdf(np.arange(trials), trials, share), u[here])
    return part
