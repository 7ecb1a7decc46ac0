"""Scores of a denoiser on a test set: every output of every image against the clean one."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torch import nn

from ..datasets.formats.image_format import Stored
from ..datasets.images import SetImage
from ..datasets.noise.captured import Captured
from ..datasets.noise.model import Image
from ..protocol.metrics.registry import DEFAULT, measure
from ..protocol.scoring import Scoring
from ..protocol.units import Score
from ..store.rows import Row, finite
from .image_cache import kept
from .machine import Machine
from .noisy_images import Noisy, centre_crop, noisy_images
from .step import Stopped
from .training import Report
from .zero_shot import restore


def evaluate(
    work: Score,
    net: nn.Module | None,
    set_images: list[SetImage],
    machine: Machine,
    report: Callable[[float, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
) -> list[Row]:
    """All rows of a test set; every output is clipped, rounded and compared as the suite's scoring says.

    `folder` keeps the images that no weights can give back (BM3D's, Self2Self's), so that an interrupted
    evaluation goes on where it was. Methods without a network work on as many images at a time as there are threads.
    """
    method, rows = work.fit.method, []
    total = work.repeats * len(set_images)

    def scored(done: int, noisy: Noisy) -> list[Row]:
        if stop():
            raise Stopped

        def said(training: Report) -> None:
            report(done + training.step / training.steps, total)

        images = kept(work, noisy, folder, partial(restore, work, net, noisy, machine, said, stop, folder))
        return list(_rows(images, noisy, work))

    jobs = 1 if method.learns() else machine.threads
    calls = (delayed(scored)(done, noisy) for done, noisy in enumerate(noisy_images(work, set_images)))
    for done, found in enumerate(Parallel(jobs, prefer="threads", return_as="generator")(calls)):
        rows += found
        report(done + 1, total)
    return rows


def _rows(images: dict[str, Image], noisy: "Noisy", work: Score) -> Iterator[Row]:
    frame = noisy.set_image.frames[noisy.repeat] if isinstance(work.noise.family, Captured) else None
    clean = centre_crop(((frame.clean if frame else None) or noisy.set_image).pixels, work.centre_crop)
    for output in work.fit.method.outputs:
        values = compare(images[output.name], clean, work.scoring, work.metrics)
        recorded = {name: finite(value) for name, value in values.items()}
        yield Row(noisy.set_image.name, noisy.repeat, noisy.level, output.name, recorded)


def compare(output: Image, clean: Stored, scoring: Scoring, metrics: tuple[str, ...] = DEFAULT) -> dict[str, float]:
    """The value of each metric for one output [H, W, C] in 0..1; NaN for all if the output is not finite."""
    if not np.isfinite(output).all():
        return dict.fromkeys(metrics, math.nan)
    range_ = scoring.data_range
    if scoring.quantise == "uint8":
        mine: NDArray[np.generic] = quantise(output)
    else:
        mine = np.clip(output, 0.0, 1.0) * np.float32(range_)
    reference = clean * np.float64(range_ / 255.0 if clean.dtype == np.uint8 else range_)
    if scoring.colour == "luma":
        mine, reference = luma(mine, range_), luma(reference, range_)
    return measure(metrics, mine.astype(np.float64), reference, scoring)


def quantise(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to 0..1, times 255, round half up to uint8 (the official test lines)."""
    return (np.clip(image, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)


def luma(image: NDArray[np.generic], data_range: float = 255.0) -> NDArray[np.float64]:
    """Y [H, W, 1] of BT.601 in 16/255..235/255 of the range, for RGB [H, W, 3]; gray as it is."""
    if image.shape[2] != 3:
        return image.astype(np.float64)
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    return (image.astype(np.float64) @ weights + data_range * 16.0 / 255.0)[..., None]
