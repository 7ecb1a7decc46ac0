"""Methods of deepinv and CAREamics: what is said without the library, and with it that its code gives the numbers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.cli import bench, refused
from support.libraries import here
from torch import Tensor, nn

from bench.compute.step import parts
from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.bridges import library
from bench.methods.bridges.careamics import CAREamicsN2V
from bench.methods.bridges.deepinv import DeepinvNBR2NBR, DeepinvR2R, DeepinvSURE
from bench.methods.nbr2nbr import PAIRS, subsample
from bench.methods.networks.unet import UNetConfig
from bench.methods.r2r import R2R
from bench.methods.rng import Rng
from bench.protocol.plan import make
from bench.protocol.request import Request

LOSSES = ("deepinv-r2r", "deepinv-nbr2nbr", "deepinv-sure", "careamics-n2v")
ALL = (*LOSSES, "deepinv-denoiser")
SIZE = 3  # samples of a batch
NET = UNetConfig(width=4)


def needs(package: str) -> pytest.MarkDecorator:
    why = library.missing(package)
    return pytest.mark.skipif(why is not None, reason=str(why))


def context(noise: str = "gauss25", t: float = 0.5) -> Context:
    """Of a training step with SIZE samples."""
    return Context(Progress(round(100 * t), 100), Rng(7, torch.arange(SIZE)), 100, parse(noise).family)


def batch(side: int = 64, level: float = 25.0) -> Batch:
    draws = torch.Generator().manual_seed(1)  # noqa: TID251 - a seed of its own
    return Batch(torch.rand(SIZE, 3, side, side, generator=draws), None, torch.full((SIZE,), level))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(3)
    return NET.build(3)


class Called(nn.Module):
    """A network as deepinv calls it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, y: Tensor, physics: Any) -> Any:
        return self.net(y)


def losses(method: Method, net: nn.Module, given: Batch, ctx: Context) -> list[float]:
    """The loss of each sample: what the method yields is the mean's part."""
    return [SIZE * float(part) for part in method.losses(net, given, ctx)]


