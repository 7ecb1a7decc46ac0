"""The one training loop: Adam, schedule, micro-batches, named random numbers, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from ..datasets.images import SetImage
from ..datasets.sampling import Packed, Patches, Sample, Source
from ..datasets.seeds import seed
from ..methods.base import Batch, Context, Method, Progress
from ..methods.guard import guarded
from ..methods.rng import Rng
from ..protocol.metrics.builtin import psnr
from ..protocol.suites import Recipe
from ..protocol.units import Fit
from ..store.checkpoint import State
from . import sanity
from .machine import Machine

FRAMES = {"clean": 1, "pair": 2, "noisy": 1}
PROBES, PROBE_STEPS = 20, 1000  # looks at one fixed crop while training: so many, but at least every so many steps


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
    parameters: int
    seconds: float
    history: list[tuple[int, float]]  # (step, loss)
    quality: list[tuple[int, float]]  # (step, PSNR of one fixed crop [dB]), for display only
    warnings: list[str]


class Stopped(BaseException):
    """A signal asked to stop; the state is saved."""


def learning_rate(recipe: Recipe, progress: Progress) -> float:
    """halving: as the official code, after epochs kN/5 - 1; cycle: linear warm-up, then cosine to zero."""
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "halving":
        milestones = [k * progress.epochs // 5 - 1 for k in (1, 2, 3, 4)]  # integers: no rounding at the milestone
        return float(recipe.lr * 0.5 ** sum(0 <= m < progress.epoch for m in milestones))
    u = (progress.step + 0.5) / progress.steps
    if u < recipe.warmup:
        return recipe.lr * u / recipe.warmup
    return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * (u - recipe.warmup) / (1.0 - recipe.warmup)))


def build(method: Method, channels: int, gain: float, seed_: int) -> nn.Module:
    """The method's network with named initial weights, scaled by the recipe's gain."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed("initial weights", seed_) % 2**63)
        with guarded(Exception):
            net = method.build(channels)
    if not isinstance(net, nn.Module):
        raise TypeError(f"build returned a {type(net).__name__}; expected a torch.nn.Module")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


def collate(samples: list[Sample], method: Method, device: str) -> Batch:
    """The firewall: of a sample's samples, a method gets what it declares and nothing more."""
    noisy = _tensor([sample.frames[0] for sample in samples], device)
    target = level = None
    if method.supervision == "clean":
        target = _tensor([_clean(sample) for sample in samples], device)
    elif method.supervision == "pair":
        target = _tensor([sample.frames[1] for sample in samples], device)
    if method.knowledge == "level":
        level = torch.tensor([sample.levels[0] for sample in samples], dtype=torch.float32, device=device)
    return Batch(noisy, target, level)


def parts(net: nn.Module, method: Method, batch: Batch, context: Context) -> Iterator[Tensor]:
    """The loss of a batch in parts that add up to it: micro-batches of `chunk` samples, and the method's own parts."""
    rng, size = context.rng, len(batch.noisy)
    for start in range(0, size, context.chunk):
        micro = slice(start, start + context.chunk)
        noisy, target, level = (None if field is None else field[micro] for field in batch)
        assert noisy is not None
        piece = Batch(noisy, target, level)
        share = len(rng.samples[micro]) / size
        losses = method.losses(net, piece, context._replace(rng=Rng(rng.seed, rng.samples[micro], rng.device)))
        if isinstance(losses, Tensor):
            raise TypeError("losses returned a tensor; it must yield the parts of the loss")
        for part in losses:
            if part.dim():
                raise ValueError(f"losses yielded a tensor of shape {list(part.shape)}; expected single numbers")
            yield part * share


class Trainer:
    """One training: everything that is equal between methods."""

    def __init__(self, work: Fit, source: Source, machine: Machine) -> None:
        self.work, self.source, self.machine, self.method = work, source, machine, work.method
        recipe = work.recipe
        self.net = machine.place(build(work.method, work.planes, recipe.gain, work.seed), work.steps)
        betas = (recipe.beta1, recipe.beta2)
        self.adam = torch.optim.Adam(self.net.parameters(), recipe.lr, betas, weight_decay=recipe.weight_decay)
        self.chunk = machine.chunk(work.crop, work.crop)  # images per network call; less once memory was short

    def context(self, step: int, samples: tuple[int, ...]) -> Context:
        """What the method is told in this step."""
        return Context(
            progress=Progress(step, self.work.steps, self.work.epochs),
            rng=Rng(self.work.seed, samples, torch.device(self.machine.device)),
            chunk=self.chunk,
            noise=None if self.method.knowledge == "blind" else self.work.noise.family,
        )

    def batch(self, step: int, check: bool = False) -> tuple[Batch, Context]:
        """The samples of a step; WrongNoiseError if `check` finds other noise than was asked for."""
        numbers = tuple(step * self.work.batch + slot for slot in range(self.work.batch))
        samples = [self.source.sample(number, FRAMES[self.method.supervision]) for number in numbers]
        if check:
            for sample in samples:
                sanity.check_noise(sample, self.work.noise)
        return collate(samples, self.method, self.machine.device), self.context(step, numbers)

    def update(self, batch: Batch, context: Context, stop: Callable[[], bool] = lambda: False) -> Tensor:
        """One step of Adam; the loss, not yet read from the device. Stopped between two parts: nothing is changed."""
        for group in self.adam.param_groups:
            group["lr"] = learning_rate(self.work.recipe, context.progress)
        while (loss := self._gradients(batch, context, stop)) is None:  # the same samples, so the same random numbers
            self.chunk = context.chunk // 2
            context = context._replace(chunk=self.chunk)
        self.adam.step()
        return loss

    def _gradients(self, batch: Batch, context: Context, stop: Callable[[], bool]) -> Tensor | None:
        """The loss and its gradients; None if memory is too short for them in this many images at a time."""
        self.adam.zero_grad(set_to_none=True)
        loss = None
        try:
            for part in parts(self.net, self.method, batch, context):
                if loss is not None and stop():
                    raise Stopped
                part.backward()  # type: ignore[no-untyped-call]
                loss = part.detach() if loss is None else loss + part.detach()
        except (RuntimeError, MemoryError) as error:
            if context.chunk == 1 or not out_of_memory(error):
                raise
            return None
        if loss is None:
            raise ValueError("losses yielded nothing")
        return loss

    def probe(self, step: int) -> tuple[float | None, str | None]:
        """PSNR of sample 0 (display only), and a warning if its output is no image."""
        sample = self.source.sample(0, 1)
        noisy = _tensor([sample.frames[0]], self.machine.device)
        context = self.context(step, (0,))
        if self.method.knowledge == "level":
            context = context._replace(level=torch.tensor(sample.levels[:1], device=noisy.device))
        self.net.eval()
        with torch.no_grad():
            image = self.method.denoise(self.net, noisy, context)[self.method.primary().name]
        self.net.train()
        output = image[0].permute(1, 2, 0).float().cpu().numpy()
        known = sample.clean is not None and self.work.noise.family.simulated
        std = self.work.noise.std(sample.clean, sample.levels[0]) if known and sample.clean is not None else None
        quality = None if sample.clean is None else psnr(np.clip(output, 0, 1), sample.clean, 1.0)
        return quality, sanity.check_output(sample.frames[0], output, std)


