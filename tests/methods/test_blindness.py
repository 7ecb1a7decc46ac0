"""Blind networks miss their own pixel exactly, see all the others, and broken ones are found out."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.noise.model import families
from bench.methods import dbsn, registry
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.dbsn import DBSN
from bench.methods.networks import blindspot
from bench.methods.networks import dbsn as dbsn_net
from bench.methods.networks.blindspot import BlindSpot, Gaussians, HalfPlane, ShiftedConv
from bench.methods.networks.dbsn import DBSNet, MaskedConv
from bench.methods.networks.unet import UNetConfig
from bench.methods.rng import Rng

Small = Callable[..., Method]
Image = Callable[[Tensor], Tensor]
NARROW = UNetConfig(width=4)
SIDES = [(32, 64), *(pytest.param(*sides, marks=pytest.mark.slow) for sides in ((64, 64), (96, 32)))]
BLIND = ["laine19", "laine19-known", "laine19-muonly", "dbsn"]
BROKEN_LAINE = ["conv shift", "pool shift", "final shift", "sense of turning back", "circular padding"]
BROKEN_DBSN = ["undilated block", "ordinary first convolution"]

every_channels = pytest.mark.parametrize("channels", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
every_side = pytest.mark.parametrize(("height", "width"), SIDES)


def random_image(channels: int, height: int, width: int, batch: int = 1) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(batch, channels, height, width, dtype=torch.float64)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return build().double()


def places(height: int, width: int) -> list[tuple[int, int]]:
    """Corners, edges, and places of all parities beside the centre."""
    bottom, right = height - 1, width - 1
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    edges = [(0, width // 3), (bottom, width // 2), (height // 3, 0), (height // 2, right)]
    inside = [(height // 2 - 2 + i, width // 2 + j) for i in range(3) for j in range(2)]
    return [*corners, *edges, *inside]


def own_gradient(image: Image, y: Tensor) -> float:
    """The largest |d image(p) / d y(p)| of many pixels p, one copy of y for each.

    A random mixture of the image's channels stands for all of them: only what is zero can add up to exactly zero.
    """
    pixels = places(*y.shape[-2:])
    rows, columns = map(list, zip(*pixels, strict=True))
    each = list(range(len(pixels)))
    copies = y.detach().expand(len(pixels), -1, -1, -1).clone().requires_grad_()
    made = image(copies)[each, :, rows, columns]
    (grad,) = torch.autograd.grad((made * torch.rand_like(made)).sum(), copies)
    assert grad.abs().amax((1, 2, 3)).min() > 0, "no pixel at all is seen, which proves nothing"
    return float(grad[each, :, rows, columns].abs().max())


def context(family: str, level: Tensor | None) -> Context:
    return Context(Progress(1, 1), Rng(0, torch.tensor([0])), 100, families()[family](), level)


def blind_output(method: Method, net: nn.Module, family: str = "gauss") -> Image:
    """The output that claims to be blind."""
    (name,) = (output.name for output in method.outputs if output.blind)
    return lambda y: method.denoise(net, y, context(family, torch.full((len(y),), 25.0)))[name]


@pytest.fixture
def narrow(small: Small) -> Small:
    """A blind method, 4 features wide; DBSN 16, as it takes no less."""
    return lambda name: small(name, **({"width": 16, "blocks": 2} if name == "dbsn" else {}))


# ---- own pixels


@every_side
@every_channels
def test_blind_spot_network_misses_its_pixel(channels: int, height: int, width: int) -> None:
    net = seeded(lambda: BlindSpot(NARROW, channels, channels + 2))
    assert own_gradient(net, random_image(channels, height, width)) == 0.0


@pytest.mark.parametrize("parameter", ["known", "global", "per_image"])
@every_channels
def test_all_of_the_prior_misses_its_pixel(channels: int, parameter: str) -> None:
    """mu and U; the noise parameter of the image may see it."""
    net = seeded(lambda: Gaussians(NARROW, channels, parameter))
    count = channels + channels * (channels + 1) // 2
    assert own_gradient(lambda y: net(y)[:, :count], random_image(channels, 32, 64)) == 0.0


@pytest.mark.parametrize(("height", "width"), [(15, 15), (18, 13), (12, 17)])
@every_channels
def test_dbsn_misses_its_pixel(channels: int, height: int, width: int) -> None:
    net = seeded(lambda: DBSNet(channels, 16, 2))
    assert own_gradient(lambda y: net(y)[:, : 2 * channels], random_image(channels, height, width)) == 0.0


@pytest.mark.parametrize("family", ["gauss", "poisson"])
@pytest.mark.parametrize("name", BLIND)
def test_blind_outputs_stay_blind_while_training(name: str, family: str, narrow: Small) -> None:
    method, y = narrow(name), random_image(3, 32, 32)
    net = seeded(lambda: method.build(3) or nn.Identity())
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    level = torch.tensor([25.0])
    for loss in method.losses(net, Batch(y, level=level), context(family, level)):
        loss.backward()
    adam.step()
    assert sum(not torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True)) > 10
    assert own_gradient(blind_output(method, net, family), y) == 0.0


@pytest.mark.parametrize("name", ["laine19", "dbsn"])
def test_outputs_with_the_pixel_see_it(name: str, narrow: Small) -> None:
    method = narrow(name)
    net = seeded(lambda: method.build(3) or nn.Identity())
    visible = method.primary().name
    ctx = context("gauss", None)
    assert own_gradient(lambda y: method.denoise(net, y, ctx)[visible], random_image(3, 32, 32)) > 0.0


def test_one_half_plane_sees_only_what_is_above() -> None:
    net, y = seeded(lambda: HalfPlane(NARROW, 3)), random_image(3, 64, 32).requires_grad_()
    assert isinstance(net, HalfPlane)
    for row in (0, 1, 30, 31, 63):
        for made, first in ((net.features(y), row + 1), (net(y), row)):
            (grad,) = torch.autograd.grad(made[:, :, row].sum(), y)
            assert (grad[:, :, first:] == 0.0).all()
            assert first == 0 or (grad[:, :, first - 1] != 0.0).any()


# ---- reach


@pytest.mark.parametrize("pixel", [(0, 0), (63, 20), (31, 32), (40, 63)])
def test_every_other_output_feels_a_pixel(pixel: tuple[int, int]) -> None:
    """A pixel that is not a number taints all outputs but its own."""
    net, y = seeded(lambda: BlindSpot(NARROW, 1, 1)), random_image(1, 64, 64)
    y[0, 0, pixel[0], pixel[1]] = math.nan
    with torch.no_grad():
        finite = torch.isfinite(net(y)[0, 0])
    assert finite.nonzero().tolist() == [list(pixel)]


def positive(net: nn.Module) -> nn.Module:
    """Positive weights cannot cancel."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    return net


