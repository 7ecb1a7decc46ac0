"""Training samples: random crops and their noise, each a function of its number alone, made where the network is."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import InputError
from .formats import bayer
from .images import SetImage
from .noise.captured import Captured, NoneAdded
from .noise.field import Field
from .noise.model import Image, Noise
from .philox import integers, uniform, words
from .pixels import CropSource, crop_source
from .seeds import seed


class Samples(NamedTuple):
    """A batch of training samples."""

    frames: list[Tensor]  # noisy observations [B, C, crop, crop], each with its own noise
    levels: list[Tensor]  # their noise levels [B]
    clean: Tensor | None  # None where there are only noisy images


class Sample(NamedTuple):
    """One sample of a batch, as arrays on the host."""

    frames: list[Image]  # [crop, crop, C]
    levels: list[float]
    clean: Image | None


class Source(Protocol):
    """Where training samples come from."""

    def items(self, first: int, count: int) -> Tensor:
        """The indices of what `count` samples from number `first` on are cut from, int64 [count]."""

    def feed(self, first: int, count: int, frames: int) -> None:
        """Reads what these samples need and the device does not hold; the host calls it before each `samples`."""

    def samples(self, items: Tensor, numbers: Tensor, frames: int) -> Samples:
        """The samples of these numbers [B], the same ones at every call; tensor code without the host."""


def one_sample(source: Source, number: int, frames: int) -> Sample:
    """The sample of a number, on the host."""
    items = source.items(number, 1)
    source.feed(number, 1, frames)
    return hosted(source.samples(items, torch.full_like(items, number), frames))[0]


def hosted(made: Samples) -> list[Sample]:
    """Samples one by one, as images on the host."""
    frames = [frame.permute(0, 2, 3, 1).cpu().numpy() for frame in made.frames]
    clean = None if made.clean is None else made.clean.permute(0, 2, 3, 1).cpu().numpy()
    levels = [level.tolist() for level in made.levels]
    return [
        Sample([frame[i] for frame in frames], [level[i] for level in levels], None if clean is None else clean[i])
        for i in range(len(frames[0]))
    ]


class OneImage:
    """A single noisy image [H, W, C] without its clean one; every sample is what `prepare` makes of the whole image."""

    def __init__(
        self, noisy: Image, level: float, device: str = "cpu", prepare: Callable[[Tensor], Tensor] = lambda y: y
    ) -> None:
        self.noisy = prepare(torch.from_numpy(np.ascontiguousarray(noisy.transpose(2, 0, 1)))[None].to(device))
        self.level = torch.tensor([level], device=device)

    def items(self, first: int, count: int) -> Tensor:
        """Zeros [count], as every sample is made of the one image."""
        return torch.zeros(count, dtype=torch.int64, device=self.noisy.device)

    def feed(self, first: int, count: int, frames: int) -> None:
        """Nothing to do, as the image is on the device."""

    def samples(self, items: Tensor, numbers: Tensor, frames: int) -> Samples:
        """The image, once for each number."""
        return Samples([self.noisy.expand(len(numbers), -1, -1, -1)], [self.level.expand(len(numbers))], None)


class Packed:
    """Another source's mosaics as the four Bayer planes [B, 4, crop / 2, crop / 2]."""

    def __init__(self, source: Source) -> None:
        self.source, self.items, self.feed = source, source.items, source.feed

    def samples(self, items: Tensor, numbers: Tensor, frames: int) -> Samples:
        """The packed samples: pixels (0,0), (0,1), (1,0), (1,1) of every quad, as `bayer.pack` does."""
        made = self.source.samples(items, numbers, frames)
        clean = None if made.clean is None else F.pixel_unshuffle(made.clean, 2)
        return Samples([F.pixel_unshuffle(frame, 2) for frame in made.frames], made.levels, clean)


class Cut(NamedTuple):
    """Which crops of which images."""

    image: Tensor  # [B]
    rows: Tensor  # [B, crop]
    columns: Tensor  # [B, crop]


