"""BM3D of a variance-stabilised image: the noise's variance a x + b estimated from the image (FMD's own BM3D row)."""

import numpy as np
import torch
from torch import Tensor, nn

from ...datasets.noise.model import Noise
from ..base import Card, Context, Method
from ..registry import register
from .anscombe import exact, forward, scale, unscale
from .bm3d import Image, collaborative, each, missing

BLOCK, GROUPS = 8, 32
MEDIAN = (1.0 - 2.0 / (9.0 * 28.0)) ** 3  # of the mean: 64 diagonals that share pixels tell as 28 would alone
LEAST = 1e-3  # of the floor b: noise that grows by less from black to white is constant


@register("bm3d-vst")
class VST(Method, frozen=True):
    """x^ = a (I(BM3D(f(y / a + b / a^2), 1)) - b / a^2), per plane; f(c) = 2 sqrt(c + 3/8), I its exact inverse."""

    card = Card(
        paper="Makitalo & Foi, Optimal Inversion of the Generalized Anscombe Transformation, TIP 2013",
        equations="Eq. 1, with the exact inverse for Poisson counts shifted by b / a^2",
        deviations="a, b by a line through the median variances of 8x8 blocks of equal brightness, not by Foi's",
    )
    supervision = "none"
    trains_on = "nothing"
    revision = 2
    keeps_images = True

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Noise that may grow with the signal; whatever its name."""
        known = noise.family.distribution == "poisson"
        return "for Poisson noise of a known lambda there is anscombe" if known else None

    def unavailable(self) -> str | None:
        """Without the package's binary for this platform."""
        return missing()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """Plane after plane."""
        planes = [each(plane, _restored) for plane in torch.split(noisy, 1, dim=1)]
        return {self.outputs[0].name: torch.cat(planes, dim=1)}


def noise_parameters(y: Image) -> tuple[float, float]:
    """(a, b) of the variance a x + b, [H, W, 1]: a line through what blocks of equal mean have in their diagonals."""
    diagonal = (y[:-1, :-1] - y[:-1, 1:] - y[1:, :-1] + y[1:, 1:])[..., 0] / 2.0  # flat and linear parts cancel
    height, width = (side // BLOCK for side in diagonal.shape)
    if height * width < 2:  # no line through one point
        return 0.0, float(np.square(diagonal).mean())
    shape = (height, BLOCK, width, BLOCK)
    mean = y[: height * BLOCK, : width * BLOCK, 0].reshape(shape).mean((1, 3)).ravel()
    variance = np.square(diagonal[: height * BLOCK, : width * BLOCK]).reshape(shape).mean((1, 3)).ravel()
    groups = np.array_split(np.argsort(mean), min(GROUPS, len(mean)))
    pairs = ((np.mean, mean), (np.median, variance / MEDIAN))
    x, v = (np.array([statistic(of[group]) for group in groups]) for statistic, of in pairs)
    weight = 1.0 / (v + v.mean())  # relative errors are alike
    a, b = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1) * weight[:, None], v * weight, rcond=None)[0]
    return float(a), float(b)


def _restored(y: Image) -> Image:
    a, b = noise_parameters(y)
    if a <= LEAST * max(b, 1e-12):  # b / a^2 would be too large for the transform's differences
        return collaborative(y, float(np.sqrt(max(b + a * y.mean(), 0.0))))
    shift = b / a**2
    d = forward(np.maximum(y / a + shift, 0.0))
    scaled, sigma = scale(d)
    filtered = unscale(collaborative(scaled, sigma), d)
    return np.asarray(a * (exact(filtered) - shift))
