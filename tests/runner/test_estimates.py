"""Estimates before a run: operations are those that torch counts, and no method's code stops them."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.compute.machine import Machine
from bench.compute.step import Step
from bench.datasets.sampling import Patches
from bench.datasets.sets.find import find
from bench.methods.base import Batch, Context
from bench.methods.n2c import N2C
from bench.methods.networks import registry as networks
from bench.methods.networks.unet import UNetConfig
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner.estimates import Operations, step_operations


@pytest.mark.parametrize("net", ["unet", {"upsample": "transposed"}, "dncnn"])
def test_operations_are_counted_as_torch_counts_them(net: str | dict[str, str]) -> None:
    image, network = torch.zeros(1, 3, 32, 32), networks.read(net).build(3)
    with FlopCounterMode(display=False) as torchs, Operations() as ours:
        network(image)
    # torch counts the products of weights with each other, too, which do not grow with the image
    assert ours.forward == pytest.approx(torchs.get_total_flops(), rel=0.03)


@pytest.mark.parametrize("name", ["n2c", "nbr2nbr", "n2v", "r2r", "b2u", "laine19", "dbsn"])
def test_operations_of_a_step_are_those_of_its_losses_and_their_gradients(name: str) -> None:
    fit = next(cell.fit for cell in make(Request(methods=(name,), noises=("gauss25",))).cells if cell.name == name)
    source = Patches(find("embedded_train").load(None, 3), fit.noise, fit.train_noise, fit.crop, 0)
    step = Step(fit, source, Machine())
    step.optimiser.step = lambda rate: None  # type: ignore[method-assign]  # its products are not estimated
    with FlopCounterMode(display=False) as torchs:
        step(0)
    ours = step_operations(fit.method, fit.noise.family, 3) * fit.batch * fit.crop**2
    assert ours == pytest.approx(torchs.get_total_flops(), rel=0.1)


class Refusing(N2C):
    """A method whose loss fails, as that of a bridge whose package is missing."""

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        raise SystemExit(3)


def test_a_method_whose_loss_fails_is_estimated_by_its_network() -> None:
    noise = make(Request(noises=("gauss25",))).cells[0].fit.noise.family
    estimated = step_operations(Refusing(net=UNetConfig(width=16)), noise, 3)
    assert estimated == step_operations(N2C(net=UNetConfig(width=16)), noise, 3) > 0
