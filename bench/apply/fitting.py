"""A method made ready for a user's own images: trained on them, given weights, or training-free."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from msgspec import Struct, structs
from torch import nn

from ..compute.machine import Machine
from ..compute.noisy_images import Noisy
from ..compute.step import Step, build, never
from ..compute.training import Report, source_of, train
from ..compute.zero_shot import restore
from ..datasets.errors import InputError, few
from ..datasets.images import SetImage
from ..datasets.noise.captured import CAPTURED, NONE
from ..datasets.noise.model import Image, Noise
from ..datasets.sets.digests import SetDigests
from ..protocol import exclusions, suite_files, suites
from ..protocol.plan import single_fit, with_steps
from ..protocol.scoring import Scoring
from ..protocol.units import Fit, Score
from ..runner import external_weights
from ..store.checkpoint import forget
from ..store.tensors import read_tensors, write_tensors

SUITE = "synthetic"  # whose presets say how a method is trained
TIMED, FIRST = 5, 2  # steps that are timed, after some in which libraries choose their kernels


class Fitted(Struct):
    """A method that can denoise."""

    work: Fit
    net: nn.Module | None  # None where every image trains its own, or nothing is trained
    machine: Machine
    images: frozenset[str]  # digests of the noisy images that it was fitted to: it must not be judged by them
    seconds: float = 0.0  # of training
    warnings: Sequence[str] = ()
    report: Callable[[Report], None] = lambda report: None  # follows the training of an image, if each has its own

    def __call__(self, noisy: Image) -> Image:
        """The primary output [H, W, C] for a noisy image in 0..1, not clipped."""
        return self.outputs(noisy)[self.work.method.primary().name]

    def outputs(self, noisy: Image) -> dict[str, Image]:
        """All outputs by name. A zero-shot method trains here."""
        one = as_images([[noisy]])[0]
        score = Score(fit=self.work, test="", noise=self.work.noise, repeats=1, padding="next", scoring=Scoring())
        found = Noisy(one, 0, noisy, self.work.noise.low)
        return restore(score, self.net, found, self.machine, self.report, never, None)


def as_images(scenes: Iterable[Sequence[Image]], names: Sequence[str] = ()) -> list[SetImage]:
    """Scenes of noisy frames [H, W, C] as images of a set, the mean of several frames as the clean image."""
    made = []
    for number, frames in enumerate(scenes):
        name, channels = names[number] if names else str(number), frames[0].shape[2]
        if len(frames) == 1:
            made.append(_image(name, frames[0], channels))
            continue
        noisy = tuple(_image(f"{name} frame {i}", frame, channels) for i, frame in enumerate(frames))
        target: Image = np.asarray(np.mean(frames, axis=0, dtype=np.float32))
        made.append(_image(name, target, channels, frames=noisy))
    return made


def _image(name: str, pixels: Image, channels: int, frames: tuple[SetImage, ...] = ()) -> SetImage:
    return SetImage.decoded(name, Path(name), np.ascontiguousarray(pixels, np.float32), channels, frames=frames)


class _OwnDigests(SetDigests):
    """The digest of images that no catalogue knows."""

    def __init__(self, images: Sequence[SetImage]) -> None:
        super().__init__()
        self.digest = hashlib.sha256(" ".join(image.digest for image in images).encode()).hexdigest()

    def __call__(self, name: str, channels: int, least: int = 0) -> str:
        """That of the training images; of the images to denoise there is none."""
        return self.digest if name else ""


def fit_of_unknown_noise(name: str, channels: int, preset: str) -> Fit:
    """A training of a method or configuration that is not told the noise; InputError for an unknown name."""
    suite = structs.replace(suite_files.load(SUITE), channels=channels)
    return single_fit(suite, suites.preset(suite, preset), name, NONE, 0, SetDigests())


def plan(
    name: str,
    images: Sequence[SetImage],
    noise: Noise | None = None,
    preset: str = "mini",
    steps: int = 0,
    seed: int = 0,
    trains: bool = True,
) -> tuple[Fit, list[SetImage], list[str]]:
    """The training of a method on these images, those that it uses, and the others with the reason.

    `noise` is what the images have, where that is known. Without `trains`, its weights come from elsewhere.
    InputError if the method cannot be used on such images.
    """
    suite = structs.replace(suite_files.load(SUITE), channels=images[0].channels)
    fit = single_fit(suite, suites.preset(suite, preset), name, noise or NONE, seed, SetDigests())
    method, left_out = fit.method, list[str]()
    known = noise is not None and method.knowledge != "blind"
    if not known:
        fit = structs.replace(fit, noise=NONE)
    if method.supervision in ("clean", "pair"):
        fit = structs.replace(fit, noise=CAPTURED)
    elif method.supervision == "noisy":  # every noisy frame is an image of its own
        images = [frame for image in images for frame in (image.frames or (image,))]
        fit = structs.replace(fit, train_noise="present" if known else fit.train_noise)
    state = exclusions.of_noise(fit, fit.noise)
    if why := state.reason if state else method.unavailable():
        raise InputError(f"--method {name}: {why}; without --method, one is chosen that can be used here")
    if method.has_weights() and trains:
        images, without_frames = _with_frames(fit, images)
        images, crop, too_small = _large_enough(fit, images)
        left_out = [*without_frames, *too_small]
        fit = structs.replace(fit, crop=crop)
    used = images if method.has_weights() and trains else ()
    fit = structs.replace(fit, train="own images", digests=_OwnDigests(used))
    return with_steps(fit, steps or fit.steps, suite.recipes), list(images), left_out


def _with_frames(fit: Fit, images: Sequence[SetImage]) -> tuple[list[SetImage], list[str]]:
    """The images that have the clean image or second frame that a method learns from, and a line on the others.

    InputError if none has it.
    """
    least, what = {
        "clean": (1, "clean images (--train FOLDER with noisy/ and clean/ in it)"),
        "pair": (2, "two noisy frames of each scene (--train FOLDER with frame-1.tif, frame-2.tif, ... in it)"),
    }.get(fit.method.supervision, (0, ""))
    used = [image for image in images if len(image.frames) >= least]
    if not used:
        raise InputError(f"--method {fit.name}: it learns from {what}; without them: --method b2u, nbr2nbr or n2v")
    others = [image.name for image in images if len(image.frames) < least]
    return used, [f"{fit.name} learns from {what}, and is not trained on others: {few(others)}"] if others else []


def _large_enough(fit: Fit, images: Sequence[SetImage]) -> tuple[list[SetImage], int, list[str]]:
    """The images that a crop fits in, its side, and the others; a smaller crop if it fits in none."""
    least, multiple = fit.crop, fit.method.crop_multiple
    largest = max(min(image.sides) for image in images)
    if largest < least:
        least = largest // multiple * multiple
    if not least:
        raise InputError(
            f"--method {fit.name}: trains on crops of {multiple} pixels or more; the largest image is {largest}"
        )
    used = [image for image in images if min(image.sides) >= least]
    names = [image.name for image in images if min(image.sides) < least]
    left_out = [f"{len(names)} images are too small to train on crops of {least}: {few(names)}"] if names else []
    return used, least, left_out


def weights_file(folder: Path, planned: Fit) -> Path:
    """Where the weights of a training are kept."""
    return folder / f"{planned.name}-{planned.key[:8]}.safetensors"


def with_weights(planned: Fit, file: Path, machine: Machine) -> Fitted:
    """The method with trained weights from a file of ours or of the authors; InputError for another network's."""
    tensors, digest = external_weights.fitting(planned, file)
    net = build(planned.method, planned.planes, 1.0, 0)
    net.load_state_dict(tensors)
    work = structs.replace(planned, weights=digest)
    return Fitted(work, machine.place(net, precision="float32").eval(), machine, frozenset())


