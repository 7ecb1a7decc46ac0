"""Known answers: the bytes of noisy test images and of training samples, as they were before noise had classes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from bench.datasets.images import SetImage
from bench.datasets.noise.model import parse
from bench.datasets.noise.named import named
from bench.datasets.sampling import Patches

# The start of the SHA-256 of: test noise, fresh training samples, fixed ones.
KNOWN = {
    "gauss25": ("17c5e0e83656aea9", "48dc43379863b5c0", "b4e1b8216fcddc83"),
    "gauss5_50": ("9c6b736b5384f779", "3d9baa9669efa9a5", "92694b6204a97d48"),
    "poisson30": ("9c64a2ea2185abb1", "7b6e1272befe641e", "cb82f40e0121b5be"),
    "poisson5_50": ("1e39d775636e45e3", "4bc99a52f6a2d3e2", "44ab50d6a2622479"),
    "sensor1_120": ("3d315c2a9ea39ed6", "8bf6aca7b14cb878", "87314ff37c84d496"),
    "gauss25:8bit": ("d60096bb31cdcda0", "26208271f8421926", "1d03a2c561269055"),
    "gauss25:correlated": ("24e611f0d2d2eaa5", "a9b905922ba4e746", "0b297807ca332ac6"),
    "gauss5_50:8bit": ("82f19ec85016272f", "bc8262769c0210ed", "915469a6d1a1f2e0"),
    "poisson30:8bit": ("7e70a9dfd880e87a", "0eee376e274656d6", "1ccea963647f6463"),
    "sensor1_120:correlated": ("9debd8ffddef2fe3", "e134c106b49531ea", "689da8beec4dab8f"),
    "sensor5:8bit": ("8cccb9655783199a", "536b5b3f19b0ba57", "2781bb78801ab796"),
}


def digest(arrays: list[NDArray[np.floating]]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


@pytest.fixture
def set_images(tmp_path: Path) -> list[SetImage]:
    """Three colour images of 20x18."""
    found = []
    for i in range(3):
        pixels = np.roll(np.arange(20 * 18 * 3, dtype=np.int64) * 7 % 256, 85 * i).reshape(20, 18, 3)
        Pillow.fromarray(pixels.astype(np.uint8)).save(path := tmp_path / f"{i}.png")
        found.append(SetImage(str(i), path, 3))
    return found


@pytest.mark.parametrize("name", [*KNOWN])
def test_the_noise_of_test_images_has_the_known_bytes(name: str) -> None:
    clean, arrays = np.linspace(0, 1, 24 * 20 * 3, dtype=np.float32).reshape(24, 20, 3), []
    for repeat in (0, 1):
        noisy, level = named(parse(name), clean, "digest", repeat)
        arrays += [noisy, np.array(level)]
    assert digest(arrays) == KNOWN[name][0]


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("name", [*KNOWN])
def test_training_samples_have_the_known_bytes(name: str, kind: str, set_images: list[SetImage]) -> None:
    patches, arrays = Patches(set_images, parse(name), kind, 12, 3), []  # type: ignore[arg-type]
    for number in (0, 5, 7):
        frames, levels, clean = patches.sample(number, 2)
        assert clean is not None
        arrays += [*frames, np.array(levels), clean]
    assert digest(arrays) == KNOWN[name][1 + (kind == "fixed")]


def test_noisy_images_without_clean_ones_have_the_known_bytes(set_images: list[SetImage]) -> None:
    samples = [Patches(set_images, parse("none"), "fresh", 12, 3).sample(number, 2) for number in (0, 5, 7)]
    assert digest([array for one in samples for array in (*one.frames, np.array(one.levels))]) == "dd0fa569a14f7ac7"
