"""Training samples: random crops and their noise, each a function of its number alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .errors import InputError
from .images import Picture
from .noise import Image, Noise
from .seeds import generator


class Views(NamedTuple):
    """What a training source gives of one crop."""

    captures: list[Image]  # noisy observations [crop, crop, C], each with its own noise
    levels: list[float]  # their noise levels
    clean: Image | None  # None where there are only noisy images


class Source(Protocol):
    """Where training samples come from."""

    def sample(self, number: int, captures: int) -> Views:
        """The views of sample `number`, whoever asks and whenever."""


class OneImage:
    """A single noisy image [H, W, C] of an unknown clean one: every sample is the whole of it."""

    def __init__(self, noisy: Image, level: float) -> None:
        self.views = Views([noisy], [level], None)

    def sample(self, number: int, captures: int) -> Views:
        """The image, whatever the number."""
        return self.views


class Patches:
    """Sample number n = step * batch + slot of a training set; every image once per epoch, in a named order."""

    def __init__(
        self, pictures: Sequence[Picture], noise: Noise, kind: Literal["fresh", "fixed"], crop: int, seed: int
    ) -> None:
        self.pictures, self.noise, self.kind, self.crop, self.seed = pictures, noise, kind, crop, seed
        self._order: tuple[int, list[int]] = (-1, [])
        self._fixed: dict[tuple[str, int], tuple[Image, float]] = {}
        for picture in pictures:
            if picture.keep and min(picture.pixels.shape[:2]) < crop:
                height, width = picture.pixels.shape[:2]
                raise InputError(f"{picture.path}: {width}x{height} is smaller than the crop of {crop}")

    def sample(self, number: int, captures: int) -> Views:
        """The views of sample `number`: its image, crop, levels and noise do not depend on who asks, or when."""
        picture = self.pictures[self._image(number)]
        pixels = picture.pixels
        draws = generator("crop", self.seed, number)
        height, width = pixels.shape[:2]
        top, left = int(draws.integers(height - self.crop + 1)), int(draws.integers(width - self.crop + 1))
        window = (slice(top, top + self.crop), slice(left, left + self.crop))
        clean = pixels[window].astype(np.float32) / np.float32(255.0)
        if self.noise.family == "none":
            return Views([clean], [0.0], None)
        drawn = [
            self._whole(picture, capture, window) if self.kind == "fixed" else self._fresh(clean, number, capture)
            for capture in range(captures)
        ]
        return Views([noisy for noisy, _ in drawn], [level for _, level in drawn], clean)

    def _image(self, number: int) -> int:
        epoch, position = divmod(number, len(self.pictures))
        if self._order[0] != epoch:
            self._order = (epoch, generator("order", self.seed, epoch).permutation(len(self.pictures)).tolist())
        return self._order[1][position]

    def _fresh(self, clean: Image, number: int, capture: int) -> tuple[Image, float]:
        draws = generator("fresh noise", self.seed, number, capture)
        level = self.noise.draw_level(draws)
        return self.noise.apply(clean, level, draws), level

    def _whole(self, picture: Picture, capture: int, window: tuple[slice, slice]) -> tuple[Image, float]:
        """One noisy image per clean one, the same in every epoch."""
        key = (picture.digest, capture)
        if key not in self._fixed:
            draws = generator("fixed noise", self.seed, *key)
            level = self.noise.draw_level(draws)
            noisy = self.noise.apply(picture.pixels.astype(np.float32) / np.float32(255.0), level, draws)
            if not picture.keep:
                return noisy[window], level
            self._fixed[key] = (noisy, level)
        noisy, level = self._fixed[key]
        return noisy[window], level
