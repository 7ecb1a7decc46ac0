"""Training samples: random crops and their noise, each a function of its number alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .errors import InputError
from .formats import bayer
from .images import SetImage, unit
from .noise.model import Image, Noise
from .seeds import generator


class Sample(NamedTuple):
    """What a training source gives of one crop."""

    frames: list[Image]  # noisy observations [crop, crop, C], each with its own noise
    levels: list[float]  # their noise levels
    clean: Image | None  # None where there are only noisy images


class Source(Protocol):
    """Where training samples come from."""

    def sample(self, number: int, frames: int) -> Sample:
        """The samples of sample `number`, whoever asks and whenever."""


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
        """The packed samples of sample `number`."""
        samples = self.source.sample(number, frames)
        clean = None if samples.clean is None else bayer.pack(samples.clean)
        return Sample([bayer.pack(frame) for frame in samples.frames], samples.levels, clean)


class Patches:
    """Sample number n = step * batch + slot of a training set; every image once per epoch, in a named order.

    Synthetic noise: an image is a clean image. Real frames: every frame of every image is one.
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
        self.set_images, self.noise, self.kind, self.crop, self.seed = set_images, noise, kind, crop, seed
        self.phase = phase  # crops of mosaics begin with a red pixel
        self._order: tuple[int, list[int]] = (-1, [])
        self._fixed: dict[tuple[str, int], tuple[Image, float]] = {}
        real = noise.family == "captured"
        self.items = [(p, i) for p in set_images for i in range(len(p.frames) if real else 1)]
        for set_image in set_images:
            if set_image.keep and min(set_image.pixels.shape[:2]) < crop + phase:
                height, width = set_image.pixels.shape[:2]
                raise InputError(f"{set_image.path}: {width}x{height} is smaller than the crop of {crop + phase}")
            if real and not set_image.frames:
                raise InputError(f"{set_image.path}: no frames of it; noise `captured` needs a set with real ones")
            if phase and not set_image.pattern:
                raise InputError(
                    f"{set_image.path}: its Bayer pattern is not known; use the view bayer, which ignores it"
                )

    def sample(self, number: int, frames: int) -> Sample:
        """The samples of sample `number`: its image, crop, levels and noise do not depend on who asks, or when."""
        set_image, frame = self.items[self._item(number)]
        pixels = set_image.pixels
        draws = generator("crop", self.seed, number)
        window = self._window(set_image, pixels.shape, draws)
        if self.noise.family == "captured":
            return self._captured(set_image, frame, frames, window, draws)
        clean = unit(pixels[window])
        if self.noise.family == "none":
            return Sample([clean], [0.0], None)
        drawn = [
            self._whole(set_image, frame, window) if self.kind == "fixed" else self._fresh(clean, number, frame)
            for frame in range(frames)
        ]
        return Sample([noisy for noisy, _ in drawn], [level for _, level in drawn], clean)

    def _item(self, number: int) -> int:
        epoch, position = divmod(number, len(self.items))
        if self._order[0] != epoch:
            self._order = (epoch, generator("order", self.seed, epoch).permutation(len(self.items)).tolist())
        return self._order[1][position]

    def _window(self, set_image: SetImage, shape: tuple[int, ...], draws: np.random.Generator) -> tuple[slice, slice]:
        """A random crop, at any offset, or at those that begin with a red pixel."""
        corner = []
        for side, first in zip(shape[:2], bayer.offset(set_image.pattern) if self.phase else (0, 0), strict=True):
            step = 2 if self.phase else 1
            corner.append(first + step * int(draws.integers((side - first - self.crop) // step + 1)))
        top, left = corner
        return slice(top, top + self.crop), slice(left, left + self.crop)

    def _captured(
        self, set_image: SetImage, first: int, number: int, window: tuple[slice, slice], draws: np.random.Generator
    ) -> Sample:
        """Capture `first`, then others of the same scene in a random order."""
        others = draws.permutation([i for i in range(len(set_image.frames)) if i != first])
        chosen = [set_image.frames[i] for i in (first, *others[: number - 1])]
        if len(chosen) < number:
            raise InputError(f"{set_image.path}: {len(set_image.frames)} frame of it, {number} are needed")
        clean = unit((chosen[0].clean or set_image).pixels[window])
        return Sample([unit(frame.pixels[window]) for frame in chosen], [0.0] * number, clean)

    def _fresh(self, clean: Image, number: int, frame: int) -> tuple[Image, float]:
        draws = generator("fresh noise", self.seed, number, frame)
        level = self.noise.draw_level(draws)
        return self.noise.apply(clean, level, draws), level

    def _whole(self, set_image: SetImage, frame: int, window: tuple[slice, slice]) -> tuple[Image, float]:
        """One noisy image per clean one, the same in every epoch."""
        key = (set_image.digest, frame)
        if key not in self._fixed:
            draws = generator("fixed noise", self.seed, *key)
            level = self.noise.draw_level(draws)
            noisy = self.noise.apply(unit(set_image.pixels), level, draws)
            if not set_image.keep:
                return noisy[window], level
            self._fixed[key] = (noisy, level)
        noisy, level = self._fixed[key]
        return noisy[window], level
