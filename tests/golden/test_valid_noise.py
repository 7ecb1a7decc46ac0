"""The official test noise, which only these tests need: families draw what the official code draws."""

import re

import numpy as np
import pytest

from bench.datasets.images import unit
from bench.datasets.noise.model import parse

from .conftest import golden, matching
from .official import OfficialNoise

ARRAYS = golden("valid_noise")
NAME = re.compile(r"(.+)_rep(\d+)_img(\d+)(?:_crop(\d+))?")
FIELDS = [match.groups() for match in map(NAME.fullmatch, matching("valid_noise", "noisy_")) if match]
IMAGES = [ARRAYS[f"img{i}"] for i in sorted(int(i) for i in matching("valid_noise", "img"))]


def test_names() -> None:
    """No recorded field goes unread."""
    assert len(FIELDS) == len(matching("valid_noise", "noisy_"))


@pytest.mark.parametrize(("style", "repeat", "image", "crop"), FIELDS)
def test_official_stream(style: str, repeat: str, image: str, crop: str | None) -> None:
    """One generator through all repeats and images; level first, then field."""
    official, noise = OfficialNoise(), parse(style)
    before = int(repeat) * len(IMAGES) + int(image)
    for number in range(before + 1):
        noisy, _ = official(noise, unit(IMAGES[number % len(IMAGES)]))
    side = int(crop) if crop else None
    suffix = f"_crop{crop}" if crop else ""
    expected = ARRAYS[f"noisy_{style}_rep{repeat}_img{image}{suffix}"]
    np.testing.assert_allclose(noisy[:side, :side], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("style", sorted({field[0] for field in FIELDS}))
def test_style(style: str) -> None:
    """A style's name is our noise's name."""
    assert parse(style).name == style
