"""Adam and Muon: plain formulas, decay, the state that a checkpoint keeps, and what belongs to a key."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import Tensor, nn

from bench.compute.optimisers import Optimiser, matrix, orthogonal
from bench.datasets.errors import InputError
from bench.methods.networks.unet import UNetConfig
from bench.protocol.suites import Recipe

ADAM = Recipe(schedule="constant", lr=1e-2, beta2=0.95, weight_decay=1e-3)
MUON = Recipe(
    schedule="constant", lr=1e-2, beta2=0.95, weight_decay=0.0, optimiser="muon", kernel_lr=0.02, kernel_decay=0.1
)
RATES = (0.1, 1.0, 0.7, 0.3)


def network(channels_last: bool = False) -> nn.Module:
    """Kernels of two shapes with many outputs, one with few, an unused one, and what is no convolution."""
    torch.manual_seed(3)
    net = nn.Module()
    net.wide = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 64, 1)])
    net.last = nn.Conv2d(64, 3, 1)
    net.up = nn.ConvTranspose2d(3, 40, 2)
    net.unused = nn.Conv2d(3, 32, 3)
    return net.to(memory_format=torch.channels_last) if channels_last else net  # type: ignore[call-overload]


def gradient(net: nn.Module, step: int) -> None:
    """The same for networks with the same parameters."""
    draws = np.random.default_rng(step)
    for name, one in net.named_parameters():
        if not name.startswith("unused"):
            one.grad = torch.empty_like(one).copy_(
                torch.from_numpy(draws.standard_normal(one.shape))
            )  # as autograd lays it out


def trained(recipe: Recipe, net: nn.Module, optimiser: Optimiser | None = None, steps: range = range(4)) -> Optimiser:
    optimiser = optimiser or Optimiser(recipe, net)
    for step in steps:
        optimiser.zero_grad()
        gradient(net, step)
        optimiser.step(torch.tensor(RATES[step]))
    return optimiser


def by_hand(x: Tensor) -> Tensor:
    """The formula of a single kernel, in float64."""
    out, columns = x.flatten(1).shape
    o = x.double().flatten(1) / x.double().norm()
    for _ in range(5):
        a = o @ o.T
        o = 3.4445 * o + (-4.7750 * a + 2.0315 * a @ a) @ o
    return math.sqrt(max(1.0, out / columns)) * o.view_as(x)


def plain(recipe: Recipe, net: nn.Module) -> dict[str, Tensor]:
    """The weights after the steps of `trained`, from the formulas in float64."""
    weights = {name: one.detach().double().clone() for name, one in net.named_parameters()}
    momentum = {name: torch.zeros_like(one) for name, one in weights.items()}
    first, second = ({name: torch.zeros_like(one) for name, one in weights.items()} for _ in range(2))
    for t, rate in enumerate(RATES, 1):
        gradient(net, t - 1)
        for name, parameter in net.named_parameters():
            if parameter.grad is None:
                continue
            w, g = weights[name], parameter.grad.double()
            if recipe.optimiser == "muon" and name.startswith("wide") and name.endswith("weight"):
                momentum[name] = recipe.momentum * momentum[name] + g
                o, step = by_hand(g + recipe.momentum * momentum[name]), rate * recipe.kernel_lr
                weights[name] = w * (1 - step * recipe.kernel_decay) - step * o
                continue
            g = g + recipe.weight_decay * w
            first[name] = recipe.beta1 * first[name] + (1 - recipe.beta1) * g
            second[name] = recipe.beta2 * second[name] + (1 - recipe.beta2) * g * g
            m, v = first[name] / (1 - recipe.beta1**t), second[name] / (1 - recipe.beta2**t)
            weights[name] = w - rate * recipe.lr * m / (v.sqrt() + 1e-8)
    return weights


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("recipe", [ADAM, MUON], ids=["adam", "muon"])
def test_a_step_is_the_plain_formula(recipe: Recipe, channels_last: bool) -> None:
    net = network(channels_last)
    expected = plain(recipe, net)
    trained(recipe, net)
    for name, one in net.named_parameters():
        torch.testing.assert_close(one.detach().double(), expected[name], rtol=1e-4, atol=2e-5, msg=name)


def test_kernels_in_a_batch_are_what_they_are_alone() -> None:
    net = UNetConfig().build(3)
    kernels = [one.weight.detach() for one in net.modules() if isinstance(one, nn.Conv2d) and len(one.weight) >= 32]
    assert len({kernel.shape for kernel in kernels}) < len(kernels) > 15
    for together, kernel in zip(orthogonal(kernels), kernels, strict=True):
        (alone,) = orthogonal([kernel])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
        torch.testing.assert_close(together.double(), by_hand(kernel), rtol=0, atol=2e-3)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6])
@pytest.mark.parametrize("rank", [1, 3, 48])
def test_the_size_of_a_gradient_and_its_rank_do_not_matter(rank: int, scale: float) -> None:
    torch.manual_seed(1)
    kernel = torch.randn(48, rank) @ torch.randn(rank, 27 * 9)
    kernel = scale * kernel.view(48, 27, 3, 3)
    (found,) = orthogonal([kernel])
    torch.testing.assert_close(found.double(), by_hand(kernel), rtol=0, atol=1e-3)
    values = torch.linalg.svdvals(matrix(found))[:rank]
    assert 0.6 < values.min() <= values.max() < 1.3


def test_no_gradient_moves_nothing() -> None:
    (found,) = orthogonal([torch.zeros(48, 8, 3, 3)])
    assert not found.any()


def test_decay_shrinks_kernels_alone() -> None:
    net = network()
    before = {name: one.detach().clone() for name, one in net.named_parameters()}
    optimiser = Optimiser(MUON, net)
    for one in net.parameters():
        one.grad = torch.zeros_like(one)
    optimiser.step(torch.tensor(0.5))
    for name, one in net.named_parameters():
        kernel = name.endswith("weight") and name.startswith(("wide", "unused"))
        torch.testing.assert_close(one.detach(), before[name] * (1 - 0.5 * 0.02 * 0.1 * kernel))


@pytest.mark.parametrize("recipe", [ADAM, MUON], ids=["adam", "muon"])
def test_a_continued_training_takes_the_same_steps(recipe: Recipe) -> None:
    whole, halved, again = network(), network(), network()
    trained(recipe, whole)
    kept = trained(recipe, halved, steps=range(2))
    again.load_state_dict(halved.state_dict())
    continued = Optimiser(recipe, again)
    for name, tensor in continued.state().items():
        tensor.copy_(kept.state()[name])
    trained(recipe, again, continued, range(2, 4))
    assert all(torch.equal(one, two) for one, two in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("recipe", [ADAM, MUON], ids=["adam", "muon"])
def test_all_of_the_state_is_there_from_the_start_and_stays_where_it_is(recipe: Recipe) -> None:
    net = network()
    net.get_parameter("last.bias").requires_grad_(False)
    optimiser = Optimiser(recipe, net)
    before = {name: tensor.data_ptr() for name, tensor in optimiser.state().items()}
    trained(recipe, net, optimiser)
    assert {name: tensor.data_ptr() for name, tensor in optimiser.state().items()} == before
    muon = recipe is MUON
    assert ("momentum.wide.0.weight" in before) == muon
    assert ("exp_avg_sq.wide.0.weight" in before) != muon
    assert {"step.last.weight", "exp_avg.last.weight", "exp_avg.up.weight", "exp_avg.wide.0.bias"} <= before.keys()
    assert not any("last.bias" in name for name in before)


def test_a_network_of_kernels_alone_needs_no_adam() -> None:
    net = nn.Conv2d(32, 32, 3, bias=False)
    before = net.weight.detach().clone()
    trained(MUON, net)
    assert not torch.equal(net.weight, before)


# ---- the recipe


def test_kernels_that_read_the_image_are_left_to_adam() -> None:
    hidden = structs.replace(MUON, optimiser="muon-hidden")
    left = {}
    for recipe in (MUON, hidden):
        state = Optimiser(recipe, UNetConfig().build(3)).state()
        left[recipe.optimiser] = {name for name in state if name.startswith("exp_avg.") and name.endswith("weight")}
    assert left["muon"] == {"exp_avg.last.weight"}
    assert left["muon-hidden"] - left["muon"] == {"exp_avg.head.0.weight", "exp_avg.up.4.conv1.weight"}
    assert hidden.identity == MUON.identity | {"optimiser": "muon-hidden"}


def test_a_recipe_s_new_fields_are_in_no_key_of_adam() -> None:
    assert set(ADAM.identity) == {"schedule", "lr", "beta2", "weight_decay", "beta1", "gain", "warmup"}
    assert MUON.identity["optimiser"] == "muon"
    assert {"kernel_lr", "kernel_decay", "momentum"} < MUON.identity.keys()


@pytest.mark.parametrize("field", ["kernel_lr", "kernel_decay", "momentum"])
def test_muon_s_numbers_have_limits(field: str) -> None:
    with pytest.raises(InputError, match=field):
        Recipe(schedule="cycle", lr=1e-3, beta2=0.9, weight_decay=0.0, optimiser="muon", **{field: -0.1})


@pytest.mark.parametrize("read", [Tensor.item, Tensor.__float__])
def test_a_step_reads_nothing_from_the_device(read: Callable[[Tensor], float], monkeypatch: pytest.MonkeyPatch) -> None:
    optimiser = trained(MUON, network())
    monkeypatch.setattr(Tensor, read.__name__, lambda *args: pytest.fail("it was read"))
    optimiser.step(torch.tensor(0.5))
