"""What a unit of work will take, roughly: seconds and bytes. Nothing is trained or denoised to find out."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..compute.machine import Machine, environment
from ..compute.step import build, collate, parts
from ..datasets.errors import InputError
from ..datasets.noise.model import NoiseFamily
from ..datasets.sampling import Samples
from ..datasets.sets.find import find
from ..methods import plugins
from ..methods.base import Context, Method, Progress
from ..methods.guard import guarded
from ..methods.n2c import N2C
from ..methods.rng import Rng
from ..protocol.units import Fit, Score, Unit
from ..store.checkpoint import continued
from ..store.store import Store

SIDE = 32  # of the image whose operations are counted
USUAL = (128, 128)  # sides of a test image whose size is not known
EFFICIENCY = 0.4  # of the rate of one convolution, in a whole step or pass (measured: nine methods, one CPU core)
BACKWARD = 2  # back-propagation costs about as much as two forward passes
# Seconds per pixel without a network; True: of a method whose images are kept, as they are dear.
CLASSICAL = {True: 5e-5, False: 5e-7}
PROCESS = 600 * 2**20  # bytes of a process with all libraries loaded and its images decoded
LIVE = 0.4  # of what training keeps of a call, in inference (measured: n2c 0.38, Laine19 0.34)
KEPT = 4  # copies of the weights: themselves, their gradients, Adam's two moments


class Cost(Struct, frozen=True):
    """What a unit will take, and its kind: the estimates of one kind are wrong by about the same factor."""

    kind: str = ""
    seconds: float = 0.0


class Size(Struct, frozen=True):
    """How large a network is."""

    operations: float  # floating-point operations per pixel of a forward pass
    weights: int  # bytes
    kept: int  # bytes per pixel that back-propagation keeps of a forward pass


class Estimates:
    """Seconds of units on one machine: as finished trainings of the store took, else from their operations."""

    def __init__(self, store: Store, machine: Machine) -> None:
        self.machine = machine
        here = environment(machine)
        self._steps: dict[str, float] = {}  # seconds of a step by method and size
        for record in store.look()[0]:
            same = all(record.environment.get(name) == here[name] for name in ("device", "precision", "threads"))
            steps, took = record.identity.get("steps"), store.seconds(record, record) if record.kind == "fit" else None
            if same and steps and took and not continued(record.result.get("warnings", [])):
                self._steps[_like(record.identity)] = took / steps

    def cost(self, unit: Unit) -> Cost:
        """What a unit will take, and its kind."""
        return Cost("fit" if isinstance(unit, Fit) else unit.fit.method.trains_on, self.seconds(unit))

    def seconds(self, unit: Unit) -> float:
        """What a training or a score will take."""
        if isinstance(unit, Fit):
            known = self._steps.get(_like(unit.identity))
            pixels = (unit.crop // side(unit)) ** 2
            return unit.steps * (known or self._step(unit, pixels))
        fit, total = unit.fit, unit.repeats * sum(pixels_of(unit))
        if not fit.method.learns():
            return total * CLASSICAL[fit.method.keeps_images] / self.machine.threads  # several images at a time
        size = size_of(fit.method, fit.planes)
        passes = max(fit.method.passes().values())
        took = total * passes * size.operations / self._rate(bf16=False)
        return took + (fit.steps * self._step(fit, total) if fit.method.per_image() else 0.0)

    def _step(self, fit: Fit, pixels: int) -> float:
        """One training step on a batch of so many pixels each."""
        operations = fit.batch * pixels * step_operations(fit.method, fit.noise.family, fit.planes)
        return operations / self._rate(self.machine.precision == "bf16")

    def _rate(self, bf16: bool) -> float:
        """Floating-point operations per second of whole steps or passes."""
        threads = self.machine.threads if self.machine.kind == "cpu" else 1
        return EFFICIENCY * threads * rate(self.machine.device, bf16)


def _like(identity: dict[str, Any]) -> str:
    """What the time of a step depends on."""
    names = ("method", "fields", "view", "crop", "batch")
    return msgspec.json.encode({name: identity.get(name) for name in names}, order="sorted").decode()


@cache
def rate(device: str, bf16: bool) -> float:
    """Floating-point operations per second of one 3x3 convolution on a GPU, or on a CPU by one thread.

    Several threads would wait for each other where another process keeps a core busy.
    """
    channels, side, images = 64, 64, 4 if device == "cpu" else 256
    x, kernels = torch.ones(images, channels, side, side), torch.ones(channels, channels, 3, 3)
    x, kernels = (tensor.to(device, memory_format=torch.channels_last) for tensor in (x, kernels))
    seconds = math.inf
    with _one_thread(), torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        for _ in range(8):  # the first one warms up; some may wait for a busy core
            began = time.perf_counter()
            float(F.conv2d(x, kernels, padding=1)[0, 0, 0, 0])  # waits for the device
            seconds = min(seconds, time.perf_counter() - began)
    return 2 * 9 * images * (channels * side) ** 2 / seconds


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def size_of(method: Method, channels: int) -> Size:
    """The size of a method's network; that of the U-Net where the method's code refuses to say."""
    if type(method).build is Method.build and method != (plain := N2C(net=method.network)):
        return size_of(plain, channels)  # the network alone decides
    try:
        with guarded(Exception):
            return _size(method, channels)
    except Exception:  # a method's code may raise anything, and an estimate must not stop a run
        return _size(N2C(), channels)


@cache
def step_operations(method: Method, noise: NoiseFamily, channels: int) -> float:
    """Floating-point operations of a training step for each pixel of a crop; for a plug-in, of one pass of its network.

    Nothing of a plug-in's losses is called here: they may kill the process.
    """
    try:
        if not plugins.source(type(method)):
            with guarded(), _one_thread():
                return _step_operations(method, noise, channels)
    except Exception:  # such as a package that is missing: an estimate must not stop a run
        pass
    return (1 + BACKWARD) * size_of(method, channels).operations


class Operations(TorchFunctionMode):
    """Counts the floating-point operations of convolutions and linear layers, two for each multiply-add.

    torch.utils.flop_counter counts the same numbers, and takes seconds to load.
    """

    forward = 0
    backward = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the function returns."""
        output = func(*args, **(kwargs or {}))
        if func in (F.conv2d, F.linear):
            count = 2 * output.numel() * args[1][0].numel()  # each value of the output sees one filter
        elif func is F.conv_transpose2d:
            count = 2 * args[0].numel() * args[1][0].numel()  # each value of the input fills one filter
        else:
            return output
        self.forward += count
        self.backward += BACKWARD * count * output.requires_grad
        return output


