"""What is not read is not computed: the shortcuts give the outputs and gradients of the full computation."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.datasets.noise.model import families, parse
from bench.methods.b2u import B2U
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.gr2r import GR2R
from bench.methods.n2c import N2C
from bench.methods.n2s import N2S
from bench.methods.n2same import N2Same
from bench.methods.n2v import N2V
from bench.methods.n2v2 import N2V2
from bench.methods.networks.blindspot import HalfPlane, ShiftedConv
from bench.methods.networks.dncnn import DnCNN
from bench.methods.networks.readout import Corner, Grid, Pixels, values_at
from bench.methods.networks.unet import BAND, Conv3, Decoder, UNet, UNetConfig
from bench.methods.networks.unet_blurpool import BlurUNetConfig
from bench.methods.noisier2noise import Noisier2Noise
from bench.methods.pn2v import PN2V
from bench.methods.r2r import R2R
from bench.methods.rng import Rng

NARROW = UNetConfig(width=4)
TRANSPOSED = UNetConfig(width=4, upsample="transposed")
SIDES = [(2, 32, 64), (4, 64, 32), (8, 32, 32)]  # of cells and image
EXACT = {"rtol": 1e-12, "atol": 1e-14}


class Full(nn.Module):
    """A network without the ability: it computes every pixel."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]."""
        output: Tensor = self.net(x)
        return output


