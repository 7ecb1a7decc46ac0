"""Noise2Void: where it masks, what it puts there, and what its loss sees."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn
from torch.nn import functional as F

from bench.methods.base import Batch, Context, Progress
from bench.methods.masks import mask_of, masked_index
from bench.methods.n2v import N2V, neighbours
from bench.methods.rng import Rng

UNLIKELY = 1e-4  # p-value below which a uniform distribution is not believed


class Output(nn.Module):
    """Returns its parameter whatever it is given, and keeps what it is given."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.output


class LocalMean(nn.Module):
    """The mean of the eight neighbours and the pixel itself."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)


def draws(samples: int, seed: int = 0) -> Rng:
    return Rng(seed, torch.arange(samples))


def masked_positions(rng: Rng, perc: float, channels: int, height: int, width: int) -> Tensor:
    """bool [B, C, H, W]."""
    return mask_of(*masked_index(rng, perc, channels, height, width), height, width)


def context(samples: int, seed: int = 0) -> Context:
    return Context(Progress(1, 1), draws(samples, seed), 100)


def distinct(samples: int, channels: int, height: int, width: int) -> Tensor:
    """Every value of an image is the number of its entry."""
    numbers = torch.arange(channels * height * width, dtype=torch.float64)
    return numbers.view(1, channels, height, width).expand(samples, -1, -1, -1).clone()


def uniform(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def loss(method: N2V, net: nn.Module, y: Tensor, seed: int = 0) -> Tensor:
    (one,) = method.losses(net, Batch(y), context(len(y), seed))
    return one


def value(method: N2V, net: nn.Module, y: Tensor) -> float:
    return float(loss(method, net, y).detach())


def network_input(method: N2V, y: Tensor, seed: int = 0) -> Tensor:
    net = Output(torch.zeros_like(y))
    loss(method, net, y, seed)
    return net.seen


def offsets(y: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(rows, columns) from each pixel of `distinct` to the one it was taken from, and whether that has its channel."""
    height, width = y.shape[-2:]
    source, own = replaced.long(), y.long()
    row = source // width % height - own // width % height
    column = source % width - own % width
    return row, column, source // (height * width) == own // (height * width)


# ---- the mask


def test_every_full_box_has_exactly_one_masked_pixel() -> None:
    mask = masked_positions(draws(20), 0.198, 3, 64, 64)  # boxes of 22
    boxes = mask[..., :44, :44].view(20, 3, 2, 22, 2, 22).sum((3, 5))
    assert (boxes == 1).all()


