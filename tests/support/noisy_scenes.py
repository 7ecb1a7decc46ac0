"""Scenes with known noise, in stored units, from the photographs that scikit-image brings along."""

import io

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.apply.noise_card import Card

Plane = NDArray[np.float64]
SCENES = ("astronaut", "camera", "coffee", "chelsea", "rocket", "coins", "cell", "moon")
OFFSET, WHITE = 100.0, 3900.0  # stored units: of black, and from black to white


def scene(name: str) -> Plane:
    """Half the size, in 0..1; blurred, for the photographs have noise of their own."""
    pixels = getattr(skimage.data, name)()
    plane = pixels[..., 1] if pixels.ndim == 3 else pixels
    return gaussian_filter(plane / 255.0, 1.0)[::2, ::2]


def photons(clean: Plane, gain: float, read_noise: float, seed: int, offset: float = OFFSET) -> Plane:
    """What a camera stores of it: gain * Poisson + read noise + offset, in whole numbers."""
    draws = np.random.default_rng(seed)
    electrons = draws.poisson(clean * WHITE / gain)
    return np.round(gain * electrons + draws.normal(0.0, read_noise, clean.shape) + offset)


def shared(kind: str, shape: tuple[int, ...], seed: int) -> Plane:
    """Noise of variance 1 that pixels share with their neighbours."""
    draws = np.random.default_rng(seed)
    z = draws.normal(size=shape)
    if kind == "row":
        z += 0.5 * draws.normal(size=(shape[0], 1))
    elif kind == "pairs":
        z += np.roll(z, 1, axis=1)
    elif kind != "white":
        z = gaussian_filter(z, float(kind), mode="wrap")
    return z / z.std()


def correlated(clean: Plane, kind: str, gain: float, seed: int) -> Plane:
    """Noise whose variance is gain * brightness, shared with neighbours."""
    return OFFSET + WHITE * clean + shared(kind, clean.shape, seed) * np.sqrt(gain * WHITE * clean + 36.0)


def jpeg(plane: Plane, quality: int) -> NDArray[np.uint8]:
    """8 bits, compressed."""
    file = io.BytesIO()
    Image.fromarray(np.clip(np.round(plane), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def frame(plane: Plane, dtype: type = np.uint16) -> NDArray[np.generic]:
    """[H, W, 1] as stored."""
    return np.clip(plane, 0, None).astype(dtype)[..., None]


def sentences(card: Card) -> str:
    """All that a card says."""
    return " ".join(finding.sentence for finding in card.findings)
