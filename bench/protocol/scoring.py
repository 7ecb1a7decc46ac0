"""How an output becomes a number, and the named evaluation protocols."""

from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.errors import InputError, unknown
from .limits import Limited


class Scoring(Limited, frozen=True, forbid_unknown_fields=True):
    """How an output becomes a number; the default is the official sRGB evaluation."""

    quantise: Literal["uint8", "float"] = "uint8"
    data_range: float = 255.0
    colour: Literal["rgb", "luma"] = "rgb"  # luma: Y of BT.601 in 16..235, not rounded again
    window: Literal["gauss11", "uniform7"] = "gauss11"  # of SSIM; uniform7: scikit-image's defaults
    noisy: Literal["drawn", "8bit"] = "drawn"  # 8bit: what is denoised was clipped and rounded, as a stored image is

    def __post_init__(self) -> None:
        """InputError for a number outside its range, or a range that uint8 does not have."""
        super().__post_init__()
        if self.quantise == "uint8" and self.data_range != 255.0:
            raise InputError(f"scoring: data_range {self.data_range:g} with quantise uint8; allowed: 255")

    @property
    def identity(self) -> dict[str, Any]:
        """What determines a score; what the official evaluations agree on is left out."""
        known = msgspec.to_builtins(self)
        return {n: v for n, v in known.items() if n in ("quantise", "data_range") or v != getattr(Scoring(), n)}


class EvaluationProtocol(Struct, frozen=True, forbid_unknown_fields=True):
    """A named way of scoring; what it does not name is as in the preset."""

    about: str
    scoring: dict[str, Any] = {}  # what it changes in the preset's


@cache
def scorings() -> dict[str, EvaluationProtocol]:
    """The evaluation protocols of scorings.toml by name."""
    text = (resources.files(__package__) / "scorings.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, EvaluationProtocol])


def rescored(scoring: Scoring, name: str) -> Scoring:
    """A preset's scoring under an evaluation protocol; InputError with the nearest name."""
    if name not in scorings():
        raise unknown("scoring", name, scorings())
    return msgspec.convert(msgspec.to_builtins(scoring) | scorings()[name].scoring, Scoring)