class Draws(Rng):
    """Random numbers that are made where the network is, as those of a captured step."""

    def __init__(self, size: int) -> None:
        super().__init__("shortcuts", torch.arange(size))
        self.size = size

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """Any."""
        return torch.randint(high, (self.size, *shape))

    def normal(self, name: str, *shape: int) -> Tensor:
        """Any."""
        return torch.randn(self.size, *shape)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Any."""
        return torch.rand(self.size, *shape)

    def binomial(self, name: str, counts: Tensor, p: float) -> Tensor:
        """Any."""
        return (counts * p).round()


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return make().double()


def image(height: int, width: int, channels: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, channels, height, width, dtype=torch.float64)


def context(chunk: int, family: str = "gauss") -> Context:
    return Context(Progress(1, 1), Draws(2), chunk, families()[family](), torch.full((2,), 25.0))


def gradients(net: nn.Module, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(net.parameters())))


# ---- Blind2Unblind reads one pixel of every cell


@pytest.mark.parametrize(("network", "chunk"), [(NARROW, 1), (NARROW, 6), (NARROW, 10**6), (TRANSPOSED, 6)])
@pytest.mark.parametrize(("s", "height", "width"), SIDES)
def test_blind2unblind_reads_what_the_full_network_computes(
    s: int, height: int, width: int, network: UNetConfig, chunk: int
) -> None:
    method, y = B2U(s=s, net=network), image(height, width)
    net, ctx = seeded(lambda: network.build(3)), context(chunk)
    sparse, full = (torch.stack(list(method.losses(f, Batch(y), ctx))).sum() for f in (net, Full(net)))
    torch.testing.assert_close(sparse, full, **EXACT)
    for one, two in zip(gradients(net, sparse), gradients(net, full), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12 * float(two.abs().max()))
    with torch.no_grad():
        blind, expected = (method.denoise(f, y, ctx)["blind"] for f in (net, Full(net)))
    torch.testing.assert_close(blind, expected, **EXACT)


@pytest.mark.parametrize(("s", "height", "width"), [(2, 6, 10), (3, 9, 3), (4, 12, 20), (8, 24, 8)])
def test_a_grid_of_a_convolution_is_part_of_it(s: int, height: int, width: int) -> None:
    """Odd numbers of cells, every offset."""
    conv, x = seeded(lambda: Conv3(3, 2)), image(height, width)
    with torch.no_grad():
        for k in range(s * s - 1):
            offsets = tuple(divmod(one, s) for one in (k, k + 1))
            read = Grid(s, offsets).convolve(conv, x)  # type: ignore[arg-type]
            expected = [conv(x)[i, :, row::s, column::s] for i, (row, column) in enumerate(offsets)]
            torch.testing.assert_close(read, torch.stack(expected), **EXACT)


@pytest.mark.parametrize("s", [2, 4])
def test_the_blind_output_stays_blind(s: int) -> None:
    """Every place of a cell, at the borders and inside."""
    method, y = B2U(s=s, net=NARROW), image(32, 32)[:1].requires_grad_()
    blind = method.denoise(seeded(lambda: NARROW.build(3)), y, context(4))["blind"]
    for row, column in [(i, j) for i in (0, 1, 2, 3, 13, 31) for j in (0, 1, 2, 3, 18, 31)]:
        (gradient,) = torch.autograd.grad(blind[0, :, row, column].sum(), y, retain_graph=True)
        assert not gradient[0, :, row, column].any()
        assert gradient.any()


def test_a_network_without_the_ability_takes_the_plain_path() -> None:
    method, y = B2U(s=4, net=DnCNN(depth=3, width=4)), image(12, 20)
    net = seeded(lambda: method.net.build(3))
    with torch.no_grad():
        outputs = method.denoise(net, y, context(3))
    assert outputs["blind"].shape == outputs["visible"].shape == y.shape


# ---- methods that mask a few pixels read those alone


MASKING = {
    "n2v": N2V(net=NARROW),
    "n2v, mean absolute error, boxes that overhang": N2V(net=NARROW, perc=4.1, loss="mae"),
    "n2v2": N2V2(net=BlurUNetConfig(width=4)),
    "n2v2, masks along rows": N2V2(net=BlurUNetConfig(width=4), span=2),
    "n2s": N2S(net=NARROW),
    "n2s, wide cells": N2S(net=NARROW, s=8),
    "n2same": N2Same(net=NARROW),
    "pn2v": PN2V(K=3, net=TRANSPOSED),
}


@pytest.mark.parametrize("method", MASKING.values(), ids=MASKING)
def test_masking_methods_read_what_the_full_network_computes(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """One and the same draw, with and without the ability of the network."""
    net, y = seeded(lambda: method.build(3) or nn.Identity()), image(64, 32)
    assert net.reads_pixels

    def loss() -> Tensor:
        torch.manual_seed(5)  # of the masks
        return torch.stack(list(method.losses(net, Batch(y), context(1)))).sum()

    sparse = loss()
    monkeypatch.setattr(UNet, "reads_pixels", False)
    full = loss()
    torch.testing.assert_close(sparse, full, rtol=1e-11, atol=0.0)
    for one, two in zip(gradients(net, sparse), gradients(net, full), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11 * float(two.abs().max()))


def test_a_loss_that_reads_much_takes_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pixels, "convolve", None)
    net, y = seeded(lambda: NARROW.build(3)), image(32, 32)
    with torch.no_grad():
        assert len(list(N2V(perc=50.0).losses(net, Batch(y), context(1)))) == 1
        with pytest.raises(TypeError):
            list(N2V().losses(net, Batch(y), context(1)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (12, 5)])
def test_pixels_of_a_convolution_are_part_of_it(height: int, width: int) -> None:
    """Every pixel, in another order in each image, one of them twice."""
    conv, x = seeded(lambda: Conv3(3, 2)), image(height, width)
    index = torch.stack([torch.randperm(height * width) for _ in range(2)])
    index = torch.cat([index, index[:, :1]], dim=1)
    with torch.no_grad():
        read = Pixels(index).convolve(conv, x).squeeze(3)  # type: ignore[arg-type]
        torch.testing.assert_close(read, values_at(conv(x), index.unsqueeze(1)), **EXACT)


# ---- the decoder does not repeat what upsampling repeats


def joined(conv: Conv3, x: Tensor, skip: Tensor) -> Tensor:
    up = F.interpolate(x, scale_factor=2.0, mode="nearest")
    made: Tensor = conv(torch.cat([up, skip], dim=1))
    return made


@pytest.mark.parametrize("layer", [Conv3, ShiftedConv])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 4)])
def test_a_decoder_convolves_what_it_upsampled(height: int, width: int, layer: type[Conv3]) -> None:
    decoder = seeded(lambda: Decoder(NARROW, 5, 3, layer))
    assert isinstance(decoder, Decoder)
    x, skip = image(height, width, 5).requires_grad_(), image(2 * height, 2 * width).requires_grad_()
    leaves = [x, skip, decoder.conv1.weight, decoder.conv1.bias]
    made, expected = decoder.upsampled(x, skip), joined(decoder.conv1, x, skip)
    torch.testing.assert_close(made, expected, **EXACT)
    weights = torch.randn_like(expected)
    found, right = (torch.autograd.grad((one * weights).sum(), leaves) for one in (made, expected))  # type: ignore[arg-type]
    for one, two in zip(found, right, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("plane", [False, True], ids=["U-Net", "half plane"])
def test_a_whole_network_is_what_it_was(plane: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(lambda: HalfPlane(NARROW, 3) if plane else NARROW.build(3))
    y = image(64, 32)
    found = net(y)
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "upsampled", lambda self, x, skip: joined(self.conv1, x, skip))
        expected = net(y)
    torch.testing.assert_close(found, expected, **EXACT)
    for one, two in zip(gradients(net, found.square().mean()), gradients(net, expected.square().mean()), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-12 * float(two.abs().max()))


def test_the_constant_of_the_decoder_is_no_weight() -> None:
    assert not any("repeat" in name for name in NARROW.build(3).state_dict())


# ---- inference: no padding, and band by band


@pytest.mark.parametrize("network", [NARROW, TRANSPOSED])
@pytest.mark.parametrize("band", [BAND, 2048, 1])
@pytest.mark.parametrize("read", [(64, 64), (33, 64), (20, 97), (96, 1), (1, 128)])
def test_the_corner_is_that_of_the_whole_output(
    network: UNetConfig, band: int, read: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For bands of one row and of all, and for corners that end inside a cell."""
    monkeypatch.setattr("bench.methods.networks.unet.BAND", band)
    net, y = seeded(lambda: network.build(3)), image(96, 128)
    with torch.no_grad():
        whole = net.train()(y)
        torch.testing.assert_close(net.eval()(y), whole, rtol=0, atol=1e-13)
        corner = net(y, Corner(*read))
    torch.testing.assert_close(corner, whole[:, :, : read[0], : read[1]], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "method", [N2C(), R2R(ensemble=2), GR2R(), Noisier2Noise()], ids=lambda one: type(one).__name__
)
def test_padding_is_computed_only_where_it_is_read(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """For methods that process the network's output pixel by pixel, too: the same images, from fewer rows."""
    net = seeded(lambda: NARROW.build(3)).float().eval()
    noisy = np.random.RandomState(0).normal(0.5, 0.1, (40, 50, 3)).astype(np.float32)
    inputs = (method, net, [noisy], parse("gauss25"), [25.0], Machine(), "square", [("image", 0)])
    with FlopCounterMode(display=False) as unpadded:
        (found,) = denoise(*inputs)
    monkeypatch.setattr(type(net), "reads_corner", False)
    with FlopCounterMode(display=False) as padded:
        (expected,) = denoise(*inputs)
    np.testing.assert_allclose(found["denoised"], expected["denoised"], rtol=0, atol=1e-5)
    assert unpadded.get_total_flops() < 0.9 * padded.get_total_flops()


class Smoothed(R2R):
    """A method with a `denoise` of its own, which says nothing of what it reads."""

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"denoised": F.avg_pool2d(net(noisy), 3, 1, 1)}


def test_a_new_denoise_must_say_that_it_is_pixelwise() -> None:
    assert N2V.is_pixelwise()
    assert R2R.is_pixelwise()
    assert not B2U.is_pixelwise()
    assert not Smoothed.is_pixelwise()


def test_a_network_of_another_pooling_is_computed_whole() -> None:
    net, y = seeded(lambda: BlurUNetConfig(width=4).build(3)), image(64, 32)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(y), net.train()(y), rtol=0, atol=0)
    assert not net.reads_corner
