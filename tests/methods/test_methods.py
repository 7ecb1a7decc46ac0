"""What the harness gives to a method, and what each paper's equations say; tests/tools holds the conformance kit."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.libraries import here
from torch import Tensor, nn

from bench import api
from bench.compute import sanity as health
from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.compute.step import FRAMES, collate, parts
from bench.compute.training import train
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.datasets.noise.model import Noise, parse
from bench.datasets.sampling import Patches, Samples
from bench.methods import nbr2nbr, registry
from bench.methods.b2u import B2U
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.masks import cell_masks, interpolate
from bench.methods.n2c import N2C
from bench.methods.nbr2nbr import NBR2NBR, subsample
from bench.methods.networks.dncnn import DnCNN
from bench.methods.networks.unet import UNetConfig
from bench.methods.rng import Rng
from bench.protocol.units import Fit

Small = Callable[..., Method]
ALL = sorted(registry.methods())
TRAINED = [name for name in ALL if registry.find(name).has_weights()]
LEARNING = [name for name in ALL if registry.find(name).learns()]
GAUSS, POISSON = parse("gauss25"), parse("poisson30")
CHUNKS = [2, 3, 100, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in (1, 5, 16))]
SIZE = 3  # samples per batch: neither a multiple nor a divisor of most chunks


def context(chunk: int = 100, t: float = 1.0, samples: tuple[int, ...] = tuple(range(SIZE))) -> Context:
    progress, rng = Progress(round(t * 100), 100), Rng(7, torch.tensor(samples))
    return Context(progress, rng, chunk, "gauss", torch.full((len(samples),), 25.0))


def noise_of(method: Method) -> Noise:
    """One that the method is defined for."""
    return GAUSS if method.applies(GAUSS, 3) is None else POISSON


def test_networks_other_than_the_shared_one_are_named() -> None:
    found = {name: registry.other_network(registry.find(name)()) for name in ("n2c", "unsure", "pn2v", "blur")}
    assert set(found.values()) == {""}
    own = ("dbsn", "laine19", "laine19-muonly", "self2self", "zs-n2n", "noise2fast", "dip", "ap-bsn")
    assert {registry.other_network(registry.find(name)()) for name in own} == {"own network"}
    assert registry.other_network(registry.find("n2v2")()) == "U-Net with blur pooling"
    assert registry.other_network(N2C(net=DnCNN())) == "DnCNN"


def test_every_method_is_listed_with_its_network_and_passes() -> None:
    found = {one["name"]: one for one in api.methods()}
    assert found["zs-n2n"]["network"] == "own network"
    assert (found["b2u"]["network"], found["b2u"]["passes"]) == ("U-Net", {"visible": 1, "blind": 16, "weighted": 17})
    assert (found["blur"]["network"], set(found["blur"]["passes"].values())) == ("", {0})
    assert all(one["deviations"] for one in found.values() if one["trains_on"] == "image")


def test_a_method_whose_fields_need_values_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(N2C, frozen=True, kw_only=True):
        weight: float

    monkeypatch.setitem(registry.METHODS.entries, "needy", Needy)
    (one,) = (one for one in api.methods() if one["name"] == "needy")
    assert (one["network"], one["passes"]) == ("", {})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("n2same", "perc", 0.0), ("n2same", "sigma", -1.0), ("self2self", "keep", 1.0), ("self2self", "width", 2),
        ("dip", "skip", 0), ("dip", "sigma_z", -1.0), ("r2r", "alpha", 0.0), ("gr2r", "ensemble", 0),
    ],
)  # fmt: skip
def test_a_refusal_says_the_field_what_it_was_and_what_is_allowed(name: str, field: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"^{name}: .*{field} = {value:g}.*; allowed: .*{field}"):
        registry.find(name)(**{field: value})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ""),
        ({"width": 192, "blocks": 16}, ""),
        ({"width": 192, "blocks": 2}, "2 of 8 blocks"),
        ({"width": 32, "blocks": 2}, "32 of 96 features, 2 of 8 blocks"),
    ],
)
def test_only_a_smaller_network_is_a_reduced_setting(fields: dict[str, int], says: str) -> None:
    assert registry.find("dbsn")(**fields).reduced_settings(10) == says


def random_batch(channels: int = 3, side: int = 64, dtype: torch.dtype = torch.float64) -> Batch:
    draws = torch.Generator().manual_seed(1)  # noqa: TID251 - a seed of its own
    noisy, target = torch.rand(2, SIZE, channels, side, side, generator=draws, dtype=dtype)
    return Batch(noisy, target, torch.full((SIZE,), 25.0))


def network(method: Method, channels: int = 3, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    net = method.build(channels)
    assert net is not None
    return net.to(dtype)


def gradients(net: nn.Module, losses: Iterator[Tensor] | list[Tensor]) -> list[Tensor]:
    net.zero_grad()
    torch.autograd.backward(list(losses))
    return [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]


def total(losses: list[Tensor]) -> float:
    return sum(float(loss.detach()) for loss in losses)


def assert_equal_gradients(found: list[Tensor], expected: list[Tensor]) -> None:
    """Relative to each parameter's largest entry: sums in another order differ in the last digits."""
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()


