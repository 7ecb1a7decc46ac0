"""What only a GPU can show: equal numbers on both devices, and captured steps; `tox -e gpu` runs it in minutes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from support.libraries import ours
from support.trainings import suitable_noise
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bench.compute import step as steps
from bench.compute.machine import Machine
from bench.compute.step import Step, Stopped
from bench.compute.training import Report, Trained, source_of, train
from bench.datasets import pixels
from bench.datasets.images import SetImage
from bench.datasets.images import unit as as_unit
from bench.datasets.noise.model import parse
from bench.datasets.philox import fused, words
from bench.datasets.sampling import OneImage, Patches
from bench.methods import registry
from bench.methods.base import Batch, Context, Method
from bench.methods.n2c import N2C
from bench.methods.networks.unet import UNetConfig
from bench.methods.rng import Rng
from bench.protocol.units import Fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
DEVICE = "cuda"
Work = Callable[..., Fit]
LEARNING = sorted(name for name, cls in registry.methods().items() if cls.has_weights() and ours(name))
ZERO_SHOT = sorted(name for name, cls in registry.methods().items() if cls.per_image() and ours(name))
NOISES = ["gauss25", "gauss5_50", "poisson30", "poisson5_50", "sensor1_120", "poisson30+gauss10", "gauss25:correlated"]


@pytest.fixture
def cuda() -> Machine:
    return Machine(DEVICE, "float32", 1, compile=False)


@pytest.fixture(params=[False, True], ids=["usual", "deterministic"])
def applied(request: pytest.FixtureRequest, cuda: Machine) -> Iterator[Machine]:
    """A machine whose settings torch has taken on, as a command does."""
    machine = structs.replace(cuda, deterministic=request.param)
    machine.apply()
    yield machine
    cuda.apply()


def noise_of(name: str) -> str:
    return suitable_noise(registry.find(name)())


def weights(trained: Trained | Step) -> Tensor:
    net = trained.net.network if isinstance(trained, Step) else trained.net
    return torch.cat([parameter.detach().flatten().double().cpu() for parameter in net.parameters()])


# ---- random numbers


@pytest.mark.parametrize("compiled", [False, True])
def test_both_devices_draw_the_same_integers(compiled: bool) -> None:
    for count, samples, key in ((100_000, [[0], [7], [2**40 + 3]], 5), (77, [[3]], 2**64 - 1), (1, [[1], [2]], 2**63)):
        element, sample = torch.arange(count), torch.tensor(samples)
        with fused(compiled):
            found = words(key, element.to(DEVICE), sample.to(DEVICE))
        assert torch.equal(torch.stack(words(key, element, sample)), torch.stack(found).cpu())


def test_both_devices_draw_the_same_numbers_for_methods() -> None:
    draws = [Rng("seed", torch.arange(4, device=device)) for device in ("cpu", DEVICE)]
    counts = torch.full((4, 3, 8, 8), 30.0)
    for draw in (
        lambda rng: rng.integers("a", 8, 3, 16),
        lambda rng: rng.uniform("a", 3, 16),
        lambda rng: rng.normal("a", 3, 16),
        lambda rng: rng.binomial("a", counts.to(rng.samples.device), 0.2),
    ):
        torch.testing.assert_close(draw(draws[0]), draw(draws[1]).cpu(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("noise", NOISES)
def test_both_devices_train_on_the_same_samples(noise: str, kind: Any, set_images: list[SetImage]) -> None:
    made = []
    for device in ("cpu", DEVICE):
        patches = Patches(set_images, parse(noise), kind, 32, 0, device=device)
        made.append(patches.samples(patches.items(5, 4), torch.arange(5, 9, device=device), 2))
    for one, two in zip(made[0].frames, made[1].frames, strict=True):
        torch.testing.assert_close(one, two.cpu(), rtol=0, atol=1e-6)
    assert made[0].clean is not None
    assert made[1].clean is not None
    assert torch.equal(made[0].clean, made[1].clean.cpu())


# ---- captured steps


@pytest.mark.parametrize("name", LEARNING)
def test_a_captured_step_is_the_plain_one(name: str, work: Work, set_images: list[SetImage], cuda: Machine) -> None:
    """Fifty steps over several epochs; the graph is captured anew in each where the method reads it."""
    unit = work(name, noise_of(name), steps=50, epochs=5)
    captured, plain = (Step(unit, source_of(unit, set_images, DEVICE), cuda) for _ in range(2))
    plain.captures = False
    for step in range(unit.steps):
        for one in (captured, plain):
            assert one(step) == ""
        if step % 10 == 9:
            torch.testing.assert_close(captured.loss, plain.loss, rtol=1e-3, atol=1e-5)
    assert captured.graph is not None
    assert plain.graph is None
    apart, size = (weights(captured) - weights(plain)).norm(), weights(plain).norm()
    assert apart < 1e-2 * size


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_a_captured_step_of_one_image_is_the_plain_one(
    name: str, work: Work, set_images: list[SetImage], cuda: Machine
) -> None:
    """dip's gradients sum in any order, so that two plain trainings of it are 1 % apart after ten steps, as well."""
    unit = work(name, steps=5 if name == "dip" else 50, epochs=2, batch=1)
    image = as_unit(set_images[0].pixels[: unit.crop, : unit.crop])
    source = OneImage(image, 25.0, DEVICE, unit.method.prepare)
    captured, plain = (Step(unit, source, cuda) for _ in range(2))
    plain.captures = False
    for step in range(unit.steps):
        assert [one(step) for one in (captured, plain)] == ["", ""]
    assert captured.graph is not None
    assert (weights(captured) - weights(plain)).norm() < 1e-2 * weights(plain).norm()


