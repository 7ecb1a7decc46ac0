"""R2R, GR2R's thinning of counts, and Noisier2Noise: pairs from one noisy image, and what inference makes of them."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from support.linear import standard_errors
from torch import Tensor, nn

from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.gr2r import GR2R
from bench.methods.noisier2noise import Noisier2Noise
from bench.methods.r2r import R2R, Recorrupted
from bench.methods.rng import Rng

SIDE = 1000  # N = 10^6 pixels
SIGMA = 25.0 / 255.0
THINNING = GR2R(a=0.2)  # the configuration r2r-thinning


class Pair(NamedTuple):
    """A clean image, one noisy image of it, and its two recorruptions, flat."""

    clean: Tensor
    noisy: Tensor
    first: Tensor
    second: Tensor


class Linear(nn.Module):
    """a x + b, and all that it was given."""

    def __init__(self, a: float = 1.0, b: float = 0.0) -> None:
        super().__init__()
        self.a, self.b = a, b
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.a * x + self.b


def context(family: str, level: float, seed: int = 0, samples: tuple[int, ...] = (0,)) -> Context:
    levels = torch.full((len(samples),), level, dtype=torch.float64)
    return Context(Progress(1, 1), Rng(seed, torch.tensor(samples)), 100, parse(f"{family}1").family, levels)


def made(method: Recorrupted, clean: Tensor, noisy: Tensor, family: str, level: float) -> Pair:
    ctx = context(family, level)
    assert ctx.level is not None
    return Pair(*(x.flatten() for x in (clean, noisy, *method.pair(noisy, ctx.level, ctx, "z"))))


def gaussian(said: float = 1.0, alpha: float = 0.5) -> Pair:
    """A random image with noise of SIGMA, recorrupted by `said` times the right level."""
    draws = np.random.default_rng(0)
    clean = torch.from_numpy(draws.random((1, 1, SIDE, SIDE)))
    noisy = clean + SIGMA * torch.from_numpy(draws.standard_normal(clean.shape))
    return made(R2R(alpha=alpha), clean, noisy, "gauss", 25.0 * said)


def poisson(method: Recorrupted, level: float, x: float = 0.6) -> Pair:
    """A constant image with Poisson noise."""
    clean = torch.full((1, 1, SIDE, SIDE), x, dtype=torch.float64)
    counts = np.random.default_rng(1).poisson(level * clean.numpy())
    return made(method, clean, torch.from_numpy(counts / level), "poisson", level)


def covariance(pair: Pair) -> Tensor:
    """Products of the two errors, whose mean is the covariance."""
    one, two = pair.first - pair.clean, pair.second - pair.clean
    return (one - one.mean()) * (two - two.mean())


def dependence(pair: Pair) -> float:
    """The largest distance of E[second | first in a bin] from the clean value, in standard errors."""
    edges = torch.unique(torch.quantile(pair.first[:100_000], torch.linspace(0.05, 0.95, 19, dtype=torch.float64)))
    bins = torch.bucketize(pair.first, edges)
    errors = [(pair.second - pair.clean)[bins == one] for one in bins.unique()]
    return max(standard_errors(error) for error in errors if len(error) > 1000)


# ---- R2R, Gaussian


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_pair_is_uncorrelated_with_the_right_level(alpha: float) -> None:
    pair = gaussian(alpha=alpha)
    bound = 4 * ((1 + alpha**2) * (1 + 1 / alpha**2) / SIDE**2) ** 0.5
    assert abs(float(covariance(pair).mean())) < bound * SIGMA**2
    assert standard_errors(covariance(pair)) < 4


@pytest.mark.parametrize(("said", "left"), [(0.8, 0.36), (1.2, -0.44)])
def test_a_wrong_level_leaves_a_covariance(said: float, left: float) -> None:
    assert float(covariance(gaussian(said)).mean()) / SIGMA**2 == pytest.approx(left, abs=0.02)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_variances_are_the_paper_s(alpha: float) -> None:
    pair = gaussian(alpha=alpha)
    assert float((pair.first - pair.clean).var()) == pytest.approx((1 + alpha**2) * SIGMA**2, rel=0.01)
    assert float((pair.second - pair.clean).var()) == pytest.approx((1 + 1 / alpha**2) * SIGMA**2, rel=0.01)


def test_the_pair_is_independent() -> None:
    """Not only uncorrelated: neither are its squares, and no bin of the input tells of the target's error."""
    pair = gaussian()
    squares = Pair(torch.zeros(1), pair.noisy, (pair.first - pair.clean) ** 2, (pair.second - pair.clean) ** 2)
    assert standard_errors(covariance(squares)) < 4
    errors = pair._replace(first=pair.first - pair.clean, second=pair.second - pair.clean, clean=torch.zeros(1))
    assert dependence(errors) < 4


