"""Memory that units of work will take, roughly, before any is started."""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..compute.machine import Machine
from ..compute.training import build
from ..datasets.errors import InputError
from ..methods.base import Method
from ..protocol.units import Score, Unit
from . import cost

PROCESS = 600 * 2**20  # bytes of one with all libraries loaded and its images decoded
SIDE = 64  # of the image that is tried
LIVE = 0.4  # of what training keeps of a call, in inference (measured: n2c 0.38, Laine19 0.34)
KEPT = 4  # copies of the weights: themselves, their gradients, Adam's two moments


def check(units: Iterable[Unit], machine: Machine, jobs: int) -> None:
    """InputError if so many jobs at a time would not fit into the memory of this machine."""
    free = _free()
    if free is None or machine.device != "cpu":
        return
    each = max((needed(unit, machine) for unit in units), default=0)
    if jobs * each > free:
        allowed = max(1, free // each)
        raise InputError(
            f"--jobs {jobs}: each needs up to about {each / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
            f"allowed: up to {allowed}"
        )


def needed(unit: Unit, machine: Machine) -> int:
    """Bytes of a process that executes the unit, roughly: of its largest network call."""
    fit = unit.fit if isinstance(unit, Score) else unit
    if not fit.method.learns():
        return PROCESS
    weights, kept = _sizes(fit.method, fit.planes)
    if isinstance(unit, Score):
        live = 1.0 if fit.method.per_image() else LIVE
        return PROCESS + weights + round(live * kept * max(cost.pixels(unit), default=0))
    side = fit.crop // cost.side(fit)
    return PROCESS + KEPT * weights + min(fit.batch, machine.chunk(side, side)) * side * side * kept


@cache
def _sizes(method: Method, channels: int) -> tuple[int, int]:
    """Bytes of the weights, and per pixel of what back-propagation keeps of one call of the network."""
    try:
        net = build(method, channels, 1.0, 0)
    except Exception:  # a plug-in's `build` may raise anything; its cell will say so
        return 0, 0
    own = {parameter.data_ptr() for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            _ = net(torch.rand(1, channels, SIDE, SIDE))
    except Exception:  # an estimate must not stop a run
        kept.clear()
    weights = sum(parameter.numel() * parameter.element_size() for parameter in net.parameters())
    return weights, math.ceil(sum(size for at, size in kept.items() if at not in own) / SIDE**2)


def _free() -> int | None:
    """Bytes that this machine, or the container's limit, has left; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        return min(free, limit - used + int(cached))
    except (OSError, ValueError, KeyError):  # no cgroup, or no limit
        return free
