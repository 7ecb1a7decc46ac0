"""Small real photographs, a plain machine, and tiny units of work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from PIL import Image as Pillow
from support.cli import narrow_networks

from bench.compute.machine import Machine
from bench.datasets.formats import image_format as formats
from bench.datasets.images import SetImage
from bench.datasets.noise import model as noise
from bench.datasets.noise.model import parse
from bench.datasets.sets.find import find
from bench.methods import registry
from bench.methods.base import Method
from bench.methods.networks import registry as networks
from bench.methods.networks.unet import UNetConfig
from bench.protocol.metrics import registry as metrics
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit

REGISTRIES = (registry.METHODS, networks.NETWORKS, metrics.METRICS, noise.FAMILIES, formats.FORMATS)


@pytest.fixture(autouse=True)
def plugins_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is unknown to the next one, in whatever order and process they run."""
    for known in REGISTRIES:
        monkeypatch.setattr(known, "entries", known.all())


CYCLE = Recipe(schedule="cycle", lr=2e-3, beta2=0.95, weight_decay=1e-8)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums of floats depend on the number of threads; bit-identity is promised for an equal one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Narrow U-Nets for all tests of a file."""
    with narrow_networks():
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three colour crops of 72x80 cut from photographs that ship with scikit-image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, top, left in (("astronaut", 60, 180), ("chelsea", 60, 100), ("coffee", 120, 200)):
        crop = getattr(skimage.data, name)()[top : top + 72, left : left + 80]
        Pillow.fromarray(crop).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def set_images(photos: Path) -> list[SetImage]:
    return find(f"folder:{photos}").load(None, 3)


@pytest.fixture
def machine() -> Machine:
    return Machine("cpu", "float32", 1)


@pytest.fixture
def small() -> Callable[..., Method]:
    """A registered method by name, its network narrow, its cells and ensembles small where it has such fields."""

    def make(name: str, **fields: Any) -> Method:
        method = registry.find(name)
        cheap = {"net": UNetConfig(width=4), "s": 2, "width": 16, "blocks": 1, "ensemble": 2}
        return method(**({key: value for key, value in cheap.items() if key in method.__struct_fields__} | fields))

    return make


@pytest.fixture
def work(photos: Path, small: Callable[..., Method]) -> Callable[..., Fit]:
    """A tiny training of a method, given by name or as it is."""

    def make(method: str | Method = "n2c", noise: str = "gauss25", **changes: Any) -> Fit:
        made = small(method) if isinstance(method, str) else method
        known: dict[str, Any] = {
            "name": type(made).__name__.lower(), "method": made, "noise": parse(noise), "seed": 0, "channels": 3,
            "train": f"folder:{photos}", "train_noise": "fresh", "batch": 2, "steps": 6, "epochs": 3, "recipe": CYCLE,
            "crop": max(32, made.crop_multiple),
        }  # fmt: skip
        return Fit(**(known | changes))

    return make
