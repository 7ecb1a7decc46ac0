"""The step: its schedule, what it reads and where, memory that is short, and a resume in the middle of an epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from weakref import WeakSet

import pytest
import torch
from msgspec import structs
from support.libraries import ours
from support.trainings import suitable_noise
from support.watch import on_device
from torch import Tensor, nn

from bench.compute import machine as machines
from bench.compute.machine import Machine
from bench.compute.step import Step, Stopped, epoch_of, schedule
from bench.compute.training import source_of
from bench.datasets import philox
from bench.datasets.images import SetImage
from bench.datasets.sampling import OneImage, Source, one_sample
from bench.methods import registry
from bench.methods.base import Batch, Context
from bench.methods.n2c import N2C
from bench.methods.n2n import N2N
from bench.methods.n2v import N2V
from bench.methods.networks.dncnn import DnCNN
from bench.methods.networks.registry import Network
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit

Work = Callable[..., Fit]
NET = DnCNN(depth=3, width=32)  # its second convolution has a kernel for Muon
CYCLE = Recipe(schedule="cycle", lr=1e-2, beta2=0.95, weight_decay=0.0)
HALVING = structs.replace(CYCLE, schedule="halving")
CONSTANT = structs.replace(CYCLE, schedule="constant")
MUON = structs.replace(CYCLE, optimiser="muon", kernel_decay=0.1)
# self2self draws its dropout, whose names are hashed, within its network.
COMPILED = sorted({name for name, one in registry.methods().items() if one.learns() and ours(name)} - {"self2self"})
RECIPES = pytest.mark.parametrize("recipe", [CYCLE, HALVING, CONSTANT, MUON], ids=["cycle", "halving", "const", "muon"])


@pytest.fixture
def step(work: Work, set_images: list[SetImage], machine: Machine) -> Callable[..., Step]:
    """The step of a small training: 7 steps in 3 epochs of 3, 2 and 2 steps, on 3 images."""

    def make(method: Any = N2C, noise: str = "gauss5_50", net: Network = NET, **changes: Any) -> Step:
        known: dict[str, Any] = {"crop": 16, "steps": 7, "epochs": 3, "recipe": CYCLE}
        unit = work(method(net=net), noise, **(known | changes))
        pixels = [one.pixels[..., : unit.channels] for one in set_images]
        images = [SetImage.decoded(str(i), Path(), one, unit.channels, pattern="GRBG") for i, one in enumerate(pixels)]
        return Step(unit, source_of(unit, images), machine)

    return make


def advanced(step: Step, *numbers: int) -> dict[str, Tensor]:
    """The state after these steps, and the last loss."""
    for number in numbers:
        assert step(number) == ""
    return {name: tensor.clone() for name, tensor in (step.state() | {"loss": step.loss}).items()}


def assert_equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


# ---- schedule and epochs


@RECIPES
def test_the_rates_on_the_device_are_the_schedule(recipe: Recipe, step: Callable[..., Step]) -> None:
    made = step(recipe=recipe)
    expected = [schedule(recipe, number, 7, 3) for number in range(7)]
    assert made.rates.tolist() == pytest.approx(expected, rel=1e-6)
    for number in range(7):
        advanced(made, number)
        assert float(made.optimiser.lr) == pytest.approx(recipe.lr * expected[number], rel=1e-6)


@pytest.mark.parametrize("first", [0, 1, 4])
@pytest.mark.parametrize(("steps", "epochs"), [(7, 3), (7, 7), (5, 12), (4, 1)])
def test_a_prepared_step_has_its_progress_and_its_items(
    steps: int, epochs: int, first: int, step: Callable[..., Step]
) -> None:
    """Also where a training goes on in the middle of an epoch."""
    made = step(steps=steps, epochs=epochs, batch=4)
    for number in range(first, steps):
        made.prepare(number)
        made.prepare(number)
        assert made.context(torch.zeros(1)).progress.epoch == epoch_of(number, steps, epochs)
        assert made.items[number].tolist() == made.source.items(4 * number, 4).tolist()
        assert made.samples()[1].tolist() == [4 * number + slot for slot in range(4)]


def test_a_step_may_be_prepared_in_any_order(step: Callable[..., Step]) -> None:
    made, expected = step(), {}
    for number in [*range(7), 4, 3, 0, 6, 1]:
        made.prepare(number)
        samples, _ = made.samples()
        assert torch.equal(samples.frames[0], expected.setdefault(number, samples.frames[0]))


# ---- resume


@RECIPES
@pytest.mark.parametrize("method", [N2C, N2V, N2N])
def test_a_step_goes_on_in_the_middle_of_an_epoch(method: Any, recipe: Recipe, step: Callable[..., Step]) -> None:
    """Steps 1 and 4 are in the middle of one; batches of two of three images cross those of the data."""
    whole, halted = step(method, recipe=recipe), step(method, recipe=recipe)
    expected = advanced(whole, *range(6))
    for first, last in ((0, 1), (1, 4), (4, 6)):
        state = advanced(halted, *range(first, last))
        halted = step(method, recipe=recipe)
        halted.load(state)
    assert_equal(state, expected)
    assert any(name.startswith("momentum.") for name in state) == (recipe is MUON)


# ---- memory


seen: list[Tensor] = []


class Draws(N2V, frozen=True):
    """N2V in two parts, the first of which remembers what it drew."""

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        seen.append(torch.cat([batch.noisy.flatten(1), ctx.rng.normal("a", 3)], dim=1))
        for part in super().losses(net, batch, ctx):
            yield 0.5 * part
            yield 0.5 * part.detach() + 0.0 * net(batch.noisy).mean()


class Normalised(Network, frozen=True):
    """Its mean and variance move with every pass."""

    def build(self, channels: int, outputs: int | None = None) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, outputs or channels, 3, padding=1), nn.BatchNorm2d(channels))


class Averaged(nn.Module):
    """A convolution, and the mean of what it was given, which is a new tensor after every pass."""

    mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        out: Tensor = self.convolution(x) - self.mean
        return out


class Assigning(Network, frozen=True):
    """It assigns its buffer."""

    def build(self, channels: int, outputs: int | None = None) -> nn.Module:
        return Averaged(channels)


@pytest.mark.parametrize("net", [NET, Normalised(), Assigning()], ids=["plain", "normalised", "assigning"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "numpy"])
def test_a_step_that_ran_out_of_memory_is_that_of_half_the_images(
    error: Exception, call: int, net: Network, step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the first part or the last one failed: same numbers, same samples, equal to the last bit."""
    expected, made = step(Draws, net=net, batch=4), step(Draws, net=net, batch=4)
    expected.chunk, made.chunk = 1, 2
    seen.clear()
    state, drawn = advanced(expected, 0), torch.cat(seen)
    calls, forward = iter(range(1, 100)), made.net.forward

    def failing(x: Tensor, *others: Any) -> Tensor:
        if next(calls) == call:
            raise error
        return forward(x, *others)

    monkeypatch.setattr(made.net, "forward", failing)
    seen.clear()
    assert "1 from here on" in made(0)
    assert_equal({**made.state(), "loss": made.loss}, state)
    assert torch.equal(torch.cat(seen[-4:]), drawn)
    assert torch.equal(torch.cat(seen[:-4]), drawn[: sum(map(len, seen[:-4]))])