@pytest.mark.parametrize("device", [f"cuda:{i}" for i in range(torch.cuda.device_count())])
def test_a_captured_step_of_streamed_images_is_that_of_resident_ones(
    device: str, work: Work, set_images: list[SetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every GPU; threads pin memory while a step is captured, in each of the many epochs."""
    unit = work("n2c", steps=40, epochs=20)
    trained = []
    for largest in (pixels.LARGEST, 0):
        monkeypatch.setattr(pixels, "LARGEST", largest)
        one = Step(unit, source_of(unit, set_images, device), Machine(device, "float32", 1, compile=False))
        start = weights(one)
        assert [one(step) for step in range(unit.steps)] == [""] * unit.steps
        assert one.graph is not None
        trained.append(weights(one))
    assert (trained[0] - trained[1]).norm() < 5e-2 * (trained[0] - start).norm()


class Reading(N2C, frozen=True):
    """A plug-in that asks the device for a number in every step."""

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """One line prevents the capture."""
        scale = float(batch.noisy.mean())  # this line
        yield mse_loss(net(batch.noisy), batch.noisy) * scale


def test_a_step_that_reads_from_the_device_runs_without_a_graph_and_names_its_line(
    work: Work, set_images: list[SetImage], cuda: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.METHODS.entries, "reading", Reading)
    unit = work(Reading(net=UNetConfig(width=4)), steps=6)
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# this line"))
    reports: list[Report] = []
    trained = train(unit, set_images, cuda, report=reports.append)
    (warning,) = [one for one in trained.warnings if "graph" in one]
    assert f"test_cuda.py:{line}" in warning
    assert trained.history[-1][0] == unit.steps
    after = Step(work("n2c"), source_of(unit, set_images, DEVICE), cuda)
    assert after(0) == ""
    assert after.graph is not None
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


def test_too_little_memory_halves_the_images_of_a_call(
    work: Work, set_images: list[SetImage], cuda: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, plain = work("n2c", steps=4, batch=4), steps.parts

    def parts(net: nn.Module, method: Method, batch: Batch, context: Context) -> Iterator[Tensor]:
        if context.chunk > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(net, method, batch, context)

    expected = train(unit, set_images, cuda)
    monkeypatch.setattr(steps, "parts", parts)
    found = train(unit, set_images, cuda)
    assert any("out of memory" in warning for warning in found.warnings)
    assert (weights(found) - weights(expected)).norm() < 1e-3 * weights(expected).norm()


def test_an_interrupted_captured_training_continues(
    work: Work, set_images: list[SetImage], applied: Machine, tmp_path: Path
) -> None:
    """With --deterministic to the last bit."""
    unit = work("b2u", "poisson30", steps=12, epochs=3)
    expected = train(unit, set_images, applied)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        train(unit, set_images, applied, tmp_path / "c", stop=lambda: next(asked) >= 5)
    found = train(unit, set_images, applied, tmp_path / "c")
    assert not [one for one in found.warnings if "graph" in one]
    apart = (weights(found) - weights(expected)).norm()
    assert apart == 0.0 if applied.deterministic else apart < 1e-3 * weights(expected).norm()


@pytest.mark.parametrize("name", LEARNING)
def test_the_memory_of_a_step(name: str, work: Work, set_images: list[SetImage]) -> None:
    """Of the whole network, crop 64, batch 4, bf16; `pytest -rP` shows the number."""
    torch.cuda.reset_peak_memory_stats()
    unit = work(registry.find(name)(), noise_of(name), steps=4, crop=64, batch=4)
    train(unit, set_images, Machine(DEVICE, "bf16", 1, compile=False))
    gibibytes = torch.cuda.max_memory_allocated() / 2**30
    print(f"{name}: {gibibytes:.2f} GiB at most")
    assert gibibytes < 8.0
