"""A training that is interrupted ends as if it had not been; what a checkpoint must be for that."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from support.trainings import assert_identical, continued, interrupted

from bench.compute import machine as machines
from bench.compute.machine import Machine, has_bf16
from bench.compute.training import Report, train
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit

Work = Callable[..., Fit]
HALVING = Recipe(schedule="halving", lr=2e-3, beta2=0.999, weight_decay=1e-8)
BF16 = pytest.param("bf16", marks=pytest.mark.skipif(not has_bf16("cpu"), reason="no bf16 instructions here"))


@pytest.mark.parametrize("precision", ["float32", BF16])
@pytest.mark.parametrize("kind", ["fresh", pytest.param("fixed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["n2c", "n2n", "nbr2nbr", "b2u"])
def test_a_continued_training_is_bit_identical(
    name: str, kind: str, precision: Any, work: Work, set_images: list[SetImage], tmp_path: Path
) -> None:
    unit, machine = work(name, "gauss5_50", train_noise=kind), Machine("cpu", precision, 1)
    expected = train(unit, set_images, machine)
    assert interrupted(unit, set_images, machine, tmp_path / "c", 2) == [1, 2]
    assert interrupted(unit, set_images, machine, tmp_path / "c", 1) == [3]
    found, steps = continued(unit, set_images, machine, tmp_path / "c")
    assert steps == [4, 5, 6]
    assert_identical(found, expected)


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_kill_anywhere_is_harmless(
    at: int, work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    """A power cut leaves the last checkpoint that was written on the clock."""
    unit = work("n2c", recipe=HALVING)
    expected = train(unit, set_images, machine)

    def cut(report: Report) -> None:
        if report.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(unit, set_images, machine, tmp_path / "c", cut, every_seconds=0.0)
    found, steps = continued(unit, set_images, machine, tmp_path / "c")
    assert steps[0] == at
    assert_identical(found, expected)


def test_a_failed_write_leaves_the_last_checkpoint(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = work()
    interrupted(unit, set_images, machine, tmp_path / "c", 2)

    def full(*args: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises((OSError, InputError), match="No space"):
            train(unit, set_images, machine, tmp_path / "c", every_seconds=0.0)
    assert continued(unit, set_images, machine, tmp_path / "c")[1] == [3, 4, 5, 6]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "header cut": lambda content: content[:100],
    "tensors cut": lambda content: content[:-100],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"not a checkpoint",
    "other metadata": lambda content: content.replace(b'"about"', b'"ABOUT"', 1),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_checkpoint_is_no_checkpoint(
    damage: str, work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    unit = work()
    expected = train(unit, set_images, machine)
    interrupted(unit, set_images, machine, tmp_path / "c", 2)
    (tmp_path / "c").write_bytes(DAMAGE[damage]((tmp_path / "c").read_bytes()))
    found, steps = continued(unit, set_images, machine, tmp_path / "c")
    assert steps == [1, 2, 3, 4, 5, 6]
    assert_identical(found, expected)


def test_a_checkpoint_of_other_work_is_left_alone(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    interrupted(work(), set_images, machine, tmp_path / "c", 2)
    assert continued(work(seed=1), set_images, machine, tmp_path / "c")[1][0] == 1


@pytest.mark.parametrize("other", [{"precision": "bf16"}, {"deterministic": True}])
def test_a_checkpoint_of_other_arithmetic_is_left_alone(
    other: dict[str, Any], work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    interrupted(work(), set_images, machine, tmp_path / "c", 2)
    assert continued(work(), set_images, structs.replace(machine, **other), tmp_path / "c")[1][0] == 1


@pytest.mark.parametrize("other", ["threads", "device"])
def test_another_machine_continues_a_checkpoint_and_its_record_says_so(
    other: str,
    work: Work,
    set_images: list[SetImage],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, however often it is interrupted there; the weights are nearly those of one machine alone."""
    unit = work()
    expected = train(unit, set_images, machine)
    interrupted(unit, set_images, machine, tmp_path / "c", 3)
    monkeypatch.setattr(machines, "_processor", lambda: "another" if other == "device" else "this one")
    there = structs.replace(machine, threads=2 if other == "threads" else 1)
    assert interrupted(unit, set_images, there, tmp_path / "c", 1) == [4]
    found, steps = continued(unit, set_images, there, tmp_path / "c")
    assert steps == [5, 6]
    (warning,) = [one for one in found.warnings if "continued" in one]
    assert warning.startswith("step 3:")
    assert f"{other} " in warning
    assert found.history[:3] == expected.history[:3]
    for one, two in zip(found.net.parameters(), expected.net.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0.1, atol=1e-3)


def test_a_signal_in_the_last_step_loses_nothing(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    unit, seen = work(), list[Report]()
    found = train(unit, set_images, machine, tmp_path / "c", seen.append, lambda: len(seen) >= 6)
    assert_identical(found, train(unit, set_images, machine))
