"""PSNR and SSIM as the official evaluations define them."""

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


def ssim(a: Array, b: Array, data_range: float = 255.0) -> float:
    """Wang et al. 2004: 11x11 Gaussian window of 1.5, population variances, valid region, mean of the channels."""
    x, y = _squeezed(a), _squeezed(b)
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            x,
            y,
            data_range=data_range,
            channel_axis=2 if x.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _squeezed(image: Array) -> NDArray[np.float64]:
    """[H, W, C] or [H, W] in float64; one channel becomes [H, W], so that no pair of shapes can broadcast."""
    array = image.astype(np.float64)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
