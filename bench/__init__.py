"""One protocol for every method of Blind2Unblind: train, score, regenerate its tables.

`bench` is the only name this project takes in a Python installation. The rooms `methods/` and `datasets/` are its
subpackages `bench.methods` and `bench.datasets`: a wheel places them inside (pyproject.toml), a checkout keeps them
beside `bench/`, so that its parent folder joins the package's search path here. A foreign package called `datasets` or
`methods` is neither hidden nor imported. What trains and draws loads when it is used.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "methods" / "registry.py").is_file():
    __path__.append(str(_checkout))
    sys.modules[f"{__name__}.bench"] = None  # type: ignore[assignment]  # else `bench.bench` would be a second copy

# these need the search path above
from .datasets.formats.image_format import ImageFile, ImageFormat, register_format  # noqa: E402
from .datasets.noise.model import NoiseFamily, register_noise  # noqa: E402
from .methods.base import Batch, Card, Context, Method, Output  # noqa: E402
from .methods.networks.registry import Network, register_network  # noqa: E402
from .methods.registry import register  # noqa: E402
from .protocol.metrics.metric import Metric  # noqa: E402
from .protocol.metrics.registry import register_metric  # noqa: E402

if TYPE_CHECKING:
    from .api import denoise_array as denoise
    from .api import run, tables

__version__ = "0.1.0"
__all__ = [
    "Batch", "Card", "Context", "ImageFile", "ImageFormat", "Method", "Metric", "Network", "NoiseFamily", "Output",
    "denoise", "register", "register_format", "register_metric", "register_network", "register_noise", "run", "tables",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The functions of `bench.api`, loaded at their first use."""
    lazy = {"run": "run", "tables": "tables", "denoise": "denoise_array"}
    if name not in lazy:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, lazy[name])
