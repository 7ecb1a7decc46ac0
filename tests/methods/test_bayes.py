"""Bayes' rule of Laine19 and DBSN: Monte Carlo, limits, likelihood, and inputs at the edge."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.noise.model import families
from bench.methods import registry
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.dbsn import DBSN
from bench.methods.laine19 import Laine19, Laine19Known, negative_log_likelihood, posterior_mean, prior, variance
from bench.methods.networks.blindspot import Gaussians
from bench.methods.rng import Rng

Small = Callable[..., Method]
DRAWS = 200_000
SIGMA = 25.0 / 255.0
START = F.softplus(torch.tensor(-4.0, dtype=torch.float64)) + 1e-3  # of every estimated noise parameter

every_channels = pytest.mark.parametrize("channels", [1, 3, 4])


def mse(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())


class Draws(NamedTuple):
    """Pixels from the model itself: x ~ N(mu, Sigma_x), y = x + sigma n."""

    x: Tensor
    y: Tensor
    mu: Tensor
    sigma_x: Tensor

    def denoised(self, sigma: float) -> float:
        """The error of the posterior mean that believes in `sigma`."""
        noise = torch.full_like(self.y, sigma**2)
        return mse(posterior_mean(self.y, self.mu, self.sigma_x, noise), self.x)


def covariance(channels: int) -> Tensor:
    """Channels with a common part and parts of their own."""
    own = torch.diag(torch.tensor([0.12, 0.08, 0.15, 0.05], dtype=torch.float64)[:channels])
    return own.square() + 0.15**2


@pytest.fixture(scope="module")
def drawn() -> Callable[[int], Draws]:
    made: dict[int, Draws] = {}

    def draw(channels: int) -> Draws:
        if channels not in made:
            rng, sigma_x = np.random.default_rng(channels), covariance(channels)
            z, n = (torch.from_numpy(rng.standard_normal((DRAWS, channels))) for _ in range(2))
            mu = torch.from_numpy(rng.random((DRAWS, channels)))
            x = mu + z @ torch.linalg.cholesky(sigma_x).mT
            made[channels] = Draws(x, x + SIGMA * n, mu, sigma_x.expand(DRAWS, channels, channels))
        return made[channels]

    return draw


# ---- posterior mean


@every_channels
def test_posterior_mean_is_as_good_as_theory_says(channels: int, drawn: Callable[[int], Draws]) -> None:
    """trace(Sigma_x - Sigma_x S^-1 Sigma_x) / C."""
    one, sigma_x = drawn(channels), covariance(channels)
    s = sigma_x + SIGMA**2 * torch.eye(channels, dtype=torch.float64)
    theory = float((sigma_x - sigma_x @ torch.linalg.inv(s) @ sigma_x).trace()) / channels
    found = one.denoised(SIGMA)
    assert found == pytest.approx(theory, rel=0.01)
    assert found < 0.95 * min(mse(one.mu, one.x), mse(one.y, one.x))


@pytest.mark.parametrize("factor", [0.5, 2.0])
@every_channels
def test_a_wrong_noise_level_is_worse(channels: int, factor: float, drawn: Callable[[int], Draws]) -> None:
    one = drawn(channels)
    assert one.denoised(factor * SIGMA) > 1.02 * one.denoised(SIGMA)


@every_channels
def test_a_very_wrong_noise_level_gives_y_or_mu(channels: int, drawn: Callable[[int], Draws]) -> None:
    one = drawn(channels)
    assert one.denoised(0.05 * SIGMA) == pytest.approx(mse(one.y, one.x), rel=0.02)
    assert one.denoised(40.0 * SIGMA) == pytest.approx(mse(one.mu, one.x), rel=0.05)


def pixels(channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, mu, Sigma_x, noise [2, 3, 4, ...], all pixels different."""
    torch.manual_seed(5)
    y = torch.rand(2, 3, 4, channels, dtype=torch.float64)
    mu, sigma_x = prior(0.3 * torch.randn(2, channels + channels * (channels + 1) // 2, 3, 4), channels)
    return y, mu, sigma_x, 0.01 + 0.1 * torch.rand_like(y)


@every_channels
def test_limits_of_the_posterior_mean(channels: int) -> None:
    y, mu, sigma_x, noise = pixels(channels)
    regular = sigma_x + 0.01 * torch.eye(channels, dtype=torch.float64)
    close = {"rtol": 0.0, "atol": 1e-8}
    torch.testing.assert_close(posterior_mean(y, mu, regular, 1e-12 * noise), y, **close)
    torch.testing.assert_close(posterior_mean(y, mu, regular, 1e12 * noise), mu, **close)
    torch.testing.assert_close(posterior_mean(y, mu, 1e12 * regular, noise), y, **close)
    assert torch.equal(posterior_mean(y, mu, torch.zeros_like(sigma_x), noise), mu)


@every_channels
def test_posterior_mean_equals_its_symmetric_form(channels: int) -> None:
    """(Sigma_x^-1 + Sigma_n^-1)^-1 (Sigma_x^-1 mu + Sigma_n^-1 y)."""
    y, mu, sigma_x, noise = pixels(channels)
    sigma_x = sigma_x + 0.01 * torch.eye(channels, dtype=torch.float64)
    p, q = torch.linalg.inv(sigma_x), torch.diag_embed(1.0 / noise)
    weighted = p @ mu.unsqueeze(-1) + q @ y.unsqueeze(-1)
    expected = torch.linalg.solve(p + q, weighted).squeeze(-1)
    torch.testing.assert_close(posterior_mean(y, mu, sigma_x, noise), expected, rtol=1e-9, atol=1e-11)


def test_brighter_pixels_trust_themselves_less_under_poisson_noise() -> None:
    mu = torch.tensor([0.0, 0.1, 0.9], dtype=torch.float64).view(1, 1, 3, 1)
    noise = variance("poisson", mu, torch.tensor([1.0 / 30.0]))
    torch.testing.assert_close(noise.flatten(), torch.tensor([1e-3, 0.1, 0.9]).double() / 30.0, rtol=1e-6, atol=0.0)
    pulled = posterior_mean(mu + 0.1, mu, torch.full((1, 1, 3, 1, 1), 0.01).double(), noise) - mu
    assert (pulled.flatten().diff() < 0.0).all()


# ---- likelihood


@every_channels
def test_likelihood_is_the_multivariate_normal(channels: int) -> None:
    """Up to the constant, the bonus, and the half that one channel's loss lacks."""
    y, mu, sigma_x, noise = pixels(channels)
    loss = negative_log_likelihood(y, mu, sigma_x, noise, bonus=0.1) + 0.1 * noise.sqrt().mean(-1)
    found = loss * (0.5 if channels == 1 else 1.0) + channels * np.log(2.0 * np.pi) / 2.0
    s = sigma_x + torch.diag_embed(noise)
    expected = [
        -multivariate_normal.logpdf(*(array.reshape(-1, *array.shape[3:])[i].numpy() for array in (y, mu, s)))
        for i in range(24)
    ]
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=1e-10, atol=1e-12)


# ---- estimated noise parameters


@pytest.mark.parametrize("parameter", ["global", "per_image"])
@every_channels
def test_estimated_parameters_start_at_their_bias(channels: int, parameter: str) -> None:
    method = Laine19(parameter=parameter)  # type: ignore[arg-type]
    torch.manual_seed(0)
    net, y = method.build(channels), torch.rand(3, channels, 32, 32)
    with torch.no_grad():
        found = method.noise_parameter(net(y), None, "gauss")
    assert torch.equal(found, START.expand(3))
    assert float(START) == pytest.approx(0.019149928, abs=5e-10)


def test_a_known_level_leaves_nothing_to_estimate() -> None:
    net = Laine19Known().build(3)
    assert isinstance(net, Gaussians)
    assert net.raw is None
    assert net.estimator is None
    with pytest.raises(msgspec.ValidationError, match="parameter"):
        registry.configured(Laine19Known, {"parameter": "per_image"})


def test_the_estimator_is_one_number_per_image_of_its_own() -> None:
    torch.manual_seed(0)
    net, y = Laine19(parameter="per_image").build(3), torch.rand(3, 3, 32, 64)
    assert isinstance(net, Gaussians)
    assert net.estimator is not None
    nn.init.normal_(net.estimator.last.weight)
    with torch.no_grad():
        raw, alone = net(y)[:, -1], net(y[1:2])[:, -1]
    assert torch.equal(raw, raw[:, :1, :1].expand_as(raw))
    assert len(raw[:, 0, 0].unique()) == 3
    torch.testing.assert_close(alone, raw[1:2], rtol=1e-4, atol=1e-6)


def recovered(bonus: float) -> float:
    """The learned sigma where every pixel's prior variance is free, from y = 0.5 + noise of known sigma."""
    rng = np.random.default_rng(0)
    sd = torch.from_numpy(np.tile(np.linspace(0.0, 0.2, 20), 2000))
    y = torch.from_numpy(rng.standard_normal(len(sd))) * (sd.square() + SIGMA**2).sqrt()
    residual = y.view(2000, 20).square().mean(0)  # one prior variance per group, so its optimum is known
    raw = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([raw], 0.02)
    for _ in range(400):
        noise = (F.softplus(raw - 4.0) + 1e-3).square()
        prior_variance = (residual - noise).clamp(min=0.0).detach()
        zero, s = torch.zeros(20, 1, dtype=torch.float64), noise.expand(20, 1)
        at = negative_log_likelihood(residual.sqrt().unsqueeze(-1), zero, prior_variance.view(20, 1, 1), s, bonus)
        adam.zero_grad()
        at.mean().backward()
        adam.step()
    return float(F.softplus(raw.detach() - 4.0) + 1e-3)


def test_the_bonus_finds_the_noise_level() -> None:
    """The sum of both variances alone is seen: without the bonus nothing drives their parts away from the start."""
    assert recovered(0.1) == pytest.approx(SIGMA, rel=0.05)
    assert recovered(0.0) < 0.5 * SIGMA


# ---- DBSN


class Emits(nn.Module):
    """mu and the raw numbers of DBSN's network, given; the noise of y differs from that of mu."""

    def __init__(self, mu: Tensor, s_mu: float, of_y: Tensor | float, of_mu: float) -> None:
        super().__init__()
        raw = [torch.as_tensor(value, dtype=mu.dtype).expand_as(mu) for value in (s_mu, of_y, of_mu)]
        self.out = torch.cat([mu, *raw], dim=1)

    def forward(self, y: Tensor) -> Tensor:
        return self.out


def context(family: str, level: Tensor | None = None) -> Context:
    return Context(Progress(1, 1), Rng(0, torch.tensor([0])), 100, families()[family](), level)


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    """y and mu."""
    torch.manual_seed(2)
    y, mu = torch.rand(2, 2, 3, 6, 5, dtype=torch.float64)
    return y, mu


@pytest.mark.parametrize("family", ["gauss", "poisson"])
def test_limits_of_dbsn(family: str, images: tuple[Tensor, Tensor]) -> None:
    y, mu = images
    close = {"rtol": 0.0, "atol": 1e-9}
    equal = float(F.softplus(torch.tensor(0.7 - 4.0, dtype=torch.float64)) + 1e-3)
    none, same = (0.0, equal) if family == "gauss" else (-1e4, 0.7)  # sigma_mu itself, or what a softplus makes it of
    for (s_mu, s_n), expected in {(1e4, -1e4): y, (none, 1e4): mu, (same, 0.7): (y + mu) / 2}.items():
        made = DBSN().denoise(Emits(mu, s_mu, s_n, s_n), y, context(family))
        torch.testing.assert_close(made["map"], expected, **close)
        assert torch.equal(made["mu"], mu)


def test_dbsn_equals_the_closed_form(images: tuple[Tensor, Tensor]) -> None:
    """Of two Gaussians, pixel by pixel: the posterior mean that Laine19 has too."""
    y, mu = images
    a, b = torch.tensor(0.04, dtype=torch.float64), (F.softplus(torch.tensor(3.0).double() - 4.0) + 1e-3) ** 2
    found = DBSN().denoise(Emits(mu, -0.2, 3.0, -9.0), y, context("gauss"))["map"]
    torch.testing.assert_close(found, mu + a / (a + b) * (y - mu), rtol=1e-12, atol=1e-14)
    one_by_one = posterior_mean(*(t.unsqueeze(-1) for t in (y, mu)), a.expand(*y.shape, 1, 1), b.expand(*y.shape, 1))
    torch.testing.assert_close(found, one_by_one.squeeze(-1), rtol=1e-12, atol=1e-14)


def test_dbsn_noise_is_positive_and_one_number_per_image_under_gaussian_noise(images: tuple[Tensor, Tensor]) -> None:
    y, mu = images
    net = Emits(mu, 0.0, 3.0 * torch.randn_like(mu) - 5.0, 1.0)
    _, _, s_n = DBSN().distributions(net, y, context("gauss"))
    assert (s_n > 0.0).all()
    assert torch.equal(s_n, s_n[..., :1, :1].expand_as(s_n))
    assert len(s_n[:, 0, 0, 0].unique()) == 2
    _, _, s_n = DBSN().distributions(Emits(mu, 0.0, -1e4, -1e4), y, context("poisson"))
    torch.testing.assert_close(s_n, torch.full_like(s_n, 1e-6), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("family", ["gauss", "poisson"])
def test_dbsn_loss_is_half_the_mean(family: str, images: tuple[Tensor, Tensor]) -> None:
    y, mu = images
    net = Emits(mu, 0.5, 2.0, 3.0)
    s_mu, s_y, s_of_mu = ((F.softplus(torch.tensor(raw).double() - 4.0) + 1e-3) ** 2 for raw in (0.5, 2.0, 3.0))
    s = 0.25 + s_y if family == "gauss" else s_mu + s_of_mu
    (loss,) = DBSN().losses(net, Batch(y), context(family))
    expected = 0.5 * ((y - mu) ** 2 / s + torch.log(s)).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("family", ["gauss", "poisson"])
def test_dbsn_begins_with_its_mean(family: str, small: Small) -> None:
    """The loss sees only the sum of both variances: what the start gives to the estimate's, the map takes from y."""
    torch.manual_seed(3)
    y, method = torch.rand(1, 3, 16, 16), small("dbsn", width=16, blocks=1)
    net = method.build(3)
    assert net is not None
    _, s_mu, s_n = method.distributions(net, y, context(family))
    assert (s_n > 30.0 * s_mu).all()


# ---- robustness


TRAINED: list[tuple[str, dict[str, Any]]] = [
    ("laine19", {}), ("laine19", {"parameter": "per_image"}), ("laine19-known", {}),
    ("dbsn", {"width": 16, "blocks": 1}),
]  # fmt: skip


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("family", "level"), [("gauss", 0.0), ("gauss", 25.0), ("poisson", 5000.0), ("poisson", 5.0)])
@pytest.mark.parametrize(("name", "fields"), TRAINED, ids=["global", "per_image", "known", "dbsn"])
def test_constant_images_give_finite_losses_and_gradients(
    name: str, fields: dict[str, Any], family: str, level: float, value: float, small: Small
) -> None:
    torch.manual_seed(4)
    method = small(name, **fields)
    net, levels = method.build(3), torch.tensor([level])
    assert net is not None
    y = torch.full((1, 3, 32, 32), value)
    told = levels if registry.find(name).knowledge == "level" else None
    for loss in method.losses(net, Batch(y, level=told), context(family, told)):
        loss.backward()
        assert torch.isfinite(loss)
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert len(gradients) > 10
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    with torch.no_grad():
        made = method.denoise(net, y, context(family, told))
    assert all(torch.isfinite(image).all() for image in made.values())


@every_channels
def test_priors_without_any_variance_are_as_good_as_others(channels: int) -> None:
    """Sigma_x = 0, and of rank one, with the smallest noise there is."""
    y = torch.rand(1, 2, 2, channels, dtype=torch.float64)
    for fill in (0.0, 3.0):
        made = torch.zeros(1, channels + channels * (channels + 1) // 2, 2, 2)
        made[:, channels : 2 * channels] = fill  # the first row of U
        mu, sigma_x = prior(made.requires_grad_(), channels)
        noise = variance("gauss", mu, torch.tensor([1e-3]))
        loss = negative_log_likelihood(y, mu, sigma_x, noise, 0.1).mean()
        (gradient,) = torch.autograd.grad(loss, made)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert torch.isfinite(posterior_mean(y, mu, sigma_x, noise)).all()
