"""LPIPS (Zhang et al. 2018), through the extra `lpips`; its weights must be on this machine, nothing is downloaded."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..scoring import Scoring
from .metric import Array, Metric
from .registry import register_metric

WEIGHTS = "alexnet-owt-7be5be79.pth"  # torchvision's AlexNet; the linear layers come with the package


def lpips(output: Array, clean: Array, scoring: Scoring) -> float:
    """Perceptual distance with AlexNet, 0 for equal images; gray images are given as three equal channels."""
    import torch

    one, other = (
        torch.from_numpy(np.moveaxis(np.broadcast_to(image, (*image.shape[:2], 3)), 2, 0).astype(np.float32))[None]
        * (2.0 / scoring.data_range)
        - 1.0
        for image in (output, clean)
    )
    with torch.inference_mode():
        return float(_network()(one, other))


@cache
def _network() -> Any:
    METRIC.check()
    from lpips import LPIPS

    return LPIPS(net="alex", verbose=False).eval()


def _missing() -> str:
    lacking = [name for name in ("lpips", "torchvision") if find_spec(name) is None]
    if lacking:
        return f"the package {lacking[0]} is not installed (pip install 'blind2unblind-bench[lpips]')"
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    return "" if path.is_file() else f"AlexNet's weights {WEIGHTS} of torchvision are not in {path.parent}"


METRIC = register_metric(Metric("lpips", "", False, lpips, label="LPIPS", digits=4, missing=_missing))
