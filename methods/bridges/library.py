"""What the bridges share: whether a library is there, and named random numbers for code that draws its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch

from ...datasets.errors import one_line
from ..rng import Rng


@cache
def missing(package: str) -> str | None:
    """Why a library cannot be used here; None if it can. Loading it takes seconds, so only torchvision is loaded."""
    if find_spec(package) is None:
        return f"the package {package} is not installed: pip install 'blind2unblind-bench[{package}]'"
    try:
        import_module("torchvision")
    except Exception as error:  # it raises RuntimeError beside another torch than its own
        return (
            f"torchvision, which {package} needs, does not fit this torch ({one_line(error)}): pip install torchvision"
        )
    return None


def each(rng: Rng) -> Iterator[tuple[slice, int]]:
    """The place of every sample in the batch, and its seed in 1..2^31.

    A library gets one sample at a time, so that what it draws does not depend on how a batch is split.
    """
    for i, drawn in enumerate(rng.integers("seed of the library", 2**31)):
        yield slice(i, i + 1), int(drawn) + 1  # the host reads it: such a step is not captured


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global random state, seeded; afterwards it is what it was before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
