"""CBM3D / BM3D with an estimated noise level (Dabov et al. 2007; Chen et al. 2015)."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.errors import one_line
from ...datasets.noise.model import Noise
from ..base import Card, Context, Method
from ..registry import register
from . import chen
from .chen import noise_level

Image = NDArray[np.float64]


@register("bm3d")
class BM3D(Method, frozen=True):
    """x^ = BM3D(y, sigma^); colour in the opponent space, other numbers of channels plane by plane."""

    card = Card(
        paper="Dabov et al., Image denoising by sparse 3-D transform-domain collaborative filtering, TIP 2007",
        deviations="the package bm3d (4.x), its stock profile 'np'; sigma estimated by Chen et al., ICCV 2015",
    )
    supervision = "none"
    trains_on = "nothing"
    keeps_images = True

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Gaussian noise, or noise as it comes."""
        if not noise.family.counts:
            return None
        other = "anscombe" if noise.family.distribution == "poisson" else "bm3d-vst"
        return f"BM3D takes the noise for Gaussian; for {noise.family.name} noise there is {other}"

    def unavailable(self) -> str | None:
        """Without the package's binary for this platform."""
        return missing()

    def warning(self, height: int, width: int, channels: int) -> str:
        """The noise level of small images is not known."""
        return chen.warning(height, width, channels if channels in (1, 3) else 1)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """One image after the other."""
        return {self.outputs[0].name: each(noisy, _estimate_and_filter)}


def _estimate_and_filter(y: Image) -> Image:
    if y.shape[2] > 1 and (y == y[..., :1]).all():  # gray stored as colour: its planes are one
        return np.repeat(_estimate_and_filter(y[..., :1]), y.shape[2], axis=2)
    if y.shape[2] in (1, 3):
        return collaborative(y, noise_level(y))
    return np.concatenate([_estimate_and_filter(plane) for plane in np.split(y, y.shape[2], axis=2)], axis=2)


def missing() -> str | None:
    """Why BM3D cannot run here; None if it can."""
    try:
        import bm3d  # noqa: F401 - loaded where it is used: its import loads a binary that not every platform has
    except (ImportError, OSError) as error:
        return f"the package bm3d does not load here ({one_line(error)})"
    return None


def collaborative(y: Image, sigma: float, space: str = "opp") -> Image:
    """BM3D of [H, W, 1], or CBM3D of [H, W, 3]; sigma in the units of y."""
    import bm3d

    if min(y.shape[:2]) < 9:
        raise ValueError(f"{y.shape[1]}x{y.shape[0]} is too small for BM3D's blocks of 8x8 (the package would crash)")
    profile = bm3d.BM3DProfile()
    profile.num_threads = 1  # its pool is one per process: two calls with several threads abort the interpreter
    if y.shape[2] == 3:
        with np.errstate(divide="ignore", invalid="ignore"):
            x: Image = bm3d.bm3d_rgb(y, sigma, profile, space)
        if np.isfinite(x).all():
            return x
    # gray, or gray stored as colour: an opponent channel without any range makes bm3d_rgb divide by zero
    return np.stack([np.squeeze(bm3d.bm3d(plane, sigma, profile)) for plane in np.moveaxis(y, 2, 0)], axis=2)


def each(noisy: Tensor, filtered: Callable[[Image], Image]) -> Tensor:
    """Applies a function of [H, W, C] in float64 to every image of [B, C, H, W]."""
    images = noisy.permute(0, 2, 3, 1).cpu().numpy().astype(np.float64)
    stack = np.stack([filtered(image) for image in images]).astype(np.float32)
    return torch.from_numpy(stack).permute(0, 3, 1, 2).to(noisy.device)
