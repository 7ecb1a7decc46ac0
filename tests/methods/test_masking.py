"""Noise2Self, Noise2Same and N2V2: what they mask, what stands there instead, and what their losses estimate."""

import numpy as np
import pytest
import torch
from support.linear import SIGMA, Filter, context, gaussian, smooth, standard_errors
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.errors import InputError
from bench.methods.base import Batch, Method
from bench.methods.masks import mask_of, masked_mean
from bench.methods.n2s import N2S
from bench.methods.n2same import N2Same
from bench.methods.n2v2 import N2V2
from bench.methods.networks.unet import UNetConfig
from bench.methods.networks.unet_blurpool import BlurUNetConfig


def by_hand(y: Tensor, mask: Tensor) -> Tensor:
    """Masked pixels become the weighted mean of their neighbours of the original, zero beyond the border."""
    around, filled = F.pad(y, (1, 1, 1, 1)), y.clone()
    for row, column in mask.nonzero().tolist():
        window = around[:, :, row : row + 3, column : column + 3]
        weights = torch.tensor([[0.5, 1.0, 0.5], [1.0, 0.0, 1.0], [0.5, 1.0, 0.5]], dtype=y.dtype) / 6.0
        filled[:, :, row, column] = (window * weights).sum((2, 3))
    return filled


def grid(s: int, k: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[k // s :: s, k % s :: s] = True
    return mask


def loss_of(method: Method, net: nn.Module, y: Tensor, seed: int = 0) -> Tensor:
    (loss,) = method.losses(net, Batch(y), context(len(y), seed=seed))
    return loss.detach()


def test_a_masked_mean_is_that_of_the_entries_inside() -> None:
    error, inside = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]] * 2), torch.tensor([[[True, False]], [[False, False]]])
    assert masked_mean(error, inside).tolist() == [2.0, 0.0]  # a mask of all channels; an image without a masked pixel
    assert masked_mean(error[:, 0], inside[:, 0]).tolist() == [1.0, 0.0]


# ---- Noise2Self


@pytest.mark.parametrize("s", [2, 3, 4])
def test_noise2self_is_the_error_at_the_pixels_of_a_grid(s: int) -> None:
    y, net, ctx = gaussian(smooth(3, 2, 16)), Filter(), context(3)
    chosen = ctx.rng.integers("grid", s**2, 1).flatten().tolist()
    expected = []
    for i, k in enumerate(chosen):
        mask = grid(s, k, 16, 16)
        error = net(by_hand(y[i : i + 1], mask)) - y[i : i + 1]
        expected.append(error[:, :, mask].square().mean())
    assert float(loss_of(N2S(s=s), net, y)) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (36, 28)])
