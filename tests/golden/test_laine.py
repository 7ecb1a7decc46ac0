"""Laine et al.: prior, noise, likelihood, posterior mean and gradients, in float64."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.datasets.noise.model import families
from bench.methods.base import Batch, Context, Progress
from bench.methods.laine19 import Laine19, Laine19Known, negative_log_likelihood, posterior_mean, prior, variance
from bench.methods.rng import Rng

from .conftest import Array, golden

RECORDED = sorted(name.removesuffix("_sigma_x") for name in golden("laine") if name.endswith("_sigma_x"))
CASES = [case for case in RECORDED if not case.startswith("impulse")]  # noise that we do not have
METHODS = {"known": Laine19Known(), "unknown": Laine19()}
both = pytest.mark.parametrize("mode", METHODS)
every = pytest.mark.parametrize("case", CASES)


def array(case: str, name: str) -> Array:
    return golden("laine")[f"{case}_{name}"]


def tensor(case: str, name: str) -> Tensor:
    return torch.from_numpy(array(case, name)).clone()


def channels_last(case: str, name: str) -> Tensor:
    return tensor(case, name).permute(0, 2, 3, 1)


def assert_close(found: Tensor, expected: Array, rtol: float = 1e-8) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=rtol, atol=1e-9)


class Emits(nn.Module):
    """A network whose output is given, with the raw noise parameter of every image where that is estimated."""

    def __init__(self, case: str, mode: str) -> None:
        super().__init__()
        self.net_out = nn.Parameter(tensor(case, "net_out"))
        self.raw = nn.Parameter(tensor(case, "raw_param")) if mode == "unknown" else None

    def forward(self, y: Tensor) -> Tensor:
        if self.raw is None:
            return self.net_out
        raw = self.raw.view(-1, 1, 1, 1).expand(-1, 1, *self.net_out.shape[2:])
        return torch.cat([self.net_out, raw], dim=1)


def levels(case: str, mode: str) -> Tensor | None:
    """The level of every image where it is known: sigma in 0..255, or lambda."""
    units = 255.0 if case.startswith("gauss") else 1.0
    return tensor(case, "known_param") * units if mode == "known" else None


def context(case: str, mode: str) -> Context:
    rng = Rng(0, torch.arange(len(array(case, "noisy"))))
    return Context(Progress(1, 1), rng, 100, families()[case[:-1]](), levels(case, mode))


class Pixels(NamedTuple):
    """What the formulas take."""

    y: Tensor
    mu: Tensor
    sigma_x: Tensor
    noise: Tensor


def pixels(case: str, mode: str) -> Pixels:
    family, level = case[:-1], levels(case, mode)
    mu, sigma_x = prior(tensor(case, "net_out"), int(case[-1]))
    parameter = METHODS[mode].noise_parameter(Emits(case, mode)(mu), level, family)
    return Pixels(channels_last(case, "noisy"), mu, sigma_x, variance(family, mu, parameter))


@every
def test_prior(case: str) -> None:
    mu, sigma_x = prior(tensor(case, "net_out"), int(case[-1]))
    np.testing.assert_array_equal(mu.numpy(), channels_last(case, "net_out")[..., : int(case[-1])].numpy())
    assert_close(sigma_x, array(case, "sigma_x"))


@every
def test_estimated_noise_parameter(case: str) -> None:
    parameter = Laine19().noise_parameter(Emits(case, "unknown")(torch.zeros(())), None, case[:-1])
    assert_close(parameter, array(case, "est_param"), rtol=1e-12)


@both
@every
def test_noise_variance(case: str, mode: str) -> None:
    assert_close(pixels(case, mode).noise.permute(0, 3, 1, 2), array(case, f"{mode}_noise_var"), rtol=1e-12)


@both
@every
def test_loss_of_every_pixel(case: str, mode: str) -> None:
    loss = negative_log_likelihood(*pixels(case, mode), bonus=0.1 if mode == "unknown" else 0.0)
    assert_close(loss, array(case, f"{mode}_loss"))


@both
@every
def test_likelihood(case: str, mode: str) -> None:
    """With the constant, the half that one channel's loss lacks, and no bonus."""
    channels = int(case[-1])
    loss = negative_log_likelihood(*pixels(case, mode), bonus=0.0) * (0.5 if channels == 1 else 1.0)
    assert_close(loss + channels * math.log(2.0 * math.pi) / 2.0, array(case, f"{mode}_nll"))


@both
@every
def test_posterior_mean(case: str, mode: str) -> None:
    assert_close(posterior_mean(*pixels(case, mode)).permute(0, 3, 1, 2), array(case, f"{mode}_pme"))


@both
@every
def test_method_loss_and_gradients(case: str, mode: str) -> None:
    """The whole path of a training step."""
    net, ctx = Emits(case, mode), context(case, mode)
    (loss,) = METHODS[mode].losses(net, Batch(tensor(case, "noisy"), level=ctx.level), ctx)
    loss.backward()
    assert_close(loss, array(case, f"{mode}_loss_mean"))
    assert net.net_out.grad is not None
    assert_close(net.net_out.grad, array(case, f"{mode}_grad_net_out"), rtol=1e-7)
    if net.raw is not None:
        assert net.raw.grad is not None
        assert_close(net.raw.grad, array(case, "unknown_grad_raw"), rtol=1e-7)


@both
@every
def test_method_images(case: str, mode: str) -> None:
    images = METHODS[mode].denoise(Emits(case, mode), tensor(case, "noisy"), context(case, mode))
    assert_close(images["pme"], array(case, f"{mode}_pme"))
    assert_close(images["mu"], array(case, "net_out")[:, : int(case[-1])], rtol=0.0)