@pytest.mark.parametrize("family", ["gauss", "poisson"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_pair_adds_up_to_the_noisy_image(alpha: float, family: str) -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).random((1, 3, 16, 16)))
    pair = made(R2R(alpha=alpha), noisy, noisy, family, 25.0)
    together = (pair.first + alpha**2 * pair.second) / (1 + alpha**2)
    torch.testing.assert_close(together, pair.noisy, rtol=1e-12, atol=1e-12)
    assert not torch.equal(pair.first, pair.noisy)


def test_every_image_is_recorrupted_at_its_own_level() -> None:
    noisy = torch.full((2, 3, 200, 200), 0.5, dtype=torch.float64)
    ctx = context("gauss", 25.0, samples=(0, 1))
    first, _ = R2R().pair(noisy, torch.tensor([10.0, 50.0]), ctx, "z")
    stds = (first - noisy).flatten(1).std(1).tolist()
    assert stds == [pytest.approx(0.5 * level / 255.0, rel=0.02) for level in (10.0, 50.0)]


@pytest.mark.parametrize("noise", ["gauss25", "gauss5_50", "poisson30", "poisson5_50"])
def test_r2r_is_defined_for_known_levels_alone(noise: str) -> None:
    assert R2R().applies(parse(noise), 3) is None
    assert R2R().applies(parse("none"), 3)


def old_deviation(y: Tensor, level: Tensor, name: str) -> Tensor:
    """What R2R computed before families had one formula: the numbers must be these to the last bit."""
    if name == "gauss":
        return level / 255.0
    if name == "poisson":
        return (y.clamp(min=0.0) / level).sqrt()
    a = [float(one) * 1e-4 for one in level.flatten()]
    b = [float(np.exp(2.18 * np.log(one) + 1.20)) for one in a]
    return (y.clamp(min=0.0) * level.new_tensor(a).view_as(level) + level.new_tensor(b).view_as(level)).sqrt()


@pytest.mark.parametrize("family", ["gauss", "poisson", "sensor"])
def test_recorruptions_have_the_known_bits(family: str) -> None:
    samples = tuple(range(64))
    ctx = context(family, 1.0, samples=samples)
    levels = torch.linspace(1.0, 120.0, len(samples))
    noisy = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.4, (len(samples), 3, 4, 4)).astype(np.float32))
    first, second = R2R().pair(noisy, levels, ctx, "z")
    z = old_deviation(noisy, levels.view(-1, 1, 1, 1), family) * ctx.rng.normal("z", 3, 4, 4)
    assert torch.equal(first, noisy + 0.5 * z)
    assert torch.equal(second, noisy - z / 0.5)


def test_a_poisson_gaussian_pair_is_unbiased_and_uncorrelated() -> None:
    draws = np.random.default_rng(1)
    clean = torch.full((1, 1, SIDE, SIDE), 0.6, dtype=torch.float64)
    counts = draws.poisson(30.0 * clean.numpy())
    noisy = torch.from_numpy(counts / 30.0 + draws.standard_normal(clean.shape) * (25.5 / 255.0))
    noise = parse("poisson30+gauss25.5").family
    ctx = context("poisson", 30.0)._replace(noise=noise)
    assert ctx.level is not None
    pair = Pair(*(x.flatten() for x in (clean, noisy, *R2R().pair(noisy, ctx.level, ctx, "z"))))
    assert standard_errors(pair.first, 0.6) < 4
    assert standard_errors(covariance(pair)) < 4


