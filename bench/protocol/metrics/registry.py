"""Metrics by name: our own, and those that plug-in files register."""

import inspect
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ...datasets.errors import AbsentError, InputError, unknown
from ...methods import registry
from ..scoring import Scoring

Array = NDArray[np.float64]
DEFAULT = ("psnr", "ssim")  # of a suite that names none
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
RESERVED = {"image", "images", "repeat", "level", "output"}  # keys that stand beside metrics in rows and records


class Metric(Struct, frozen=True):
    """A number for one output, compared with the clean image.

    `function(output, clean, scoring)` gets two float64 images [H, W, C] in 0..scoring.data_range, already clipped and
    rounded as the evaluation protocol says, and returns a number; infinity is allowed, NaN is not.
    """

    name: str
    unit: str  # such as dB; empty: none
    higher_is_better: bool
    function: Callable[[Array, Array, Scoring], float]
    label: str = ""  # a table's heading; empty: the name
    digits: int = 3  # decimals in tables
    missing: Callable[[], str] = str  # why it is not available on this machine; empty: it is

    @property
    def heading(self) -> str:
        """Label and unit, such as `PSNR (dB)`."""
        return (self.label or self.name) + (f" ({self.unit})" if self.unit else "")

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1: a value times its sign is better where it is higher."""
        return 1 if self.higher_is_better else -1

    @property
    def source(self) -> str:
        """The digest of the plug-in that defines it; empty for our own."""
        return "" if self.function.__module__.startswith(__package__) else registry.plugin_source(self.function)

    def shown(self, value: float, sign: str = "") -> str:
        """A value as tables show it; `sign` "+" for differences."""
        return f"{value:{sign}.{self.digits}f}"

    def check(self) -> None:
        """AbsentError if the metric is not available on this machine."""
        if why := self.missing():
            raise AbsentError(f"metric {self.name!r} is not available: {why}")


_metrics: dict[str, Metric] = {}


def register_metric(metric: Metric) -> Metric:
    """Makes a metric known under its name; InputError for a name that is taken or cannot be a key of a record."""
    if not NAME.fullmatch(metric.name) or metric.name in RESERVED:
        raise InputError(
            f"metric name {metric.name!r}: expected lower-case letters, digits, - and _, beginning with a letter, "
            f"and none of {', '.join(sorted(RESERVED))}"
        )
    if not inspect.isfunction(metric.function):
        raise InputError(f"metric {metric.name!r}: {metric.function!r} is not a Python function")
    module = metric.function.__module__
    if not module.startswith(__package__):
        _own()  # a plug-in may not take the name of a metric of ours
    other = _metrics.get(metric.name)
    if other is not None and other.function.__module__ != module:
        raise InputError(
            f"two metrics are called {metric.name!r}: {other.function.__module__} and {module}; rename one"
        )
    registry.registered_by.add(module)
    _metrics[metric.name] = metric
    return metric


@cache
def _own() -> None:
    """Registers the metrics of this package."""
    from . import builtin, lpips

    for metric in (*builtin.METRICS, lpips.METRIC):
        register_metric(metric)


def metrics() -> dict[str, Metric]:
    """All registered metrics by name."""
    _own()
    return dict(_metrics)


def find(name: str) -> Metric:
    """The metric of a name; InputError with the nearest names if there is none."""
    known = metrics()
    if name not in known:
        raise unknown("metric", name, known, "Own metrics: --plugin FILE.py.")
    return known[name]


def measure(names: tuple[str, ...], output: Array, clean: Array, scoring: Scoring) -> dict[str, float]:
    """The value of each metric; ValueError where a plug-in returns something that no record can hold."""
    found: dict[str, float] = {}
    for name in names:
        value: Any = find(name).function(output, clean, scoring)
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"metric {name!r} returned {value!r}; expected a number") from None
        if math.isnan(found[name]) or found[name] == -math.inf:
            raise ValueError(f"metric {name!r} returned {found[name]}; expected a number, or infinity")
    return found
