"""Networks by name: what a field `net` may hold, how it is written, and what a plug-in network trains."""

from pathlib import Path

import pytest
import torch
from support.cli import bench, line, lines, refused
from support.tiny import Tiny

from bench.datasets.errors import InputError
from bench.methods import registry
from bench.methods.b2u import B2U
from bench.methods.n2c import N2C
from bench.methods.nbr2nbr import NBR2NBR
from bench.methods.networks import registry as networks
from bench.methods.networks.dncnn import DnCNN
from bench.methods.networks.layers import Float32Conv
from bench.methods.networks.unet import UNetConfig
from bench.methods.networks.unet_blurpool import BlurUNetConfig
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import changed_fields

PLUGIN = """
from torch import nn
from bench import Network, register_network

@register_network("two-layers")
class TwoLayers(Network, frozen=True):
    multiple = 2
    width: int = 4

    def build(self, channels, outputs=None):
        return nn.Sequential(
            nn.Conv2d(channels, self.width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(self.width, outputs or channels, 2, stride=2),
        )
"""


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ({"width": 4}, UNetConfig(width=4)),
        ("unet", UNetConfig()),
        ("dncnn", DnCNN()),
        ({"name": "dncnn", "depth": 5}, DnCNN(depth=5)),
    ],
)
def test_a_field_is_read_and_written(value: object, network: networks.Network) -> None:
    method = registry.configured(N2C, {"net": value})
    assert method == N2C(net=network)
    assert registry.configured(N2C, changed_fields(method)) == method


def test_the_u_net_is_written_as_ever_and_others_by_their_name() -> None:
    fields = {"width": 4, "slope": 0.1, "upsample": "nearest", "init": "torch"}
    assert changed_fields(N2C(net=UNetConfig(width=4))) == {"net": fields}
    assert changed_fields(N2C(net=DnCNN())) == {"net": {"name": "dncnn"}}
    assert changed_fields(N2C()) == {}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("dncn", "dncnn"),
        ({"name": "dncnn", "dept": 3}, "depth"),
        ({"name": "unet-blurpool", "upsample": "transposed"}, "transposed"),
        ({"widht": 3}, "width"),
        (3, "name"),
    ],
)
def test_a_wrong_network_is_named(value: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        registry.configured(N2C, {"net": value})


@pytest.mark.parametrize("network", [UNetConfig(init="he/10"), BlurUNetConfig(init="he/10")], ids=networks.name_of)
def test_all_layers_have_the_small_initial_weights(network: networks.Network) -> None:
    torch.manual_seed(0)
    for conv in (m for m in network.build(3).modules() if isinstance(m, torch.nn.Conv2d)):
        assert float(conv.weight.detach().std() * conv.weight[0].numel() ** 0.5) == pytest.approx(
            0.1 * 2**0.5, rel=0.15
        )
        assert conv.bias is not None
        assert not conv.bias.any()


def test_a_last_layer_is_computed_in_float32_under_autocast() -> None:
    layer, x = Float32Conv(4, 2, 1), torch.rand(1, 4, 5, 6)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), exact)
        assert layer(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(("channels", "layers"), [(1, 17), (3, 20)])
def test_dncnn_has_the_paper_s_layers(channels: int, layers: int) -> None:
    convolutions = [m for m in DnCNN().build(channels).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == layers
    assert {conv.out_channels for conv in convolutions} == {64, channels}


def test_dncnn_predicts_the_noise_of_images_of_any_size() -> None:
    net = DnCNN(depth=3, width=4).build(3)
    torch.nn.init.zeros_(net.get_submodule("last").weight)  # type: ignore[arg-type]
    y = torch.rand(1, 3, 5, 7)
    assert torch.equal(net(y), y)
    assert DnCNN(depth=3, width=4).build(3, outputs=1)(y).shape == (1, 1, 5, 7)


def test_sides_belong_to_the_network_and_to_what_a_method_does_with_it() -> None:
    assert (N2C().multiple, N2C(net=DnCNN()).multiple) == (32, 1)
    assert (B2U(s=4).multiple, B2U(s=4, net=DnCNN()).multiple) == (32, 4)
    assert (NBR2NBR().crop_multiple, NBR2NBR(net=DnCNN()).crop_multiple) == (64, 2)
    assert registry.find("noisy")().multiple == 1


def test_a_crop_that_a_method_cannot_use_is_said_when_a_plan_is_made(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    tiny.suite.write_text(tiny.suite.read_text().replace("crop = 64", "crop = 32"))
    made = make(Request(suite=str(tiny.suite), methods=("n2c", "nbr2nbr")))
    states = {cell.name: cell.excluded for cell in made.cells}
    assert states["n2c"] is None
    found = states["nbr2nbr"]
    assert found is not None
    assert found.kind == "not possible"
    assert "64" in found.reason


def test_a_plug_in_network_trains_three_methods(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    plugin = tmp_path / "two_layers.py"
    plugin.write_text(PLUGIN)
    net = ("--plugin", plugin, "--net", "two-layers")
    tiny.run(*net, methods="n2c,b2u,nbr2nbr")
    found = lines("--suite", tiny.suite, "--store", tiny.store, "--plugin", plugin)
    for method in ("n2c", "b2u", "nbr2nbr"):
        one = line(found, method=method, noise="gauss25", output="visible" if method == "b2u" else "denoised")
        assert (one["state"], one["label"].endswith(", two-layers")) == ("done", True)
    assert "two-layers" not in line(found, method="noisy", noise="gauss25")["label"]
    status = bench("status", "--suite", tiny.suite, "--store", tiny.store, "--plugin", plugin)
    assert "8 of 8 units done" in status.out + status.err, status
    plugin.write_text(PLUGIN.replace("width: int = 4", "width: int = 4  # channels"))
    assert "trained" not in tiny.run(*net, methods="n2c").err
    plugin.write_text(PLUGIN.replace("nn.ReLU()", "nn.Tanh()"))
    assert "trained" in tiny.run(*net, methods="n2c").err


def test_an_unknown_network_is_refused(tmp_path: Path) -> None:
    assert "dncnn" in refused("run", "--methods", "n2c", "--net", "dncn", "--precision", "float32", "--store", tmp_path)