# ---- without the library


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine without the libraries."""
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    library.missing.cache_clear()
    yield
    library.missing.cache_clear()


@pytest.mark.parametrize("name", ALL)
def test_without_the_library_a_run_says_what_to_install(name: str, without: None, tmp_path: Path) -> None:
    package = name.partition("-")[0]
    said = refused("run", "--methods", name, "--noise", "gauss25", "--steps", 1, "--store", tmp_path / "store")
    assert f"pip install 'blind2unblind-bench[{package}]'" in said


def test_without_the_library_they_are_listed_and_have_keys(without: None) -> None:
    result = bench("methods", "--format", "csv")
    assert result.code == 0
    assert all(f"\n{name}," in result.out for name in ALL)
    cells = make(Request(suite="bridges", methods=ALL)).cells
    assert all(unit.key for cell in cells for unit in cell.units())


def test_a_torchvision_of_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(library, "find_spec", lambda name: object())
    monkeypatch.setattr(library, "import_module", fails)
    why = library.missing.__wrapped__("deepinv")
    assert why is not None
    assert "torchvision" in why
    assert "nms does not exist" in why


def test_the_methods_are_known_before_a_library_is_loaded() -> None:
    code = "from bench.methods import registry; registry.methods(); import sys; print('deepinv' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_wrong_fields_are_refused() -> None:
    with pytest.raises(InputError, match="roi_size"):
        CAREamicsN2V(roi_size=4)
    assert "alpha" in refused("run", "--methods", "n2c", "--set", "deepinv-r2r.alpha=1.5", "--dry-run")


def test_the_suite_gives_both_sides_equal_settings() -> None:
    """R2R's alpha is sqrt(alpha / (1 - alpha)) of deepinv's; N2V masks one pixel of every box of this side."""
    methods = ("r2r", "n2v", "deepinv-r2r", "careamics-n2v", "deepinv-nbr2nbr")
    for preset in ("mini", "reduced"):
        made: dict[str, Any] = {
            cell.name: cell.fit.method for cell in make(Request(suite="bridges", preset=preset, methods=methods)).cells
        }
        ours, theirs = made["r2r"], made["deepinv-r2r"]
        assert (theirs.alpha / (1 - theirs.alpha)) ** 0.5 == pytest.approx(ours.alpha)
        assert theirs.eval_n_samples == ours.ensemble
        ours, theirs = made["n2v"], made["careamics-n2v"]
        assert (100.0 / theirs.masked_pixel_percentage) ** 0.5 == round((100.0 / ours.perc) ** 0.5)
        assert (theirs.roi_size, theirs.strategy) == (2 * ours.radius + 1, "uniform")
        assert (ours.manipulator, ours.loss) == ("withoutCP", "mse")
        assert made["deepinv-nbr2nbr"].ramp


# ---- their code gives the numbers


@needs("deepinv")
@pytest.mark.parametrize("noise", ["gauss25", "poisson30"])
def test_r2r_is_deepinv_s_under_the_same_random_state(noise: str, net: nn.Module) -> None:
    from deepinv.loss import R2RLoss
    from deepinv.physics import Denoising, GaussianNoise, PoissonNoise

    given, ctx = batch(level=parse(noise).high), context(noise)
    model = GaussianNoise(25.0 / 255.0) if noise == "gauss25" else PoissonNoise(1.0 / 30.0)
    loss, physics = R2RLoss(noise_model=model, alpha=0.2, eval_n_samples=2), Denoising(model)
    adapted, expected, images = loss.adapt_model(Called(net)), [], []
    for one, seed in library.each(ctx.rng):
        torch.manual_seed(seed)
        x_net = adapted.train()(given.noisy[one], physics, update_parameters=True)
        expected.append(float(loss(x_net, given.noisy[one], physics, adapted)))
        torch.manual_seed(seed)
        images.append(adapted.eval()(given.noisy[one], physics))
    method = DeepinvR2R(alpha=0.2, eval_n_samples=2, net=NET)
    assert losses(method, net, given, ctx) == pytest.approx(expected, rel=1e-6)
    found = method.denoise(net, given.noisy, ctx._replace(level=given.level))["denoised"]
    torch.testing.assert_close(found, torch.cat(images))


@needs("deepinv")
@pytest.mark.parametrize(("ramp", "gamma"), [(False, 3.0), (True, 1.5)])
def test_nbr2nbr_is_deepinv_s_under_the_same_random_state(ramp: bool, gamma: float, net: nn.Module) -> None:
    from deepinv.loss import Neighbor2Neighbor

    given, ctx, expected = batch(), context(), []
    for one, seed in library.each(ctx.rng):
        torch.manual_seed(seed)
        expected.append(float(Neighbor2Neighbor(gamma=gamma)(given.noisy[one], None, Called(net))))
    found = losses(DeepinvNBR2NBR(gamma=3.0, ramp=ramp, net=NET), net, given, ctx)
    assert found == pytest.approx(expected, rel=1e-6)


@needs("deepinv")
@pytest.mark.parametrize("noise", ["gauss25", "poisson30"])
def test_sure_is_deepinv_s_under_the_same_random_state(noise: str, net: nn.Module) -> None:
    from deepinv.loss import SureGaussianLoss, SurePoissonLoss
    from deepinv.physics import Denoising

    given, ctx, expected = batch(level=parse(noise).high), context(noise), []
    loss = SureGaussianLoss(25.0 / 255.0, 0.02) if noise == "gauss25" else SurePoissonLoss(1.0 / 30.0, 0.02)
    for one, seed in library.each(ctx.rng):
        torch.manual_seed(seed)
        y, model = given.noisy[one], Called(net)
        expected.append(float(loss(y=y, x_net=net(y), physics=Denoising(), model=model)))
    found = losses(DeepinvSURE(tau=0.02, net=NET), net, given, ctx)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@needs("careamics")
def test_n2v_is_careamics_with_the_same_seed(net: nn.Module) -> None:
    from careamics.config.algorithms.n2v_manipulation import N2VManipulateConfig
    from careamics.lightning.modules.n2v_utils import N2VManipulate
    from careamics.losses import n2v_loss

    given, ctx, expected = batch(), context(), []
    for one, seed in library.each(ctx.rng):
        config = N2VManipulateConfig(masked_pixel_percentage=1.5625, roi_size=5, seed=seed)
        manipulated, original, mask = N2VManipulate(config, device="cpu")(given.noisy[one])
        assert mask.sum((2, 3)).tolist() == [[64, 64, 64]]  # one pixel in every box of 8 x 8
        expected.append(float(n2v_loss(net(manipulated), original, mask)))
    method = CAREamicsN2V(masked_pixel_percentage=1.5625, roi_size=5, net=NET)
    assert losses(method, net, given, ctx) == pytest.approx(expected, rel=1e-6)


# ---- the same draws give our loss, number for number


@needs("deepinv")
def test_r2r_of_both_is_equal_for_the_same_draw(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    given, ctx = batch(), context()
    (ours,) = R2R(alpha=0.5, net=NET).losses(net, given, ctx)
    z = ctx.rng.normal("z", *given.noisy.shape[1:]) * 25.0 / 255.0
    draws = iter(z.split(1))
    monkeypatch.setattr(torch.distributions.Normal, "sample", lambda self: next(draws))
    theirs = losses(DeepinvR2R(alpha=0.2, net=NET), net, given, ctx)
    assert sum(theirs) / SIZE == pytest.approx(float(ours.detach()), rel=1e-5)


@needs("deepinv")
def test_nbr2nbr_of_both_is_equal_for_the_same_pairs(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepinv.loss import Neighbor2Neighbor

    given, ctx = batch(), context()
    (ours,) = registry.find("nbr2nbr")(net=NET).losses(net, given, ctx)
    pairs = ctx.rng.integers("neighbour pairs", 8, 32, 32)
    masks = iter([mask_pair(one) for one in pairs])
    monkeypatch.setattr(Neighbor2Neighbor, "generate_mask_pair", lambda self, image: next(masks))
    theirs = losses(DeepinvNBR2NBR(ramp=True, net=NET), net, given, ctx)
    assert sum(theirs) / SIZE == pytest.approx(float(ours.detach()), rel=1e-5)
    cut = Neighbor2Neighbor.generate_subimages(given.noisy[:1], mask_pair(pairs[0])[0])
    torch.testing.assert_close(cut, subsample(given.noisy[:1], pairs[:1])[0], rtol=0, atol=0)


@needs("careamics")
def test_n2v_of_both_is_equal_on_average() -> None:
    """Over draws, of a fixed filter: the masks, the loss and the replacements of smooth images cost the same."""
    given, filtered = batch(), nn.AvgPool2d(3, 1, 1)
    smooth = given._replace(noisy=nn.functional.avg_pool2d(given.noisy, 5, 1, 2) + 0.1 * given.noisy)
    ours, theirs = registry.find("n2v")(net=NET), CAREamicsN2V(masked_pixel_percentage=1.5625, net=NET)
    drawn = [
        torch.tensor([losses_of(method, filtered, smooth, seed) for seed in range(40)]) for method in (ours, theirs)
    ]
    error = sum(float(one.var()) / len(one) for one in drawn) ** 0.5
    assert abs(float(drawn[0].mean() - drawn[1].mean())) < 4 * error < 0.08 * float(drawn[0].mean())


def losses_of(method: Method, net: nn.Module, given: Batch, seed: int) -> float:
    ctx = context()._replace(rng=Rng(seed, torch.arange(SIZE)))
    return sum(float(part) for part in method.losses(net, given, ctx))


def mask_pair(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """deepinv's two masks, flat over the four places of every cell, for our pairs [H/2, W/2]."""
    places = torch.tensor(PAIRS)[pairs.flatten()]
    first, second = (nn.functional.one_hot(places[:, k], 4).flatten().bool() for k in (0, 1))
    return first, second


