"""How good the ranking without clean images is, where clean images are known: order, coverage, and why it fails.

`python -m bench.tools.ranking_study DATA [SET...]` prints one line per set and noise. Every image is ranked alone, so
that each line is the mean of so many rankings; `results/measured/ranking/README.md` has the results.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.restoration
import torch
from numpy.typing import NDArray

from ..apply.held_out import Trial, centre, digest, squared
from ..apply.ranking import Candidate, Ranking, cross_checks, rank, recorrupted
from ..apply.recorruption import Variance, variance_of
from ..apply.scores import kendall
from ..apply.frames import trials as frame_trials
from ..datasets.formats.image_format import read
from ..datasets.images import unit
from ..datasets.noise.model import Image, Noise, parse
from ..datasets.noise.named import named
from ..methods.classical.blur import blurred
from ..methods.classical.bm3d import collaborative
from ..methods.classical.bm3d_vst import noise_parameters

SIDE = 128  # of the centre crops [pixels]
VISIBLE = 0.1  # dB of a true difference that the order must show


class Function(NamedTuple):
    """A denoiser that was fitted to nothing."""

    apply: Callable[[Image], Image]
    images: frozenset[str] = frozenset()

    def __call__(self, image: Image) -> Image:
        """The denoised image [H, W, C]."""
        return self.apply(image).astype(np.float32)
