"""ZS-N2N, Noise2Fast, Pixel2Pixel and DIP: the pairs that they make of one image, and their losses by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.cli import bench, photos
from support.linear import SIGMA, Filter, context, gaussian, smooth, standard_errors
from torch import Tensor, nn

from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.compute.training import train
from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.datasets.sampling import OneImage
from bench.methods import registry
from bench.methods.base import Batch, Method
from bench.methods.dip import DIP
from bench.methods.noise2fast import Noise2Fast, checkerboards
from bench.methods.pixel2pixel import Pixel2Pixel, bank
from bench.methods.zs_n2n import ZSN2N, halves
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit

NAMES = ("zs-n2n", "noise2fast", "pixel2pixel", "dip")
QUICK = Recipe(schedule="cycle", lr=3e-3, beta2=0.95, weight_decay=0.0)


def loss_of(method: Method, net: nn.Module, y: Tensor) -> float:
    return sum(float(loss.detach()) for loss in method.losses(net, Batch(y), context(len(y))))


# ---- ZS-N2N


def test_the_halves_are_the_means_of_the_diagonals() -> None:
    y = torch.arange(2 * 4 * 6, dtype=torch.float64).view(1, 2, 4, 6)
    one, two = halves(y)
    for i in range(2):
        for j in range(3):
            cell = y[0, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            assert torch.equal(one[0, :, i, j], (cell[:, 0, 0] + cell[:, 1, 1]) / 2)
            assert torch.equal(two[0, :, i, j], (cell[:, 0, 1] + cell[:, 1, 0]) / 2)


def test_the_noise_of_the_halves_is_independent_and_of_half_the_variance() -> None:
    x = torch.full((1, 1, 1000, 1000), 0.5, dtype=torch.float64)
    one, two = (half.flatten() - 0.5 for half in halves(gaussian(x)))
    assert standard_errors(one * two) < 4
    assert float(one.var()) == pytest.approx(SIGMA**2 / 2, rel=0.01)


def test_zs_n2n_is_its_formula() -> None:
    y, f = gaussian(smooth(2, 3, 16)), Filter()
    (y1, y2), (c1, c2) = halves(y), halves(y - f(y))

    def square(a: Tensor) -> Tensor:
        return a.square().mean()

    res = (square(y1 - f(y1) - y2) + square(y2 - f(y2) - y1)) / 2
    cons = (square(y1 - f(y1) - c1) + square(y2 - f(y2) - c2)) / 2
    assert loss_of(ZSN2N(), f, y) == pytest.approx(float((res + cons).detach()), rel=1e-12)
    torch.testing.assert_close(ZSN2N().denoise(f, y, context(2))["denoised"], y - f(y))
    net = ZSN2N().build(3)
    assert sum(parameter.numel() for parameter in net.parameters()) == 22_275  # about 22,000, as in the paper


# ---- Noise2Fast


def test_the_colours_of_a_checkerboard_are_pushed_together() -> None:
    height, width = 4, 6
    place = torch.arange(height * width).view(1, 1, height, width)
    rows, columns = checkerboards(place)
    assert rows.shape == (2, 1, height, width // 2)
    assert columns.shape == (2, 1, height // 2, width)
    for colour in range(2):
        board = [[i * width + j for j in range(width) if (i + j) % 2 == colour] for i in range(height)]
        assert rows[colour, 0].tolist() == board
        upright = [[i * width + j for i in range(height) if (i + j) % 2 == colour] for j in range(width)]
        assert columns[colour, 0].T.tolist() == upright


def test_noise2fast_is_the_cross_entropy_of_each_colour_given_the_other() -> None:
    y = gaussian(smooth(2, 1, 16))
    low, high = y.amin((1, 2, 3), keepdim=True), y.amax((1, 2, 3), keepdim=True)
    unit, expected = (y - low) / (high - low), 0.0
    for pushed in checkerboards(unit):
        for one, other in (pushed.chunk(2), pushed.chunk(2)[::-1]):
            p = torch.sigmoid(Filter()(one))
            expected += float(-(other * p.log() + (1 - other) * (1 - p).log()).mean().detach()) / 4
    assert loss_of(Noise2Fast(), Filter(), y) == pytest.approx(expected, rel=1e-9)
    found = Noise2Fast().denoise(Filter(), y, context(2))["denoised"]
    torch.testing.assert_close(found, low + (high - low) * torch.sigmoid(Filter()(unit)), rtol=1e-12, atol=1e-12)


# ---- Pixel2Pixel


@pytest.mark.parametrize("shifts", [range(-3, 3), range(-3, 4), range(-1, 1)], ids=["6", "7", "2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_bank_has_the_pixels_with_the_nearest_patches(channels: int, shifts: range) -> None:
    y = torch.rand(1, channels, 12, 11, dtype=torch.float64)
    found = bank(y, 4, len(shifts), 3)
    assert torch.equal(found[:, 0], y)  # itself
    around = np.pad(y[0].numpy(), ((0, 0), (4, 4), (4, 4)), mode="reflect")
    for i, j in ((0, 0), (5, 5), (11, 10), (3, 9)):
        own = around[:, i + 3 : i + 6, j + 3 : j + 6]
        candidates = []
        for a in shifts:
            for b in shifts:
                patch = around[:, i + a + 3 : i + a + 6, j + b + 3 : j + b + 6]
                candidates.append((float(np.abs(patch - own).sum()), tuple(patch[:, 1, 1])))
        expected = [value for _, value in sorted(candidates)[:4]]
        np.testing.assert_allclose(found[0, :, :, i, j], expected, rtol=1e-12)


def test_a_pair_has_two_different_pixels_of_the_bank() -> None:
    method, seen = Pixel2Pixel(m=3), list[Tensor]()

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    pixels = torch.arange(3.0).view(1, 3, 1, 1).expand(2, -1, 40, 40)
    ctx = context(2)
    (loss,) = method.losses(Watched(), Batch(pixels), ctx)
    assert seen[0].shape == (2, 1, 40, 40)
    counts = [int((seen[0] == k).sum()) for k in range(3)]
    assert min(counts) > 3200 / 3 - 5 * 30
    # Equally often 1 and 2 apart: the pairs (0, 1), (1, 2) and (0, 2), never a pixel with itself.
    assert float(loss) == pytest.approx(4 / 3, abs=0.05)


def test_a_bank_needs_a_pair_and_a_window_that_fills_it() -> None:
    assert Pixel2Pixel(m=4, window=2).m == 4
    for wrong in ({"m": 1}, {"patch": 4}, {"window": 0}, {"m": 5, "window": 2}):
        with pytest.raises(InputError, match="pixel2pixel"):
            Pixel2Pixel(**wrong)


# ---- DIP


def test_dip_fits_the_noisy_image_from_a_fixed_input() -> None:
    y, method = torch.rand(2, 3, 40, 50), DIP(sigma_z=0.0, inputs=4)
    z = method.z(y)
    assert z.shape == (1, 4, 64, 64)
    assert 0.0 <= float(z.min()) < 0.001 < 0.099 < float(z.max()) <= 0.1
    assert torch.equal(z, method.z(torch.rand(1, 3, 33, 64)))  # whatever the image

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3]

    assert loss_of(method, First(), y) == pytest.approx(float((z[:, :3, :40, :50] - y).square().mean()), rel=1e-6)
    made = method.denoise(First(), y, context(2))["denoised"]
    assert torch.equal(made, z[:, :3, :40, :50].expand(2, -1, -1, -1))


def test_dip_moves_its_input_a_little_at_every_step() -> None:
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, :1]

    y, method = torch.rand(1, 1, 64, 64), DIP()
    for seed in (0, 1):
        list(method.losses(Watched(), Batch(y), context(1, seed=seed)))
    assert not torch.equal(*seen)
    assert float((seen[0] - method.z(y)).std()) == pytest.approx(1.0 / 30.0, rel=0.02)


# ---- all of them


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_one_image_makes_it_better(name: str) -> None:
    """Of a simple image, in few steps; nothing but the noisy image is given."""
    rows, columns = np.meshgrid(np.linspace(0, 6, 64), np.linspace(0, 4, 64), indexing="ij")
    clean = (0.5 + 0.3 * np.sin(rows) * np.cos(columns))[..., None].astype("float32")
    noise, machine = parse("gauss25"), Machine("cpu", "float32", 1)
    noisy = noise.apply(clean, 25.0, np.random.RandomState(0))
    fields = {"width": 16} if name == "dip" else {}
    method = registry.find(name)(**fields)
    work = Fit(
        name=name, method=method, noise=noise, seed=0, channels=1, train="", train_noise="fresh", crop=64, batch=1,
        steps=120, epochs=100, recipe=QUICK,
    )  # fmt: skip
    net = machine.place(train(work, OneImage(noisy, 25.0, prepare=method.prepare), machine).net).eval()
    (found,) = denoise(method, net, [noisy], noise, [25.0], machine, "next", [("a", 0)])
    error = np.square(found[method.primary().name] - clean).mean()
    assert error < 0.4 * np.square(noisy - clean).mean()


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_whole_images_of_any_size(name: str, tmp_path: Path) -> None:
    """Through the command line: training, denoising and scoring of images with odd sides."""
    photos(tmp_path / "test", "chelsea", height=45, width=51)
    argv = ("run", "--methods", name, "--noise", "gauss25", "--store", tmp_path / "store")
    result = bench(*argv, "--test-sets", f"folder:{tmp_path / 'test'}", "--steps", 2, "--threads", 1)
    assert result.code == 0, result.err
    assert "steps" in result.out