@pytest.mark.parametrize(
    ("method", "defined"),
    [("r2r", True), ("n2c", True), ("b2u", True), ("bm3d-vst", True), ("gr2r", False), ("anscombe", False),
     ("bm3d", False), ("dbsn", False), ("laine19", False), ("laine19-known", False), ("noisier2noise", False)],
)  # fmt: skip
def test_which_methods_are_defined_for_poisson_gaussian_noise(method: str, defined: bool) -> None:
    reason = registry.find(method)().applies(parse("poisson30+gauss10"), 3)
    assert (reason is None) == defined
    assert defined or reason


# ---- R2R, Poisson


@pytest.mark.parametrize("method", [R2R(), THINNING], ids=["plug-in", "thinning"])
@pytest.mark.parametrize("level", [5.0, 30.0])
def test_poisson_pairs_are_unbiased_and_uncorrelated(level: float, method: Recorrupted) -> None:
    pair = poisson(method, level)
    assert standard_errors(pair.first, 0.6) < 4
    assert standard_errors(pair.second, 0.6) < 4
    assert standard_errors(covariance(pair)) < 4


def test_the_plug_in_leaves_zero_counts_as_they_are() -> None:
    pair = poisson(R2R(), 5.0, x=0.2)
    zero = pair.noisy == 0
    assert 0.3 < float(zero.double().mean()) < 0.45
    assert (pair.first[zero] == 0).all()
    assert (pair.second[zero] == 0).all()
    assert (pair.first[~zero] != pair.noisy[~zero]).all()


@pytest.mark.parametrize("level", [5.0, 30.0])
def test_thinning_splits_the_counts_exactly(level: float) -> None:
    pair, a = poisson(THINNING, level), 0.2
    torch.testing.assert_close((1 - a) * pair.first + a * pair.second, pair.noisy, rtol=1e-12, atol=1e-12)
    for part, share in ((pair.first, 1 - a), (pair.second, a)):
        counts = part * share * level
        torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-9)
        assert (counts.round() >= 0).all()
        assert float(counts.mean()) == pytest.approx(share * level * 0.6, rel=0.01)


@pytest.mark.parametrize("level", [5.0, 30.0])
def test_the_target_of_thinning_does_not_depend_on_its_input(level: float) -> None:
    pair = poisson(THINNING, level)
    assert dependence(pair._replace(first=pair.first.round(decimals=9))) < 4  # equal counts are equal numbers


@pytest.mark.parametrize("level", [5.0, 30.0])
def test_the_target_of_the_plug_in_depends_on_its_input(level: float) -> None:
    """The known bias: the check that thinning passes can fail."""
    assert dependence(poisson(R2R(), level)) > 10


# ---- inference and loss of R2R


@pytest.mark.parametrize("method", [R2R(ensemble=7), GR2R(a=0.2, ensemble=7)], ids=["r2r", "thinning"])
def test_every_pass_gets_its_own_recorruption_of_the_image(method: Recorrupted) -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).poisson(15.0, (1, 3, 32, 32)) / 30.0)
    net = Linear()
    method.denoise(net, noisy, context("poisson", 30.0))
    assert len(net.seen) == method.passes()["denoised"] == 7
    assert len({x.numpy().tobytes() for x in (noisy, *net.seen)}) == 8
    for x in net.seen:
        assert float((x - noisy).mean()) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("ensemble", [1, 16, 64])
