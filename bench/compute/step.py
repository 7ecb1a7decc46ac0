"""One step of a training, in tensor code on the device of the network; on CUDA it is captured as a graph."""

import math
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..datasets.philox import fused
from ..datasets.sampling import Sample, Samples, Source, hosted
from ..datasets.seeds import seed
from ..methods.base import Batch, Context, Method, Progress
from ..methods.guard import guarded
from ..methods.rng import Rng
from ..protocol.suites import Recipe
from ..protocol.units import Fit
from .machine import Machine
from .optimisers import Optimiser

FRAMES = {"clean": 1, "pair": 2, "noisy": 1}
WARM_UP = 3  # steps before a capture, in which libraries choose their kernels


class Stopped(BaseException):
    """A signal asked to stop; the state is whole."""


def never() -> bool:
    """Whether to stop."""
    return False


def schedule(recipe: Recipe, step: int, steps: int, epochs: int) -> float:
    """The share of the learning rate. halving: as the official code, after epochs kN/5 - 1; cycle: see `cycle`."""
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "halving":
        milestones = [k * epochs // 5 - 1 for k in (1, 2, 3, 4)]  # integers: no rounding at the milestone
        done = epoch_of(step, steps, epochs)
        return float(0.5 ** sum(0 <= m < done for m in milestones))
    return cycle((step + 0.5) / steps, recipe.warmup)


def cycle(t: float, warmup: float) -> float:
    """Linear warm-up, then cosine to zero."""
    return t / warmup if t < warmup else 0.5 * (1.0 + math.cos(math.pi * (t - warmup) / (1.0 - warmup)))


def epoch_of(step: int, steps: int, epochs: int) -> int:
    """The epoch e = 1..N of a step; short runs have virtual epochs."""
    return min(step * epochs // steps, epochs - 1) + 1


def build(method: Method, channels: int, gain: float, seed_: int) -> nn.Module:
    """The method's network with named initial weights, scaled by the recipe's gain."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed("initial weights", seed_) % 2**63)
        with guarded(Exception):
            net = method.build(channels)
    if not isinstance(net, nn.Module):
        raise TypeError(f"build returned a {type(net).__name__}; expected a torch.nn.Module")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


def collate(made: Samples, method: Method) -> Batch:
    """The firewall: of the samples, a method gets what it declares and nothing more."""
    target = {"clean": made.clean, "pair": made.frames[-1]}.get(method.supervision)
    return Batch(made.frames[0], target, made.levels[0] if method.knowledge == "level" else None)


def parts(net: nn.Module, method: Method, batch: Batch, context: Context) -> Iterator[Tensor]:
    """The loss of a batch in parts that add up to it: micro-batches of `chunk` samples, and the method's own parts."""
    size = len(batch.noisy)
    for start in range(0, size, context.chunk):
        micro = slice(start, start + context.chunk)
        noisy, target, level = (None if field is None else field[micro] for field in batch)
        assert noisy is not None
        losses = method.losses(net, Batch(noisy, target, level), context._replace(rng=context.rng.part(micro)))
        if isinstance(losses, Tensor):
            raise TypeError("losses returned a tensor; it must yield the parts of the loss")
        for part in losses:
            if part.dim():
                raise ValueError(f"losses yielded a tensor of shape {list(part.shape)}; expected single numbers")
            yield part * (len(noisy) / size)


class Step:
    """The state of a training and what a step does to it: everything that is equal between methods."""

    def __init__(self, work: Fit, source: Source, machine: Machine) -> None:
        self.work, self.source, self.machine, self.method = work, source, machine, work.method
        self.net = machine.place(build(work.method, work.planes, work.recipe.gain, work.seed), work.steps)
        self.optimiser = Optimiser(work.recipe, self.net.network)
        saved = self.net.network.state_dict()
        self.statistics = [name for name, _ in self.net.network.named_buffers() if name in saved]  # constants are not
        self.chunk = machine.chunk(work.crop, work.crop)  # images per network call; less once memory was short
        device = self.device = torch.device(machine.device)
        rates = [schedule(work.recipe, step, work.steps, work.epochs) for step in range(work.steps)]
        self.rates = torch.tensor(rates, device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)  # of the next step
        self.items = source.items(0, work.steps * work.batch).view(-1, work.batch)  # of all steps
        self.slots = torch.arange(work.batch, device=device)
        self.loss = torch.zeros((), device=device)  # of the last step
        self.epoch, self.progress = 0, Progress(0, work.epochs)
        self.captures, self.uncaptured = device.type == "cuda", ""  # why not
        self.graph: torch.cuda.CUDAGraph | None = None  # the last one: its memory is taken over by the next
        self.stale = True  # a new epoch has other constants than the graph, if the method reads which one it is
        self.pool: Any = None  # of the graphs' memory, once steps were warmed up

    def __call__(self, step: int, stop: Callable[[], bool] = never) -> str:
        """Does one step; what the user should know of it. Stopped between two parts of the loss: nothing is changed."""
        self.prepare(step)
        chunk, why = self.chunk, self.uncaptured
        if self.captures:
            self._replay()
        else:
            self._update(stop)
        smaller = f"out of memory with {chunk} images at a time: {self.chunk} from here on"
        said = {smaller: self.chunk < chunk, self.uncaptured: self.uncaptured != why}
        return "; ".join(text for text, new in said.items() if new)

    def prepare(self, step: int) -> None:
        """Puts this step's number and samples, and what is constant within its epoch, on the device."""
        work = self.work
        epoch = epoch_of(step, work.steps, work.epochs)
        if epoch != self.epoch:
            self.stale |= self.progress.read
            self.epoch, self.progress = epoch, Progress(epoch, work.epochs)
        self.source.feed(step * work.batch, work.batch, FRAMES[self.method.supervision])
        self.number.fill_(step)

    def context(self, numbers: Tensor) -> Context:
        """What the method is told of these samples."""
        return Context(
            progress=self.progress,
            rng=Rng(self.work.seed, numbers),
            chunk=self.chunk,
            noise=None if self.method.knowledge == "blind" else self.work.noise.family,
        )

    def samples(self) -> tuple[Samples, Tensor]:
        """The samples of the step that is prepared, and their numbers [B]."""
        items = self.items.index_select(0, self.number).view(-1)
        numbers = self.number * self.work.batch + self.slots
        return self.source.samples(items, numbers, FRAMES[self.method.supervision]), numbers

    def on_host(self) -> list[Sample]:
        """The samples of the step that is prepared, for checks."""
        return hosted(self.samples()[0])

    def state(self) -> dict[str, Tensor]:
        """All that a training changes, by name: what a checkpoint holds."""
        weights = {f"net.{name}": value for name, value in self.net.network.state_dict().items()}
        return weights | self.optimiser.state()

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Takes over what `state` gave, in place."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])

    def _update(self, stop: Callable[[], bool] = never) -> None:
        """The step: the same code whether it is captured or not."""
        with fused(self.net.compiled):
            made, numbers = self.samples()
            self.update(collate(made, self.method), self.context(numbers), stop)

    def update(self, batch: Batch, context: Context, stop: Callable[[], bool] = never) -> Tensor:
        """Loss, gradients and one step of the optimiser; the loss, not yet read."""
        while (loss := self._gradients(batch, context, stop)) is None:
            self.chunk = context.chunk // 2
            context = context._replace(chunk=self.chunk)  # the same samples, so the same random numbers
        self.optimiser.step(self.rates.index_select(0, self.number).view(()))
        return self.loss.copy_(loss)

    def _gradients(self, batch: Batch, context: Context, stop: Callable[[], bool]) -> Tensor | None:
        """The loss and its gradients; None if memory is too short for them in this many images at a time."""
        self.optimiser.zero_grad()
        network = self.net.network
        statistics = {name: network.get_buffer(name).clone() for name in self.statistics}  # such as running means
        loss = None
        try:
            for part in parts(self.net, self.method, batch, context):
                if loss is not None and stop():
                    raise Stopped
                part.backward()  # type: ignore[no-untyped-call]
                loss = part.detach() if loss is None else loss + part.detach()
        except (RuntimeError, MemoryError, Stopped) as error:
            for name, before in statistics.items():  # what the parts did is undone
                network.get_buffer(name).copy_(before)  # perhaps another tensor, which the network has assigned
            if context.chunk == 1 or not out_of_memory(error):
                raise
            return None
        if loss is None:
            raise ValueError("losses yielded nothing")
        return loss

    def _replay(self) -> None:
        """The step as a graph, captured again where its constants changed; the same code without one if that fails."""
        if self.stale:
            try:
                self._capture()
            except RuntimeError as error:
                self.captures, self.uncaptured = False, f"steps run without a CUDA graph: {where(error)}"
                torch.cuda.synchronize(self.device)
                self.graph = None
                self._update()
                return
        assert self.graph is not None
        self.graph.replay()

    def _capture(self) -> None:
        """Warms up on a side stream, and captures there. The graph before lives until then, as its pool does."""
        side = _side_stream(self.device)
        # The current stream is put back whatever fails; other threads may pin memory while this one captures.
        with torch.cuda.device(self.device), torch.cuda.stream(torch.cuda.current_stream(self.device)):
            if self.pool is None:
                self._warm_up(side)
                self.pool = torch.cuda.graph_pool_handle()
            self.optimiser.zero_grad()
            chunk, graph = self.chunk, torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, stream=side, capture_error_mode="thread_local"):
                self._update()
        self.graph, self.stale = graph, self.chunk < chunk  # short of memory, it holds a failed attempt

    def _warm_up(self, side: torch.cuda.Stream) -> None:
        """Steps whose changes are undone; the last one raises where a capture would fail."""
        kept = {name: tensor.clone() for name, tensor in self.state().items()}
        side.wait_stream(torch.cuda.current_stream(self.device))
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UP - 1):
                    self._update()
                with _waiting_refused():
                    self._update()
        finally:
            torch.cuda.current_stream(self.device).wait_stream(side)
            self.load(kept)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all trainings: cuBLAS keeps some memory for each stream that it was used on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """RuntimeError at the line that makes the host wait; in a capture, it would leave torch's memory pools unusable."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no memory left for a tensor."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def where(error: BaseException) -> str:
    """The last line outside of torch that the first of a chain of errors came through, and its first sentence."""
    while error.__context__ is not None:  # the end of a failed capture raises, too
        error = error.__context__
    passing = ("compute/step.py", "compute/capture.py")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
    frames = [frame for frame in frames if not frame.filename.endswith(passing)] or frames
    line = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return f"{line}{str(error).splitlines()[0] if str(error) else type(error).__name__}"
