"""Per-image scores."""

import math
from typing import Any

import msgspec
from msgspec import Struct


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
    """The row of a stored line; msgspec.ValidationError if it is none."""
    own = {name: value for name, value in flat.items() if name in OWN}
    metrics = {name: value for name, value in flat.items() if name not in OWN}
    return msgspec.convert(own | {"metrics": metrics}, Row)


def finite(value: float) -> float | None:
    """A number as it is recorded: None for an infinite one."""
    return None if value == math.inf else value


def infinite(value: float | None) -> float:
    """A recorded number."""
    return math.inf if value is None else value
