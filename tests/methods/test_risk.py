"""SURE, PURE, UNSURE, GR2R and Noise2Score: what they estimate, on denoisers and images that are known."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma
from support.linear import SIGMA, Filter, context, family_of, gaussian, poisson, smooth, standard_errors
from torch import Tensor, nn

from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.methods.base import Batch, Context, Method
from bench.methods.gr2r import GR2R, MOST
from bench.methods.noise2score import Noise2Score
from bench.methods.pure import PURE
from bench.methods.rng import Rng
from bench.methods.sure import SURE, with_divergence
from bench.methods.unsure import UNSURE, Multiplied

LEVEL = 30.0  # photons in a white pixel


def losses_of(method: Method, net: nn.Module, y: Tensor, family: str = "gauss", level: float = 25.0) -> Tensor:
    """The loss of every image alone, whatever it is in a batch."""
    found = []
    for i in range(len(y)):
        ctx = context(1, family, level, seed=i)
        (loss,) = method.losses(net, Batch(y[i : i + 1], level=ctx.level), ctx)
        found.append(loss.detach())
    return torch.stack(found)


def errors_of(net: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    return (net(y) - x).square().mean((1, 2, 3)).detach()


# ---- the divergence


def test_the_divergence_of_a_filter_is_its_centre() -> None:
    """Unbiased over the probes; the network's output comes with it, and it can be differentiated again."""
    net, y = Filter(centre=0.4), smooth(300, 2, 16)
    f_y, found = with_divergence(net, y, torch.ones_like(y), Rng(0, torch.arange(300)), 0.01)
    torch.testing.assert_close(f_y, net(y), rtol=1e-12, atol=1e-12)
    assert standard_errors(found.detach(), 0.4 * y[0].numel()) < 4
    (slope,) = torch.autograd.grad(found.mean(), net.weight)
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[1, 1] = y[0].numel()
    torch.testing.assert_close(slope, expected, rtol=0.05, atol=0.05 * y[0].numel())


def test_the_divergence_is_weighted_by_pixels() -> None:
    net, y = Filter(centre=0.4), smooth(300, 1, 16)
    found = with_divergence(net, y, y, Rng(0, torch.arange(300)), 0.01)[1].detach()
    assert standard_errors(found - 0.4 * y.sum((1, 2, 3))) < 4


def test_the_divergence_is_that_of_a_network_that_is_not_linear() -> None:
    """The mean over all probes is the trace of the Jacobian."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(4, 1, 3, padding=1)).double()
    y = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda image: net(image).flatten(), y).view(16, 16)
    draws = 3000
    found = with_divergence(net, y.expand(draws, -1, -1, -1), torch.ones(()), Rng(0, torch.arange(draws)), 1e-6)[
        1
    ].detach()
    assert standard_errors(found, float(jacobian.trace())) < 4


class Soft(nn.Module):
    """y shrunk towards 0.5 by a threshold: its derivative does not depend on it, but for the pixels that it reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, y: Tensor) -> Tensor:
        return 0.5 + torch.relu(y - 0.5 - self.threshold) - torch.relu(0.5 - self.threshold - y)


def test_the_gradient_is_that_of_the_average_divergence() -> None:
    """Of a network with kinks. Of the derivative itself it would be 0."""
    net, y = Soft(), 0.5 + 0.2 * (smooth(400, 1, 32) - 0.5) / 0.1
    found = with_divergence(net, y, torch.ones_like(y), Rng(0, torch.arange(400)), 0.01)[1].mean() / 32**2
    (slope,) = torch.autograd.grad(found, net.threshold)
    density = math.exp(-0.5 * (0.1 / 0.2) ** 2) / (0.2 * math.sqrt(2.0 * math.pi))
    assert float(slope) == pytest.approx(-2.0 * density, rel=0.05)


# ---- SURE, PURE


def test_sure_is_the_true_error_on_average() -> None:
    x, net = smooth(400, 1, 32), Filter()
    y = gaussian(x)
    assert standard_errors(losses_of(SURE(), net, y) - errors_of(net, y, x)) < 4


def test_sure_with_a_wrong_level_is_wrong() -> None:
    x, net = smooth(400, 1, 32), Filter()
    y = gaussian(x)
    gap = losses_of(SURE(), net, y, level=20.0) - errors_of(net, y, x)
    assert float(gap.mean()) == pytest.approx((2 * 0.4 - 1) * (20.0**2 - 25.0**2) / 255.0**2, rel=0.05)


def test_pure_is_the_true_error_on_average() -> None:
    x, net = smooth(400, 1, 32), Filter()
    y = poisson(x, LEVEL)
    assert standard_errors(losses_of(PURE(), net, y, "poisson", LEVEL) - errors_of(net, y, x)) < 4


def test_every_estimator_has_its_noise() -> None:
    gauss, counts, other = (parse(name) for name in ("gauss25", "poisson30", "none"))
    defined = {SURE: (gauss,), PURE: (counts,), UNSURE: (gauss, counts), GR2R: (gauss, counts)}
    for cls, noises in defined.items():
        for noise in (gauss, counts, other):
            assert (cls().applies(noise, 3) is None) == (noise in noises), (cls, noise)
    assert UNSURE(model="gauss").applies(other, 3) is None
    assert GR2R().applies(parse(f"poisson{MOST + 1}"), 3) is not None


