"""PSNR and SSIM as the official evaluations define them, and the mean absolute error."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scoring import Scoring
from .metric import Metric
from .registry import register_metric

Array = NDArray[np.generic]
# Of the window, by name: Wang et al. 2004 (11x11 Gaussian of 1.5, population variances); scikit-image's defaults.
WINDOWS: dict[str, dict[str, Any]] = {
    "gauss11": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "uniform7": {},
}


def psnr(a: Array, b: Array, data_range: float = 255.0) -> float:
    """10 log10(R^2 / MSE) in dB over all channels jointly; inf for equal images."""
    mse = float(np.mean((_squeezed(a) - _squeezed(b)) ** 2))
    return float("inf") if mse == 0.0 else float(10.0 * np.log10(data_range**2 / mse))


def ssim(a: Array, b: Array, data_range: float = 255.0, window: str = "gauss11") -> float:
    """Structural similarity over the valid region, mean of the channels."""
    from skimage.metrics import structural_similarity  # imported here: it is slow to load

    x, y = _squeezed(a), _squeezed(b)
    axis = 2 if x.ndim == 3 else None
    return float(structural_similarity(x, y, data_range=data_range, channel_axis=axis, **WINDOWS[window]))  # type: ignore[no-untyped-call]


def _squeezed(image: Array) -> NDArray[np.float64]:
    """[H, W, C] or [H, W] in float64; one channel becomes [H, W], so that no pair of shapes can broadcast."""
    array = image.astype(np.float64)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _psnr(output: Array, clean: Array, scoring: Scoring) -> float:
    return psnr(output, clean, scoring.data_range)


def _ssim(output: Array, clean: Array, scoring: Scoring) -> float:
    return ssim(output, clean, scoring.data_range, scoring.window)


def mae(output: Array, clean: Array, scoring: Scoring) -> float:
    """Mean absolute error in units of 0..255, whatever the data range is."""
    return float(np.mean(np.abs(_squeezed(output) - _squeezed(clean)))) * 255.0 / scoring.data_range


register_metric(Metric("psnr", "dB", True, _psnr, label="PSNR", digits=2))
register_metric(Metric("ssim", "", True, _ssim, label="SSIM"))
register_metric(Metric("mae", "0..255", False, mae, label="MAE"))