def test_noise2self_predicts_every_pixel_where_it_is_masked(size: tuple[int, int]) -> None:
    y, net = torch.rand(2, 3, *size, dtype=torch.float64), Filter()
    expected = y.new_zeros(y.shape)
    for k in range(16):
        mask = grid(4, k, *size)
        expected[:, :, mask] = net(by_hand(y, mask))[:, :, mask].detach()
    made = N2S().denoise(net, y, context(2))
    torch.testing.assert_close(made["j-invariant"].detach(), expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(made["single pass"], net(y))


def test_a_single_pass_sees_the_pixel_itself() -> None:
    torch.manual_seed(0)
    method = N2S(net=UNetConfig(width=4))
    net = method.build(1)
    assert net is not None
    y = torch.rand(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    made = method.denoise(net.double(), y, context(1))
    for name, blind in {"j-invariant": True, "single pass": False}.items():
        (gradient,) = torch.autograd.grad(made[name][0, 0, 13, 17], y, retain_graph=True)
        assert (float(gradient[0, 0, 13, 17]) == 0.0) == blind


def test_noise2self_is_the_true_error_plus_the_variance() -> None:
    """Whatever the denoiser, since no masked pixel reaches its own prediction."""
    x = smooth(400, side=32)
    y, net = gaussian(x), Filter()
    gaps = []
    for i in range(len(x)):
        ctx = context(1, seed=i)
        k = int(ctx.rng.integers("grid", 16, 1))
        mask = grid(4, k, 32, 32)
        truth = (net(by_hand(y[i : i + 1], mask)) - x[i : i + 1])[:, :, mask].square().mean().detach()
        gaps.append(loss_of(N2S(), net, y[i : i + 1], seed=i) - truth)
    assert standard_errors(torch.stack(gaps), SIGMA**2) < 4


# ---- Noise2Same


def test_noise2same_is_its_formula() -> None:
    y, net, ctx = gaussian(smooth(2, 3, 32)), Filter(), context(2)
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return net(x)

    found = loss_of(N2Same(sigma=0.7), Watched(), y)
    whole, masked = seen
    assert torch.equal(whole, y)
    expected = []
    for i in range(2):
        mask = (masked[i] != y[i]).any(0)
        assert torch.equal(mask.expand(3, -1, -1), masked[i] != y[i])  # every channel of a pixel
        assert 4 <= int(mask.sum()) <= 9  # boxes of 14
        torch.testing.assert_close(masked[i : i + 1], by_hand(y[i : i + 1], mask), rtol=1e-12, atol=1e-14)
        change = (net(y) - net(masked))[i][:, mask].square().mean()
        unit = float(np.std(y[i].numpy()))
        expected.append((net(y) - y)[i].square().mean() + 2 * 0.7 * unit * change.sqrt())
    assert float(found) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-6)
    assert ctx.level is not None


@pytest.mark.parametrize("centre", [0.0, 0.4, 1.0])
def test_noise2same_bounds_the_error_plus_the_variance(centre: float) -> None:
    """For denoisers that copy much and nothing of the pixel, with the noise's own sigma."""
    x = smooth(200, side=56)
    y = gaussian(x)
    side = (1.0 - centre) / 6.0
    net = Filter(centre, side, side / 2.0)
    told = SIGMA / float(y.std())
    bound = loss_of(N2Same(sigma=told), net, y)
    error = float((net(y) - x).square().mean().detach())
    assert float(bound) >= 0.99 * (error + SIGMA**2)  # for a blind denoiser the bound is the expected value
    if centre == 1.0:  # without the second term, the identity would be the best denoiser
        assert float(loss_of(N2Same(sigma=0.0), net, y)) == 0.0


# ---- N2V2


def seen_by(method: N2V2, y: Tensor) -> tuple[Tensor, Tensor]:
    made, index, inside = method.masked(y, context(len(y)))
    return made, mask_of(index, inside, *y.shape[2:])


@pytest.mark.parametrize("radius", [1, 3])
def test_n2v2_puts_the_median_of_the_window_without_the_pixel(radius: int) -> None:
    y = torch.rand(2, 2, 20, 27, dtype=torch.float64)
    made, mask = seen_by(N2V2(radius=radius), y)
    assert torch.equal(made[~mask], y[~mask])
    assert mask.sum() > 30
    for b, c, i, j in mask.nonzero().tolist():
        rows, columns = slice(max(0, i - radius), i + radius + 1), slice(max(0, j - radius), j + radius + 1)
        window = y[b, c].clone()
        window[i, j] = torch.nan
        expected = np.nanmedian(window[rows, columns].numpy())
        assert float(made[b, c, i, j]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_structured_masks_hide_what_is_correlated(axis: str) -> None:
    """Nothing within the span along the axis is left of the original, neither there nor in the median."""
    y = torch.rand(1, 1, 32, 32, dtype=torch.float64)
    method = N2V2(span=3, axis=axis)  # type: ignore[arg-type]
    made, mask = seen_by(method, y)
    row, column = (0, 1) if axis == "horizontal" else (1, 0)
    changed = y.clone()
    for _, _, i, j in mask.nonzero().tolist():
        for step in range(-3, 4):
            a, b = i + row * step, j + column * step
            if 0 <= a < 32 and 0 <= b < 32:
                assert made[0, 0, a, b] != y[0, 0, a, b]
    for step in range(-3, 4):  # of one masked pixel: its median does not move with the pixels that are hidden
        _, _, i, j = mask.nonzero()[12].tolist()
        changed[0, 0, (i + row * step) % 32, (j + column * step) % 32] = 5.0
    again, _ = seen_by(method, changed)
    assert again[0, 0, i, j] == made[0, 0, i, j]
    plain, mask = seen_by(N2V2(), y)
    assert torch.equal(plain[~mask], y[~mask])


def test_n2v2_counts_masked_pixels_alone() -> None:
    y = gaussian(smooth(3, 2, 32))
    replaced, mask = seen_by(N2V2(), y)
    expected = [(Filter()(replaced) - y)[i][mask[i]].square().mean() for i in range(3)]
    assert float(loss_of(N2V2(), Filter(), y)) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-12)


def test_masks_that_mask_nothing_are_refused() -> None:
    for wrong in ({"perc": 0.0}, {"radius": 0}, {"span": -1}):
        with pytest.raises(InputError, match="n2v2"):
            N2V2(**wrong)
    with pytest.raises(InputError, match="n2same"):
        N2Same(perc=0.0)
    with pytest.raises(InputError, match="n2s"):
        N2S(s=1)


def test_blur_pooling_is_a_maximum_and_a_binomial_mean() -> None:
    net, x = BlurUNetConfig(width=2).build(1), torch.rand(1, 2, 8, 8)
    found = net.pool(x)
    assert found.shape == (1, 2, 4, 4)
    largest = x.unfold(2, 2, 1).unfold(3, 2, 1).amax((4, 5))  # [1, 2, 7, 7]
    weights = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16.0
    inner = (largest[0, 1, 1:4, 3:6] * weights).sum()
    assert float(found[0, 1, 1, 2]) == pytest.approx(float(inner), rel=1e-6)
    torch.testing.assert_close(net.pool(torch.full((1, 2, 2, 2), 0.3)), torch.full((1, 2, 1, 1), 0.3))


def test_nothing_passes_the_blurred_network_at_full_size() -> None:
    """Its features at full size come from an image of half the sides: pixels of a 2x2 cell start equal."""
    torch.manual_seed(0)
    net = BlurUNetConfig(width=4).build(3)
    seen: list[Tensor] = []
    net.top[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    assert net(torch.rand(1, 3, 32, 64)).shape == (1, 3, 32, 64)
    cells = F.pixel_unshuffle(seen[0], 2).view(1, 8, 4, 16, 32)
    assert torch.equal(cells, cells[:, :, :1].expand_as(cells))
