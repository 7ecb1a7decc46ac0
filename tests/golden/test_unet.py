"""U-Net parity: layers, slope, upsampling, skip order."""

import pytest
import torch

from bench.methods.nbr2nbr import NBR2NBR
from bench.methods.networks.official_names import B2U_LAYERS, NBR_LAYERS
from bench.methods.networks.unet import UNetConfig
from bench.methods.registry import configured
from bench.protocol.suite_files import load

from .conftest import golden, matching
from .official import digest, fill

NBR = configured(NBR2NBR, load("synthetic").configurations["nbr2nbr-official"].fields)
NETS = {"b2u": (UNetConfig(), B2U_LAYERS), "nbr": (NBR.net, NBR_LAYERS)}
CASES = [(name, case) for name in NETS for case in matching(f"unet_{name}", "x_")]

# Facts of the weight recipe with seed 1000, whatever the vectors: parameters, SHA-256.
RECIPE = {
    ("b2u", 1): (1099585, "73df1589a59dea4aea4da71de2f2cbf7d9dcbbbd0d4dbca5097b0fb8b8e1cd2b"),
    ("b2u", 3): (1102371, "fc482875c0e1927d9856e8e1794b7f62cedf48a0d9eff3d785e9bb085e484a30"),
    ("b2u", 4): (1103764, "d8614f60af7c614b371563a91ba1a33678508c2e80c84172503dfe98d460bf51"),
    ("nbr", 1): (1256689, "6932a4d94ad222010ba5e5a00c79050e88203decebd33192c141d86b3b1e06aa"),
    ("nbr", 3): (1259475, "36ec15fcded31e4c4ed0b818a23ac42e304fa66c2bbb0d91c4cfd1abb6010c25"),
    ("nbr", 4): (1260868, "ea9cf1c3dfe703a25cd4cf5942fbbaec13f8d33d2887f97bfe41bf145dee82ef"),
}


@pytest.mark.parametrize(("name", "channels"), RECIPE)
def test_parameters(name: str, channels: int) -> None:
    """As many as the official network has."""
    config, _ = NETS[name]
    assert sum(p.numel() for p in config.build(channels).parameters()) == RECIPE[name, channels][0]


@pytest.mark.parametrize(("name", "channels"), RECIPE)
def test_weights(name: str, channels: int) -> None:
    """Shapes and names agree with the official ones: else the recipe gives other bytes."""
    config, layers = NETS[name]
    assert digest(fill(config.build(channels), layers, 1000), layers) == RECIPE[name, channels][1]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_output(name: str, case: str) -> None:
    """The official output."""
    arrays, (config, layers) = golden(f"unet_{name}"), NETS[name]
    x, y = (torch.from_numpy(arrays[f"{letter}_{case}"]) for letter in "xy")
    net = fill(config.build(x.shape[1]), layers, int(arrays["weight_seed"]))
    with torch.no_grad():
        torch.testing.assert_close(net(x), y, rtol=0, atol=1e-3)
