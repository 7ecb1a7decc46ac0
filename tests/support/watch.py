"""What a step may not do on a device: be read by the host, or use what the host made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero"}


class _Watch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            getattr(one, "dtype", None) == torch.bool for one in args[1]
        )
        assert not masks, f"{name} by a mask reads from the device"
        assert name not in READS, f"{name} reads from the device"
        assert name != "lift_fresh", "a tensor is made of numbers of the host"
        return func(*args, **(kwargs or {}))


@contextmanager
def on_device() -> Iterator[None]:
    """Fails for what reads, and for a tensor that is made with no word of a device and then used with others."""
    with torch.device("meta"), _Watch():
        yield