@pytest.mark.parametrize("pixel", [(0, 0), (63, 20), (31, 32), (40, 63)])
def test_an_output_feels_every_other_pixel(pixel: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """With mean pooling, as maxima hide pixels."""
    monkeypatch.setattr(HalfPlane, "pool", lambda self, x: F.avg_pool2d(blindspot.down_one(x), 2))
    net, y = positive(seeded(lambda: BlindSpot(NARROW, 1, 1))), random_image(1, 64, 64).requires_grad_()
    (grad,) = torch.autograd.grad(net(y)[0, 0, pixel[0], pixel[1]], y)
    assert (grad[0, 0] == 0.0).nonzero().tolist() == [list(pixel)]


def test_dbsn_sees_its_eight_neighbours_and_fifty_pixels_far() -> None:
    """With the official number of blocks."""
    net, y = positive(seeded(lambda: DBSNet(1, 16, dbsn.BLOCKS))), random_image(1, 103, 103).requires_grad_()
    (grad,) = torch.autograd.grad(net(y)[0, 0, 51, 51], y)
    seen = grad[0, 0] != 0.0
    assert seen[50:53, 50:53].tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    rows, columns = seen.nonzero().T
    assert [int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())] == [1, 101, 1, 101]


def test_dbsn_neighbours_count_with_its_own_weights() -> None:
    net, y = seeded(lambda: DBSNet(3, 16, dbsn.BLOCKS)), random_image(3, 21, 21).requires_grad_()
    (grad,) = torch.autograd.grad(net(y)[0, 0, 10, 10], y)
    seen = grad[0, :, 9:12, 9:12] != 0.0
    assert seen.sum((1, 2)).tolist() == [8, 8, 8]
    assert not seen[:, 1, 1].any()