# ---- UNSURE


class Spectral(nn.Module):
    """A filter with periodic borders, by its real transfer function H: its divergence is the sum of H."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.H = nn.Parameter(torch.zeros(side, side, dtype=torch.float64))

    def forward(self, y: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(y) * self.H).real


def waves(samples: int, side: int) -> Tensor:
    """Images of one period along each axis: nearly every frequency of their noisy versions is noise alone."""
    turns = 2.0 * np.pi * np.arange(side) / side
    draws = np.random.default_rng(0).standard_normal((2, samples, 2))
    rows, columns = 0.1 * draws @ np.stack([np.cos(turns), np.sin(turns)])
    return torch.from_numpy(0.5 + rows[:, None, :, None] + columns[:, None, None, :])


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [25.0, 50.0])
def test_the_saddle_point_of_unsure_finds_the_level(sigma: float) -> None:
    """In closed form: with P the spectrum of y, H = 1 - eta / P, and no divergence means that eta = 1 / mean(1 / P).

    That is the variance of a pixel given all others: sigma^2 where they tell the clean image. Descent and ascent circle
    the saddle point, so that the mean of their path is compared.
    """
    x, deviation = waves(32, 16), sigma / 255.0
    y = x + deviation * torch.from_numpy(np.random.default_rng(1).standard_normal(x.shape))
    P = torch.fft.fft2(y).abs().square().mean((0, 1)) / 16**2
    linear, path = Spectral(16), []
    net = Multiplied(linear)
    adam = torch.optim.Adam(net.parameters(), 0.01, betas=(0.0, 0.99))
    for step in range(400):
        adam.zero_grad()
        (loss,) = UNSURE().losses(net, Batch(y), context(len(y), seed=step))
        loss.backward()
        adam.step()
        path.append((float(linear.H.mean().detach()), float(net.eta().detach())))
    divergence, eta = np.mean(path[200:], axis=0)
    assert abs(divergence) < 0.02
    assert eta == pytest.approx(float(1.0 / (1.0 / P).mean()), rel=0.1)
    assert eta**0.5 == pytest.approx(deviation, rel=0.05)


def test_unsure_turns_the_sign_of_eta_s_gradient_alone() -> None:
    y, net = gaussian(smooth(2)), Multiplied(Filter(centre=0.4))
    net.raw.data.fill_(0.5)
    assert float(net.eta().detach()) == pytest.approx(0.05)
    (loss,) = UNSURE().losses(net, Batch(y), context(2))
    loss.backward()
    divergence = with_divergence(net, y, torch.ones_like(y), Rng(0, torch.arange(2)), 0.01)[1].mean() / y[0].numel()
    assert net.raw.grad is not None
    assert float(net.raw.grad) == pytest.approx(-0.1 * 2.0 * float(divergence.detach()), rel=1e-6)


def test_unsure_weighs_poisson_noise_by_the_pixel() -> None:
    y, net = poisson(smooth(2), LEVEL), Multiplied(Filter())
    net.raw.data.fill_(0.5)
    ctx = context(2, "poisson", LEVEL)
    (loss,) = UNSURE().losses(net, Batch(y), ctx)
    weighted = with_divergence(net, y, y, ctx.rng, 0.01)[1] / y[0].numel()
    expected = (net(y) - y).square().mean((1, 2, 3)) + 2.0 * 0.05 * weighted
    assert float(loss.detach()) == pytest.approx(float(expected.mean().detach()), rel=1e-6)


# ---- GR2R


def split(a: float, family: str, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x, y1, y2 of a million pixels."""
    x = torch.full((1, 1, 1000, 1000), 0.6, dtype=torch.float64)
    level = LEVEL if family == "poisson" else 25.0
    y = poisson(x, LEVEL) if family == "poisson" else gaussian(x)
    ctx = context(1, family, level, seed)
    assert ctx.level is not None
    return x.flatten(), *(one.flatten() for one in GR2R(a=a).pair(y, ctx.level, ctx, "w"))


@pytest.mark.parametrize("family", ["gauss", "poisson"])
@pytest.mark.parametrize("a", [0.15, 0.5])
def test_the_two_parts_are_unbiased_and_independent(a: float, family: str) -> None:
    """No covariance, and no level of the first tells of the second; the variances are v / (1 - a) and v / a."""
    x, one, two = split(a, family)
    variance = 0.6 / LEVEL if family == "poisson" else SIGMA**2
    for part in (one, two):
        assert standard_errors(part - x) < 4
    assert standard_errors((one - one.mean()) * (two - two.mean())) < 4
    assert float(one.var()) == pytest.approx(variance / (1 - a), rel=0.01)
    assert float(two.var()) == pytest.approx(variance / a, rel=0.01)
    low, high = two[one < one.mean() - one.std()], two[one > one.mean() + one.std()]
    for tail in (low, high):
        assert standard_errors(tail, 0.6) < 4


