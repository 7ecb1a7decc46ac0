"""Trainings that are interrupted and continued, and what suits a method."""

import math
from pathlib import Path

import pytest
import torch

from bench.compute.machine import Machine
from bench.compute.step import Stopped
from bench.compute.training import Report, Trained, train
from bench.datasets.images import SetImage
from bench.datasets.noise.model import parse
from bench.methods.base import Method
from bench.protocol.units import Fit


def interrupted(unit: Fit, set_images: list[SetImage], machine: Machine, checkpoint: Path, after: int) -> list[int]:
    """Stops as a signal would after so many steps; the numbers of the steps done."""
    seen: list[int] = []

    def see(report: Report) -> None:
        seen.extend([report.step] * math.isfinite(report.loss))

    with pytest.raises(Stopped):
        train(unit, set_images, machine, checkpoint, see, lambda: len(seen) >= after)
    return seen


def continued(unit: Fit, set_images: list[SetImage], machine: Machine, checkpoint: Path) -> tuple[Trained, list[int]]:
    seen: list[Report] = []
    trained = train(unit, set_images, machine, checkpoint, seen.append)
    return trained, [one.step for one in seen if math.isfinite(one.loss)]  # the first may only tell of the checkpoint


def assert_identical(one: Trained, two: Trained) -> None:
    assert one.history == two.history
    assert one.warnings == two.warnings
    weights = two.net.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in one.net.state_dict().items())


def suitable_noise(method: Method, channels: int = 3) -> str:
    """The name of a noise that the method is for."""
    return next(name for name in ("gauss25", "poisson30") if method.applies(parse(name), channels) is None)
