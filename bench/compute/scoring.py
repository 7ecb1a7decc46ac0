"""Scores of a denoiser on a test set: every output of every image against the clean one."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from torch import nn

from ..datasets.formats.image_format import Stored
from ..datasets.images import SetImage
from ..datasets.noise.model import Image
from ..protocol.metrics.registry import DEFAULT, measure
from ..protocol.scoring import Scoring
from ..protocol.units import Score
from ..store.rows import Row, finite
from .cost import Costs
from .image_cache import kept
from .inference import padded, seen
from .machine import Machine
from .noisy_images import Noisy, centre_crop, clean_of, noisy_images
from .step import Stopped
from .training import Report
from .zero_shot import restore, restore_batch


def evaluate(
    work: Score,
    net: nn.Module | None,
    set_images: list[SetImage],
    machine: Machine,
    report: Callable[[float, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
    costs: Costs | None = None,
) -> list[Row]:
    """All rows of a test set; every output is clipped, rounded and compared as the suite's scoring says.

    `folder` keeps the images that no weights can give back (BM3D's, Self2Self's), so that an interrupted
    evaluation goes on where it was. Threads compare images while the network denoises the next ones; methods
    without a network are themselves called in the threads. No more images are held than keep
    all threads busy. `costs` measures what is computed of methods without a network for the whole set.
    """
    method, rows = work.fit.method, list[Row]()
    total = work.repeats * len(set_images)
    waiting = deque[Future[list[Row]]]()
    threads = cpu_count() if machine.kind == "cuda" else machine.threads

    def collect(most: int) -> None:
        while len(waiting) > most:
            rows.extend(waiting.popleft().result())
            report(len(rows) // len(method.outputs), total)

    def restored(done: int, noisy: Noisy) -> dict[str, Image]:
        if stop():
            raise Stopped

        def said(training: Report) -> None:
            report(done + training.step / training.steps, total)

        compute = partial(restore, work, net, noisy, machine, said, stop, folder)
        alone = method.learns() or threads == 1
        return kept(work, noisy, folder, partial(costs.of, compute, alone) if costs else compute)

    pool, done = ThreadPoolExecutor(threads), 0
    try:
        for batch in _batches(work, set_images, machine):
            collect(2 * threads)
            if stop():
                raise Stopped
            if not method.learns():
                waiting.append(pool.submit(lambda *one: _rows(restored(*one), one[1], work), done, batch[0]))
            else:
                one_by_one = method.keeps_images or method.per_image()
                images = [restored(done, batch[0])] if one_by_one else restore_batch(work, net, batch, machine)
                waiting += [pool.submit(_rows, *one, work) for one in zip(images, batch, strict=True)]
            done += len(batch)
        collect(0)
    finally:
        pool.shutdown(cancel_futures=True)
    return rows


def _batches(work: Score, set_images: list[SetImage], machine: Machine) -> Iterator[list[Noisy]]:
    """The noisy images in their order, as many at a time as one network call may hold; their padded sizes are equal."""
    fit = work.fit
    alone = not fit.method.has_weights() or fit.method.keeps_images

    def size(noisy: Noisy) -> tuple[int, int]:
        return padded(seen(noisy, fit.view)[0], fit.method.multiple, work.padding)

    for sides, group in groupby(noisy_images(work, set_images), key=size):
        while batch := list(islice(group, 1 if alone else machine.chunk(*sides))):
            yield batch


def _rows(images: dict[str, Image], noisy: Noisy, work: Score) -> list[Row]:
    clean = centre_crop(clean_of(work.noise, noisy.set_image, noisy.repeat).pixels, work.centre_crop)
    reference, found = prepared(clean, work.scoring), []
    for output in work.fit.method.outputs:
        values = _compare(images[output.name], reference, work.scoring, work.metrics)
        recorded = {name: finite(value) for name, value in values.items()}
        found.append(Row(noisy.set_image.name, noisy.repeat, noisy.level, output.name, recorded))
    return found


def compare(output: Image, clean: Stored, scoring: Scoring, metrics: tuple[str, ...] = DEFAULT) -> dict[str, float]:
    """The value of each metric for one output [H, W, C] in 0..1; NaN for all if the output is not finite."""
    return _compare(output, prepared(clean, scoring), scoring, metrics)


def prepared(clean: Stored, scoring: Scoring) -> NDArray[np.float64]:
    """The clean image in 0..data_range, as outputs are compared with it; read-only, so that metrics may keep sums."""
    range_ = scoring.data_range
    reference: NDArray[np.float64] = clean * np.float64(range_ / 255.0 if clean.dtype == np.uint8 else range_)
    reference = luma(reference, range_) if scoring.colour == "luma" else reference
    reference.flags.writeable = False
    return reference


def _compare(
    output: Image, reference: NDArray[np.float64], scoring: Scoring, metrics: tuple[str, ...]
) -> dict[str, float]:
    if not np.isfinite(output).all():
        return dict.fromkeys(metrics, math.nan)
    range_ = scoring.data_range
    if scoring.quantise == "uint8":
        mine: NDArray[np.generic] = quantise(output)
    else:
        mine = np.clip(output, 0.0, 1.0) * np.float32(range_)
    mine = luma(mine, range_) if scoring.colour == "luma" else mine
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
