"""Numbers of pixels: a function of a name, a sample and a place, wherever a crop begins and whatever it holds else."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from bench.datasets.noise.conditions import REACH, Correlated
from bench.datasets.noise.field import Field
from bench.datasets.noise.model import parse
from bench.datasets.noise.named import named

HEIGHT, WIDTH = 13, 17
SAMPLES = torch.tensor([3, 2**40 + 1])
EXACT = {"rtol": 0.0, "atol": 0.0}


def field(
    rows: range = range(HEIGHT), columns: range = range(WIDTH), channels: int = 3, names: tuple[object, ...] = ("x", 0)
) -> Field:
    """Numbers of a crop of two images."""
    places = [torch.tensor(list(one)).expand(2, -1) for one in (rows, columns)]
    return Field(names, SAMPLES, *places, torch.tensor([[HEIGHT, WIDTH]] * 2), channels)


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_a_crop_has_the_numbers_of_its_places(channels: int) -> None:
    whole, crop = field(channels=channels), field(range(2, 9), range(5, 17), channels)
    assert whole.normal().shape == (2, channels, HEIGHT, WIDTH)
    assert torch.equal(crop.normal(), whole.normal()[..., 2:9, 5:17])
    assert torch.equal(crop.words("a"), whole.words("a")[..., 2:9, 5:17])
    assert not torch.equal(crop.normal(), field(range(3, 10), range(5, 17), channels).normal())


@pytest.mark.parametrize("margin", [1, 3])
def test_margins_go_on_and_begin_again_at_the_sides(margin: int) -> None:
    around = pad(field().normal(), (margin,) * 4, mode="circular")
    assert torch.equal(field().normal(margin=margin), around)
    crop = field(range(2, 9), range(5, 17)).normal(margin=margin)
    assert torch.equal(crop, around[..., 2 : 9 + 2 * margin, 5 : 17 + 2 * margin])


def test_a_correlated_crop_is_a_crop_of_the_correlated_field() -> None:
    whole, crop = (Correlated().numbers(one).normal() for one in (field(), field(range(2, 9), range(5, 17))))
    torch.testing.assert_close(crop, whole[..., 2:9, 5:17], rtol=0.0, atol=1e-6)
    assert whole.shape == (2, 3, HEIGHT, WIDTH)
    assert whole.shape[-1] > 2 * REACH


@pytest.mark.parametrize(("few", "many"), [(1, 3), (3, 4), (4, 6), (4, 9)])
def test_fewer_channels_are_the_first_of_more(few: int, many: int) -> None:
    """So a gray image has the noise of the first channel of a colour image."""
    one, other = field(channels=few), field(channels=many)
    assert torch.equal(one.normal(), other.normal()[:, :few])
    assert torch.equal(one.words("a"), other.words("a")[:, :few])


def differ(one: Tensor, two: Tensor) -> bool:
    return not bool((one == two).any())


def test_numbers_differ_by_name_stream_sample_and_channel() -> None:
    z = field(channels=9).normal()
    assert differ(z, field(channels=9).normal("another"))
    assert differ(z, field(channels=9, names=("x", 1)).normal())
    assert differ(z[0], z[1])
    assert len({float(one) for one in z[0, :, 3, 3]}) == 9
    assert len(set(z.flatten().tolist())) > 0.999 * z.numel()


def test_correlated_training_and_test_noise_have_one_variance_and_one_correlation() -> None:
    """Of white noise blurred by a Gaussian of 0.8 pixels: exp(-k^2 / (4 * 0.8^2)) at k pixels."""
    noise, side = parse("gauss25:correlated"), 256
    place = torch.arange(side).expand(2, -1)
    field = Field(("a test",), torch.arange(2), place, place, torch.tensor([[side, side]] * 2), 3)
    drawn = noise.add(torch.zeros(2, 3, side, side), torch.full((2,), 25.0), field).double().numpy()
    tested, _ = named(noise, np.zeros((side, side, 3), np.float32), "an image", 0)
    for z in (drawn.reshape(6, side, side), tested.transpose(2, 0, 1)):
        assert z.std() * 255 == pytest.approx(25.0, rel=0.02)
        for k in (1, 2, 3, 4):
            expected = np.exp(-(k**2) / 2.56)
            assert (z[:, k:] * z[:, :-k]).mean() / z.var() == pytest.approx(expected, abs=0.02)
            assert (z[..., k:] * z[..., :-k]).mean() / z.var() == pytest.approx(expected, abs=0.02)
