"""Blind2Unblind's loss: terms, gradients, one whole training step."""

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.methods.b2u import B2U
from bench.methods.base import Batch
from bench.methods.networks.official_names import B2U_LAYERS

from .conftest import cases, golden
from .official import compare_gradients, context, fill, nearest

ARRAYS = golden("b2u_loss")
CASES = cases("b2u_loss")
CHUNKS = [1, 6, 10**6]


class Outputs(nn.Module):
    """Returns the recorded visible output for the image itself, the recorded blind one for a masked image."""

    def __init__(self, noisy: Tensor, blind: Tensor, visible: Tensor) -> None:
        super().__init__()
        self.noisy, self.blind, self.visible = noisy, blind, visible

    def forward(self, x: Tensor) -> Tensor:
        """A masked image is known by the image that it differs least from."""
        return self.visible if torch.equal(x, self.noisy) else self.blind[nearest(x, self.noisy)]


class Step(NamedTuple):
    """A training step up to the gradients."""

    net: nn.Module
    method: B2U
    loss: float
    gradients: dict[str, Tensor]


def method_of(case: dict[str, float]) -> B2U:
    """The configuration of a row."""
    return B2U(
        eta=case["alpha(eta)"],
        lambda_s=case["lambda_s"],
        lambda_f=case["lambda_f"],
        plateau=case["threshold1"],
    )


def loss(method: B2U, net: nn.Module, noisy: Tensor, case: dict[str, float], chunk: int = 16) -> Tensor:
    """The sum of the loss's parts in the epoch of a row."""
    ctx = context(round(case["epoch"]), round(case["n_epoch"]), chunk)
    return torch.stack(list(method.losses(net, Batch(noisy), ctx))).sum()


def terms(method: B2U, net: nn.Module, noisy: Tensor, case: dict[str, float]) -> tuple[float, float]:
    """(regular, re-visible): without eta only the latter is left; their difference wants float64."""
    with torch.no_grad():
        revisible = float(loss(msgspec.structs.replace(method, eta=0.0), net, noisy, case))
        return float(loss(method, net, noisy, case)) - revisible, revisible


def given(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """noisy, blind, visible."""
    noisy, blind, visible = (torch.from_numpy(ARRAYS[name]).to(dtype) for name in ("noisy", "blind", "visible"))
    return noisy, blind, visible


@pytest.mark.parametrize("case", CASES)
def test_beta(case: dict[str, float]) -> None:
    """beta is our lambda."""
    t = context(round(case["epoch"]), round(case["n_epoch"])).progress.t
    assert method_of(case).lambda_at(t) == pytest.approx(case["beta"], rel=0, abs=1e-9)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("case", CASES)
def test_total(case: dict[str, float], chunk: int) -> None:
    """However the masks are grouped."""
    noisy, blind, visible = given(torch.float32)
    total = loss(method_of(case), Outputs(noisy, blind, visible), noisy, case, chunk)
    assert float(total) == pytest.approx(case["loss_all"], rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_terms(case: dict[str, float]) -> None:
    """The two terms apart."""
    noisy, blind, visible = given(torch.float64)
    expected = case["loss_reg(alpha*mean d^2)"], case["loss_rev"]
    assert terms(method_of(case), Outputs(noisy, blind, visible), noisy, case) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_gradient(chunk: int) -> None:
    """With respect to the blind output."""
    noisy, blind, visible = given(torch.float32)
    blind.requires_grad_()
    total = loss(method_of(CASES[0]), Outputs(noisy, blind, visible), noisy, CASES[0], chunk)
    (gradient,) = torch.autograd.grad(total, blind)
    expected = ARRAYS["grad_wrt_blind_case0"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_no_gradient_through_visible() -> None:
    """The visible output is a constant."""
    noisy, blind, visible = given(torch.float32)
    visible.requires_grad_()
    blind.requires_grad_()
    total = loss(method_of(CASES[0]), Outputs(noisy, blind, visible), noisy, CASES[0])
    (gradient,) = torch.autograd.grad(total, visible, allow_unused=True)
    assert gradient is None


@pytest.fixture(scope="module")
def step() -> Step:
    """The whole step with the parameters of row 0."""
    noisy, method = torch.from_numpy(ARRAYS["step_noisy"]), method_of(CASES[0])
    net = fill(method.build(noisy.shape[1]), B2U_LAYERS, int(ARRAYS["step_weight_seed"]))
    total = loss(method, net, noisy, CASES[0])
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(total, parameters)
    return Step(net, method, float(total.detach()), dict(zip(names, gradients, strict=True)))


def test_step_outputs(step: Step) -> None:
    """What the denoiser would return before the step."""
    with torch.no_grad():
        outputs = step.method.denoise(step.net, torch.from_numpy(ARRAYS["step_noisy"]), context())
    for name in ("blind", "visible"):
        np.testing.assert_allclose(outputs[name], ARRAYS[f"step_{name}"], rtol=0, atol=1e-3)


def test_step_loss(step: Step) -> None:
    """In float32, as trained."""
    assert step.loss == pytest.approx(ARRAYS["step_losses"][2], rel=1e-4)


def test_step_terms() -> None:
    """The two terms apart."""
    noisy, method = torch.from_numpy(ARRAYS["step_noisy"]).double(), method_of(CASES[0])
    net = fill(method.build(noisy.shape[1]), B2U_LAYERS, int(ARRAYS["step_weight_seed"])).double()
    assert terms(method, net, noisy, CASES[0]) == pytest.approx(tuple(ARRAYS["step_losses"][:2]), rel=1e-4)


def test_step_gradients(step: Step) -> None:
    """The norm of every parameter's, and every entry of the last layer's."""
    compare_gradients(step.gradients, B2U_LAYERS, ARRAYS)
