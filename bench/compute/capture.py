"""Whether a step can be captured as a CUDA graph, found out on any machine by watching its operations."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..methods.base import Batch, Context, Method

READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive",
         "equal", "is_nonzero", "allclose", "bincount", "_linalg_check_errors")  # fmt: skip
FETCHES = ("tolist", "numpy", "__array__", "cpu")  # of Tensor: on a CPU they are no operations
MAKES = (torch.tensor, torch.zeros, torch.ones, torch.full, torch.empty, torch.eye, torch.arange, torch.linspace,
         torch.rand, torch.randn, torch.randint, torch.randperm)  # fmt: skip


class HostError(RuntimeError):
    """The host would wait for the device, or would have to copy a tensor to it, in every step."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises HostError for an operation that reads values, or that uses a tensor made outside of the step.

    Such a tensor stands on the host where the step runs on a device. Single numbers may come from there.
    """

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept = list(given)  # so that no other tensor gets the place of one in memory
        self.known = {_place(one) for one in self.kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waiting := waits(func, args, kwargs):
            raise HostError(f"{waiting} makes the host wait for the device")
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, Tensor) and one.dim() and _place(one) not in self.known:
                raise HostError(f"a tensor {list(one.shape)} is made on the host; make it on the device of the images")
        made = func(*args, **(kwargs or {}))
        new = [one for one in tree_leaves(made) if isinstance(one, Tensor)]
        self.kept += new
        self.known |= set(map(_place, new))
        return made


class _Host(TorchFunctionMode):
    """Raises HostError where a tensor is fetched to the host, or made there (no word of a device)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, device = func.__name__, (kwargs or {}).get("device")
        words = [one for one in (*args[1:2], device) if isinstance(one, str)]
        if name in FETCHES or (name == "to" and "cpu" in words):
            raise HostError(f"{name.strip('_')} makes the host wait for the device")
        made = func(*args, **(kwargs or {}))
        if func in MAKES and (device is None or "cpu" in words) and made.dim():
            raise HostError(f"{name} makes a tensor {list(made.shape)} on the host; give it the device of the images")
        return made


def waits(func: Any, args: Any, kwargs: Any) -> str:
    """The name of an operation for which the host waits until the device has computed; empty for others."""
    name: str = func.overloadpacket.__name__
    unknown_size = name == "repeat_interleave" and (kwargs or {}).get("output_size") is None
    masked = name in ("index", "index_put", "index_put_") and any(
        isinstance(one, Tensor) and one.dtype == torch.bool for one in args[1]
    )
    return name.strip("_") if name in READS or masked or unknown_size else ""


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def watch_losses(method: Method, net: nn.Module, batch: Batch, context: Context) -> None:
    """Runs a batch's losses and their gradients; HostError at the line that keeps a CUDA graph from being captured."""
    given = [*net.parameters(), *net.buffers(), *(one for one in batch if one is not None), context.rng.samples]
    with _Watch(given), _Host():
        for part in method.losses(net, batch, context):
            part.backward()  # type: ignore[no-untyped-call]  # only _Watch sees what it does
