"""Killed at any moment, the same command again: every file equal, byte for byte, to those of an uninterrupted run."""

import itertools
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import plugins
from support.cli import Result, finish, start
from support.crash import MOMENTS
from support.tiny import check_same, settled
from torch import Tensor

from bench.compute import training
from bench.compute.machine import Machine
from bench.compute.step import Step, Stopped
from bench.compute.training import Report, train
from bench.datasets.images import SetImage
from bench.methods.networks.unet import UNet
from bench.protocol.units import Fit
from bench.store import checkpoint
from bench.store.checkpoint import before

Work = Callable[..., Fit]
KILLS = int(os.environ.get("BENCH_KILLS", "20"))
WRITTEN = {  # what a run writes: pattern of its path, how often
    "checkpoint": ("*.checkpoint", 3), "weights": ("fits/*/*/*.safetensors", 1), "time": ("*.seconds", 1),
    "fit": ("fits/*/*/*.json", 1), "rows": ("*.rows.jsonl", 2), "scores": ("scores/*/*/*.json", 3),
    "images": ("images/*/*.safetensors", 2), "request": ("last.json", 1),
}  # fmt: skip
FAILPOINTS = [
    *((moment, *WRITTEN[name]) for name, moment in itertools.product(WRITTEN, MOMENTS)),
    *(("claimed", "-", number) for number in (1, 3, 5)),
]


def crash(jobs: list[dict[str, Any]], folder: Path) -> list[int]:
    """The exit statuses of commands that are killed as the jobs say."""
    program = ("-m", "support.crash")
    result: Result = finish(start(json.dumps(jobs), program=program, CRASH_LOG=folder / "crash.log"))
    assert result.code == 0, result.err
    statuses: list[int] = json.loads(result.out)
    return statuses


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run that trains, and keeps images that no weights can give back."""
    text = plugins.SLOW + plugins.KEEPER
    return plugins.command(tmp_path_factory.mktemp("resume"), text, "slow,keeper", steps=4)


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    store = folder / "store"
    assert crash([{"argv": [*command, "--store", str(store)]}], folder) == [0]
    found = settled(store)
    assert {Path(name).suffix for name in found} == {".json", ".safetensors", ".jsonl"}
    return found


# ---- killed


@pytest.mark.slow
@pytest.mark.parametrize("moments", [("half",), ("before", "written", "renamed", "claimed")])
def test_a_kill_at_every_named_moment_loses_nothing(
    moments: tuple[str, ...], command: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    points = [point for point in FAILPOINTS if point[0] in moments]
    stores = [str(tmp_path / str(number)) for number in range(len(points))]
    jobs = [
        job
        for point, store in zip(points, stores, strict=True)
        for job in ({"argv": [*command, "--store", store], "at": point}, {"argv": [*command, "--store", store]})
    ]
    statuses = crash(jobs, tmp_path)
    assert [point for point, status in zip(points, statuses[::2], strict=True) if status != -9] == []
    assert set(statuses[1::2]) == {0}
    for point, store in zip(points, stores, strict=True):
        check_same(settled(Path(store)), whole, point)


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(
    command: list[str], whole: dict[str, bytes], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each store is killed again and again until a run ends by itself; at least KILLS kills in all."""
    chance, killed, stores = random.Random(0), 0, 0
    while killed < KILLS:
        store, stores = tmp_path / str(stores), stores + 1
        argv = [*command, "--store", str(store)]
        jobs: list[dict[str, Any]] = [{"argv": argv, "after": chance.uniform(0.02, 0.6)} for _ in range(10)]
        *statuses, last = crash([*jobs, {"argv": argv}], tmp_path)
        assert set(statuses) <= {-9, 0}
        assert last == 0
        killed += statuses.count(-9)
        check_same(settled(store), whole, statuses)
    record_property("kills", f"{killed} in {stores} stores")


# ---- checkpoints


def test_the_checkpoint_before_is_there_when_the_last_is_lost(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path
) -> None:
    unit, path, said = work("n2c"), tmp_path / "c.checkpoint", list[str]()

    def cut(report: Report) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(unit, set_images, machine, path, cut, every_seconds=0.0)
    assert before(path).is_file()
    path.write_bytes(path.read_bytes()[:-100])
    steps, left = list[int](), list[bool]()

    def follow(report: Report) -> None:
        steps.append(report.step)
        said.append(report.message)
        left.extend([path.exists(), before(path).exists()])

    found = train(unit, set_images, machine, path, follow)
    assert steps == [2, 3, 4, 5, 6]
    assert "damaged" in said[0]
    assert left[:2] == [False, True]  # the next save would move the damaged one over the whole one
    assert same(found.net, train(unit, set_images, machine).net)


def test_checkpoints_take_less_than_a_hundredth_of_the_time(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock on which a save takes 2 s and a step 1 s, the next save waits for 200 s."""
    now, saves = [0.0], list[float]()

    def save(self: checkpoint.State, path: Path) -> None:
        saves.append(now[0])
        now[0] += 2.0

    def step(self: Step, *args: Any) -> str:
        now[0] += 1.0
        return ""

    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint.State, "save", save)
    monkeypatch.setattr(Step, "__call__", step)
    train(work("n2c", steps=500), set_images, machine, tmp_path / "c", every_seconds=30.0)
    assert saves == [31.0, 234.0, 437.0]


def test_a_signal_stops_between_the_parts_of_a_step(
    work: Work, set_images: list[SetImage], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, path = work("b2u"), tmp_path / "c"
    expected = train(unit, set_images, machine)
    monkeypatch.setattr(training.Machine, "chunk", lambda self, height, width: 1)  # a part for every sample
    halted, calls, steps = train(unit, set_images, machine), itertools.count(), list[int]()
    with pytest.raises(Stopped):
        train(unit, set_images, machine, path, lambda report: steps.append(report.step), lambda: next(calls) >= 9)
    assert 0 < len(steps) < 6
    found = train(unit, set_images, machine, path, lambda report: steps.append(report.step))
    assert steps == [1, 2, 3, 4, 5, 6]  # the step that was stopped is done once, whole
    assert same(found.net, halted.net)
    assert found.history[0][1] == pytest.approx(expected.history[0][1], rel=1e-5)


# ---- memory


@pytest.mark.parametrize("name", ["n2c", "n2v", "b2u", "nbr2nbr"])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "numpy"])
def test_short_of_memory_a_step_is_repeated_in_smaller_pieces(
    name: str,
    error: Exception,
    work: Work,
    set_images: list[SetImage],
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit, said = work(name, batch=4), list[str]()
    expected, plain = train(unit, set_images, machine), UNet.forward

    def small(self: UNet, x: Tensor, *others: Any) -> Tensor:
        if len(x) > 1 and self.training:
            raise error
        return plain(self, x, *others)

    monkeypatch.setattr(UNet, "forward", small)
    found = train(unit, set_images, machine, report=lambda report: said.append(report.message))
    (message,) = [one for one in said if "memory" in one]
    assert message.endswith("1 from here on")
    assert found.warnings == [f"step 1: {message}", *expected.warnings]
    losses = [loss for _, loss in found.history]
    assert losses == pytest.approx([loss for _, loss in expected.history], rel=1e-3)


def test_a_single_image_that_does_not_fit_is_an_error(
    work: Work, set_images: list[SetImage], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(self: UNet, x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(UNet, "forward", none)
    with pytest.raises(torch.OutOfMemoryError):
        train(work("n2c"), set_images, machine)


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    """Whether two networks are equal to the last bit."""
    other = two.state_dict()
    return all(torch.equal(weight, other[name]) for name, weight in one.state_dict().items())
