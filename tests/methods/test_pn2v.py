"""PN2V: its mixture is a density, its samples are weighted by Bayes' rule, and its three terms move their own part."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from support.linear import SIGMA, context, gaussian, smooth
from torch import Tensor, nn

from bench.methods.base import Batch
from bench.methods.networks.dncnn import DnCNN
from bench.methods.pn2v import PN2V, Probabilistic, log_likelihood

MIXTURE = torch.tensor([[[0.3, 0.4, 0.2], [1.0, 0.5, -0.7]], [[-0.2, -1.0, 1.5], [0.0, 0.2, 0.4]]]).double()


def density(y: float, s: float) -> float:
    """The mixture in words: weights by a softmax, shifts with mean 0, variances by a softplus."""
    (w1, d1, v1), (w2, d2, v2) = (MIXTURE[:, 0] + MIXTURE[:, 1] * (s - 0.5)).tolist()
    share = 1.0 / (1.0 + math.exp(w2 - w1))
    deviations = [math.sqrt(0.01 * math.log1p(math.exp(v)) + 1e-4) for v in (v1, v2)]
    middle = (d1 + d2) / 2
    parts = [norm.pdf(y, s + 0.1 * (d - middle), sd) for d, sd in zip((d1, d2), deviations, strict=True)]
    return share * parts[0] + (1.0 - share) * parts[1]


def test_the_noise_model_is_the_mixture_and_a_density() -> None:
    y, s = torch.linspace(-1.0, 2.0, 3001).double(), torch.tensor(0.7).double()
    found = log_likelihood(MIXTURE, y, s).exp()
    np.testing.assert_allclose(found[::500], [density(float(one), 0.7) for one in y[::500]], rtol=1e-5)
    assert float(torch.trapezoid(found, y)) == pytest.approx(1.0, abs=1e-6)


def known(sigma: float) -> Tensor:
    """A mixture of one Gaussian with this deviation, whatever the signal."""
    mixture = torch.zeros(1, 2, 3, dtype=torch.float64)
    mixture[0, 0, 2] = math.log(math.expm1((sigma**2 - 1e-4) / 0.01))
    return mixture


class Given(nn.Module):
    """Outputs as they are, and a noise model."""

    def __init__(self, outputs: Tensor, mixture: Tensor) -> None:
        super().__init__()
        self.outputs, self.mixture = nn.Parameter(outputs), nn.Parameter(mixture)

    def forward(self, y: Tensor) -> Tensor:
        return self.outputs


def test_the_weighted_mean_is_the_posterior_mean() -> None:
    """Of samples from a normal prior, and normal noise: the closed form."""
    count, tau, mu = 4000, 0.08, 0.5
    quantiles = norm.ppf((np.arange(count) + 0.5) / count, mu, tau)
    y = gaussian(smooth(1, 1, 8))
    s = torch.from_numpy(quantiles).view(1, count, 1, 1).expand(1, count, 8, 8)
    net = Given(torch.cat([torch.full_like(y, mu), s], dim=1), known(SIGMA))
    with torch.no_grad():
        made = PN2V(K=count).denoise(net, y, context(1))
    posterior = (tau**2 * y + SIGMA**2 * mu) / (tau**2 + SIGMA**2)
    torch.testing.assert_close(made["mmse"], posterior, rtol=0.0, atol=2e-3)
    torch.testing.assert_close(made["prior mean"], torch.full_like(y, mu), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("side", [16, 20])  # boxes of 8 fit, and overhang
def test_every_term_moves_its_own_part(side: int) -> None:
    """The mean follows Noise2Void's loss alone, the samples the likelihood, the noise model the mean's residuals."""
    y = gaussian(smooth(2, 3, side))
    outputs = torch.rand(2, 15, side, side, dtype=torch.float64)
    net = Given(outputs, known(SIGMA).expand(2, -1, -1) + 0.3 * torch.randn(2, 2, 3).double())
    (loss,) = PN2V(K=4).losses(net, Batch(y), context(2))
    loss.backward()
    assert net.outputs.grad is not None
    masked = net.outputs.grad[:, :3].abs().sum(1, keepdim=True) > 0
    assert 0.005 < float(masked.double().mean()) < 0.03
    counts = masked.sum((1, 2, 3), keepdim=True)
    expected = 2.0 * (outputs[:, :3] - y) / 3.0 / 0.1**2 * masked / counts / 2.0
    samples = net.outputs.grad[:, 3:].view(2, 4, 3, side, side)
    torch.testing.assert_close(net.outputs.grad[:, :3] + samples.sum(1), expected, rtol=1e-9, atol=1e-12)
    assert samples.abs().sum() > 0
    mixture = net.mixture.detach().clone().requires_grad_()
    residuals = -log_likelihood(mixture, y, outputs[:, :3]).mean(1, keepdim=True)
    ((residuals * masked).sum((1, 2, 3)) / counts.flatten()).mean().backward()
    torch.testing.assert_close(net.mixture.grad, mixture.grad, rtol=1e-9, atol=1e-12)
    assert mixture.grad is not None
    assert mixture.grad.abs().sum() > 0


def test_samples_begin_around_the_mean() -> None:
    torch.manual_seed(0)
    net = PN2V(K=50, net=DnCNN(depth=2, width=4)).build(1)
    assert isinstance(net, Probabilistic)
    nn.init.zeros_(net.net.last.weight)  # type: ignore[union-attr, arg-type]
    made = net(torch.rand(1, 1, 8, 8))
    assert made.shape == (1, 51, 8, 8)
    assert float((made[:, 1:] - made[:, :1]).detach().std()) == pytest.approx(0.1, rel=0.1)