# ---- in the harness


@pytest.mark.parametrize("name", here(LOSSES))
def test_random_numbers_do_not_depend_on_the_global_state(name: str, net: nn.Module) -> None:
    method, given = registry.find(name)(net=NET), batch()
    found = []
    for seed, chunk in ((1, 1), (2, SIZE)):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        split = parts(net, method, given if method.knowledge == "level" else given._replace(level=None),
                      context()._replace(chunk=chunk))  # fmt: skip
        found.append([float(part.detach()) for part in split])
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", here(LOSSES))
def test_a_training_that_was_interrupted_ends_as_if_it_was_not(name: str, tmp_path: Path) -> None:
    from bench.compute import training

    asked = ("run", "--suite", "bridges", "--methods", name, "--steps", 4, "--seeds", 0, "--precision", "float32",
             "--threads", 1)  # fmt: skip
    stores = [tmp_path / "whole", tmp_path / "stopped"]
    assert bench(*asked, "--store", stores[0]).code == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupts_after(2, patch, training)
        assert bench(*asked, "--store", stores[1]).code != 0
    result = bench(*asked, "--store", stores[1])
    assert result.code == 0, result.err
    weights = [next(store.glob(f"fits/{name}/**/*.safetensors")).read_bytes() for store in stores]
    assert weights[0] == weights[1]


def interrupts_after(steps: int, patch: pytest.MonkeyPatch, training: Any) -> None:
    """Ctrl-C after so many steps."""
    plain: Callable[..., str] = training.Step.__call__

    def step(self: Any, number: int, *others: Any) -> str:
        if number == steps:
            raise KeyboardInterrupt
        return plain(self, number, *others)

    patch.setattr(training.Step, "__call__", step)


@pytest.mark.parametrize("model", ["TVDenoiser", "MedianFilter"])
@needs("deepinv")
def test_a_denoiser_of_deepinv_denoises(model: str) -> None:
    clean = torch.full((2, 3, 24, 24), 0.5)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))  # noqa: TID251
    method: Any = registry.find("deepinv-denoiser")(model=model)
    ctx: Any = SimpleNamespace(level=torch.full((2,), 25.5))
    found = method.denoise(nn.Identity(), noisy, ctx)["denoised"]
    assert found.shape == noisy.shape
    assert (found - clean).square().mean() < 0.2 * (noisy - clean).square().mean()
    torch.testing.assert_close(
        method.denoise(nn.Identity(), noisy[1:], SimpleNamespace(level=ctx.level[1:]))["denoised"], found[1:]
    )