# ---- the firewall


def hide_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean image becomes NaN once the noise is drawn."""
    plain = Patches.samples

    def samples(self: Patches, items: Tensor, numbers: Tensor, frames: int) -> Samples:
        made = plain(self, items, numbers, frames)
        assert made.clean is not None
        return made._replace(clean=torch.full_like(made.clean, torch.nan))

    monkeypatch.setattr(Patches, "samples", samples)
    monkeypatch.setattr(health, "check_noise", lambda views, noise: None)  # it compares with the clean image


@pytest.mark.parametrize("name", here(TRAINED))
def test_only_supervised_methods_learn_from_the_clean_image(
    name: str, work: Callable[..., Fit], set_images: list[SetImage], machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    unit = work(name, noise_of(registry.find(name)()).name, steps=2)
    expected = train(unit, set_images, machine).net.state_dict()
    hide_clean(monkeypatch)
    if unit.method.supervision == "clean":
        with pytest.raises(health.DivergedError):
            train(unit, set_images, machine)
        return
    for key, weight in train(unit, set_images, machine).net.state_dict().items():
        assert torch.equal(weight, expected[key]), key


@pytest.mark.parametrize("knowledge", ["blind", "family", "level"])
@pytest.mark.parametrize("supervision", ["clean", "pair", "noisy"])
def test_a_batch_holds_what_the_method_declares(supervision: str, knowledge: str) -> None:
    class Declares(Method, frozen=True):
        pass

    Declares.supervision, Declares.knowledge = supervision, knowledge  # type: ignore[assignment]
    clean, one, two = (torch.full((1, 3, 4, 4), value) for value in (0.0, 0.1, 0.2))
    frames = [one, two][: FRAMES[supervision]]
    batch = collate(Samples(frames, [torch.tensor([5.0]), torch.tensor([6.0])], clean), Declares())
    assert batch.noisy.unique().tolist() == [pytest.approx(0.1)]
    assert (batch.level is not None) == (knowledge == "level")
    assert batch.level is None or batch.level.tolist() == [5.0]
    expected = {"clean": 0.0, "pair": pytest.approx(0.2), "noisy": None}[supervision]
    assert (None if batch.target is None else float(batch.target.mean())) == expected


@pytest.mark.parametrize("name", ALL)
def test_inference_tells_what_the_method_declares(name: str, small: Small, machine: Machine) -> None:
    """At inference the level and the family come from the harness too."""
    told: list[Context] = []
    kind = registry.find(name)

    class Listens(kind, frozen=True):  # type: ignore[misc, valid-type]
        def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
            told.append(ctx)
            return {output.name: noisy for output in kind.outputs}

    denoise(Listens(), None, [np.zeros((32, 32, 3), np.float32)], GAUSS, [25.0], machine, "next", [()])
    assert (told[0].noise is not None) == (kind.knowledge != "blind")
    assert (told[0].level is not None) == (kind.knowledge == "level")


# ---- what the harness does around it


@pytest.mark.parametrize("padding", ["next", "square"])
@pytest.mark.parametrize("shape", [(33, 47, 3), (32, 64, 1), (5, 7, 4)])
def test_padding_is_cut_off_where_it_was_put(shape: tuple[int, ...], padding: Any, machine: Machine) -> None:
    """A method that returns its input gives back the image itself, at its own place."""

    class Echo(Method, frozen=True):
        def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
            height, width = noisy.shape[-2:]
            assert height % 32 == width % 32 == 0
            assert padding == "next" or height == width
            return {"denoised": noisy}

    image = np.random.default_rng(0).random(shape, "float32")
    (found,) = denoise(Echo(), None, [image], GAUSS, [25.0], machine, padding, [()])
    np.testing.assert_array_equal(found["denoised"], image)


# ---- Blind2Unblind


def filled_by_hand(y: Tensor) -> Tensor:
    """The eight neighbours, sides 1/6, corners 1/12, zero beyond the border."""
    padded = nn.functional.pad(y, (1, 1, 1, 1))
    height, width = y.shape[-2:]
    filled = torch.zeros_like(y)
    for row in range(3):
        for column in range(3):
            weight = (0, 1 / 6, 1 / 12)[abs(row - 1) + abs(column - 1)]
            filled = filled + weight * padded[..., row : row + height, column : column + width]
    return filled


def b2u_by_hand(method: B2U, net: nn.Module, y: Tensor, lam: float) -> Tensor:
    """Eq. 12 with all masks at once, as written: h(f(Omega_y)) + lambda f^(y) - (lambda + 1) y."""
    filled, h = filled_by_hand(y), torch.zeros_like(y)
    for row in range(method.s):
        for column in range(method.s):
            mask = torch.zeros(y.shape[-2:], dtype=y.dtype)
            mask[row :: method.s, column :: method.s] = 1
            h = h + mask * net(mask * filled + (1 - mask) * y)
    visible = net(y).detach()
    return ((h + lam * visible - (lam + 1) * y) ** 2).mean() + method.eta * ((h - y) ** 2).mean()


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("s", "t", "lam"), [(2, 0.3, 2.0), (2, 1.0, 20.0), (4, 0.9, 11.0)])
def test_b2u_streams_the_one_batch_loss(s: int, chunk: int, t: float, lam: float) -> None:
    method = B2U(s=s, eta=0.7, net=UNetConfig(width=4))
    net, y = network(method), random_batch(side=32).noisy
    expected = b2u_by_hand(method, net, y, lam)
    streamed = list(parts(net, method, Batch(y), context(chunk, t)))
    assert total(streamed) == pytest.approx(total([expected]), rel=1e-12)
    assert_equal_gradients(gradients(net, streamed), gradients(net, [expected]))


def test_b2u_fills_by_the_weighted_neighbours() -> None:
    y = random_batch(side=32).noisy
    torch.testing.assert_close(interpolate(y), filled_by_hand(y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("s", [2, 4])
def test_b2u_masks_partition_the_pixels(s: int) -> None:
    masks = cell_masks(s, 32, 64)
    assert masks.shape == (s * s, 1, 32, 64)
    assert (masks.sum(0) == 1).all()
    assert (masks.sum((1, 2, 3)) == 32 * 64 // s**2).all()


def test_b2u_weights_the_two_outputs() -> None:
    method = B2U(s=2, net=UNetConfig(width=4))
    images = method.denoise(network(method), random_batch(side=32).noisy, context())
    expected = (images["blind"] + 20 * images["visible"]) / 21
    torch.testing.assert_close(images["weighted"], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("plateau", "t", "lam"), [(0.8, 0.01, 2), (0.8, 0.8, 2), (0.8, 0.9, 11), (0.8, 1, 20), (0.4, 0.7, 11), (1.0, 1, 2)]
)
def test_b2u_lambda_rises_after_the_plateau(plateau: float, t: float, lam: float) -> None:
    assert B2U(plateau=plateau).lambda_at(t) == pytest.approx(lam)


# ---- the others


@pytest.mark.parametrize("chunk", CHUNKS)
def test_n2c_is_the_mean_squared_error_of_the_batch(chunk: int) -> None:
    method = N2C(net=UNetConfig(width=4))
    net, batch = network(method), random_batch()
    assert batch.target is not None
    expected = gradients(net, [((net(batch.noisy) - batch.target) ** 2).mean()])
    assert_equal_gradients(gradients(net, parts(net, method, batch, context(chunk))), expected)


def pair_by_hand(image: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel by pixel: the eight ordered side neighbours, clockwise from the top left, then the other way."""
    places = [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1)), ((1, 0), (1, 1))]
    places += [(second, first) for first, second in places]
    size, channels, height, width = image.shape
    made = torch.zeros(2, size, channels, height // 2, width // 2, dtype=image.dtype)
    for sample in range(size):
        for i in range(height // 2):
            for j in range(width // 2):
                for which, (row, column) in enumerate(places[int(pairs[sample, i, j])]):
                    made[which, sample, :, i, j] = image[sample, :, 2 * i + row, 2 * j + column]
    return made[0], made[1]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_nbr2nbr_is_eq_18_of_the_batch(chunk: int) -> None:
    method = NBR2NBR(gamma=2.0, net=UNetConfig(width=4))
    net, y, ctx = network(method), random_batch().noisy, context(chunk, 0.7)
    pairs = ctx.rng.integers("neighbour pairs", 8, 32, 32)
    (g1, g2), (h1, h2) = pair_by_hand(y, pairs), pair_by_hand(net(y).detach(), pairs)
    fitted = net(g1)
    loss = ((fitted - g2) ** 2).mean() + 0.7 * 2.0 * ((fitted - g2 - (h1 - h2)) ** 2).mean()
    expected = gradients(net, [loss])
    assert_equal_gradients(gradients(net, parts(net, method, Batch(y), ctx)), expected)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The pairs that the method itself draws for a batch, [B, H/2, W/2]."""
    seen: list[Tensor] = []

    def watched(image: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(pairs)
        return subsample(image, pairs)

    monkeypatch.setattr(nbr2nbr, "subsample", watched)
    for _ in NBR2NBR().losses(nn.Identity(), random_batch(), context()):
        pass
    assert all(torch.equal(pairs, seen[0]) for pairs in seen)  # f(y) is cut as y is
    return seen[0]


def test_nbr2nbr_takes_side_neighbours_of_one_cell(drawn: Tensor) -> None:
    place = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij"))
    cell = torch.stack(torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij"))
    g1, g2 = subsample(place.expand(SIZE, 2, 64, 64), drawn)
    assert ((g1 - g2).abs().sum(1) == 1).all()
    assert (g1 // 2 == cell).all()
    assert (g2 // 2 == cell).all()


def test_nbr2nbr_takes_all_eight_pairs_equally_often(drawn: Tensor) -> None:
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    g1, g2 = subsample((2 * (rows % 2) + columns % 2).expand(SIZE, 1, 64, 64), drawn)
    pairs, counts = torch.unique(4 * g1 + g2, return_counts=True)
    expected = SIZE * 32 * 32 / 8
    assert len(pairs) == 8
    assert ((counts - expected).abs() < 5 * expected**0.5).all()


@pytest.mark.parametrize(("method", "side"), [(B2U(s=2), 32), (NBR2NBR(), 64)], ids=["b2u", "nbr2nbr"])
def test_no_gradient_flows_through_the_full_pass(method: Method, side: int) -> None:
    """The pass over the noisy image itself is made without a graph, the others with one."""
    y = random_batch(side=side).noisy
    seen: list[tuple[bool, bool]] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            seen.append((x.shape == y.shape and torch.equal(x, y), torch.is_grad_enabled()))
            return x * self.weight

    torch.autograd.backward(list(method.losses(Watched(), Batch(y), context(chunk=SIZE))))
    assert sum(full for full, _ in seen) == 1
    assert all(grad != full for full, grad in seen)
