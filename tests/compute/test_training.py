"""The training loop: exact resume, named seeds, and faults that are noticed at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.libraries import ours
from support.trainings import assert_identical, continued, interrupted, suitable_noise
from torch import Tensor, nn

from bench.compute import sanity as health
from bench.compute import training
from bench.compute.machine import Machine
from bench.compute.step import Step, build
from bench.compute.training import PROBES, Monitor, Report, psnr_and_warning, source_of, train
from bench.datasets.images import SetImage
from bench.datasets.noise.model import Noise, Numbers, parse
from bench.datasets.sampling import Patches, one_sample
from bench.methods import registry
from bench.methods.b2u import B2U
from bench.methods.base import Batch, Context, Method
from bench.methods.n2c import N2C
from bench.methods.networks.unet import UNetConfig
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit
from bench.store.checkpoint import State

Work = Callable[..., Fit]


# ---- seeds


@pytest.mark.parametrize("name", ["n2c", "nbr2nbr", "b2u"])
def test_one_seed_gives_one_network(name: str, work: Work, set_images: list[SetImage], machine: Machine) -> None:
    torch.manual_seed(1)
    one = train(work(name, steps=2), set_images, machine)
    torch.manual_seed(2)  # global generators are not used
    np.random.seed(2)  # noqa: NPY002
    assert_identical(train(work(name, steps=2), set_images, machine), one)


def test_another_seed_gives_another_network(work: Work, set_images: list[SetImage], machine: Machine) -> None:
    one, two = (train(work(seed=seed, steps=1), set_images, machine).net.state_dict() for seed in (0, 1))
    assert not any(torch.equal(one[name], two[name]) for name in one)


def test_the_seed_decides_initial_weights_noise_and_crops(
    work: Work, set_images: list[SetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = [build(N2C(net=UNetConfig(width=4)), 3, 1.0, seed).state_dict() for seed in (0, 1)]
    assert not any(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    views = [one_sample(Patches(set_images, parse("gauss25"), "fresh", 64, seed), 0, 1) for seed in (0, 1)]
    assert not np.array_equal(views[0].clean, views[1].clean)  # type: ignore[arg-type]


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(N2C(net=UNetConfig(width=4)), 3, 1.0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_the_gain_scales_the_initial_weights() -> None:
    whole, half = (build(N2C(net=UNetConfig(width=4)), 3, gain, 0).state_dict() for gain in (1.0, 0.5))
    assert all(torch.equal(half[name], 0.5 * whole[name]) for name in whole)


def test_all_methods_see_the_same_noisy_images(
    work: Work, set_images: list[SetImage], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Tensor]] = {}
    for name in ("n2c", "n2n", "b2u"):
        kind = registry.find(name)
        plain = kind.losses

        def losses(self: Method, net: nn.Module, batch: Batch, ctx: Context, plain: Any = plain) -> Iterator[Tensor]:
            seen.setdefault(type(self).__name__, []).append(batch.noisy)
            yield from plain(self, net, batch, ctx)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "losses", losses)
            train(work(name, steps=2), set_images, machine)
    first, *others = (torch.cat(batches) for batches in seen.values())
    assert len(others) == 2
    assert all(torch.equal(other, first) for other in others)


# ---- looks


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "name", sorted(name for name, one in registry.methods().items() if one.learns() and ours(name))
)
def test_a_look_leaves_the_network_where_it_is(
    name: str, channels: int, work: Work, small: Any, set_images: list[SetImage], machine: Machine
) -> None:
    """Captured steps hold the places of its parameters."""
    method = small(name)
    unit = work(method, suitable_noise(method, channels), channels=channels)
    images = [SetImage.decoded(one.name, one.path, one.pixels[..., :channels], channels) for one in set_images]
    step = Step(unit, source_of(unit, images), machine)
    step.prepare(0)
    before = [one.data_ptr() for one in step.net.network.state_dict().values()]
    psnr_and_warning(step)
    assert [one.data_ptr() for one in step.net.network.state_dict().values()] == before


# ---- health


def constant_offset(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers) -> Tensor:
    """torch.normal's trap: one number for the whole image."""
    return clean + numbers.normal()[..., :1, :1] * (level.view(-1, 1, 1, 1) / 255.0)


def too_strong(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers, plain: Any = Noise.add) -> Tensor:
    noisy: Tensor = clean + 1.3 * (plain(self, clean, level, numbers) - clean)
    return noisy


def too_weak(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers, plain: Any = Noise.add) -> Tensor:
    noisy: Tensor = clean + 0.7 * (plain(self, clean, level, numbers) - clean)
    return noisy


def none_at_all(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers) -> Tensor:
    return clean.clone()


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("noise", ["gauss25", "gauss5_50", "poisson30"])
@pytest.mark.parametrize("fault", [constant_offset, too_strong, too_weak, none_at_all])
def test_wrong_training_noise_stops_the_first_step(
    fault: Any, noise: str, kind: str, work: Work, set_images: list[SetImage], machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Noise, "add", fault)
    steps: list[int] = []
    with pytest.raises(health.WrongNoiseError, match="standard deviation"):
        train(
            work("n2c", noise, train_noise=kind), set_images, machine, report=lambda report: steps.append(report.step)
        )
    assert not steps


