"""Speed of our training step against a plain one, side by side in one process."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from msgspec import structs
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..compute.machine import Machine
from ..compute.step import Step, collate
from ..datasets.philox import fused
from ..datasets.sampling import OneImage, Patches, Source, one_sample
from ..datasets.sets.find import find
from ..methods import registry
from ..methods.base import Batch, Context, Method, Progress
from ..methods.n2c import N2C
from ..methods.rng import Rng
from ..protocol.plan import make
from ..protocol.request import Request
from ..protocol.units import Fit, Score
from . import silent
from .scoring_speed import scoring as scoring_speed
from .scoring_speed import without_shortcuts

Row = dict[str, str]
CUDA_STEPS = 5  # timed in a row, as a training does not wait for each


def plain_step(method: Method, channels: int, batch: Batch, context: Context) -> Callable[[], Tensor]:
    """The step one would write: float32, contiguous, no compiler, the whole batch and all masked members at once."""
    net = method.build(channels)
    assert net is not None
    without_shortcuts(net.to(batch.noisy.device))
    adam = torch.optim.Adam(net.parameters(), lr=3e-4)
    everything = context._replace(chunk=10**9)

    def step() -> Tensor:
        adam.zero_grad()
        loss = torch.stack(list(method.losses(net, batch, everything))).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        return loss.detach()

    return step


def measure(
    names: Sequence[str], machine: Machine, rounds: int, noise: str = "", report: Callable[[Row], None] = silent
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training steps of the methods that train; scored images of those that need at most one pass for each; medians.

    `noise`: of the training; that of the suite if not given. `report` gets each training's row as soon as it is known.
    """
    fits = [work.fit for work in _works(names, noise)[0] if work.fit.method.learns()]
    peak = matmul_rate(machine) if fits else 0.0
    training = list[Row]()
    for fit in fits:
        training.append(_training(fit, machine, rounds, peak))
        report(training[-1])
    return pd.DataFrame(training), scoring(names, machine, ("embedded_test",), None, noise)


def scoring(
    names: Sequence[str], machine: Machine, tests: Sequence[str], data: Path | None, noise: str = ""
) -> pd.DataFrame:
    """Scored images per second of the methods that need at most one pass for each, on some images of each test set."""
    works, skipped = _works(names, noise)
    once = [w for w in works if not w.fit.method.learns() or _has_one_pass(w.fit.method)]
    found = [scoring_speed(work, machine, test, data) for work in once for test in tests]
    return pd.DataFrame(found + skipped).fillna("")


def _has_one_pass(method: Method) -> bool:
    return method.has_weights() and max(method.passes().values()) == 1


def _works(names: Sequence[str], noise: str) -> tuple[list[Score], list[Row]]:
    """The first work of each method at preset standard, and why there is none."""
    works, skipped, noises = [], [], (noise,) if noise else ()
    for name in names or sorted(registry.methods()):
        request = Request(preset="standard", methods=(name,), noises=noises)
        cells = [cell for cell in make(request).cells if cell.name == name]
        work = next((cell.scores[0] for cell in cells if cell.scores), None)
        reason = work.fit.method.unavailable() if work else f"not defined for {noise or 'any noise of the suite'}"
        if work is None or reason:
            skipped.append({"method": name, "skipped": reason or ""})
        else:
            works.append(work)
    return works, skipped


def _training(fit: Fit, machine: Machine, rounds: int, peak: float) -> Row:
    """The training of a fit on the embedded photographs: steps/s, ratio, share of the matmul rate, overhead."""
    work = structs.replace(fit, train="embedded_train")
    set_images = find(work.train).load(None, work.channels)
    source: Source = Patches(set_images, work.noise, work.train_noise, work.crop, work.seed, device=machine.device)
    if work.method.per_image():
        source = OneImage(one_sample(source, 0, 1).frames[0], work.noise.high, machine.device, work.method.prepare)
    ours = Step(work, source, machine)
    ours.prepare(0)
    made, numbers = ours.samples()
    batch, context = collate(made, work.method), ours.context(numbers)
    plain = plain_step(work.method, work.channels, batch, context)
    with FlopCounterMode(display=False) as counter:
        plain()
    ours(0)  # warm up, capture, and compile if that is on
    steps: dict[str, Callable[[], Tensor]] = {
        "plain": plain,
        "samples": _captured_samples(ours) if ours.captures else partial(_samples, ours),
        "ours": partial(_whole_step, ours, ours.captures),
    }
    if ours.captures:
        steps["uncaptured"] = partial(_whole_step, ours, False)
    net = unet_step(work, batch)
    net()
    times = interleaved(steps | {"unet": net}, machine, rounds)
    return {
        "method": work.name,
        "noise": work.noise.name,
        "plain steps/s": f"{1 / times['plain']:.3f}",
        "our steps/s": f"{1 / times['ours']:.3f}",
        "ratio": f"{times['plain'] / times['ours']:.2f}",
        "plain step / plain U-Net's": f"{times['plain'] / times['unet']:.2f}",
        "of bf16 matmul": f"{counter.get_total_flops() / times['ours'] / peak:.0%}",
        "harness overhead": f"{times['samples'] / (times['ours'] - times['samples']):.1%}",
        "captured / uncaptured": f"{times['uncaptured'] / times['ours']:.2f}" if ours.captures else ours.uncaptured,
        "training, preset standard": f"{work.steps * times['ours'] / 3600:.2f} h",
        "machine": f"{machine.device}, {machine.precision}, {machine.threads} threads",
    }


def unet_step(work: Fit, batch: Batch) -> Callable[[], Tensor]:
    """The plain step of the shared U-Net on the same images: what a method's own network is compared with."""
    supervised = N2C()
    context = Context(Progress(1, 1), Rng(0, torch.arange(len(batch.noisy))), len(batch.noisy))
    return plain_step(supervised, work.channels, batch._replace(target=batch.noisy), context)


def interleaved(steps: dict[str, Callable[[], Tensor]], machine: Machine, rounds: int) -> dict[str, float]:
    """The median seconds of each, taken in turn so that a slow minute hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(timed(step, CUDA_STEPS if machine.kind == "cuda" else 1))
    return {name: statistics.median(values) for name, values in times.items()}


def _whole_step(step: Step, captured: bool) -> Tensor:
    """Our step with everything around it: samples, noise, schedule."""
    step.captures, before = captured, step.captures
    step(1)
    step.captures = before
    return step.loss


def _samples(step: Step) -> Tensor:
    """What our step does besides the update: number, crops, noise; uncaptured."""
    step.prepare(1)
    return step.samples()[0].frames[-1]


def _captured_samples(step: Step) -> Callable[[], Tensor]:
    """`_samples` as a graph of its own, with the kernels of the whole step."""
    step.prepare(1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(step.device), fused(step.net.compiled), torch.cuda.graph(graph):
        made = step.samples()[0].frames[-1]

    def replay() -> Tensor:
        graph.replay()
        return made

    return replay


def timed(step: Callable[[], Tensor], calls: int = 1) -> float:
    """The mean seconds of so many calls in a row, until the last result is there."""
    began = time.perf_counter()
    for _ in range(calls):
        made = step()
    float(made.flatten()[0])  # waits for the device
    return (time.perf_counter() - began) / calls


def matmul_rate(machine: Machine) -> float:
    """Floating-point operations per second of a bf16 matrix product, the best of several."""
    n = 8192 if machine.kind == "cuda" else 2048
    a = Rng(0, torch.arange(n, device=machine.device)).normal("matrix", n).bfloat16()  # ones would run faster
    return max(2 * n**3 / timed(lambda: a @ a) for _ in range(7))
