"""The range of every number that a suite or a request may hold; a number outside it is a slip."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ..datasets.errors import InputError

LIMITS: dict[str, tuple[float, float]] = {
    "version": (1, 10**6),
    "channels": (1, 1024),
    "crop": (1, 65_536),  # pixels
    "crop_factor": (1, 64),
    "centre_crop": (11, 65_536),  # pixels; the window of SSIM has 11
    "batch": (1, 65_536),
    "steps": (1, 10**9),
    "epochs": (1, 10**6),
    "repeats": (1, 10**5),
    "seeds": (0, 2**63 - 1),
    "data_range": (1e-6, 1e6),
    "lr": (0, 10),
    "beta1": (0, 1),
    "beta2": (0, 1),
    "weight_decay": (0, 1),
    "gain": (0, 1000),
    "warmup": (0, 1),
    "kernel_lr": (0, 10),
    "kernel_decay": (0, 100),
    "momentum": (0, 1),
    "max_steps": (1, 10**9),
}


class Limited(Struct, frozen=True):
    """InputError for a field of LIMITS that is neither in its range nor the field's default."""

    def __post_init__(self) -> None:
        """Looks at every field."""
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name in LIMITS and value != field.default:
                low, high = LIMITS[field.name]
                for name, number in _numbers(field.name, value):
                    if not low <= number <= high:
                        raise InputError(f"{name} = {number}; allowed: {_text(low)} to {_text(high)}")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Every number of a field, under its own name."""
    if isinstance(value, dict):
        yield from ((f"{name}.{key}", number) for key, number in value.items())
    elif isinstance(value, tuple):
        yield from ((name, number) for number in value)
    else:
        yield name, value


def _text(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