def test_a_wrong_second_capture_is_noticed(
    work: Work, set_images: list[SetImage], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = Noise.add, iter(range(10**6))

    def add(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers) -> Tensor:
        return clean.clone() if next(calls) % 2 else plain(self, clean, level, numbers)

    monkeypatch.setattr(Noise, "add", add)
    with pytest.raises(health.WrongNoiseError):
        train(work("n2n"), set_images, machine)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, work: Work) -> Callable[[type[Method]], Fit]:
    """Work with a faulty method, registered for this test alone."""

    def plant(kind: type[Method], **changes: Any) -> Fit:
        monkeypatch.setitem(registry.METHODS.entries, "faulty", kind)
        return work(kind(net=UNetConfig(width=4)), **changes)  # type: ignore[call-arg]

    return plant


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_divergence(
    value: float, planted: Callable[..., Fit], set_images: list[SetImage], machine: Machine
) -> None:
    class Faulty(N2C, frozen=True):
        def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
            for part in super().losses(net, batch, ctx):
                yield part * (value if ctx.rng.samples[0] == 3 * len(batch.noisy) else 1.0)

    with pytest.raises(health.DivergedError, match=r"at step 3"):
        train(planted(Faulty), set_images, machine)


def test_divergence_between_two_looks_is_noticed_at_once(
    planted: Callable[..., Fit], set_images: list[SetImage], machine: Machine
) -> None:
    class Faulty(N2C, frozen=True):
        def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
            yield next(super().losses(net, batch, ctx)) * (
                float("nan") if ctx.rng.samples[0] == len(batch.noisy) else 1.0
            )

    seen: list[int] = []
    unit = planted(Faulty, steps=4 * PROBES)
    with pytest.raises(health.DivergedError):
        train(unit, set_images, machine, report=lambda report: seen.append(report.step))
    assert seen == [1]


class Captured(Step):
    """A step as on CUDA, where reading the loss makes the host wait."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.captures = True

    def _replay(self) -> None:
        self._update()


def test_the_loss_of_a_captured_step_is_read_at_looks_alone(
    work: Work, set_images: list[SetImage], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "Step", Captured)
    seen: list[int] = []
    train(work(steps=2 * PROBES), set_images, machine, report=lambda report: seen.append(report.step))
    assert seen == [1, *range(2, 2 * PROBES + 1, 2)]


@pytest.mark.parametrize(("kind", "most"), [(Step, 1), (Captured, 200)])
def test_a_captured_training_reads_its_loss_every_few_hundred_steps(
    kind: type[Step], most: int, work: Work, set_images: list[SetImage], machine: Machine
) -> None:
    unit = work(steps=5000)
    made = kind(unit, source_of(unit, set_images), machine)
    monitor = Monitor(made, State(unit.key, machine.setting(unit.steps), made))
    read = [step for step in range(unit.steps) if monitor.due(step)]
    assert max(np.diff(read)) == most
    assert len(read) <= unit.steps // most + PROBES


def test_divergence_of_captured_steps_is_noticed_at_the_next_look(
    planted: Callable[..., Fit], set_images: list[SetImage], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(N2C, frozen=True):
        def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
            for part in super().losses(net, batch, ctx):
                yield part * (float("nan") if ctx.rng.samples[0] == 2 * len(batch.noisy) else 1.0)

    monkeypatch.setattr(training, "Step", Captured)
    with pytest.raises(health.DivergedError, match="at step 3"):
        train(planted(Faulty, steps=2 * PROBES), set_images, machine)


class Same(nn.Module):
    """Learns nothing and returns its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.0 * self.weight


class Flat(Same):
    """Learns nothing and returns one gray."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 0.5) + 0.0 * self.weight


@pytest.mark.parametrize(("network", "words"), [(Same, "identity collapse"), (Flat, "constant output")])
def test_an_output_that_is_no_image_is_reported_at_once_and_once(
    network: type[nn.Module], words: str, planted: Callable[..., Fit], set_images: list[SetImage], machine: Machine
) -> None:
    class Faulty(N2C, frozen=True):
        def build(self, channels: int) -> nn.Module:
            return network()

    reports: list[Report] = []
    trained = train(planted(Faulty, steps=8), set_images, machine, report=reports.append)
    assert [words in warning for warning in trained.warnings] == [True]
    assert [report.step for report in reports if words in report.message] == [3]  # the earliest
    assert trained.warnings[0].startswith("step 3: ")


def test_a_warning_survives_an_interruption(
    planted: Callable[..., Fit], set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    class Faulty(N2C, frozen=True):
        def build(self, channels: int) -> nn.Module:
            return Same()

    unit = planted(Faulty, steps=8)
    interrupted(unit, set_images, machine, tmp_path / "c", 4)
    assert len(continued(unit, set_images, machine, tmp_path / "c")[0].warnings) == 1


@pytest.mark.parametrize("kind", [N2C, B2U])
def test_a_healthy_run_has_no_warnings(kind: Any, work: Work, set_images: list[SetImage], machine: Machine) -> None:
    fast = Recipe(schedule="cycle", lr=1e-2, beta2=0.95, weight_decay=0.0, warmup=0.1)
    fields = {"s": 2} if kind is B2U else {}
    unit = work(kind(net=UNetConfig(width=8), **fields), recipe=fast, steps=40)
    reports: list[Report] = []
    trained = train(unit, set_images, machine, report=reports.append)
    assert trained.warnings == []
    assert not any(report.message for report in reports)
    assert reports[-1].psnr is not None


def test_history_has_every_look_and_the_last_step(work: Work, set_images: list[SetImage], machine: Machine) -> None:
    steps = [step for step, _ in train(work(steps=45), set_images, machine).history]
    assert steps == [*range(2, 45, 2), 45]