def test_the_scaling_of_the_demonstration_is_not_independent() -> None:
    """y1 = y + a w with the same y2 leaves 84 % of the variance in common at a = 0.2; ours leaves nothing."""
    a, draws = 0.2, np.random.default_rng(3)
    n, w = SIGMA * draws.standard_normal((2, 1_000_000))
    y1 = n + a * w
    y2 = (n - (1 - a) * y1) / a
    assert np.cov(y1, y2)[0, 1] / SIGMA**2 == pytest.approx(1 - a * (1 - a), abs=0.01)
    assert 1 - a * (1 - a) == pytest.approx(0.84)
    _, one, two = split(a, "gauss")
    assert abs(float(torch.cov(torch.stack([one, two]))[0, 1])) / SIGMA**2 < 0.02


@pytest.mark.parametrize("family", ["gauss", "poisson"])
def test_gr2r_is_the_supervised_loss_on_its_input_but_for_a_constant(family: str) -> None:
    x, net, method = smooth(60, 1, 32), Filter(), GR2R()
    y = poisson(x, LEVEL) if family == "poisson" else gaussian(x)
    level = LEVEL if family == "poisson" else 25.0
    constant = x.mean((1, 2, 3)) / LEVEL / method.a if family == "poisson" else SIGMA**2 / method.a
    truth = []
    for i in range(len(x)):
        ctx = context(1, family, level, seed=i)
        assert ctx.level is not None
        truth.append(errors_of(net, method.pair(y[i : i + 1], ctx.level, ctx, "w")[0], x[i : i + 1])[0])
    assert standard_errors(losses_of(method, net, y, family, level) - torch.stack(truth) - constant) < 4


def test_gr2r_averages_over_splits() -> None:
    y, ctx, method = gaussian(smooth(2)), context(2), GR2R(ensemble=3)
    assert ctx.level is not None
    expected = sum(Filter()(method.pair(y, ctx.level, ctx, f"w {j}")[0]) for j in range(3)) / 3
    torch.testing.assert_close(method.denoise(Filter(), y, ctx)["denoised"], expected)
    assert method.passes() == {"denoised": 3}
    for wrong in ({"a": 0.0}, {"a": 1.0}, {"ensemble": 0}):
        with pytest.raises(InputError, match="gr2r"):
            GR2R(**wrong)


# ---- Noise2Score


class Gives(nn.Module):
    """The f whose score (f(y) - y) / v is a given function."""

    def __init__(self, score: object, v: float) -> None:
        super().__init__()
        self.score, self.v = score, v

    def forward(self, y: Tensor) -> Tensor:
        return y + self.v * self.score(y)  # type: ignore[operator, no-any-return]


def told(family: str, level: float) -> Context:
    return context(1, family, level)._replace(noise=family_of(family))


def test_tweedie_is_the_posterior_mean_of_a_gaussian_prior() -> None:
    tau, mu, method = 0.15, 0.4, Noise2Score()
    y = gaussian(smooth(1))
    net = Gives(lambda image: -(image - mu) / (tau**2 + SIGMA**2), method.v)
    found = method.denoise(net, y, told("gauss", 25.0))["denoised"]
    posterior = (tau**2 * y + SIGMA**2 * mu) / (tau**2 + SIGMA**2)
    torch.testing.assert_close(found, posterior, rtol=1e-12, atol=1e-12)


def test_tweedie_is_the_posterior_of_a_gamma_prior() -> None:
    """Of counts z with rates from Gamma(k, b): exp E[log rate | z] = exp(digamma(z + k)) / (1 + b), exactly."""
    k, b, method = 8.0, 0.5, Noise2Score()
    z = np.arange(3.0, 60.0)
    slope = digamma(z + k) - digamma(z + 1.0) - math.log(1.0 + b)  # of the log of the negative binomial's pmf
    y = torch.from_numpy(z / LEVEL).view(1, 1, 1, -1)
    net = Gives(lambda image: torch.from_numpy(LEVEL * slope).view(image.shape), method.v)
    found = method.denoise(net, y, told("poisson", LEVEL))["denoised"].flatten().numpy() * LEVEL
    np.testing.assert_allclose(found, np.exp(digamma(z + k)) / (1.0 + b), rtol=0.005)


def test_the_loss_is_least_at_the_true_score() -> None:
    """Of normal pixels with variance 0.04 it is -(y - mu) / (0.04 + d^2); other slopes are worse."""
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 1, 32, 32)))
    method = Noise2Score(delta_s=0.02, delta_f=0.02)

    def loss(slope: float) -> float:
        net, ctx = Gives(lambda image: -slope * (image - 0.5), method.v), context(64)
        (one,) = method.losses(net, Batch(0.5 + 0.2 * draws), ctx)
        return float(one)

    assert loss(25.0) < min(loss(15.0), loss(40.0), loss(0.0), loss(-25.0))


def test_the_deviation_falls_geometrically() -> None:
    method = Noise2Score()
    assert [method.delta_at(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([0.1, 0.001**0.5, 0.01])
    with pytest.raises(InputError, match="noise2score"):
        Noise2Score(v=0.0)
