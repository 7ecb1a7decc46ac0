"""PSNR and SSIM as the official evaluations define them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Array = NDArray[np.generic]


def quantise(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to 0..1, times 255, round half up to uint8 (the official test lines)."""
    return (np.clip(image, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)


def psnr(a: Array, b: Array, data_range: float = 255.0) -> float:
    """10 log10(R^2 / MSE) in dB over all channels jointly; inf for equal images."""
    mse = float(np.mean((_squeezed(a) - _squeezed(b)) ** 2))
    return float("inf") if mse == 0.0 else float(10.0 * np.log10(data_range**2 / mse))


# Of the window, by name: Wang et al. 2004 (11x11 Gaussian of 1.5, population variances); scikit-image's defaults.
WINDOWS: dict[str, dict[str, Any]] = {
    "gauss11": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "uniform7": {},
}


def ssim(a: Array, b: Array, data_range: float = 255.0, window: str = "gauss11") -> float:
    """Structural similarity over the valid region, mean of the channels."""
    x, y = _squeezed(a), _squeezed(b)
    axis = 2 if x.ndim == 3 else None
    return float(
        structural_similarity(x, y, data_range=data_range, channel_axis=axis, **WINDOWS[window])  # type: ignore[no-untyped-call]
    )


def luma(image: Array, data_range: float = 255.0) -> NDArray[np.float64]:
    """Y [H, W, 1] of BT.601 in 16/255..235/255 of the range, for RGB [H, W, 3]; gray as it is."""
    if image.shape[2] != 3:
        return image.astype(np.float64)
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    return (image.astype(np.float64) @ weights + data_range * 16.0 / 255.0)[..., None]


def _squeezed(image: Array) -> NDArray[np.float64]:
    """[H, W, C] or [H, W] in float64; one channel becomes [H, W], so that no pair of shapes can broadcast."""
    array = image.astype(np.float64)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
