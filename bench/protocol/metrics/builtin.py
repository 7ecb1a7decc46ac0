"""PSNR and SSIM as the official evaluations define them, and the mean absolute error."""

import numpy as np
from numpy.typing import NDArray

from ..scoring import Scoring
from .metric import Metric
from .registry import register_metric

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
GAUSS = np.exp(-(np.arange(-5, 6) ** 2) / (2.0 * 1.5**2))
# Of the window, by name: its weights on either axis, and n / (n - 1) where variances are those of a sample.
# Wang et al. 2004 (11x11 Gaussian of 1.5, population variances); scikit-image's defaults.
WINDOWS = {"gauss11": (GAUSS / GAUSS.sum(), 1.0), "uniform7": (np.full(7, 1.0 / 7.0), 49.0 / 48.0)}
BAND = 16  # rows at a time, which stay in a processor's cache


def psnr(a: Array, b: Array, data_range: float = 255.0) -> float:
    """10 log10(R^2 / MSE) in dB over all channels jointly; inf for equal images."""
    mse = float(np.mean((_squeezed(a) - _squeezed(b)) ** 2))
    return float("inf") if mse == 0.0 else float(10.0 * np.log10(data_range**2 / mse))


def ssim(a: Array, b: Array, data_range: float = 255.0, window: str = "gauss11") -> float:
    """Structural similarity over the valid region, mean of the channels."""
    weights, unbiased = WINDOWS[window]
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    planes = [np.ascontiguousarray(np.atleast_3d(_squeezed(image)).transpose(2, 0, 1)) for image in (a, b)]
    total, count = 0.0, 0
    for x_plane, y_plane in zip(*planes, strict=True):
        for top in range(0, len(x_plane) - len(weights) + 1, BAND):
            rows = slice(top, top + BAND + len(weights) - 1)
            x, y = x_plane[rows], y_plane[rows]
            ux, uy, xy, squares = _local_mean(np.stack([x, y, x * y, x * x + y * y]), weights)
            uxy, uxx = ux * uy, ux * ux + uy * uy
            numerator = (2.0 * uxy + c1) * (2.0 * unbiased * (xy - uxy) + c2)
            total += float(np.sum(numerator / ((uxx + c1) * (unbiased * (squares - uxx) + c2))))
            count += ux.size
    return total / count


def _local_mean(x: Floats, weights: Floats) -> Floats:
    """Of [..., H, W] under a symmetric separable window, where it lies inside."""
    for _ in range(2):
        x = x.swapaxes(-1, -2)
        last = len(weights) - 1
        n, middle = x.shape[-1] - last, last // 2
        mean = weights[middle] * x[..., middle : middle + n]
        for k in range(middle):
            pair = x[..., k : k + n] + x[..., last - k : last - k + n]
            pair *= weights[k]
            mean += pair
        x = mean
    return x


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
