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
from bench.datasets.sampling import Patches, one_sample

# The start of the SHA-256 of test noise.
KNOWN = {
    "gauss25": "17c5e0e83656aea9",
    "gauss5_50": "9c6b736b5384f779",
    "poisson30": "9c64a2ea2185abb1",
    "poisson5_50": "1e39d775636e45e3",
    "poisson30+gauss10": "1377a2d512319135",
    "sensor1_120": "3d315c2a9ea39ed6",
    "gauss25:8bit": "d60096bb31cdcda0",
    "gauss25:correlated": "24e611f0d2d2eaa5",
    "gauss5_50:8bit": "82f19ec85016272f",
    "poisson30:8bit": "7e70a9dfd880e87a",
    "sensor1_120:correlated": "9debd8ffddef2fe3",
    "sensor5:8bit": "8cccb9655783199a",
}

# Two levels, a pixel of the first noisy frame, a value of the second and one of the clean crop.
TRAINING = {
    ("gauss25", "fresh"): (25, 25, 0.92366892, 0.92226475, 1.0482149, 0.43014035, 0.98039216),
    ("gauss25", "fixed"): (25, 25, 0.88097, 0.81709212, 1.1398799, 0.2030036, 0.98039216),
    ("gauss5_50", "fresh"): (14.063664, 40.258446, 0.92446566, 0.93568426, 1.0185456, 0.4269948, 0.98039216),
    ("gauss5_50", "fixed"): (32.666176, 48.039017, 0.86731797, 0.77543443, 1.1887863, -0.011066198, 0.98039216),
    ("poisson30", "fresh"): (30, 30, 0.80000001, 1.1, 0.96666664, 0.56666666, 0.98039216),
    ("poisson30", "fixed"): (30, 30, 0.76666665, 0.89999998, 0.83333331, 0.53333336, 0.98039216),
    ("poisson5_50", "fresh"): (14.063664, 40.258446, 0.78215748, 1.2087888, 0.99547315, 0.54646921, 0.98039216),
    ("poisson5_50", "fixed"): (32.666176, 48.039017, 0.79593033, 0.91838115, 0.85715574, 0.5204103, 0.98039216),
    ("poisson30+gauss10", "fresh"): (30, 30, 0.79927152, 1.0877295, 0.99379575, 0.56460518, 0.98039216),
    ("poisson30+gauss10", "fixed"): (30, 30, 0.74885857, 0.84566033, 0.8971284, 0.44041714, 0.98039216),
    ("sensor1_120", "fresh"): (2.6228764, 42.567905, 0.92520076, 0.94799381, 0.99148667, 0.43301755, 0.98039216),
    ("sensor1_120", "fixed"): (18.979675, 97.403786, 0.9064371, 0.89394844, 1.0506384, 0.27854359, 0.98039216),
    ("gauss25:8bit", "fresh"): (25, 25, 0.9254902, 0.92156863, 1, 0.43137255, 0.98039216),
    ("gauss25:8bit", "fixed"): (25, 25, 0.88235295, 0.81568629, 1, 0.20392157, 0.98039216),
    ("gauss25:correlated", "fresh"): (25, 25, 0.81760103, 0.91756254, 0.9374764, 0.35506928, 0.98039216),
    ("gauss25:correlated", "fixed"): (25, 25, 0.95042735, 0.78621686, 1.132131, 0.21404119, 0.98039216),
    ("gauss5_50:8bit", "fresh"): (14.063664, 40.258446, 0.9254902, 0.93725491, 1, 0.42745098, 0.98039216),
    ("gauss5_50:8bit", "fixed"): (32.666176, 48.039017, 0.86666667, 0.7764706, 1, 0, 0.98039216),
    ("poisson30:8bit", "fresh"): (30, 30, 0.80000001, 1, 0.96862745, 0.56862748, 0.98039216),
    ("poisson30:8bit", "fixed"): (30, 30, 0.76862746, 0.90196079, 0.83529413, 0.53333336, 0.98039216),
    ("sensor1_120:correlated", "fresh"): (
        2.6228764,
        42.567905,
        0.90834278,
        0.94723547,
        0.97337198,
        0.39985651,
        0.98039216,
    ),
    ("sensor1_120:correlated", "fixed"): (
        18.979675,
        97.403786,
        0.93616241,
        0.88054079,
        1.0472254,
        0.28599179,
        0.98039216,
    ),
    ("sensor5:8bit", "fresh"): (5, 5, 0.9254902, 0.94509804, 0.99607843, 0.43529412, 0.98039216),
    ("sensor5:8bit", "fixed"): (5, 5, 0.91764706, 0.92156863, 1, 0.40000001, 0.98039216),
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
    assert digest(arrays) == KNOWN[name]


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("name", [*KNOWN])
def test_training_samples_have_the_known_values(name: str, kind: str, set_images: list[SetImage]) -> None:
    """To 1e-6: logarithms and cosines differ in the last digits between processors."""
    frames, levels, clean = one_sample(Patches(set_images, parse(name), kind, 12, 3), 5, 2)  # type: ignore[arg-type]
    assert clean is not None
    found = [*levels, *frames[0][3, 4], frames[1][11, 0, 1], clean[3, 4, 2]]
    assert found == pytest.approx(TRAINING[name, kind], abs=1e-6)