@pytest.mark.parametrize("net", [Normalised(), Assigning()], ids=["normalised", "assigning"])
def test_a_stop_between_two_parts_of_the_loss_changes_nothing(net: Network, step: Callable[..., Step]) -> None:
    expected, made = step(net=net, batch=4), step(net=net, batch=4)
    expected.chunk = made.chunk = 1
    asked = iter([False, True])
    with pytest.raises(Stopped):
        made(0, lambda: next(asked))
    assert next(asked, None) is None
    assert_equal(advanced(made, 0), advanced(expected, 0))


def test_a_step_that_is_short_of_memory_and_cannot_be_captured_says_both(
    step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = step()
    made.captures = True

    def replay() -> None:
        made.chunk, made.captures, made.uncaptured = 2, False, "steps run without a CUDA graph: line 1"

    monkeypatch.setattr(made, "_replay", replay)
    said = made(0)
    assert "2 from here on" in said
    assert said.endswith("line 1")
    assert made(1) == ""


# ---- capture, with a stand-in for CUDA


class Cuda:
    """Graphs that do the step again when they are replayed; what is done while one is captured, is undone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mode, self.modes, self.living = "default", list[str](), list[int]()
        self.alive: WeakSet[Any] = WeakSet()
        self.step: Step
        cuda, outer = torch.cuda, self

        class Graph:
            def __init__(self) -> None:
                outer.alive.add(self)

            def replay(self) -> None:
                outer.step._update()

        @contextmanager
        def capture(graph: Graph, pool: object, stream: object, capture_error_mode: str) -> Iterator[None]:
            assert capture_error_mode == "thread_local"
            self.living.append(len(self.alive) - 1)
            kept = {name: tensor.clone() for name, tensor in self.step.state().items()}
            self.mode = "capture"
            yield
            self.mode = "default"
            self.step.load(kept)

        for name in ("Stream", "current_stream", "stream", "device", "synchronize"):
            monkeypatch.setattr(cuda, name, MagicMock(name=name))
        monkeypatch.setattr(cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(cuda, "graph", capture)
        monkeypatch.setattr(cuda, "graph_pool_handle", lambda: (0, 1))
        monkeypatch.setattr(cuda, "get_sync_debug_mode", lambda: "default")
        monkeypatch.setattr(cuda, "set_sync_debug_mode", partial(setattr, self, "mode"))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(monkeypatch)


class ReadsEpoch(N2C, frozen=True):
    """Its loss has a schedule."""

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        for loss in super().losses(net, batch, ctx):
            yield loss * ctx.progress.t


@RECIPES
@pytest.mark.parametrize(("method", "living"), [(N2C, [0]), (ReadsEpoch, [0, 1, 1])])
def test_warming_up_and_capturing_change_nothing(
    method: Any, living: list[int], recipe: Recipe, step: Callable[..., Step], cuda: Cuda
) -> None:
    """One graph; of each of the three epochs where the method reads them: the one before lives until the next."""
    expected, made = step(method, recipe=recipe), step(method, recipe=recipe)
    cuda.step, made.captures = made, True
    assert_equal(advanced(made, *range(7)), advanced(expected, *range(7)))
    assert cuda.living == living
    made.prepare(0)
    assert made.stale == (method is ReadsEpoch)


def test_a_step_that_waits_for_the_device_is_found_before_the_capture(
    step: Callable[..., Step], cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, made = step(), step()
    cuda.step, made.captures = made, True
    forward = made.net.forward

    def waiting(x: Tensor, *others: Any) -> Tensor:
        cuda.modes.append(cuda.mode)
        if cuda.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")  # the line
        return forward(x, *others)

    monkeypatch.setattr(made.net, "forward", waiting)
    made_said = made(0)
    assert "synchronizing" in made_said
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# the line"))
    assert f"{Path(__file__).name}:{line}" in made_said
    assert cuda.modes == ["default", "default", "error", "default"]
    assert_equal(advanced(made, 1), advanced(expected, 0, 1))


def test_a_capture_that_ran_out_of_memory_is_made_again(
    step: Callable[..., Step], cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = step(batch=4)
    cuda.step, made.captures, made.chunk = made, True, 4
    forward = made.net.forward

    def failing(x: Tensor, *others: Any) -> Tensor:
        if cuda.mode == "capture" and len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(x, *others)

    monkeypatch.setattr(made.net, "forward", failing)
    assert "2 from here on" in made(0)
    advanced(made, 1, 2)
    assert cuda.living == [0, 1]


def test_parts_of_a_batch_have_its_gradients(step: Callable[..., Step]) -> None:
    found = []
    for chunk in (1, 3, 100):
        made = step(Draws, batch=4)
        made.chunk = chunk
        seen.clear()
        advanced(made, 0)
        found.append(([one.grad.clone() for one in made.net.parameters() if one.grad is not None], torch.cat(seen)))
    for gradients, drawn in found[:2]:
        assert torch.equal(drawn, found[2][1])
        for one, two in zip(gradients, found[2][0], strict=True):
            torch.testing.assert_close(one, two, rtol=0.0, atol=1e-5 * float(two.abs().max()) + 1e-9)


# ---- the device


@pytest.mark.parametrize("recipe", [CYCLE, MUON], ids=["adam", "muon"])
@pytest.mark.parametrize(
    ("method", "noise", "kind", "view"),
    [
        (N2C, "gauss5_50", "fresh", "plain"),
        (N2N, "poisson5_50:8bit", "fixed", "plain"),
        (N2V, "sensor1_120:correlated", "fixed", "bayer-aligned"),
    ],
)
def test_a_step_reads_nothing_and_makes_nothing_on_the_host(
    method: Any, noise: str, kind: str, view: str, recipe: Recipe, step: Callable[..., Step]
) -> None:
    made = step(method, noise, recipe=recipe, train_noise=kind, view=view, channels=3 if view == "plain" else 1)
    made.prepare(2)
    with on_device():
        made._update()


# ---- the compiler


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_the_compiler_gets_a_network_as_one_graph(
    name: str, work: Work, small: Any, set_images: list[SetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph in pieces is compiled again for every layer and shape, until torch gives up."""
    torch.compiler.reset()
    whole = torch.compile(machines._apply, backend="eager", fullgraph=True)
    monkeypatch.setattr(machines, "_graph", lambda: whole)
    monkeypatch.setattr(philox, "_kernel", lambda: philox._words)
    method = small(name)
    unit = work(method, suitable_noise(method), steps=1)
    source: Source = source_of(unit, set_images)
    if method.per_image():
        source = OneImage(one_sample(source, 0, 1).frames[0], 25.0, "cpu", method.prepare)
    assert Step(unit, source, Machine(compile=True))(0) == ""
