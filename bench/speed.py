"""Speed of our training step against a plain one, side by side in one process."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from msgspec import structs
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from .datasets import catalogue
from .datasets.errors import InputError
from .datasets.patches import Patches
from .machine import Machine
from .methods import registry
from .methods.base import Batch, Context, Method
from .plan import Request, make
from .training import Trainer


def plain_step(method: Method, channels: int, batch: Batch, context: Context) -> Callable[[], Tensor]:
    """The step one would write: float32, contiguous, no compiler, the whole batch and all masked members at once."""
    net = method.build(channels)
    assert net is not None
    net.to(batch.noisy.device)
    adam = torch.optim.Adam(net.parameters(), lr=3e-4)
    everything = context._replace(chunk=10**9)

    def step() -> Tensor:
        adam.zero_grad()
        loss = torch.stack(list(method.losses(net, batch, everything))).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        return loss.detach()

    return step


def measure(names: Sequence[str], machine: Machine, rounds: int) -> pd.DataFrame:
    """The paper's training (crop 128, batch 4, s = 4): steps/s, ratio, share of the matmul rate, overhead; medians."""
    peak = matmul_rate(machine)
    trained = [name for name, method in registry.methods().items() if method.fits == "dataset"]
    rows = []
    for name in names or sorted(trained):
        plan = make(Request(preset="paper", methods=(name,), noises=("gauss25",)))
        if plan.cells[-1].fit.method.fits != "dataset":
            raise InputError(f"speed: {name} trains nothing; allowed: {', '.join(sorted(trained))}")
        work = structs.replace(plan.cells[-1].fit, train="embedded_train")
        pictures = catalogue.load(work.train, None, work.channels)
        source = Patches(pictures, work.noise, work.train_noise, work.crop, work.seed)
        trainer = Trainer(work, source, machine)
        batch, context = trainer.batch(0)
        plain = plain_step(work.method, work.channels, batch, context)
        with FlopCounterMode(display=False) as counter:
            plain()
        trainer.update(batch, context)  # warm up, and compile if that is on
        times = interleaved(
            {
                "plain": plain,
                "bare": partial(trainer.update, batch, context),
                "ours": partial(_whole_step, trainer),
            },
            machine,
            rounds,
        )
        rows.append(
            {
                "method": name,
                "plain steps/s": f"{1 / times['plain']:.3f}",
                "our steps/s": f"{1 / times['ours']:.3f}",
                "ratio": f"{times['plain'] / times['ours']:.2f}",
                "of bf16 matmul": f"{counter.get_total_flops() / times['ours'] / peak:.0%}",
                "harness overhead": f"{times['ours'] / times['bare'] - 1:+.1%}",
                "machine": f"{machine.device}, {machine.precision}, {machine.threads} threads",
            }
        )
    return pd.DataFrame(rows)


def interleaved(steps: dict[str, Callable[[], Tensor]], machine: Machine, rounds: int) -> dict[str, float]:
    """The median seconds of each, taken in turn so that a slow minute hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(max(5, rounds)):
        for name, step in steps.items():
            times[name].append(timed(step, machine))
    return {name: statistics.median(values) for name, values in times.items()}


def _whole_step(trainer: Trainer) -> Tensor:
    """Our step with everything around it: samples, noise, their transfer."""
    return trainer.update(*trainer.batch(1))


def timed(step: Callable[[], Tensor], machine: Machine) -> float:
    """Seconds until the result is there."""
    began = time.perf_counter()
    float(step().flatten()[0])  # waits for the device
    return time.perf_counter() - began


def matmul_rate(machine: Machine) -> float:
    """Floating-point operations per second of a bf16 matrix product, the best of several."""
    n = 8192 if machine.device.startswith("cuda") else 2048
    a = torch.from_numpy(np.ones((n, n), np.float32)).to(machine.device, torch.bfloat16)
    return max(2 * n**3 / timed(lambda: a @ a, machine) for _ in range(7))
