"""Neighbor2Neighbor: sub-images, loss terms, gradients, one whole training step."""

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.methods.base import Batch
from bench.methods.nbr2nbr import NBR2NBR, PAIRS, subsample
from bench.methods.networks.official_names import NBR_LAYERS
from bench.methods.registry import configured
from bench.protocol.suite_files import load

from .conftest import Array, cases, golden
from .official import Given, compare_gradients, context, fill

ARRAYS = golden("nbr")
CASES = cases("nbr")
OFFICIAL = configured(NBR2NBR, load("synthetic").configurations["nbr2nbr-official"].fields)


class Outputs(nn.Module):
    """Returns the recorded outputs: for the whole image, and for its first sub-image only."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        names = ("sub1", "net_on_sub1", "denoised_full")
        self.sub1, self.on_sub1, self.full = (torch.from_numpy(ARRAYS[name]).to(dtype) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """Fails for any other image."""
        if x.shape == self.full.shape:
            return self.full
        assert torch.equal(x, self.sub1)
        return self.on_sub1


class Step(NamedTuple):
    """A training step up to the gradients."""

    loss: float
    gradients: dict[str, Tensor]


def method_of(case: dict[str, float]) -> NBR2NBR:
    """The configuration of a row; the official weights of the two terms are a scale (`loss`) and gamma's."""
    gamma = case["increase_ratio"] * case["weight2"] / case["weight1"]
    return msgspec.structs.replace(OFFICIAL, gamma=gamma)


def loss(method: NBR2NBR, net: nn.Module, noisy: Tensor, draws: Array, case: dict[str, float]) -> Tensor:
    """The sum of the loss's parts in the epoch of a row."""
    ctx = context(round(case["epoch"]), round(case["n_epoch"]), rng=Given(draws, len(PAIRS)))
    return torch.stack(list(method.losses(net, Batch(noisy), ctx))).sum()


def weighted(net: nn.Module, noisy: Tensor, draws: Array, case: dict[str, float]) -> Tensor:
    """The official total of a row: its first weight is the scale of ours."""
    return case["weight1"] * loss(method_of(case), net, noisy, draws, case)


def terms(net: nn.Module, noisy: Tensor, draws: Array, case: dict[str, float]) -> tuple[float, float]:
    """(loss1, loss2) without weights: with gamma = 0 only the former is left; their difference wants float64."""
    methods = (msgspec.structs.replace(OFFICIAL, gamma=gamma) for gamma in (0.0, case["increase_ratio"]))
    with torch.no_grad():
        first, both = (float(loss(method, net, noisy, draws, case)) for method in methods)
    return first, both - first


def pairs() -> Tensor:
    """The recorded draws, one per cell."""
    images, _, height, width = ARRAYS["x"].shape
    return torch.from_numpy(ARRAYS["rd_idx"]).view(images, height // 2, width // 2)


@pytest.mark.parametrize("number", [1, 2])
def test_masks(number: int) -> None:
    """The pairs' positions in their cells, in the official order of draws."""
    taken = torch.nn.functional.one_hot(torch.tensor(PAIRS)[pairs()][..., number - 1], 4)
    np.testing.assert_array_equal(taken.flatten(), ARRAYS[f"mask{number}"])


@pytest.mark.parametrize("number", [1, 2])
def test_subimages(number: int) -> None:
    """Exact."""
    taken = subsample(torch.from_numpy(ARRAYS["x"]), pairs())[number - 1]
    np.testing.assert_array_equal(taken, ARRAYS[f"sub{number}"])


@pytest.mark.parametrize("case", CASES)
def test_gamma(case: dict[str, float]) -> None:
    """gamma of the row's epoch."""
    t = context(round(case["epoch"]), round(case["n_epoch"])).progress.t
    assert NBR2NBR(gamma=case["increase_ratio"]).gamma_at(t) == pytest.approx(case["gamma"], rel=0, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_total(case: dict[str, float]) -> None:
    """In float32, as trained."""
    total = weighted(Outputs(torch.float32), torch.from_numpy(ARRAYS["x"]), ARRAYS["rd_idx"], case)
    assert float(total) == pytest.approx(case["loss_all"], rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_terms(case: dict[str, float]) -> None:
    """The two terms apart."""
    net, noisy = Outputs(torch.float64), torch.from_numpy(ARRAYS["x"]).double()
    expected = case["loss1(mean d^2)"], case["loss2(gamma*mean(..)^2)"]
    assert terms(net, noisy, ARRAYS["rd_idx"], case) == pytest.approx(expected, rel=1e-4)


def test_gradient() -> None:
    """With respect to the output on the first sub-image."""
    net = Outputs(torch.float32)
    net.on_sub1.requires_grad_()
    total = weighted(net, torch.from_numpy(ARRAYS["x"]), ARRAYS["rd_idx"], CASES[0])
    (gradient,) = torch.autograd.grad(total, net.on_sub1)
    expected = ARRAYS["grad_wrt_net_on_sub1_case0"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_no_gradient_through_full() -> None:
    """The output on the whole image is a constant."""
    net = Outputs(torch.float32)
    net.on_sub1.requires_grad_()
    net.full.requires_grad_()
    total = weighted(net, torch.from_numpy(ARRAYS["x"]), ARRAYS["rd_idx"], CASES[0])
    (gradient,) = torch.autograd.grad(total, net.full, allow_unused=True)
    assert gradient is None


def step_net() -> nn.Module:
    """The authors' network with recipe weights."""
    return fill(OFFICIAL.build(ARRAYS["step_noisy"].shape[1]), NBR_LAYERS, int(ARRAYS["step_weight_seed"]))


@pytest.fixture(scope="module")
def step() -> Step:
    """The whole step with the parameters of row 0."""
    net = step_net()
    total = weighted(net, torch.from_numpy(ARRAYS["step_noisy"]), ARRAYS["step_rd_idx"], CASES[0])
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(total, parameters)
    return Step(float(total.detach()), dict(zip(names, gradients, strict=True)))


def test_step_loss(step: Step) -> None:
    """In float32, as trained."""
    assert step.loss == pytest.approx(ARRAYS["step_losses"][2], rel=1e-4)


def test_step_terms() -> None:
    """The two terms apart."""
    noisy = torch.from_numpy(ARRAYS["step_noisy"]).double()
    split = terms(step_net().double(), noisy, ARRAYS["step_rd_idx"], CASES[0])
    assert split == pytest.approx(tuple(ARRAYS["step_losses"][:2]), rel=1e-4)


def test_step_gradients(step: Step) -> None:
    """The norm of every parameter's, and every entry of the last layer's."""
    compare_gradients(step.gradients, NBR_LAYERS, ARRAYS)