def _step_operations(method: Method, noise: NoiseFamily, channels: int) -> float:
    """Counted in the losses of one small crop."""
    net = build(method, channels, 1.0, 0)
    crop = -(-SIDE // method.crop_multiple) * method.crop_multiple
    image, level = torch.rand(1, channels, crop, crop), torch.ones(1)
    samples = Samples([method.prepare(image), image], [level, level], image)
    context = Context(Progress(1, 1), Rng(0, torch.zeros(1, dtype=torch.int64)), 1, noise)
    with Operations() as operations:
        for _ in parts(net, method, collate(samples, method), context):
            pass
    total: int = operations.forward + operations.backward
    return total / crop**2


def _size(method: Method, channels: int) -> Size:
    """Counted in one forward pass of a small image."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    net = build(method, channels, 1.0, 0)
    with Operations() as operations, saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(torch.rand(1, channels, SIDE, SIDE))
    own = {parameter.data_ptr() for parameter in net.parameters()}
    held = sum(size for at, size in kept.items() if at not in own)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in net.parameters())
    del output  # until here it keeps the tensors alive, and their addresses apart
    return Size(operations.forward / SIDE**2, weights, math.ceil(held / SIDE**2))


def pixels_of(unit: Score) -> list[int]:
    """Of each test image, as the method sees it."""
    sizes = find(unit.test).sizes(usual=USUAL)
    if unit.centre_crop:
        sizes = [(min(height, unit.centre_crop), min(width, unit.centre_crop)) for height, width in sizes]
    return [height * width // side(unit.fit) ** 2 for height, width in sizes]


def side(fit: Fit) -> int:
    """Pixels of an image per side of one that the method sees."""
    return 1 if fit.view == "plain" else 2


def check_memory(units: Iterable[Unit], machine: Machine, jobs: int) -> None:
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
    size = size_of(fit.method, fit.planes)
    if isinstance(unit, Score):
        live = 1.0 if fit.method.per_image() else LIVE
        return PROCESS + size.weights + round(live * size.kept * max(pixels_of(unit), default=0))
    crop = fit.crop // side(fit)
    return PROCESS + KEPT * size.weights + min(fit.batch, machine.chunk(crop, crop)) * crop * crop * size.kept


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