def test_a_linear_network_s_ensemble_approaches_its_plain_output(ensemble: int) -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).random((1, 3, 64, 64)))
    image = R2R(ensemble=ensemble).denoise(Linear(0.7, 0.1), noisy, context("gauss", 25.0))["denoised"]
    expected = 0.7 * 0.5 * SIGMA / ensemble**0.5  # a alpha sigma / sqrt(n)
    assert float((image - (0.7 * noisy + 0.1)).std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("method", [R2R(ensemble=3), GR2R(a=0.2, ensemble=3), Noisier2Noise()])
def test_equal_seeds_give_equal_images(method: Method) -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).poisson(15.0, (1, 3, 16, 16)) / 30.0)
    family = "gauss" if isinstance(method, Noisier2Noise) else "poisson"
    one, two, other = (
        method.denoise(Linear(0.7), noisy, context(family, 30.0, seed))["denoised"] for seed in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_loss_of_r2r_compares_the_pair() -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).random((2, 3, 16, 16)))
    ctx = context("gauss", 25.0, samples=(0, 1))
    net = Linear(0.7, 0.1)
    (loss,) = R2R().losses(net, Batch(noisy, level=ctx.level), ctx)
    (z,) = ((x - noisy) / 0.5 for x in net.seen)
    expected = ((0.7 * (noisy + 0.5 * z) + 0.1 - (noisy - z / 0.5)) ** 2).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-9)
    assert float(z.std()) == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.parametrize(("ensemble", "said"), [(50, ""), (60, ""), (8, "8 of 50 passes")])
def test_a_smaller_ensemble_than_the_official_one_is_said(ensemble: int, said: str) -> None:
    assert R2R(ensemble=ensemble).reduced_settings(10) == said


# ---- Noisier2Noise


TAU, MEAN = 0.2, 0.5  # of the scalar Gaussian model x ~ N(MEAN, TAU^2)


def corrected(alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x, z, x^) of the scalar model with the exact E[y|z] as the network."""
    draws = np.random.default_rng(2)
    clean = MEAN + TAU * torch.from_numpy(draws.standard_normal((1, 1, SIDE, SIDE)))
    noisy = clean + SIGMA * torch.from_numpy(draws.standard_normal(clean.shape))
    slope = (TAU**2 + SIGMA**2) / (TAU**2 + SIGMA**2 * (1 + alpha**2))
    net = Linear(slope, MEAN * (1 - slope))
    image = Noisier2Noise(alpha=alpha).denoise(net, noisy, context("gauss", 25.0))["denoised"]
    (z,) = net.seen
    assert float((z - noisy).std()) == pytest.approx(alpha * SIGMA, rel=0.01)
    assert standard_errors((z - noisy) * (noisy - noisy.mean())) < 4
    return clean, z, image


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_correction_turns_the_noisy_mean_into_the_clean_one(alpha: float) -> None:
    clean, z, image = corrected(alpha)
    slope = TAU**2 / (TAU**2 + SIGMA**2 * (1 + alpha**2))
    torch.testing.assert_close(image, MEAN + slope * (z - MEAN), rtol=0, atol=1e-6)  # E[x|z]
    assert standard_errors(image - clean) < 4
    assert standard_errors((image - clean) * (z - MEAN)) < 4  # whatever z is


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_identity_gives_back_the_noisier_image(alpha: float) -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).random((1, 3, 32, 32)))
    net = Linear()
    image = Noisier2Noise(alpha=alpha).denoise(net, noisy, context("gauss", 25.0))["denoised"]
    torch.testing.assert_close(image, net.seen[0], rtol=0, atol=1e-12)
    assert not torch.equal(net.seen[0], noisy)


def test_the_loss_of_noisier2noise_compares_with_the_noisy_image() -> None:
    noisy = torch.from_numpy(np.random.default_rng(0).random((2, 3, 64, 64)))
    ctx = context("gauss", 25.0, samples=(0, 1))
    net = Linear()
    (loss,) = Noisier2Noise().losses(net, Batch(noisy, level=torch.tensor([10.0, 50.0])), ctx)
    m = net.seen[0] - noisy
    assert m.flatten(1).std(1).tolist() == [pytest.approx(level / 255.0, rel=0.03) for level in (10.0, 50.0)]
    assert float(loss) == pytest.approx(float((m**2).mean()), rel=1e-9)


@pytest.mark.parametrize("noise", ["gauss5_50", "poisson30", "poisson5_50", "none"])
def test_noisier2noise_is_defined_for_one_gaussian_level_alone(noise: str) -> None:
    assert Noisier2Noise().applies(parse(noise), 3)
    assert Noisier2Noise().applies(parse("gauss25"), 3) is None
