"""Scores of a denoiser on a test set: repeats, padding, quantisation, PSNR and SSIM of every image."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from msgspec import structs
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.errors import DamagedError, InputError
from ..datasets.formats import bayer
from ..datasets.images import SetImage, Stored, unit
from ..datasets.noise import model as noise_models
from ..datasets.noise.model import Image, Noise
from ..datasets.sampling import OneImage
from ..datasets.seeds import seed
from ..methods.base import Context, Method, Progress, Rng
from ..protocol.plan import Score
from ..protocol.suites import Scoring, View
from ..store.checkpoint import forget
from ..store.rows import Row
from ..store.tensors import read_tensors, write_tensors
from .machine import Machine
from .metrics import luma, psnr, quantise, ssim
from .training import Report, Stopped, train


def evaluate(
    work: Score,
    net: nn.Module | None,
    set_images: list[SetImage],
    machine: Machine,
    before: list[list[SetImage]] | None = None,
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

    jobs = machine.threads if method.trains_on == "nothing" else 1
    calls = (delayed(scored)(done, noisy) for done, noisy in enumerate(noisy_images(work, set_images, before or [])))
    for done, found in enumerate(Parallel(jobs, prefer="threads", return_as="generator")(calls)):
        rows += found
        report(done + 1, total)
    return rows


def _rows(images: dict[str, Image], noisy: "Noisy", work: Score) -> Iterator[Row]:
    frame = noisy.set_image.frames[noisy.repeat] if work.noise.family == "captured" else None
    clean = centre_crop(((frame.clean if frame else None) or noisy.set_image).pixels, work.centre_crop)
    for output in work.fit.method.outputs:
        decibels, similarity = compare(images[output.name], clean, work.scoring)
        finite = None if decibels == math.inf else decibels
        yield Row(noisy.set_image.name, noisy.repeat, noisy.level, output.name, finite, similarity)


class Noisy(NamedTuple):
    """One noisy test image."""

    set_image: SetImage
    repeat: int
    image: Image  # [H, W, C], of the window
    level: float

    @property
    def name(self) -> tuple[str, int]:
        """What seeds a method's own random numbers for it."""
        return (self.set_image.digest, self.repeat)

    @property
    def file(self) -> str:
        """The name of its files in a store."""
        return f"{self.set_image.name}-{self.repeat}"


def noisy_images(work: Score, set_images: list[SetImage], before: list[list[SetImage]]) -> Iterator[Noisy]:
    """All noisy test images in the order of the official evaluation: repeats, then images."""
    noise = work.noise
    official = noise_models.Official()
    if work.stream == "official":  # draw what the sets before this one would have drawn
        for (_, repeats), images in zip(work.before, before, strict=True):
            for set_image in images * repeats:
                official(noise, unit(set_image.pixels))
    for repeat in range(work.repeats):
        for set_image in set_images:
            if noise.family == "captured":
                captured = unit(set_image.frames[repeat].pixels)
                captured = noise_models.eight_bits(captured) if noise.condition == "8bit" else captured
                yield Noisy(set_image, repeat, centre_crop(captured, work.centre_crop), 0.0)
                continue
            clean = unit(set_image.pixels)
            drawn = (
                official(noise, clean)
                if work.stream == "official"
                else noise_models.named(noise, clean, set_image.digest, repeat)
            )
            yield Noisy(set_image, repeat, centre_crop(drawn[0], work.centre_crop), drawn[1])


