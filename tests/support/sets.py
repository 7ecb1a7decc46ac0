"""A catalogue of small sets whose references are what lies in a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from bench.datasets import files
from bench.datasets.formats.image_format import digest, listing, read
from bench.datasets.sets import catalogue
from bench.datasets.sets.catalogue import Entry, Reference

SMALL = "small"


def noise_image(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """An image of random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def small_set(photos: Path, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """A set of the photographs and of one JPEG, with these fields of a catalogue entry, and three sets made from it."""
    Pillow.fromarray(noise_image(24, 32, 3)).save(photos / "noise.jpg")
    common: dict[str, Any] = {"role": "test", "channels": 3, "source": "here", "licence": "none"}
    entries = {
        SMALL: Entry(title="small", count=4, folder="photos", **(common | fields)),
        "part": Entry(title="part", count=2, part_of=SMALL, every=2, **common),
        "rest": Entry(title="rest", count=2, part_of=SMALL, every=-2, **common),
        "sized": Entry(title="sized", count=3, folder="photos", layout="selected", sides=(64, 96), **common),
    }
    rows = [
        Reference(stem, *read(path).shape, digest(read(path)), files.sha256(path))
        for stem, path in listing(photos).items()
    ]
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setattr(catalogue, "_references", lambda: {SMALL: rows})