# ---- broken builds are found out


def unshifted(self: ShiftedConv, x: Tensor) -> Tensor:
    return F.conv2d(x, self.weight, self.bias, padding=1)


def circular(self: ShiftedConv, x: Tensor) -> Tensor:
    padded = F.pad(F.pad(x, (0, 0, 1, 0)), (1, 1, 1, 1), mode="circular")
    return F.conv2d(padded, self.weight, self.bias)[..., :-1, :]


def turned(x: Tensor, k: int, dims: tuple[int, int], right: Callable[..., Tensor] = torch.rot90) -> Tensor:
    """Always in the same sense."""
    return right(x, abs(k), dims)


@pytest.fixture
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One ingredient of blindness taken away."""
    match request.param:
        case "conv shift":
            monkeypatch.setattr(ShiftedConv, "forward", unshifted)
        case "pool shift":
            monkeypatch.setattr(HalfPlane, "pool", lambda self, x: F.max_pool2d(x, 2))
        case "final shift":
            monkeypatch.setattr(HalfPlane, "forward", HalfPlane.features)
        case "sense of turning back":
            monkeypatch.setattr(torch, "rot90", turned)
        case "circular padding":
            monkeypatch.setattr(ShiftedConv, "forward", circular)
        case "undilated block":
            block = dbsn_net.Block
            monkeypatch.setattr(dbsn_net, "Block", lambda width, dilation: block(width, 1))
        case "ordinary first convolution":
            ordinary = nn.Conv2d
            make = lambda width, kernel: ordinary(width, width, kernel, padding=kernel // 2)  # noqa: E731
            monkeypatch.setattr(dbsn_net, "MaskedConv", make)
    yield request.param
    monkeypatch.undo()


@pytest.mark.parametrize("broken", BROKEN_LAINE, indirect=True)
@every_channels
def test_broken_blind_spot_networks_are_found_out(channels: int, broken: str) -> None:
    net = seeded(lambda: BlindSpot(NARROW, channels, channels))
    assert own_gradient(net, random_image(channels, 64, 64)) > 0.0, broken


@pytest.mark.parametrize("broken", BROKEN_DBSN, indirect=True)
@every_channels
def test_broken_dbsn_is_found_out(channels: int, broken: str) -> None:
    net = seeded(lambda: DBSNet(channels, 16, 2))
    assert own_gradient(lambda y: net(y)[:, :channels], random_image(channels, 15, 15)) > 0.0, broken


def test_the_masked_centre_survives_any_update() -> None:
    conv, y = MaskedConv(4, 5).double(), random_image(4, 9, 9)
    with torch.no_grad():
        before = conv(y)
        conv.weight[:, :, 2, 2] += 7.0
        assert torch.equal(conv(y), before)
        conv.weight[:, :, 2, 3] += 7.0
        assert not torch.equal(conv(y), before)


# ---- the four turns


@pytest.mark.parametrize("turns", [1, 2, 3])
@every_side
def test_turning_the_image_permutes_the_four_planes(turns: int, height: int, width: int) -> None:
    net, y = seeded(lambda: BlindSpot(NARROW, 3, 5)), random_image(3, height, width)
    with torch.no_grad():
        turned_first = net(torch.rot90(y, turns, (2, 3)))
        plain = torch.rot90(net(y), turns, (2, 3))
        assert isinstance(net, BlindSpot)
        weight = net.tail[0].get_parameter("weight")
        groups = weight.view(len(weight), 4, -1)
        weight.copy_(groups.roll(turns, 1).view_as(weight))
        permuted = torch.rot90(net(y), turns, (2, 3))
    torch.testing.assert_close(turned_first, permuted, rtol=1e-12, atol=1e-14)
    assert (turned_first - plain).abs().max() > 1e-3


@pytest.mark.parametrize("name", BLIND)
def test_images_of_a_batch_do_not_mix(name: str, narrow: Small) -> None:
    method, y = narrow(name), random_image(3, 32, 64, batch=3)
    image = blind_output(method, seeded(lambda: method.build(3) or nn.Identity()))
    with torch.no_grad():
        one_by_one = torch.cat([image(each[None]) for each in y])
        torch.testing.assert_close(image(y), one_by_one, rtol=1e-12, atol=1e-14)


# ---- weights


def test_initial_weights() -> None:
    """N(0, 2 / fan_in), N(0, 1 / fan_in) in the last layer, within five standard errors."""
    net = seeded(lambda: Gaussians(UNetConfig(), 3, "global"))
    layers = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert len(layers) == 20
    for name, layer in layers.items():
        std = math.sqrt((1.0 if name == "blind.last" else 2.0) / layer.weight[0].numel())
        error = 5.0 / math.sqrt(2.0 * layer.weight.numel())
        assert float(layer.weight.detach().std() / std) == pytest.approx(1.0, abs=error), name
        assert float(layer.weight.detach().mean().abs()) < 5.0 * std / math.sqrt(layer.weight.numel()), name
        assert layer.bias is not None
        assert (layer.bias == 0.0).all(), name


def count(net: nn.Module | None) -> int:
    assert net is not None
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("channels", "plain", "blind", "covariance"),
    [(1, 1099585, 1265761, 1265858), (3, 1102177, 1268547, 1269129), (4, 1103473, 1269940, 1270910)],
)
def test_parameters_of_the_blind_spot_network(channels: int, plain: int, blind: int, covariance: int) -> None:
    """As in the official code; `plain` is the estimator of one number per image."""
    built = {
        ("laine19-muonly", ""): blind,
        ("laine19-known", ""): covariance,
        ("laine19", "global"): covariance + 1,
        ("laine19", "per_image"): covariance + plain,
    }
    for (name, parameter), expected in built.items():
        fields = {"parameter": parameter} if parameter else {}
        assert count(registry.find(name)(**fields).build(channels)) == expected, (name, parameter)


def test_parameters_of_dbsn() -> None:
    """6,612,675 and the two noise nets' 4,259 and 3,395."""
    net = DBSN().build(3)
    assert isinstance(net, DBSNet)
    assert count(net) == 6620329
    assert (count(net.sigma_mu), count(net.sigma_n)) == (4259, 3395)


