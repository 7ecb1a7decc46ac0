"""Per-image scores."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

PLAUSIBLE = {"psnr": (-100.0, 200.0), "ssim": (-1.001, 1.001)}  # a sum of floats may end a little beyond 1
LARGEST = 1e12  # of another metric


class Row(Struct, frozen=True):
    """The scores of one output of one noisy image; None, as JSON has no infinity, is an infinite one."""

    image: str
    repeat: int
    level: float
    output: str
    metrics: dict[str, float | None]

    @property
    def flat(self) -> dict[str, Any]:
        """As it is stored: the metrics stand beside the other keys."""
        own = {name: getattr(self, name) for name in OWN}
        return own | self.metrics

    def value(self, metric: str) -> float:
        """A metric's number."""
        return infinite(self.metrics[metric])


OWN = Row.__struct_fields__[:-1]


def row_of(flat: dict[str, Any]) -> Row:
    """The row of a stored line; msgspec.ValidationError if it is none, or has an impossible number."""
    own = {name: value for name, value in flat.items() if name in OWN}
    metrics = {name: value for name, value in flat.items() if name not in OWN}
    row = msgspec.convert(own | {"metrics": metrics}, Row)
    for name, value in row.metrics.items():
        check_value(name, value)
    return row


def check_value(metric: str, value: float | None) -> None:
    """Raises msgspec.ValidationError for a number that no image can have, such as 1e308 dB."""
    low, high = PLAUSIBLE.get(metric, (-LARGEST, LARGEST))
    if value is not None and not low <= value <= high:
        raise msgspec.ValidationError(f"{metric} {value:g}; possible: {low:g} to {high:g}")


def finite(value: float) -> float | None:
    """A number as it is recorded: None for an infinite one."""
    return None if value == math.inf else value


def mean(values: Sequence[float]) -> float:
    """The mean of those that are not infinite; infinity if all are."""
    known = [value for value in values if not math.isinf(value)]
    return sum(known) / len(known) if known else math.inf


def infinite(value: float | None) -> float:
    """A recorded number."""
    return math.inf if value is None else value