class Patches:
    """Samples of a training set, by number n = step * batch + slot; every item comes once per epoch, in random order.

    An item is a clean image where noise is drawn, and a noisy frame where the noise is captured.
    """

    def __init__(
        self,
        set_images: Sequence[SetImage],
        noise: Noise,
        kind: Literal["fresh", "fixed", "present"],  # present: the images have this noise already
        crop: int,
        seed: int,
        phase: bool = False,
        device: str = "cpu",
    ) -> None:
        self.noise, self.kind, self.crop, self.seed, self.device = noise, kind, crop, seed, device
        self.step = 2 if phase else 1  # crops of mosaics begin with a red pixel
        self.captured = isinstance(noise.family, Captured)
        self.order: tuple[tuple[int, int, str], Tensor] = ((0, 0, ""), torch.empty(0))  # of the last epochs
        if isinstance(noise.family, NoneAdded) and any(one.frames for one in set_images):
            raise InputError("noise `none` is for noisy images alone; these have noisy frames: --noise captured")
        images = list({id(image): image for image in _images(set_images, self.captured)}.values())
        self.host = _Tables(images, set_images, self.captured, phase, kind == "fixed" and not self.captured)
        for image, (height, width) in zip(images, self.host.sides.tolist(), strict=True):
            self._check(image, height, width, phase)
        self.tables, self.images = self.host.to(device), images

    @cached_property
    def pixels(self) -> CropSource:
        """The pixels of the images; they are read when they are first used."""
        return crop_source(self.images, self.device)

    def _check(self, image: SetImage, height: int, width: int, phase: bool) -> None:
        if min(height, width) < self.crop + phase:
            raise InputError(
                f"{image.path}: {width}x{height} is smaller than the crop of {self.crop + phase}; "
                f"give a smaller --crop N, or go on without such images of a folder: --skip-unusable"
            )

    def require(self, frames: int) -> None:
        """InputError for a scene with fewer real noisy frames."""
        few = next((first for first, among, _ in self.host.scene.tolist() if among < frames), None)
        if self.captured and few is not None:
            path = self.images[int(self.host.item[few])].path
            raise InputError(f"{path}: the only noisy frame of its scene, {frames} are needed")

    def items(self, first: int, count: int) -> Tensor:
        """The items of these samples; every epoch has all items, sorted by random keys."""
        return self._items(first, count, self.device)

    def feed(self, first: int, count: int, frames: int) -> None:
        """Reads the crops that are not resident, and ahead of time those of the samples that follow."""
        self.pixels.feed(first, count, frames, lambda number: self._cuts_of(number, count, frames))

    def samples(self, items: Tensor, numbers: Tensor, frames: int) -> Samples:
        """Crop, level and noise of every sample."""
        cuts = self._cuts(self.tables, items, numbers, frames)
        clean, *captured = (self.pixels.cut(i, *cut) for i, cut in enumerate(cuts))
        nothing = torch.zeros(len(numbers), device=clean.device)
        if self.captured:
            return Samples(captured, [nothing] * frames, clean)
        if not self.noise.family.simulated or self.kind == "present":
            return Samples([clean], [nothing + self.noise.low], None)
        drawn = [self._noisy(clean, cuts[0], numbers, frame) for frame in range(frames)]
        return Samples([noisy for noisy, _ in drawn], [level for _, level in drawn], clean)

    def _items(self, first: int, count: int, device: str) -> Tensor:
        number = len(self.host.item)
        asked, start = (first // number, (first + count - 1) // number + 1, device), first % number
        known = self.order  # read once: another reading thread may replace it meanwhile
        if known[0] != asked:
            epochs, each = torch.arange(*asked[:2], device=device), torch.arange(number, device=device)
            one, two, *_ = words(seed("order", self.seed), each, epochs.unsqueeze(1))
            known = self.order = (asked, (one << 31 | two >> 1).argsort(dim=1, stable=True).view(-1))
        return known[1][start : start + count]

    def _cuts(self, tables: "_Tables", items: Tensor, numbers: Tensor, frames: int) -> list[Cut]:
        """The clean image's crop, then those of the real noisy frames: the item itself, then another of its scene."""
        top, left, other, _ = words(seed("crop", self.seed), torch.zeros_like(numbers), numbers)
        clean = tables.clean.index_select(0, items)
        places = []
        for side, word in enumerate((top, left)):
            start = tables.phase.index_select(0, clean)[:, side]
            room = tables.sides.index_select(0, clean)[:, side] - start - self.crop
            corner = start + self.step * integers(word, room // self.step + 1)
            places.append(corner.unsqueeze(1) + torch.arange(self.crop, device=corner.device))
        images = [clean]
        if self.captured:
            first, among, own = (tables.scene.index_select(0, items)[:, i] for i in range(3))
            another = first + (own + 1 + integers(other, (among - 1).clamp(min=1))) % among
            images += [tables.item.index_select(0, item) for item in (items, another)[:frames]]
        return [Cut(image, *places) for image in images]

    def _cuts_of(self, number: int, count: int, frames: int) -> list[Cut]:
        """The cuts of `count` samples from `number` on, computed on the host."""
        return self._cuts(self.host, self._items(number, count, "cpu"), torch.arange(number, number + count), frames)

    def _noisy(self, clean: Tensor, cut: Cut, numbers: Tensor, frame: int) -> tuple[Tensor, Tensor]:
        """Crops with fresh noise, or with the fixed noise of their image, and their levels [B]."""
        if self.kind == "fixed":
            which = self.tables.identity.index_select(0, cut.image)
            rows, columns, sides = cut.rows, cut.columns, self.tables.sides.index_select(0, cut.image)
        else:
            which = numbers
            rows = columns = torch.arange(self.crop, device=clean.device).expand(len(numbers), -1)
            sides = torch.full((len(numbers), 2), self.crop, device=clean.device)
        names = (f"{self.kind} noise", self.seed, frame)
        u = uniform(words(seed("level", *names), torch.zeros_like(which), which)[0])
        level = self.noise.levels(u)
        field = Field(names, which, rows, columns, sides, clean.shape[1])
        return self.noise.add(clean, level, field), level


class _Tables:
    """What is known of every image and of every item, as int64 tensors."""

    def __init__(
        self, images: list[SetImage], set_images: Sequence[SetImage], captured: bool, phase: bool, fixed: bool
    ) -> None:
        place = {id(image): i for i, image in enumerate(images)}
        clean, item, scene = list[int](), list[int](), list[tuple[int, int, int]]()
        for one in set_images:
            if captured and not one.frames:
                raise InputError(f"{one.path}: no frames of it; noise `captured` needs a set with real ones")
            first = len(item)
            for own, frame in enumerate(one.frames if captured else (one,)):
                clean.append(place[id((frame.clean or one) if captured else one)])
                item.append(place[id(frame)])
                scene.append((first, len(one.frames) if captured else 1, own))
        patterns = {id(image): one.pattern for one in set_images for image in _images([one], captured)}
        self.clean, self.item, self.scene = map(torch.tensor, (clean, item, scene))
        self.sides = torch.tensor([image.sides for image in images])
        self.phase = torch.tensor([_phase(image, patterns[id(image)]) if phase else (0, 0) for image in images])
        self.identity = torch.tensor([int(image.digest[:15], 16) if fixed else 0 for image in images])

    def to(self, device: str) -> "_Tables":
        """The same tables on a device."""
        made = object.__new__(_Tables)
        for name, table in vars(self).items():
            setattr(made, name, table.to(device))
        return made


def _images(set_images: Sequence[SetImage], captured: bool) -> list[SetImage]:
    """The stored images that crops are cut from: clean ones, and real noisy frames."""
    if not captured:
        return list(set_images)
    return [one for s in set_images for frame in s.frames for one in (frame.clean or s, frame)]


def _phase(image: SetImage, pattern: str) -> tuple[int, int]:
    """(row, column) of the first red pixel; InputError if the pattern is not known."""
    if not pattern:
        raise InputError(f"{image.path}: its Bayer pattern is not known; use the view bayer, which ignores it")
    return bayer.offset(pattern)
