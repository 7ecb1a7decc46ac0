"""The one training loop: steps, looks at the result, checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from ..datasets.images import SetImage
from ..datasets.sampling import Packed, Patches, Source, one_sample
from ..protocol.metrics.builtin import psnr
from ..protocol.units import Fit
from ..store.checkpoint import State
from . import sanity
from .machine import Machine, Placed
from .step import FRAMES, Step, Stopped, never

PROBES, PROBE_STEPS = 20, 1000  # looks at one fixed crop while training: so many, but at least every so many steps
CUDA_LOSS_STEPS = 200  # between two readings of the loss on CUDA, where reading it makes the device wait


class Report(Struct):
    """What a running training tells its display."""

    step: int
    steps: int
    loss: float
    psnr: float | None  # of one fixed crop, for display only
    message: str = ""

    @property
    def text(self) -> str:
        """Step, loss and quality in a few words."""
        quality = f", {self.psnr:.2f} dB on one crop" if self.psnr is not None else ""
        return f"step {self.step}/{self.steps}, loss {self.loss:.4g}{quality}"


class Trained(Struct):
    """A trained network and how it came about."""

    net: nn.Module
    seconds: float
    history: list[tuple[int, float]]  # (step, loss)
    quality: list[tuple[int, float]]  # (step, PSNR of one fixed crop [dB]), for display only
    warnings: list[str]


def source_of(work: Fit, set_images: Sequence[SetImage], device: str = "cpu") -> Source:
    """Crops of a set as the method sees them; InputError for images that cannot give them."""
    phase = work.view == "bayer-aligned"
    crops = Patches(set_images, work.noise, work.train_noise, work.crop, work.seed, phase, device)
    crops.require(FRAMES[work.method.supervision])
    return crops if work.view == "plain" else Packed(crops)


def psnr_and_warning(step: Step) -> tuple[float | None, str | None]:
    """PSNR of sample 0 (display only), and a warning if the network's output for it is no image."""
    work, method = step.work, step.method
    looked = one_sample(step.source, 0, 1)
    noisy = torch.from_numpy(np.ascontiguousarray(looked.frames[0].transpose(2, 0, 1)))[None].to(step.device)
    context = step.context(torch.zeros(1, dtype=torch.int64, device=step.device))
    if method.knowledge == "level":
        context = context._replace(level=torch.tensor(looked.levels[:1], device=step.device))
    net = Placed(step.net.network, step.net.bf16, compiled=False).eval()  # it would be compiled anew for this shape
    with torch.no_grad():
        image = method.denoise(net, noisy, context)[method.primary().name]
    net.train()
    output = image[0].permute(1, 2, 0).float().cpu().numpy()
    known = looked.clean is not None and work.noise.family.simulated
    std = work.noise.std(looked.clean, looked.levels[0]) if known and looked.clean is not None else None
    quality = None if looked.clean is None else psnr(np.clip(output, 0, 1), looked.clean, 1.0)
    return quality, sanity.check_output(looked.frames[0], output, std)


class Checkpoints:
    """Counts the seconds of a training and saves its state, which takes less than 1 % of them."""

    def __init__(self, state: State, path: Path | None, every_seconds: float) -> None:
        self.state, self.path, self.least, self.pause = state, path, every_seconds, every_seconds
        self.counted = self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return not self.least or time.monotonic() - self.saved > self.pause

    def save(self) -> None:
        """Saves the state, where there is a place for it."""
        now = time.monotonic()
        self.state.seconds += now - self.counted
        self.counted = now
        if self.path is not None:
            self.state.save(self.path)
        self.saved = time.monotonic()
        self.pause = max(self.least, 100.0 * (self.saved - now))

    @property
    def seconds(self) -> float:
        """Those of the whole training, with what was done before an interruption."""
        return self.state.seconds + time.monotonic() - self.counted


class Monitor:
    """Reads the loss of a training, and judges its output, at regular steps."""

    def __init__(self, update: Step, state: State) -> None:
        self.update, self.state, self.steps = update, state, update.work.steps
        self.quality: float | None = None  # at the last probe
        self.interval = max(1, min(self.steps // PROBES, PROBE_STEPS))
        self.stride = CUDA_LOSS_STEPS if update.captures else 1
        self.costly = max(update.method.passes().values()) > self.interval  # it would cost more than the training

    def probes(self, step: int) -> bool:
        """Whether the loss is recorded and the output judged after this step."""
        return (step + 1) % self.interval == 0 or step + 1 == self.steps

    def due(self, step: int) -> bool:
        """Whether the loss is read after this step."""
        return self.probes(step) or step % self.stride == 0

    def report(self, step: int, message: str) -> Report:
        """The loss and the last PSNR after this step, with a new warning or else the message; DivergedError."""
        loss = float(self.update.loss)
        sanity.check_loss(loss, step)
        if self.probes(step):
            self.state.history.append((step + 1, loss))
            message = self._judge(step) or message
        return Report(step + 1, self.steps, loss, self.quality, message)

    def _judge(self, step: int) -> str:
        """Records the PSNR of one crop and a warning, which is returned if it is new."""
        if self.update.method.per_image() or (self.costly and step + 1 < self.steps):  # one image: nothing to compare
            return ""
        self.quality, warning = psnr_and_warning(self.update)
        if self.quality is not None and math.isfinite(self.quality):
            self.state.quality.append((step + 1, round(self.quality, 3)))
        if not warning or not sanity.settled(step + 1, self.steps) or warning.split(":")[0] in self.state.said():
            return ""
        self.state.warnings.append(f"step {step + 1}: {warning}")
        return warning


def check_samples(update: Step, step: int) -> None:
    """WrongNoiseError if a step's samples have another noise than the one asked for."""
    update.prepare(step)
    for sample in update.on_host():
        sanity.check_noise(sample, update.work.noise)


def train(
    work: Fit,
    images: Sequence[SetImage] | Source,
    machine: Machine,
    checkpoint: Path | None = None,
    report: Callable[[Report], None] = lambda report: None,
    stop: Callable[[], bool] = never,
    every_seconds: float = 30.0,
) -> Trained:
    """Trains on crops of the images of a set, or on what a source gives.

    It continues at `checkpoint` if that holds a state of this very work; of another machine, with a warning.
    `every_seconds`: least time between two checkpoints; 0: one after every step.
    DivergedError, WrongNoiseError: by the rules of sanity.py. Stopped: `stop` said so; the state is saved.
    """
    source = source_of(work, images, machine.device) if isinstance(images, Sequence) else images
    update = Step(work, source, machine)
    state = State(work.key, machine.setting(work.steps), update)
    if said := state.load(checkpoint):
        report(Report(state.step, work.steps, math.nan, None, said))
    checkpoints, monitor = Checkpoints(state, checkpoint, every_seconds), Monitor(update, state)
    try:
        for step in range(state.step, work.steps):
            if monitor.probes(step) or step == 0:
                check_samples(update, step)
            message = update(step, stop)
            state.step = step + 1
            if message:
                state.warnings.append(f"step {step + 1}: {message}")
            if message or monitor.due(step):
                report(monitor.report(step, message))
            if step + 1 == work.steps:
                break  # trained: a late signal must not throw it away
            if stop():
                raise Stopped
            if checkpoints.due():
                checkpoints.save()
    except Stopped:  # between two updates: the state is whole
        checkpoints.save()
        raise
    seconds = checkpoints.seconds
    update.optimiser.zero_grad()  # what is left of the memory of graphs can then be used by others
    return Trained(update.net.network, seconds, state.history, state.quality, state.warnings)
