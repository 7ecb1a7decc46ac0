"""AP-BSN: images taken apart and put together, what its loss compares, what its network and refinement see."""

import pytest
import torch
from support.linear import context, gaussian, smooth
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.errors import InputError
from bench.methods.ap_bsn import APBSN, apart, together
from bench.methods.base import Batch
from bench.methods.networks.dbsn import DBSNLight


class Emits(nn.Module):
    """A multiple of the input; keeps what it was given."""

    def __init__(self, scale: float = 0.5) -> None:
        super().__init__()
        self.scale, self.seen = scale, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.scale * x


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_an_image_is_taken_apart_and_put_together(stride: int) -> None:
    y = torch.rand(2, 3, 20, 30)
    parts = apart(y, stride)
    assert parts.shape == (2 * stride**2, 3, 20 // stride, 30 // stride)
    for b in range(2):
        for k in range(stride**2):
            assert torch.equal(parts[b * stride**2 + k], y[b, :, k // stride :: stride, k % stride :: stride])
    assert torch.equal(together(parts, stride), y)


@pytest.mark.parametrize("side", [20, 32])
def test_the_loss_is_the_mean_absolute_difference(side: int) -> None:
    """Also where the stride does not divide the sides."""
    y, net = gaussian(smooth(2, 3, side)), Emits()
    (loss,) = APBSN().losses(net, Batch(y), context(2))
    assert float(loss) == pytest.approx(float((0.5 * y - y).abs().mean()), rel=1e-12)
    assert net.seen[0].shape == (50, 3, -(-side // 5), -(-side // 5))


def test_neighbours_of_the_image_never_meet_in_training() -> None:
    """A change of one pixel reaches the sub-image of its own phase alone."""
    y = torch.rand(1, 1, 20, 20)
    changed = y.clone()
    changed[0, 0, 7, 8] += 1.0
    one, two = Emits(), Emits()
    APBSN().f(one, y, 5), APBSN().f(two, changed, 5)
    different = (one.seen[0] != two.seen[0]).flatten(1).any(1).nonzero().flatten().tolist()
    assert different == [7 % 5 * 5 + 8 % 5]


def test_refinement_sees_a_share_of_the_noisy_pixels() -> None:
    y, net = torch.rand(1, 3, 200, 200), Emits()
    made = APBSN(T=3).denoise(net, y, context(1))
    torch.testing.assert_close(made["without R3"], 0.5 * y)
    assert len(net.seen) == 4
    assert net.seen[0].shape == (4, 3, 100, 100)
    shares, inside = [], [seen[:, :, 2:-2, 2:-2] for seen in net.seen[1:]]
    for seen, given in zip(net.seen[1:], inside, strict=True):
        assert torch.equal(seen, F.pad(given, (2, 2, 2, 2), mode="reflect"))  # as in the official code
        replaced = given == y
        assert torch.equal(given[~replaced], 0.5 * y[~replaced])
        shares.append(float(replaced.double().mean()))
        assert float(replaced.all(1).double().mean()) == pytest.approx(0.16**3, abs=0.003)  # channels on their own
    assert shares == pytest.approx([0.16] * 3, abs=0.01)
    torch.testing.assert_close(made["with R3"], 0.5 * torch.stack(inside).mean(0))
    assert APBSN(T=3).passes() == {"without R3": 1, "with R3": 4}


def test_refinement_takes_the_smallest_images() -> None:
    y = torch.rand(1, 3, 1, 2)
    assert APBSN(T=1).denoise(Emits(), y, context(1))["with R3"].shape == y.shape


@pytest.mark.parametrize(("height", "width"), [(20, 24), (21, 23)])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_no_pixel_is_predicted_from_itself(stride: int, height: int, width: int) -> None:
    """Also where the stride does not divide the sides, at the borders, and after the weights have moved."""
    torch.manual_seed(0)
    net = DBSNLight(3, 16, 1).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    y = torch.rand(1, 3, height, width, dtype=torch.float64)
    places = [
        (0, 0),
        (0, width - 1),
        (height - 1, 0),
        (height - 1, width - 1),
        (height - 2, 7),
        (9, width - 2),
        (10, 11),
    ]
    for row, column in places:
        seen = y.clone().requires_grad_()
        APBSN().f(net, seen, stride)[0, :, row, column].sum().backward()
        assert seen.grad is not None
        assert seen.grad[0, :, row, column].abs().max() == 0.0
        near = [(row + stride, column), (row - stride, column), (row, column + stride), (row, column - stride)]
        inside = [(i, j) for i, j in near if 0 <= i < height and 0 <= j < width]
        assert all(seen.grad[0, :, i, j].abs().max() > 0.0 for i, j in inside)


def test_the_network_has_the_size_of_the_authors() -> None:
    net = APBSN().build(3)
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6, 1) == 3.7


def test_widths_and_shares_that_cannot_be_are_refused() -> None:
    for wrong in ({"width": 20}, {"p": 1.5}):
        with pytest.raises(InputError, match="ap-bsn"):
            APBSN(**wrong)
