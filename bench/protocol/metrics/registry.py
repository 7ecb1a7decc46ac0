"""Metrics by name: our own, and those that plug-in files register."""

import inspect
import math
import re
from typing import Any

from ...datasets.errors import InputError
from ...datasets.registry import Registry
from ..scoring import Scoring
from .metric import Array, Metric

DEFAULT = ("psnr", "ssim")  # of a suite that names none
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
RESERVED = {"image", "images", "repeat", "level", "output"}  # keys that stand beside metrics in rows and records

METRICS: Registry[Metric] = Registry("metric", __package__)


def register_metric(metric: Metric) -> Metric:
    """Makes a metric known under its name; InputError for a name that is taken or cannot be a key of a record."""
    if not NAME.fullmatch(metric.name) or metric.name in RESERVED:
        raise InputError(
            f"metric name {metric.name!r}: expected lower-case letters, digits, - and _, beginning with a letter, "
            f"and none of {', '.join(sorted(RESERVED))}"
        )
    if not inspect.isfunction(metric.function):
        raise InputError(f"metric {metric.name!r}: {metric.function!r} is not a Python function")
    METRICS.add(metric.name, metric, metric.function)
    return metric


def metrics() -> dict[str, Metric]:
    """All registered metrics by name."""
    return METRICS.all()


def find_metric(name: str) -> Metric:
    """The metric of a name; InputError with the nearest names if there is none."""
    return METRICS.find(name)


def measure(names: tuple[str, ...], output: Array, clean: Array, scoring: Scoring) -> dict[str, float]:
    """The value of each metric; ValueError where a plug-in returns something that no record can hold."""
    found: dict[str, float] = {}
    for name in names:
        value: Any = find_metric(name).function(output, clean, scoring)
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"metric {name!r} returned {value!r}; expected a number") from None
        if math.isnan(found[name]) or found[name] == -math.inf:
            raise ValueError(f"metric {name!r} returned {found[name]}; expected a number, or infinity")
    return found
