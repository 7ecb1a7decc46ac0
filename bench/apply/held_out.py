"""Scores of a denoiser on noisy images that it has not seen: differences between methods are those of their errors.

E (held - f(given))^2 = (error of f)^2 + (noise of held)^2 if the noise of `held` has mean 0 and is independent of
`given` and of everything that f was fitted to. So the difference of two methods is that of their squared errors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.images import SetImage
from ..datasets.noise.model import Image, Noise

Floats = NDArray[np.float64]


class Denoiser(Protocol):
    """What is scored."""

    @property
    def images(self) -> frozenset[str]:
        """Digests of the images that it was fitted to; empty for what was fitted to none."""

    def __call__(self, image: Image, /) -> Image:
        """The denoised image [H, W, C] of a noisy one in 0..1, not clipped."""


class Pair(NamedTuple):
    """Two noisy images [H, W, C] of one scene."""

    given: Image
    held: Image
    scene: int  # maps of one scene are averaged
    share: float  # that `held` has in the noise's variance of held - given


class Trial(NamedTuple):
    """What methods are fitted to and applied to, and what they are scored on."""

    name: str
    pairs: tuple[Pair, ...]
    training: tuple[tuple[Image, ...], ...]  # the frames of each scene that a method may be fitted to
    dependent: frozenset[str]  # digests of images that share noise with a `held`
    noise: Noise | None = None  # of what is given, where it is known
    twins: tuple[Image, ...] = ()  # the given images of the antithetic split: their mean with the given is the image


def digest(image: Image) -> str:
    """What identifies the pixels of an image, for methods that are fitted to it, too."""
    return SetImage.decoded("", Path(), np.ascontiguousarray(image, np.float32), image.shape[2]).digest


def refuse_seen(name: str, denoiser: Denoiser, trial: Trial) -> None:
    """InputError if a denoiser was fitted to images that share noise with those that it would be scored on."""
    if seen := denoiser.images & trial.dependent:
        raise InputError(
            f"{name} was fitted to {len(seen)} of the images that it would be scored on ({trial.name}), or to images "
            f"with the same noise, and its score would be too good; expected a fit to the trial's other images. "
            f"python -m bench rank fits it anew"
        )


def outputs(name: str, denoiser: Denoiser, trial: Trial, height: int, width: int) -> list[Image]:
    """The denoised centre crops of the trial's images, in float32 [H, W, C]; ValueError for what is not finite."""
    refuse_seen(name, denoiser, trial)
    found = [denoiser(centre(pair.given, height, width)) for pair in trial.pairs]
    if not all(np.isfinite(image).all() for image in found):
        raise ValueError("it returned NaN or infinite values")
    return found


def squared_errors(found: Sequence[Image], trial: Trial) -> list[Floats]:
    """(held - f(given))^2 [H, W] of each pair, the mean over channels, at the outputs' centre crops."""
    return [squared(image, centre(pair.held, *image.shape[:2])) for image, pair in zip(found, trial.pairs, strict=True)]


def spread(found: Sequence[Image], twins: Sequence[Image]) -> list[Floats]:
    """|f(given) - f(twin)|^2 / 4 [H, W]: by how much smaller the error is without what the split adds to the noise.

    For the mean of both outputs it is exact, as (|a|^2 + |b|^2) / 2 = |(a + b) / 2|^2 + |a - b|^2 / 4; for the output
    of the image itself, which is their mean to first order, it leaves terms of second order.
    """
    return [squared(a, b) / 4.0 for a, b in zip(found, twins, strict=True)]


def noise_power(trial: Trial, height: int, width: int) -> list[Floats]:
    """The squared noise of `held` [H, W], in expectation: its share of (held - given)^2."""
    return [
        pair.share * squared(centre(pair.held, height, width), centre(pair.given, height, width))
        for pair in trial.pairs
    ]


def squared(a: Image, b: Image) -> Floats:
    """(a - b)^2 [H, W], the mean over channels."""
    difference: Floats = np.square(a.astype(np.float64) - b).mean(axis=2)
    return difference


def by_scene(maps: Sequence[Sequence[Floats]], trials: Sequence[Trial]) -> list[Floats]:
    """Maps [H, W] of all trials, averaged over what shows the same scene."""
    groups: dict[int, list[Floats]] = {}
    for trial, found in zip(trials, maps, strict=True):
        for pair, one in zip(trial.pairs, found, strict=True):
            groups.setdefault(pair.scene, []).append(one)
    return [np.mean(groups[scene], axis=0) for scene in sorted(groups)]


def centre(image: Image, height: int, width: int) -> Image:
    """The centre of an image, of at most this size."""
    top, left = (max(0, (side - most) // 2) for side, most in zip(image.shape, (height, width), strict=False))
    return image[top : top + height, left : left + width]
