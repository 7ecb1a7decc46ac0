"""The type of a metric."""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ...datasets.errors import AbsentError
from ...methods import plugins
from ..scoring import Scoring

Array = NDArray[np.float64]


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
        return "" if self.function.__module__.startswith(__package__) else plugins.source(self.function)

    def shown(self, value: float, sign: str = "") -> str:
        """A value as tables show it; `sign` "+" for differences."""
        return f"{value:{sign}.{self.digits}f}"

    def check(self) -> None:
        """AbsentError if the metric is not available on this machine."""
        if why := self.missing():
            raise AbsentError(f"metric {self.name!r} is not available: {why}")