def source_of(work: Fit, set_images: Sequence[SetImage]) -> Source:
    """Crops of a set as the method sees them; InputError for images that cannot give them."""
    phase = work.view == "bayer-aligned"
    crops = Patches(set_images, work.noise, work.train_noise, work.crop, work.seed, phase)
    return crops if work.view == "plain" else Packed(crops)


def train(
    work: Fit,
    images: Sequence[SetImage] | Source,
    machine: Machine,
    checkpoint: Path | None = None,
    report: Callable[[Report], None] = lambda report: None,
    stop: Callable[[], bool] = lambda: False,
    every_seconds: float = 30.0,
) -> Trained:
    """Trains on crops of the images of a set, or on what a source gives.

    It continues at `checkpoint` if that holds a state of this very work on this machine.
    `every_seconds`: least time between two checkpoints; 0: one after every step.
    DivergedError, WrongNoiseError: by health's rules. Stopped: `stop` said so; the state is saved.
    """
    source = source_of(work, images) if isinstance(images, Sequence) else images
    trainer = Trainer(work, source, machine)
    state = State(work.key, machine.setting, trainer.net.network, trainer.adam, trainer.chunk)
    if note := state.load(checkpoint):
        report(Report(0, work.steps, math.nan, None, note))
    trainer.chunk = state.chunk
    began = saved = time.monotonic()
    quality, pause = None, every_seconds

    def keep() -> None:
        nonlocal began, saved, pause
        now = time.monotonic()
        state.seconds += now - began
        began, state.chunk = now, trainer.chunk
        if checkpoint is not None:
            state.save(checkpoint)
        saved = time.monotonic()
        pause = max(every_seconds, 100.0 * (saved - now))  # under 1 % of the time

    interval = max(1, min(work.steps // PROBES, PROBE_STEPS))
    # Not for ensembles that would cost more than the training, nor for networks of one image: nothing to compare with.
    dear, own = max(work.method.passes().values()) > interval, work.method.per_image()
    stride = 20 if machine.device.startswith("cuda") else 1  # reading the loss makes a GPU wait
    try:
        for step in range(state.step, work.steps):
            probing = (step + 1) % interval == 0 or step + 1 == work.steps
            chunk = trainer.chunk
            loss = trainer.update(*trainer.batch(step, check=probing or step == 0), stop)
            state.step, message = step + 1, ""
            if trainer.chunk < chunk:
                message = f"out of memory with {chunk} images at a time: {trainer.chunk} from here on"
                state.warnings.append(f"step {step + 1}: {message}")
            if probing or step % stride == 0:
                sanity.check_loss(float(loss), step)
            if probing:
                state.history.append((step + 1, float(loss)))
                quality, warning = (None, None) if own or (dear and step + 1 < work.steps) else trainer.probe(step)
                if quality is not None and math.isfinite(quality):
                    state.quality.append((step + 1, round(quality, 3)))
                if warning and sanity.settled(step + 1, work.steps) and warning.split(":")[0] not in state.said():
                    state.warnings.append(f"step {step + 1}: {warning}")
                    message = warning
            if probing or message or step % stride == 0:
                report(Report(step + 1, work.steps, float(loss), quality, message))
            if step + 1 == work.steps:
                break  # trained: a late signal must not throw it away
            if stop():
                raise Stopped
            if not every_seconds or time.monotonic() - saved > pause:
                keep()
    except Stopped:  # between two updates: the state is whole
        keep()
        raise
    seconds = state.seconds + time.monotonic() - began
    net = trainer.net.network
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return Trained(net, parameters, seconds, state.history, state.quality, state.warnings)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no memory left for a tensor."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _clean(sample: Sample) -> np.ndarray[Any, np.dtype[np.float32]]:
    assert sample.clean is not None, "the plan admits no supervised method without clean images"
    return sample.clean


def _tensor(images: list[Any], device: str) -> Tensor:
    """[H, W, C] images -> [B, C, H, W]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device, non_blocking=True)
