"""Which images a page shows, and which part of each: by a rule that the page prints, never by hand."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Values = Mapping[str, Mapping[str, float]]  # method -> image -> metric, better where it is higher
SIDE = 192  # pixels of a part
STEP = 16  # pixels from one part that is looked at to the next; even, as Bayer cells are 2x2
RULE = (
    "The images are chosen by a rule, by the methods that were scored on whole images where there are any. The median "
    "image is the one whose mean over these methods is the median of the test set (the lower one of two). The worst "
    "image of a method is the one with its lowest value.",
    f"Of each image a part of {SIDE}x{SIDE} pixels is shown, one of those that begin every {STEP} pixels: of the "
    "median image the part whose squared error, averaged over the methods, is the median of all parts; of a method's "
    "worst image the part with the method's largest squared error.",
    "Of every two methods that are neighbours in the order of their means, the part in which their outputs differ "
    "most (mean squared difference), looked for in all images named above.",
)


class Part(NamedTuple):
    """A part of an image, in pixels."""

    left: int
    top: int
    height: int
    width: int

    def of(self, image: Floats) -> Floats:
        """The pixels of [H, W, C] inside."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def median_image(values: Values) -> str:
    """The image whose mean over the methods is the median; the lower one of two."""
    means = {image: fmean(one[image] for one in values.values()) for image in _images(values)}
    ranked = sorted(means, key=lambda image: (means[image], image))
    return ranked[(len(ranked) - 1) // 2]


def worst_image(values: Mapping[str, float]) -> str:
    """The image with the lowest value of one method; the first one by name if there are several."""
    return min(values, key=lambda image: (values[image], image))


def neighbours(values: Values) -> list[tuple[str, str]]:
    """Every two methods that follow each other in the order of their means, the best first."""
    ranked = sorted(values, key=lambda method: (-fmean(values[method].values()), method))
    return [*pairwise(ranked)]


def median_part(errors: Sequence[Floats]) -> Part:
    """The part whose mean over these maps [H, W] is the median of all parts; the lower one of two."""
    places, means = _parts(np.mean(np.stack(errors), axis=0))
    order = np.argsort(means, kind="stable")
    return places[int(order[(len(order) - 1) // 2])]


def largest_part(error: Floats) -> tuple[Part, float]:
    """The part with the largest mean of a map [H, W], and that mean."""
    places, means = _parts(error)
    best = int(np.argmax(means))
    return places[best], float(means[best])


def squared(a: Floats, b: Floats) -> Floats:
    """The squared difference of two images [H, W, C], averaged over the channels."""
    found: Floats = np.mean((a.astype(np.float64) - b) ** 2, axis=2)
    return found


def _parts(error: Floats) -> tuple[list[Part], Floats]:
    """Every part of what was scored, and its mean; outside a centre crop a map is NaN."""
    known = np.argwhere(np.isfinite(error))
    (y, x), (bottom, right) = known.min(axis=0), known.max(axis=0) + 1
    y, x = y + y % 2, x + x % 2  # Bayer cells begin at even places
    error = error[y:bottom, x:right]
    height, width = error.shape
    tall, wide = min(SIDE, height), min(SIDE, width)
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = error.cumsum(0).cumsum(1)
    tops, lefts = (sorted({*range(0, n - side + 1, STEP)}) for n, side in ((height, tall), (width, wide)))
    places = [Part(int(x) + left, int(y) + top, tall, wide) for top in tops for left in lefts]
    ends = [(top, left, top + tall, left + wide) for top in tops for left in lefts]
    means = np.array([sums[c, d] - sums[a, d] - sums[c, b] + sums[a, b] for a, b, c, d in ends]) / (tall * wide)
    return places, means


def _images(values: Values) -> list[str]:
    """The images of which all methods have a value."""
    first, *others = values.values()
    return [image for image in first if all(image in other for other in others)]
