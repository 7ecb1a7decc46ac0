"""Training samples: random crops and their noise, each a function of its number alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .errors import InputError
from .formats import bayer
from .images import Picture, unit
from .noise.model import Image, Noise
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


class Packed:
    """Another source's mosaics as the four Bayer planes [crop / 2, crop / 2, 4]."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def sample(self, number: int, captures: int) -> Views:
        """The packed views of sample `number`."""
        views = self.source.sample(number, captures)
        clean = None if views.clean is None else bayer.pack(views.clean)
        return Views([bayer.pack(capture) for capture in views.captures], views.levels, clean)


class Patches:
    """Sample number n = step * batch + slot of a training set; every image once per epoch, in a named order.

    Synthetic noise: an image is a clean picture. Real captures: every capture of every picture is one.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        noise: Noise,
        kind: Literal["fresh", "fixed"],
        crop: int,
        seed: int,
        phase: bool = False,
    ) -> None:
        self.pictures, self.noise, self.kind, self.crop, self.seed = pictures, noise, kind, crop, seed
        self.phase = phase  # crops of mosaics begin with a red pixel
        self._order: tuple[int, list[int]] = (-1, [])
        self._fixed: dict[tuple[str, int], tuple[Image, float]] = {}
        real = noise.family == "captured"
        self.items = [(p, i) for p in pictures for i in range(len(p.captures) if real else 1)]
        for picture in pictures:
            if picture.keep and min(picture.pixels.shape[:2]) < crop + phase:
                height, width = picture.pixels.shape[:2]
                raise InputError(f"{picture.path}: {width}x{height} is smaller than the crop of {crop + phase}")
            if real and not picture.captures:
                raise InputError(f"{picture.path}: no captures of it; noise `captured` needs a set with real ones")
            if phase and not picture.pattern:
                raise InputError(
                    f"{picture.path}: its Bayer pattern is not known; use the view bayer, which ignores it"
                )

    def sample(self, number: int, captures: int) -> Views:
        """The views of sample `number`: its image, crop, levels and noise do not depend on who asks, or when."""
        picture, capture = self.items[self._item(number)]
        pixels = picture.pixels
        draws = generator("crop", self.seed, number)
        window = self._window(picture, pixels.shape, draws)
        if self.noise.family == "captured":
            return self._captured(picture, capture, captures, window, draws)
        clean = unit(pixels[window])
        if self.noise.family == "none":
            return Views([clean], [0.0], None)
        drawn = [
            self._whole(picture, capture, window) if self.kind == "fixed" else self._fresh(clean, number, capture)
            for capture in range(captures)
        ]
        return Views([noisy for noisy, _ in drawn], [level for _, level in drawn], clean)

    def _item(self, number: int) -> int:
        epoch, position = divmod(number, len(self.items))
        if self._order[0] != epoch:
            self._order = (epoch, generator("order", self.seed, epoch).permutation(len(self.items)).tolist())
        return self._order[1][position]

    def _window(self, picture: Picture, shape: tuple[int, ...], draws: np.random.Generator) -> tuple[slice, slice]:
        """A random crop, at any offset, or at those that begin with a red pixel."""
        corner = []
        for side, first in zip(shape[:2], bayer.offset(picture.pattern) if self.phase else (0, 0), strict=True):
            step = 2 if self.phase else 1
            corner.append(first + step * int(draws.integers((side - first - self.crop) // step + 1)))
        top, left = corner
        return slice(top, top + self.crop), slice(left, left + self.crop)

    def _captured(
        self, picture: Picture, first: int, number: int, window: tuple[slice, slice], draws: np.random.Generator
    ) -> Views:
        """Capture `first`, then others of the same scene in a random order."""
        others = draws.permutation([i for i in range(len(picture.captures)) if i != first])
        chosen = [picture.captures[i] for i in (first, *others[: number - 1])]
        if len(chosen) < number:
            raise InputError(f"{picture.path}: {len(picture.captures)} capture of it, {number} are needed")
        clean = unit((chosen[0].clean or picture).pixels[window])
        return Views([unit(capture.pixels[window]) for capture in chosen], [0.0] * number, clean)

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
            noisy = self.noise.apply(unit(picture.pixels), level, draws)
            if not picture.keep:
                return noisy[window], level
            self._fixed[key] = (noisy, level)
        noisy, level = self._fixed[key]
        return noisy[window], level
