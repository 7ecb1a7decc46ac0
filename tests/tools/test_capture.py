"""Whether a step can be captured on CUDA, found out on a CPU: our own can, and lines that prevent it are named."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from msgspec import structs
from support.libraries import ours
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.base import Batch, Context, Method
from bench.methods.networks.unet import UNetConfig
from bench.tools import conformance as kit
from bench.tools import conformance_checks as checks


class Small(Method, frozen=True):
    def build(self, channels: int) -> nn.Module:
        return UNetConfig(width=4).build(channels)


KERNEL = torch.full((1, 3, 3, 3), 1.0 / 27.0)


class Asking(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) * max(0.5, float(batch.noisy.mean()))


class Copying(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) * KERNEL.to(batch.noisy).sum()


class Choosing(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        error = net(batch.noisy) - batch.noisy
        yield error[error > -9.0].square().mean()


class Ranging(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        weights = torch.linspace(0.5, 1.5, 3).to(batch.noisy.device)
        yield ((net(batch.noisy) - batch.noisy).square().mean((0, 2, 3)) * weights).mean()


class Listing(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) * max(0.5, *batch.noisy.mean((1, 2, 3)).tolist())


class Fetching(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) * batch.noisy.to("cpu").std()


class Gathered(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        return iter([mse_loss(net(batch.noisy), batch.noisy) * float(batch.noisy.mean())])


class Repeating(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        times = torch.ones_like(ctx.rng.samples)
        yield mse_loss(net(batch.noisy), batch.noisy.repeat_interleave(times, 0))


class RepeatingAsSaid(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        times, size = torch.ones_like(ctx.rng.samples), len(batch.noisy)
        yield mse_loss(
            net(batch.noisy), batch.noisy.repeat_interleave(times, 0, output_size=size).repeat_interleave(1, 0)
        )


class Distinct(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) + batch.noisy.flatten().unique_consecutive().mean()


class Hooked(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        denoised = net(batch.noisy)
        denoised.register_hook(lambda gradient: gradient / max(1.0, float(gradient.norm())))
        yield mse_loss(denoised, batch.noisy)


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * min(1.0, float(gradient.norm()))


class Clipping(Small, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(Clipped.apply(net(batch.noisy)), batch.noisy)


SLOW = {
    Ranging: "linspace",
    Asking: "wait",
    Copying: "[1, 3, 3, 3] is made on the host",
    Choosing: "wait",
    Listing: "tolist",
    Fetching: "wait",
    Gathered: "wait",
    Repeating: "repeat_interleave",
    Distinct: "unique_consecutive",
    Hooked: "wait",
    Clipping: "wait",
}


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.__name__)
def test_a_step_that_cannot_be_captured_is_slow_and_its_line_is_named(slow: type[Method]) -> None:
    subject = checks.Subject("slow", slow(), parse("gauss25"), 3)
    with pytest.raises(checks.SlowError, match=r"test_capture\.py:\d+") as found:
        checks.capture(subject)
    assert SLOW[slow] in str(found.value)


def test_repeats_of_a_known_number_can_be_captured() -> None:
    assert "captured" in checks.capture(checks.Subject("repeats", RepeatingAsSaid(), parse("gauss25"), 3))


def test_a_step_that_can_be_captured_with_one_noise_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Small, frozen=True):
        knowledge = "family"

        def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
            assert ctx.noise is not None
            weight = float(batch.noisy.mean()) if ctx.noise.name == "poisson" else 1.0
            yield weight * mse_loss(net(batch.noisy), batch.noisy)

    only = {"captured step": kit.CHECKS["captured step"]}
    monkeypatch.setattr(kit, "CHECKS", only)
    states = {finding.check: finding.state for finding in kit.findings("counting", Counting())}
    assert states.pop("captured step, poisson30, C = 3") == "slow"
    assert set(states.values()) == {"ok"}


@pytest.mark.parametrize(
    "name", sorted(name for name, cls in registry.methods().items() if cls.learns() and ours(name))
)
def test_every_method_of_ours_can_be_captured(name: str, small: Callable[..., Method]) -> None:
    method = small(name)
    fields = [{"model": "gauss"}, {"model": "poisson"}] if "model" in method.__struct_fields__ else [{}]
    fields += [{"mapper": "rm"}] if name == "b2u" else []
    methods = [structs.replace(method, **changes) for changes in fields]
    cells = [(one, noise) for one in methods for noise in map(parse, kit.NOISES[:2]) if not one.applies(noise, 3)]
    assert cells
    for one, noise in cells:
        assert "captured" in checks.capture(checks.Subject(name, one, noise, 3))
