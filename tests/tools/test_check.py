"""The conformance kit: our own methods pass it, broken ones fail the right check."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.cli import bench, refused
from support.libraries import here
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.b2u import B2U
from bench.methods.base import Batch, Context, Method, Output
from bench.methods.n2v2 import N2V2
from bench.methods.networks.unet import UNetConfig
from bench.tools import conformance as kit
from bench.tools import conformance_checks as checks


class Sound(Method, frozen=True):
    """A small method with nothing wrong; the broken ones differ from it in one thing."""

    def build(self, channels: int) -> nn.Module:
        return UNetConfig(width=4).build(channels)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        y = batch.noisy
        yield mse_loss(net(y + 0.1 * ctx.rng.normal("z", *y.shape[1:])), y)


class Smaller(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": net(noisy)[..., 1:-1, 1:-1]}


class Misnamed(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"image": net(noisy)}


class Double(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": net(noisy).double()}


class Meddling(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": net(noisy.clamp_(0.0, 1.0))}


class Dicing(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": net(noisy + 0.1 * torch.randn_like(noisy))}


class Peeping(Sound, frozen=True):
    outputs = (Output("denoised", blind=True),)


class Cheating(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.target)  # type: ignore[arg-type]


class Prying(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy) * batch.level.mean()  # type: ignore[union-attr]


class Summing(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy, reduction="sum")


class Mixing(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield mse_loss(net(batch.noisy), batch.noisy.mean(0, keepdim=True).expand_as(batch.noisy))


class Climbing(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        yield 1.0 / mse_loss(net(batch.noisy), batch.noisy).detach() + 0.0 * net(batch.noisy).mean()


class Remembering(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        steps = vars(net).setdefault("steps_seen", set())
        steps.add(int(ctx.rng.samples[0]) // 2)
        yield mse_loss(net(batch.noisy), batch.noisy / len(steps))


class Averaging(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": net(noisy).mean(0, keepdim=True).expand_as(noisy)}


class Fragile(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / (not torch.is_autocast_enabled("cpu"))


class Overflowing(Sound, frozen=True):
    def build(self, channels: int) -> nn.Module:
        return Fragile(channels, channels, 1)


class Partial(Sound, frozen=True):
    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        if batch.noisy.shape[1] != 3:
            raise ValueError("colour only")
        yield mse_loss(net(batch.noisy), batch.noisy)


class Crashing(Sound, frozen=True):
    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        raise RuntimeError("out of ideas")


BROKEN = {
    Smaller: ("odd sizes", "shape"),
    Misnamed: ("odd sizes", "image"),
    Crashing: ("odd sizes", "RuntimeError: out of ideas"),
    Double: ("shape and dtype", "torch.float64"),
    Meddling: ("shape and dtype", "in place"),
    Dicing: ("determinism", "ctx.rng"),
    Averaging: ("determinism", "beside it"),
    Overflowing: ("bf16", "not finite"),
    Peeping: ("blindness", "sees its own pixel"),
    Cheating: ("firewall", "supervision noisy"),
    Prying: ("firewall", "knowledge blind"),
    Summing: ("micro-batches", "one by one"),
    Mixing: ("micro-batches", "one by one"),
    Climbing: ("micro-batches", "no gradient"),
    Remembering: ("interrupted = uninterrupted", "state_dict"),
}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "CHANNELS", (3,))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[Method], Iterator[kit.Finding]]:
    """The findings of a method that is registered for this test alone, one by one."""

    def findings(method: Method) -> Iterator[kit.Finding]:
        name = type(method).__name__.lower()
        monkeypatch.setitem(registry.METHODS.entries, name, type(method))
        return kit.findings(name, method)

    return findings


def test_a_sound_method_passes(found: Callable[[Method], Iterator[kit.Finding]]) -> None:
    states = {finding.check.split(",")[0]: finding.state for finding in found(Sound())}
    assert states.pop("blindness") == "does not apply"
    assert set(states.values()) == {"ok"}
    assert len(states) == len(kit.CHECKS) - 1


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_method_fails_the_right_check(
    broken: type[Method], found: Callable[[Method], Iterator[kit.Finding]]
) -> None:
    check, reason = BROKEN[broken]
    first = next(finding for finding in found(broken()) if finding.state == "failed")
    assert first.check.split(",")[0] == check  # those before it pass; later ones may fail with it
    assert reason in first.text


def test_a_loss_that_fails_for_some_channels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "CHANNELS", (3, 1))
    monkeypatch.setitem(registry.METHODS.entries, "partial", Partial)
    failed = [finding for finding in kit.findings("partial", Partial()) if finding.state == "failed"]
    assert {finding.check for finding in failed} == {
        f"firewall, {noise}, C = 1" for noise in ("gauss25", "poisson30", "none")
    }


def test_an_answer_that_raises_is_a_finding() -> None:
    class Raising(Sound, frozen=True):
        def applies(self, noise: object, channels: int) -> str | None:
            raise KeyError("no idea")

    (finding,) = kit.findings("raising", Raising())
    assert (finding.state, finding.text) == ("failed", "applies raised KeyError: 'no idea'")


def test_a_loss_that_does_not_fall_is_found() -> None:
    class Rising(Sound, frozen=True):
        def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
            yield -mse_loss(net(batch.noisy), batch.noisy).clamp(max=-1e9) + 0.0 * net(batch.noisy).sum()

    with pytest.raises(checks.UnfitError, match="the loss went from"):
        checks.loss_goes_down(checks.Subject("rising", Rising(), parse("gauss25"), 3))


FEW = ("b2u", "n2n", "noisy", "r2r")  # of every kind of supervision; tox -e full checks all methods
EVERY = [
    pytest.param(*one.values, marks=[*one.marks, *([] if one.values[0] in FEW else [pytest.mark.slow])])
    for one in here(sorted(registry.methods()))
]


@pytest.mark.parametrize("name", EVERY)
def test_our_own_methods_pass(name: str, small: Callable[..., Method], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "CHANNELS", (3, 1, 4))
    method = small(name)
    findings = list(kit.findings(name, method))
    failed = [f"{finding.check}: {finding.text}" for finding in findings if finding.state == "failed"]
    assert not failed
    passed = {finding.check.split(",")[0] for finding in findings if finding.state == "ok"}
    trains = {"firewall", "bf16", "micro-batches", "loss goes down", "interrupted = uninterrupted"}
    assert (trains <= passed) == method.learns()
    assert ("blindness" in passed) == any(output.blind for output in method.outputs)


@pytest.mark.slow
def test_structured_masks_pass(small: Callable[..., Method]) -> None:
    findings = list(kit.findings("n2v2-struct", small("n2v2", span=4)))
    assert {finding.state for finding in findings} == {"ok", "does not apply"}  # no output claims to be blind


def test_a_shared_configuration_is_checked_with_its_fields() -> None:
    assert kit.targets("n2v2-struct") == {"n2v2-struct": N2V2(span=4)}
    assert kit.targets("n2v2") == {"n2v2": N2V2()}


def test_the_released_cell_width_is_blind() -> None:
    method = B2U(s=4, net=UNetConfig(width=4))
    assert "blind" in checks.blindness(checks.Subject("b2u", method, parse("gauss25"), 3))


def test_what_is_not_defined_is_said(small: Callable[..., Method]) -> None:
    findings = {finding.check: finding for finding in kit.findings("noisier2noise", small("noisier2noise"))}
    assert findings["poisson30"].state == "not defined"
    assert "Gaussian" in findings["poisson30"].text
    assert findings["loss goes down"].state == "ok"


PLUGIN = """
from bench import Method, register
from bench.methods.networks.unet import UNetConfig