def steps_within(seconds: float, fit: Fit, images: Sequence[SetImage], machine: Machine) -> int:
    """How many training steps of this work take so long here, measured."""
    step = Step(structs.replace(fit, steps=FIRST + TIMED), source_of(fit, images, machine.device), machine)
    for number in range(FIRST + TIMED):
        if number == FIRST:
            float(step.loss)
            began = time.perf_counter()
        step(number)
    float(step.loss)  # on CUDA, waits for the steps
    return max(1, int(seconds * TIMED / (time.perf_counter() - began)))


def fit(
    planned: Fit,
    images: Sequence[SetImage],
    machine: Machine,
    folder: Path | None = None,
    report: Callable[[Report], None] = lambda report: None,
    stop: Callable[[], bool] = never,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Fitted:
    """Trains what is planned, or takes it from `folder`, where its checkpoint and weights are kept with `about`.

    DivergedError, and Stopped when `stop` says so; the same call then continues.
    """
    seen = frozenset(image.digest for image in images) if planned.method.has_weights() else frozenset[str]()
    made = Fitted(planned, None, machine, seen)
    if not planned.method.has_weights():
        return made
    kept = weights_file(folder, planned) if folder else None
    if kept is not None and kept.is_file():
        net = build(planned.method, planned.planes, 1.0, 0)
        tensors, known = read_tensors(kept)
        net.load_state_dict(tensors)
        made.seconds, made.warnings = known["seconds"], known["warnings"]
    else:
        checkpoint = kept and kept.with_suffix(".checkpoint")
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
        trained = train(planned, images, machine, checkpoint, report, stop)
        net, made.seconds, made.warnings = trained.net, trained.seconds, trained.warnings
        if kept is not None and checkpoint is not None:
            known = {"key": planned.key, "identity": planned.identity}
            known |= {"seconds": trained.seconds, "warnings": trained.warnings}
            write_tensors(kept, net.state_dict(), {**about, **known})
            forget(checkpoint)
    made.net = machine.place(net, precision="float32").eval()
    return made
