"""Estimated seconds of a unit of work, from two steps on random images on this machine."""

import time
from functools import cache

import numpy as np
import torch

from ..compute.inference import denoise
from ..compute.machine import Machine
from ..compute.scoring import compare
from ..compute.training import build, parts
from ..datasets.noise.model import Noise
from ..datasets.sets.find import find
from ..methods.base import Batch, Context, Method, Progress
from ..methods.guard import guarded
from ..methods.rng import Rng
from ..protocol.scoring import Scoring
from ..protocol.units import Fit, Score, Unit

SIDE = 128  # of the image whose inference is timed


def seconds(unit: Unit, machine: Machine) -> float:
    """What a fit or a score will take, roughly; 0 where the method's code raises (its cell will say so)."""
    try:
        with guarded(Exception):
            if isinstance(unit, Fit):
                size = unit.crop // side(unit)
                return unit.steps * _step(unit.method, unit.noise, unit.planes, size, unit.batch, machine)
            return _score(unit, machine)
    except Exception:  # an estimate must not stop a run
        return 0.0


def _score(unit: Score, machine: Machine) -> float:
    """Inference of all pixels; for a method that fits images also their trainings."""
    fit, total = unit.fit, unit.repeats * sum(pixels(unit))
    took = total * _per_pixel(fit.method, fit.noise, fit.planes, machine)
    if not fit.method.learns():
        return took / machine.threads  # works on several images at a time
    if fit.method.per_image():
        step = _step(fit.method, fit.noise, fit.planes, SIDE, fit.batch, machine)
        took += fit.steps * step * total / SIDE**2
    return took


@cache
def _step(method: Method, noise: Noise, channels: int, crop: int, batch: int, machine: Machine) -> float:
    net = machine.place(build(method, channels, 1.0, 0))
    image = torch.rand(batch, channels, crop, crop, device=machine.device)
    level = torch.full((batch,), noise.high, device=machine.device) if method.knowledge == "level" else None
    context = Context(
        Progress(0, 1, 1), Rng(0, tuple(range(batch)), image.device), machine.chunk(crop, crop),
        noise.family if method.knowledge != "none" else None,
    )  # fmt: skip
    given = Batch(image, None if method.supervision == "noisy" else image, level)
    took = 0.0
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        for part in parts(net, method, given, context):
            part.backward()  # type: ignore[no-untyped-call]
        if machine.device.startswith("cuda"):
            torch.cuda.synchronize()
        took = time.perf_counter() - began
    return took


@cache
def _per_pixel(method: Method, noise: Noise, channels: int, machine: Machine) -> float:
    net = machine.place(build(method, channels, 1.0, 0), precision="float32") if method.learns() else None
    image = np.random.default_rng(0).random((SIDE, SIDE, channels), "float32")
    clean = (image * 255).astype(np.uint8)
    began = time.perf_counter()
    for output in denoise(method, net, image, noise, noise.high, machine, "next", ()).values():
        compare(output, clean, Scoring())
    return (time.perf_counter() - began) / SIDE**2


def pixels(unit: Score) -> list[int]:
    """Of each test image, as the method sees it."""
    sizes = find(unit.test).sizes(usual=(SIDE, SIDE))
    if unit.centre_crop:
        sizes = [(min(height, unit.centre_crop), min(width, unit.centre_crop)) for height, width in sizes]
    return [height * width // side(unit.fit) ** 2 for height, width in sizes]


def side(fit: Fit) -> int:
    """Pixels of an image per side of one that the method sees."""
    return 1 if fit.view == "plain" else 2