@register("checked")
class Checked(Method, frozen=True):
    def build(self, channels):
        return UNetConfig(width=4).build(channels)

    def losses(self, net, batch, ctx):
        yield ((net(batch.noisy) - batch.noisy) ** 2).mean() * {factor}
"""


@pytest.mark.parametrize(("factor", "code", "state"), [("1", 0, "ok"), ("float('nan')", 1, "failed")])
def test_a_file_is_checked_from_the_command_line(
    factor: str, code: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    (tmp_path / "mine.py").write_text(PLUGIN.format(factor=factor))
    result = bench("check", tmp_path / "mine.py", "--format", "csv")
    assert result.code == code, result
    assert f'checked,"firewall, gauss25, C = 3",{state},' in result.out


def test_a_class_is_checked_by_its_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    result = bench("check", "bench.methods.classical.noisy:Noisy", "--format", "csv")
    assert result.code == 0
    assert "noisy,determinism,ok," in result.out
    assert "noisy,loss goes down,does not apply,it trains nothing" in result.out


@pytest.mark.parametrize(
    ("target", "message"),
    [("n2w", "n2v"), ("missing.py", "no such file"), ("bench.methods:Nothing", "Nothing"), ("nowhere:X", "nowhere")],
)
def test_what_cannot_be_checked_is_named(target: str, message: str) -> None:
    assert message in refused("check", target)


OTHERS = {
    "noise family 'striped'": """
from bench import NoiseFamily, register_noise

@register_noise
class Striped(NoiseFamily, frozen=True):
    name = "striped"
    unit = "standard deviation"

    def variance(self, x, level):
        return 0.0 * x + level**2
""",
    "network 'single'": """
from bench import Network, register_network
from torch import nn

@register_network("single")
class Single(Network, frozen=True):
    def build(self, channels, outputs=None):
        return nn.Conv2d(channels, outputs or channels, 1)
""",
}


@pytest.mark.parametrize("registered", OTHERS)
def test_a_file_without_a_method_is_refused(registered: str, tmp_path: Path) -> None:
    """No finding would look like a pass."""
    (tmp_path / "other.py").write_text(OTHERS[registered])
    said = refused("check", tmp_path / "other.py")
    assert registered in said
    assert "no method" in said
    assert "bench run --plugin" in said


def test_a_method_with_required_fields_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(Sound, frozen=True):
        weight: float

    monkeypatch.setitem(registry.METHODS.entries, "needy", Needy)
    assert "every field needs a default" in refused("check", "needy")
