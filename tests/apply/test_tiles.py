"""Tiles give what the whole image gives."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakSet

import numpy as np
import pytest
import torch

from bench.apply.fitting import Fitted, as_images, plan
from bench.apply.tiles import margin_of, strips
from bench.compute.machine import Machine
from bench.compute.step import build
from bench.datasets.noise.model import Image

pytestmark = pytest.mark.usefixtures("narrow")


def untrained(name: str, machine: Machine, channels: int = 1) -> Fitted:
    """The network of a method with its initial weights."""
    images = as_images([[np.zeros((64, 64, channels), np.float32)]])
    work, _, _ = plan(name, images, steps=1)
    net = machine.place(build(work.method, channels, 1.0, 0), precision="float32").eval()
    return Fitted(work, net, machine, frozenset())


def photograph(height: int, width: int, channels: int = 1) -> Image:
    return np.random.default_rng(0).random((height, width, channels), np.float32)


def reader(image: Image) -> Callable[[slice, slice], Image]:
    return lambda rows, columns: image[rows, columns]


@pytest.mark.parametrize(("name", "channels"), [("n2v", 1), ("b2u", 2), ("nbr2nbr", 1)])
def test_tiles_equal_the_whole_image(name: str, channels: int, machine: Machine) -> None:
    fitted, image = untrained(name, machine, channels), photograph(331, 475, channels)
    margin = margin_of(fitted)
    assert margin is not None
    tiled = np.concatenate(
        list(strips(fitted, reader(image), 331, 475, lambda: margin, largest=(2 * margin + 64) ** 2))
    )
    assert np.abs(tiled - fitted(image)).max() < 1e-5


def test_the_margin_is_not_larger_than_needed(machine: Machine) -> None:
    fitted = untrained("n2v", machine)
    margin = margin_of(fitted)
    assert margin is not None
    assert 64 <= margin <= 192


def test_a_smaller_margin_is_seen(machine: Machine) -> None:
    fitted, image = untrained("n2v", machine), photograph(256, 256)
    tiled = np.concatenate(list(strips(fitted, reader(image), 256, 256, lambda: 0, largest=64**2)))
    assert np.abs(tiled - fitted(image)).max() > 1e-5


@pytest.mark.parametrize(
    ("largest", "memory", "calls"), [(384**2, 350**2, 28), (448**2, 350**2, 37), (448**2, 360**2, 1 + 4)]
)
def test_what_does_not_fit_into_memory_is_cut_into_four(
    largest: int, memory: int, calls: int, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, image, sizes = untrained("n2v", machine), photograph(448, 448), []
    whole, outputs = fitted(image), Fitted.outputs

    def short_of_memory(self: Fitted, noisy: Image, *more: object) -> dict[str, Image]:
        sizes.append(noisy.size)
        if noisy.size > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs(self, noisy)

    monkeypatch.setattr(Fitted, "outputs", short_of_memory)
    tiled = np.concatenate(list(strips(fitted, reader(image), 448, 448, lambda: 128, largest=largest)))
    assert max(sizes) > memory
    assert len(sizes) == calls
    assert np.abs(tiled - whole).max() < 1e-5


class Map:
    """What a pass through a network holds."""


def test_what_did_not_fit_is_dropped_before_the_parts_are_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, image, alive, before = untrained("n2v", machine), photograph(128, 128), list[int](), WeakSet[Map]()

    def short_of_memory(self: Fitted, noisy: Image) -> Image:
        alive.append(len(before))
        features = Map()
        before.add(features)
        if noisy.shape[0] > 64:
            raise MemoryError
        return noisy

    monkeypatch.setattr(Fitted, "__call__", short_of_memory)
    list(strips(fitted, reader(image), 128, 128, lambda: 0))
    assert alive == [0] * 5


def test_progress_ends_at_one(machine: Machine) -> None:
    fitted, image, shares = untrained("n2v", machine), photograph(100, 160), list[float]()
    for _ in strips(fitted, reader(image), 100, 160, lambda: 0, shares.append, largest=64**2):
        pass
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 6


def test_the_training_of_an_image_is_progress(machine: Machine) -> None:
    image, shares = photograph(64, 96), list[float]()
    work, _, _ = plan("zs-n2n", as_images([[image]]), steps=2)
    fitted = Fitted(work, None, machine, frozenset())
    (found,) = strips(fitted, reader(image), 64, 96, lambda: 0, shares.append)
    assert found.shape == image.shape
    assert shares == sorted(shares)
    assert 0.0 < shares[-2] < shares[-1] == 1.0


def test_a_method_without_a_network_has_no_margin(machine: Machine, tmp_path: Path) -> None:
    work, _, _ = plan("bm3d", as_images([[photograph(64, 64)]]))
    assert margin_of(Fitted(work, None, machine, frozenset())) is None


class Alone:
    """A fitted method that returns what it is given."""

    net = True

    def __init__(self, work: SimpleNamespace) -> None:
        self.work = work

    def __call__(self, image: Image) -> Image:
        return image


@pytest.mark.parametrize("multiple", [32, 544])
def test_the_probe_is_large_enough_for_every_multiple(multiple: int) -> None:
    """544: cells of width 17. An output that depends on its own pixel alone has no margin."""
    work = SimpleNamespace(method=SimpleNamespace(multiple=multiple), channels=1)
    assert margin_of(cast(Any, Alone(work))) == 0