def test_no_box_has_two_masked_pixels_where_boxes_overhang() -> None:
    mask = F.pad(masked_positions(draws(20), 0.198, 3, 64, 50), (0, 16, 0, 2)).view(20, 3, 3, 22, 3, 22)
    assert mask.sum((3, 5)).max() == 1


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (32, 128)])
def test_perc_1_5_masks_one_pixel_of_every_8x8_box(height: int, width: int) -> None:
    mask = masked_positions(draws(10), 1.5, 3, height, width)
    assert mask.shape == (10, 3, height, width)
    assert (mask.sum((2, 3)) == height * width // 64).all()


def test_perc_0_198_masks_8_46_pixels_of_64x64_on_average() -> None:
    counts = masked_positions(draws(500), 0.198, 3, 64, 64).sum((2, 3))
    assert float(counts.double().mean()) == pytest.approx(8.46, abs=0.15)
    assert (counts >= 4).all()
    assert (counts <= 9).all()


def test_every_place_in_a_box_is_masked_equally_often() -> None:
    mask = masked_positions(draws(60), 1.5, 3, 64, 64)
    counts = mask.view(60, 3, 8, 8, 8, 8).sum((0, 1, 2, 4)).flatten()
    assert chisquare(counts.numpy()).pvalue > UNLIKELY


def test_masks_differ_between_channels_samples_and_seeds() -> None:
    masks = [mask for seed in (0, 1) for mask in masked_positions(draws(3, seed), 1.5, 3, 64, 64).flatten(0, 1)]
    assert len({mask.numpy().tobytes() for mask in masks}) == 2 * 3 * 3


# ---- the replacement


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("centre", [True, False])
def test_replacements_lie_in_the_cropped_window_of_their_own_channel(centre: bool, radius: int) -> None:
    y = distinct(20, 2, 13, 17)
    row, column, same_channel = offsets(y, neighbours(draws(20), y, radius, centre))
    assert same_channel.all()
    assert row.abs().max() == column.abs().max() == radius
    assert centre or (row.abs() + column.abs() > 0).all()


def test_only_masked_pixels_change_and_all_of_them_do_without_the_centre() -> None:
    y = distinct(5, 3, 64, 64)
    changed = network_input(N2V(perc=1.5, radius=5, manipulator="withoutCP"), y) != y
    assert torch.equal(changed, masked_positions(draws(5), 1.5, 3, 64, 64))
    assert (changed.sum((2, 3)) == 64).all()


def test_replacements_are_read_from_the_original() -> None:
    """With every pixel masked: a source that had been overwritten before would break the offsets."""
    y = distinct(3, 1, 32, 32)
    row, column, _ = offsets(y, network_input(N2V(perc=100.0, radius=2), y))
    assert row.abs().max() == column.abs().max() == 2
    assert (row.abs() + column.abs() > 0).all()


def test_with_the_centre_4_percent_keep_their_value_at_radius_2() -> None:
    y = distinct(6, 2, 64, 64)
    kept = (neighbours(draws(6), y, 2, True) == y)[..., 2:-2, 2:-2]
    assert float(kept.double().mean()) == pytest.approx(0.04, abs=0.01)


def test_the_configuration_says_whether_the_centre_may_be_drawn() -> None:
    y = distinct(60, 3, 64, 64)
    interior = masked_positions(draws(60), 1.5, 3, 64, 64)
    interior[..., :2, :] = interior[..., -2:, :] = interior[..., :2] = interior[..., -2:] = False
    kept = (network_input(N2V(radius=2, manipulator="withCP"), y) == y)[interior]
    assert float(kept.double().mean()) == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(("centre", "choices"), [(True, 25), (False, 24)])
def test_interior_offsets_are_uniform(centre: bool, choices: int) -> None:
    y = distinct(6, 1, 64, 64)
    row, column, _ = offsets(y, neighbours(draws(6), y, 2, centre))
    counts = torch.bincount((5 * (row + 2) + column + 2)[..., 2:-2, 2:-2].flatten(), minlength=25)
    assert (counts > 0).sum() == choices
    assert chisquare(counts[counts > 0].numpy()).pvalue > UNLIKELY


@pytest.mark.parametrize(("place", "choices"), [((0, 0), 8), ((8, 8), 8), ((0, 4), 14), ((1, 1), 15), ((7, 4), 19)])
def test_border_pixels_draw_uniformly_from_the_cropped_window(place: tuple[int, int], choices: int) -> None:
    y = distinct(3000, 1, 9, 9)
    sources = neighbours(draws(3000), y, 2, False)[:, 0, place[0], place[1]]
    counts = torch.unique(sources, return_counts=True)[1]
    assert len(counts) == choices
    assert chisquare(counts.numpy()).pvalue > UNLIKELY


# ---- the loss


def test_the_loss_is_the_mean_square_over_the_masked_entries() -> None:
    method, y, output = N2V(), uniform((1, 3, 64, 64)), uniform((1, 3, 64, 64), 1)
    net = Output(output)
    masked = masked_positions(draws(1), method.perc, 3, 64, 64)
    assert value(method, net, y) == pytest.approx(float(((output - y)[masked] ** 2).mean()), rel=1e-12)


def test_the_mae_is_the_mean_difference_over_the_masked_entries() -> None:
    method, y, output = N2V(loss="mae"), uniform((1, 3, 64, 64)), uniform((1, 3, 64, 64), 1)
    masked = masked_positions(draws(1), method.perc, 3, 64, 64)
    expected = float((output - y)[masked].abs().mean())
    assert value(method, Output(output), y) == pytest.approx(expected, rel=1e-12)


def test_a_batch_s_loss_is_the_mean_of_its_images() -> None:
    method, y, output = N2V(perc=0.198), uniform((3, 1, 64, 64)), uniform((3, 1, 64, 64), 1)
    masks = masked_positions(draws(3), method.perc, 1, 64, 64)
    means = [float(((a - b)[mask] ** 2).mean()) for a, b, mask in zip(output, y, masks, strict=True)]
    assert value(method, Output(output), y) == pytest.approx(sum(means) / 3, rel=1e-12)


def test_the_gradient_is_zero_off_the_mask_and_2_d_over_n_on_it() -> None:
    y = uniform((1, 3, 64, 64))
    net = Output(uniform(y.shape, 1))
    loss(N2V(), net, y).backward()
    assert net.output.grad is not None
    masked = net.seen != y  # without the centre every masked entry of an image of distinct values changes
    n = int(masked.sum())
    assert n == 3 * 64
    assert (net.output.grad[~masked] == 0.0).all()
    expected = 2.0 * (net.output - y)[masked] / n
    torch.testing.assert_close(net.output.grad[masked], expected, rtol=1e-12, atol=0.0)


def test_the_target_is_used_on_the_mask_alone() -> None:
    """With a network that looks at nothing, y enters as the target only."""
    y = uniform((1, 3, 64, 64))
    net = Output(uniform(y.shape, 1))
    before = loss(N2V(), net, y)
    masked = net.seen != y
    assert torch.equal(loss(N2V(), net, torch.where(masked, y, uniform(y.shape, 2))), before)
    assert not torch.equal(loss(N2V(), net, torch.where(masked, uniform(y.shape, 2), y)), before)


@pytest.mark.parametrize("manipulator", ["withCP", "withoutCP"])
def test_a_network_that_copies_its_input_gains_nothing(manipulator: str) -> None:
    """A constant and noise: the copy of another pixel is off by 2 sigma^2, the local mean by less; a leak gives 0."""
    sigma = 0.1
    y = 0.5 + sigma * torch.from_numpy(np.random.default_rng(0).standard_normal((40, 3, 64, 64)))
    method = N2V(manipulator=manipulator)  # type: ignore[arg-type]
    identity, mean = value(method, nn.Identity(), y), value(method, LocalMean(), y)
    kept = 1 / 121 if manipulator == "withCP" else 0.0
    assert identity == pytest.approx(2 * sigma**2 * (1 - kept), rel=0.1)
    assert sigma**2 < mean < 0.75 * identity
