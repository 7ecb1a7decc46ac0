"""Blind2Unblind's masker: interpolation, masks, masked volume, mapper; all through B2U's own code path."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.methods.b2u import B2U
from bench.methods.masks import blind_spots, cell_masks, interpolate

from .conftest import golden, matching
from .official import Probe, Recorder, context, nearest

ARRAYS = golden("b2u_mask")
WIDTHS = sorted(int(width) for width in matching("b2u_mask", "mapped_w"))
VOLUMES = [("x", "", w) for w in WIDTHS] + [("x_rect", "rect_", int(w)) for w in matching("b2u_mask", "volume_rect_w")]
CHUNKS = [1, 6, 10**6]  # one mask at a time; a group that divides nothing; all at once


class Fake(nn.Module):
    """volume[k] -> volume[k] (0.5 + 0.01 k) + 0.03 k: every member of the volume has an answer of its own."""

    def __init__(self, volume: Tensor) -> None:
        super().__init__()
        self.volume = volume

    def forward(self, x: Tensor) -> Tensor:
        """Member k is known by its pixels, not by its place in the call."""
        k = nearest(x, self.volume).to(x)[:, None, None, None]
        return x * (0.5 + 0.01 * k) + 0.03 * k


def given(name: str) -> Tensor:
    """One array as a tensor."""
    return torch.from_numpy(ARRAYS[name])


def test_interpolation() -> None:
    """Every pixel from its neighbours."""
    torch.testing.assert_close(interpolate(given("x")), given("interp"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("x", "prefix", "s"), VOLUMES)
def test_masks(x: str, prefix: str, s: int) -> None:
    """Exact, and in the official order."""
    images = len(ARRAYS[x])
    masks = cell_masks(s, *ARRAYS[x].shape[-2:]).repeat(images, 1, 1, 1)
    np.testing.assert_array_equal(masks.numpy(), ARRAYS[f"masks_{prefix}w{s}"].astype(bool))


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("x", "prefix", "s"), VOLUMES)
def test_volume(x: str, prefix: str, s: int, chunk: int) -> None:
    """What the network is given, image by image, then mask by mask."""
    y, net = given(x), Recorder()
    list(blind_spots(net, y, s, chunk))
    members = torch.cat(net.seen).view(s * s, *y.shape).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(members, given(f"volume_{prefix}w{s}"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("x", "prefix", "s"), VOLUMES)
def test_groups(x: str, prefix: str, s: int, chunk: int) -> None:
    """Every official mask once, in order, with the answer at its own pixels."""
    y, found = given(x), list(blind_spots(Probe(), given(x), s, chunk))
    assert [k for group, _ in found for k in range(group.start, group.stop)] == list(range(s * s))
    masks, volume = given(f"masks_{prefix}w{s}")[: s * s].bool(), given(f"volume_{prefix}w{s}")
    answers = Probe()(volume.view(len(y), s * s, *y.shape[1:])[0])
    for k, read in enumerate(torch.cat([h for _, h in found], dim=2)[0].unbind(1)):
        torch.testing.assert_close(read.flatten(1), answers[k][:, masks[k, 0]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("s", WIDTHS)
def test_mapper(s: int, chunk: int) -> None:
    """Each masked pixel from the answer to its own member."""
    outputs = B2U(s=s).denoise(Fake(given(f"volume_w{s}")), given("x"), context(chunk=chunk))
    torch.testing.assert_close(outputs["blind"], given(f"mapped_w{s}"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("s", WIDTHS)
def test_mapped_probe(s: int, chunk: int) -> None:
    """With a network that looks at neighbours."""
    outputs = B2U(s=s).denoise(Probe(), given("x"), context(chunk=chunk))
    torch.testing.assert_close(outputs["blind"], given(f"mapped_probe_w{s}"), rtol=0, atol=1e-5)
