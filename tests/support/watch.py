"""What a step may not do on a device: be read by the host, use what the host made, have no --deterministic way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.compute.capture import waits


class _Watch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not (waiting := waits(func, args, kwargs)), f"{waiting} reads from the device"
        name = func.overloadpacket.__name__
        assert name != "lift_fresh", "a tensor is made of numbers of the host"
        assert name != "cumsum" or not args[0].is_floating_point(), "CUDA sums floats in an order that is not fixed"
        return func(*args, **(kwargs or {}))


@contextmanager
def on_device() -> Iterator[None]:
    """Fails for what reads, and for a tensor that is made with no word of a device and then used with others."""
    with torch.device("meta"), _Watch():
        yield