def test_dbsn_has_its_rectified_linear_units_where_the_official_network_has_them() -> None:
    """None after a branch's last convolution and after the one that joins both; sigma_mu reads what is joined."""
    net, y = seeded(lambda: DBSNet(3, 16, 2)), random_image(3, 21, 21)
    weight = dict(net.named_parameters())

    def layer(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        kernel = weight[f"{name}.weight"]
        return F.conv2d(x, kernel, weight[f"{name}.bias"], padding=kernel.shape[2] // 2 * dilation, dilation=dilation)

    def block(name: str, x: Tensor, dilation: int) -> Tensor:
        first = [layer(f"{name}.enter.{i}.0", x).relu() for i in range(3)]
        wide = [
            layer(f"{name}.{size}", x, dilation).relu() for size, x in zip(("small", "large"), first[1:], strict=True)
        ]
        x = x + layer(f"{name}.join.0", torch.cat([first[0], *wide], 1)).relu()
        return layer(f"{name}.leave.2", layer(f"{name}.leave.0", x).relu()).relu()

    def branch(name: str, x: Tensor, dilation: int) -> Tensor:
        centre = torch.ones_like(weight[f"{name}.0.weight"][0, 0]).fill_diagonal_(1.0)
        centre[dilation - 1, dilation - 1] = 0.0
        x = F.conv2d(x, weight[f"{name}.0.weight"] * centre, weight[f"{name}.0.bias"], padding=dilation - 1).relu()
        for i in (2, 4):
            x = layer(f"{name}.{i}", x).relu()
        return layer(f"{name}.8", block(f"{name}.7", block(f"{name}.6", x, dilation), dilation))

    x = layer("head.0", y).relu()
    joined = layer("concat", torch.cat([branch("branches.0", x, 2), branch("branches.1", x, 3)], 1))
    mu = layer("mu", layer("tail.2", layer("tail.0", joined).relu()).relu())
    nn.init.normal_(net.sigma_mu[-1].weight)  # zeros at first, which would hide what it reads
    sigma_mu = layer("sigma_mu.4", layer("sigma_mu.2", layer("sigma_mu.0", joined).relu()).relu())
    torch.testing.assert_close(net(y)[:, :6], torch.cat([mu, sigma_mu], 1))