def centre_crop(image: NDArray[Any], side: int) -> NDArray[Any]:
    """The centre square of [H, W, C], or what there is of it; the whole image if `side` is 0."""
    if not side:
        return image
    top, left = (max(0, n - side) // 2 for n in image.shape[:2])
    return image[top : top + side, left : left + side]


def trimmed(image: Image, multiple: int) -> Image:
    """[H, W, C] to train on: whole multiples, as padding would show the network the pixels it must predict."""
    height, width = (n // multiple * multiple for n in image.shape[:2])
    return image[:height, :width] if height and width else pad(image, multiple, "next")


def restore(
    work: Score,
    net: nn.Module | None,
    noisy: Noisy,
    machine: Machine,
    report: Callable[[Report], None],
    stop: Callable[[], bool],
    folder: Path | None,
) -> dict[str, Image]:
    """The outputs for one noisy image, by a network of its own where the method fits images."""
    fit, level = work.fit, min(max(noisy.level, work.fit.noise.low), work.fit.noise.high)  # what it was trained for
    image, back = seen(noisy, fit.view)
    if fit.method.trains_on == "image":
        own = structs.replace(fit, seed=seed("image", fit.seed, *noisy.name) % 2**63)
        source = OneImage(trimmed(image, fit.method.multiple), level)
        checkpoint = folder / f"{noisy.file}.checkpoint" if folder else None
        net = machine.place(train(own, source, machine, checkpoint, report, stop).net, precision="float32").eval()
        if checkpoint:
            forget(checkpoint)
    images = denoise(fit.method, net, image, fit.noise, level, machine, work.padding, noisy.name)
    return {name: back(image) for name, image in images.items()}


def seen(noisy: Noisy, view: View) -> tuple[Image, Callable[[Image], Image]]:
    """What a method sees of a noisy image [H, W, C], and the way back."""
    if view == "plain":
        return noisy.image, lambda image: image
    if view == "bayer":
        return bayer.pack(noisy.image), bayer.unpack
    pattern, (height, width) = noisy.set_image.pattern, noisy.image.shape[:2]
    mosaic = bayer.aligned(noisy.image, pattern)
    return bayer.pack(mosaic), lambda image: bayer.restored(bayer.unpack(image), pattern, height, width)


def kept(work: Score, noisy: Noisy, folder: Path | None, compute: Callable[[], dict[str, Image]]) -> dict[str, Image]:
    """The stored images of a method that keeps them, else computed ones."""
    if folder is not None and (work.fit.method.kept or work.fit.method.trains_on == "image"):
        folder.mkdir(parents=True, exist_ok=True)  # also for the checkpoint of an image's training
    if folder is None or not work.fit.method.kept:
        return compute()
    path = folder / f"{noisy.file}.safetensors"
    try:
        return {name: image.numpy() for name, image in read_tensors(path)[0].items()}
    except DamagedError:  # or not there
        images = compute()
    write_tensors(path, {name: torch.from_numpy(image) for name, image in images.items()}, {"key": work.images_key})
    return images


def denoise(
    method: Method,
    net: nn.Module | None,
    noisy: Image,
    noise: Noise,
    level: float,
    machine: Machine,
    padding: Literal["square", "next"],
    name: tuple[object, ...],
) -> dict[str, Image]:
    """All outputs for one [H, W, C] image, padded as the protocol says and cropped back."""
    height, width = noisy.shape[:2]
    image = noisy if method.multiple == 1 else pad(noisy, method.multiple, padding)
    batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(machine.device)
    context = Context(
        progress=Progress(0, 1, 1),
        rng=Rng("inference", (name,), batch.device),
        chunk=machine.chunk(*image.shape[:2]),
        family=None if method.knowledge == "none" else noise.family,
        level=torch.tensor([level], device=batch.device) if method.knowledge == "level" else None,
    )
    with torch.no_grad():
        outputs: dict[str, Tensor] = method.denoise(net, batch, context)  # type: ignore[arg-type]
    return {
        name: output[0, :, :height, :width].permute(1, 2, 0).float().cpu().numpy() for name, output in outputs.items()
    }


def pad(image: NDArray[np.float32], multiple: int, padding: Literal["square", "next"]) -> NDArray[np.float32]:
    """Reflect at the bottom and right to multiples of `multiple`: to a square (official), or each side its next."""
    height, width = (-(-side // multiple) * multiple for side in image.shape[:2])
    if padding == "square":
        height = width = max(height, width)
    edges = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
    return np.pad(image, edges, mode="reflect")


def compare(output: Image, clean: Stored, scoring: Scoring) -> tuple[float, float]:
    """(PSNR, SSIM) of one output [H, W, C] in 0..1 against the clean image."""
    if not np.isfinite(output).all():
        return float("nan"), float("nan")
    range_ = scoring.data_range
    if scoring.quantise == "uint8":
        mine: NDArray[np.generic] = quantise(output)
    else:
        mine = np.clip(output, 0.0, 1.0) * np.float32(range_)
    reference = clean * np.float64(range_ / 255.0 if clean.dtype == np.uint8 else range_)
    if scoring.colour == "luma":
        mine, reference = luma(mine, range_), luma(reference, range_)
    return psnr(mine, reference, range_), ssim(mine, reference, range_, scoring.window)


def check(set_images: list[SetImage], view: View, frames: int = 0) -> None:
    """InputError for an image that cannot be scored: size, unknown Bayer pattern, too few real frames."""
    for set_image in set_images:
        if len(set_image.frames) < frames:
            raise InputError(
                f"{set_image.path}: {len(set_image.frames)} frames of it, expected {frames}; noise `captured` needs "
                f"a set with real ones, and no more --repeats than there are"
            )
        if view == "bayer-aligned" and not set_image.pattern:
            raise InputError(f"{set_image.path}: its Bayer pattern is not known; use the view bayer, which ignores it")
        height, width = set_image.pixels.shape[:2]
        if view == "bayer" and (height % 2 or width % 2):
            raise InputError(f"{set_image.path}: {width}x{height}, expected even sides (whole Bayer quads)")
        if min(height, width) < 11:
            raise InputError(f"{set_image.path}: {width}x{height} is too small to be scored (SSIM's window is 11x11)")
