"""Where neighbours share their noise, AP-BSN removes it, and N2V learns it."""

import numpy as np
import pytest

from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.compute.training import train
from bench.datasets.images import unit
from bench.datasets.noise.model import Image
from bench.datasets.noise.named import named
from bench.datasets.sets.find import find
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import Fit

ASKED = Request(suite="srgb", methods=("ap-bsn",), settings=("n2v.net.width=16",), steps=300)


def pictures() -> list[tuple[Image, Image]]:
    """(noisy, clean) [128, 128, 3] of the suite's small test set."""
    found = []
    for set_image in find("embedded_test").load(None, 3):
        clean = unit(set_image.pixels)
        noisy, _ = named(make(ASKED).cells[0].noise, clean, set_image.digest, 0)
        found.append((noisy[80:208, 120:248], clean[80:208, 120:248]))
    return found


def quality(fit: Fit, machine: Machine) -> dict[str, float]:
    """PSNR of every output of a method that is trained here, and of the noisy input; the mean of the images."""
    net = train(fit, find("embedded_train").load(None, 3), machine).net.eval()
    found: dict[str, list[float]] = {}
    for number, (noisy, clean) in enumerate(pictures()):
        (made,) = denoise(fit.method, net, [noisy], fit.noise, [25.0], machine, "next", [(number,)])
        for name, image in (made | {"noisy": noisy}).items():
            found.setdefault(name, []).append(-10 * np.log10(np.mean((image.clip(0, 1) - clean) ** 2)))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.slow
def test_ap_bsn_beats_its_input_and_n2v(machine: Machine) -> None:
    fits = {type(cell.fit.method).__name__: cell.fit for cell in make(ASKED).cells if cell.trains}
    ap_bsn, n2v = quality(fits["APBSN"], machine), quality(fits["N2V"], machine)
    noisy = ap_bsn.pop("noisy")
    assert n2v["denoised"] < noisy + 1.0
    assert min(ap_bsn.values()) > max(noisy, n2v["denoised"]) + 1.0
    assert ap_bsn["with R3"] > ap_bsn["without R3"]
