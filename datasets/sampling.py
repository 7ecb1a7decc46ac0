"""Training samples: random crops and their noise, each a function of its number alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .errors import InputError
from .formats import bayer
from .images import SetImage, unit
from .noise.captured import Captured
from .noise.model import Image, Noise
from .seeds import generator

Window = tuple[slice, slice]  # rows and columns


class Sample(NamedTuple):
    """What a training source gives of one crop."""

    frames: list[Image]  # noisy observations [crop, crop, C], each with its own noise
    levels: list[float]  # their noise levels
    clean: Image | None  # None where there are only noisy images


class Source(Protocol):
    """Where training samples come from."""

    def sample(self, number: int, frames: int) -> Sample:
        """The sample of a number, whoever asks and whenever."""


class OneImage:
    """A single noisy image [H, W, C] of an unknown clean one: every sample is the whole of it."""

    def __init__(self, noisy: Image, level: float) -> None:
        self.whole = Sample([noisy], [level], None)

    def sample(self, number: int, frames: int) -> Sample:
        """The image, whatever the number."""
        return self.whole


class Packed:
    """Another source's mosaics as the four Bayer planes [crop / 2, crop / 2, 4]."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def sample(self, number: int, frames: int) -> Sample:
        """The packed sample of a number."""
        sample = self.source.sample(number, frames)
        clean = None if sample.clean is None else bayer.pack(sample.clean)
        return Sample([bayer.pack(frame) for frame in sample.frames], sample.levels, clean)


class Patches:
    """Sample number n = step * batch + slot of a training set; every image once per epoch, in a named order.

    Where noise is drawn, each clean image is one item of an epoch; of captured noise, each noisy frame is one.
    """

    def __init__(
        self,
        set_images: Sequence[SetImage],
        noise: Noise,
        kind: Literal["fresh", "fixed"],
        crop: int,
        seed: int,
        phase: bool = False,
    ) -> None:
        self.noise, self.kind, self.crop, self.seed = noise, kind, crop, seed
        self.phase = phase  # crops of mosaics begin with a red pixel
        self.captured = isinstance(noise.family, Captured)
        for set_image in set_images:
            self._check(set_image)
        self.items = [(one, i) for one in set_images for i in range(len(one.frames) if self.captured else 1)]
        self._order: tuple[int, list[int]] = (-1, [])
        self._fixed: dict[tuple[str, int], tuple[Image, float]] = {}

    def _check(self, set_image: SetImage) -> None:
        if set_image.keep and min(set_image.pixels.shape[:2]) < self.crop + self.phase:
            height, width = set_image.pixels.shape[:2]
            raise InputError(
                f"{set_image.path}: {width}x{height} is smaller than the crop of {self.crop + self.phase}; "
                f"give a smaller --crop N, or go on without such images of a folder: --skip-unusable"
            )
        if self.captured and not set_image.frames:
            raise InputError(f"{set_image.path}: no frames of it; noise `captured` needs a set with real ones")
        if self.phase and not set_image.pattern:
            raise InputError(f"{set_image.path}: its Bayer pattern is not known; use the view bayer, which ignores it")

    def sample(self, number: int, frames: int) -> Sample:
        """The sample of a number: its image, crop, levels and noise do not depend on who asks, or when."""
        set_image, first = self.items[self._item(number)]
        pixels, draws = set_image.pixels, generator("crop", self.seed, number)
        window = self._window(pixels.shape, set_image.pattern, draws)
        if self.captured:
            return _captured(set_image, first, frames, window, draws)
        clean = unit(pixels[window])
        if not self.noise.family.simulated:
            return Sample([clean], [0.0], None)
        if self.kind == "fixed":
            drawn = [self._cut(set_image, frame, window) for frame in range(frames)]
        else:
            drawn = [self._draw(clean, "fresh noise", number, frame) for frame in range(frames)]
        return Sample([noisy for noisy, _ in drawn], [level for _, level in drawn], clean)

    def _item(self, number: int) -> int:
        epoch, position = divmod(number, len(self.items))
        if self._order[0] != epoch:
            self._order = (epoch, generator("order", self.seed, epoch).permutation(len(self.items)).tolist())
        return self._order[1][position]

    def _window(self, shape: tuple[int, ...], pattern: str, draws: np.random.Generator) -> Window:
        """A random crop, at any offset, or at those that begin with a red pixel."""
        step, firsts = (2, bayer.offset(pattern)) if self.phase else (1, (0, 0))
        corner = [
            first + step * int(draws.integers((side - first - self.crop) // step + 1))
            for side, first in zip(shape[:2], firsts, strict=True)
        ]
        return slice(corner[0], corner[0] + self.crop), slice(corner[1], corner[1] + self.crop)

    def _draw(self, clean: Image, purpose: str, *names: object) -> tuple[Image, float]:
        draws = generator(purpose, self.seed, *names)
        level = self.noise.draw_level(draws)
        return self.noise.apply(clean, level, draws), level

    def _cut(self, set_image: SetImage, frame: int, window: Window) -> tuple[Image, float]:
        """A crop of the one noisy image that a clean one has in all epochs."""
        key = (set_image.digest, frame)
        noisy, level = self._fixed.get(key) or self._draw(unit(set_image.pixels), "fixed noise", *key)
        if set_image.keep:
            self._fixed[key] = (noisy, level)
        return noisy[window], level


def _captured(set_image: SetImage, first: int, number: int, window: Window, draws: np.random.Generator) -> Sample:
    """Noisy frame `first`, then others of the same scene in a random order."""
    others = draws.permutation([i for i in range(len(set_image.frames)) if i != first])
    chosen = [set_image.frames[i] for i in (first, *others[: number - 1])]
    if len(chosen) < number:
        raise InputError(f"{set_image.path}: {len(set_image.frames)} frame of it, {number} are needed")
    clean = unit((chosen[0].clean or set_image).pixels[window])
    return Sample([unit(frame.pixels[window]) for frame in chosen], [0.0] * number, clean)
