"""Device, precision, threads, compiler: what is not there is said, what is there changes no numbers."""

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec import structs
from torch._dynamo.utils import counters

from bench.compute import machine as machines
from bench.compute import training
from bench.compute.machine import Machine, choose
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.methods.base import Method
from bench.protocol.plan import make
from bench.protocol.request import Request


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cude"}, "allowed: auto, cpu, cuda"),
        ({"precision": "fp16"}, "allowed: auto, bf16, float32"),
        ({"threads": -1}, "must be positive"),
    ],
)
def test_what_is_not_there_is_wrong_input(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose(**options)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the test needs a machine without a GPU")
def test_a_missing_gpu_is_wrong_input() -> None:
    with pytest.raises(InputError, match="no such CUDA device here"):
        choose("cuda")


def test_without_bf16_hardware_training_is_in_float32_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "has_bf16", lambda device: False)
    machine, notes = choose("cpu")
    assert machine.precision == "float32"
    assert notes == ["no bf16 instructions on this cpu: training in float32"]


@pytest.mark.parametrize("missing", ["compiler", "headers"])
def test_without_a_compiler_the_plain_path_runs_and_says_so(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if missing == "compiler" else "/usr/bin/cc")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / ("Python.h" if missing == "compiler" else "pyconfig.h")).touch()
    machine, notes = choose("cpu", "float32", compile=True)
    assert not machine.compiles(10**6)
    assert notes == ["no C compiler (cc), or no Python.h, on this machine: training without torch.compile"]


def test_beside_a_gpu_the_host_has_few_threads_unless_more_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen threads fought each other for the little that is left to do there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert [choose(device, "bf16")[0].threads for device in ("cuda", "cpu")] == [machines.CUDA_THREADS, 16]
    assert choose("cuda", "bf16", threads=8)[0].threads == 8


def test_choosing_changes_nothing_until_it_is_applied() -> None:
    chosen, _ = choose("cpu", "float32", deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
    chosen.apply()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    choose("cpu", "float32")[0].apply()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_only_long_runs_on_a_gpu_compile_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "can_compile", lambda: True)
    assert not Machine("cpu").compiles(10**6)
    assert not Machine("cuda").compiles(machines.COMPILE_STEPS - 1)
    assert Machine("cuda").compiles(machines.COMPILE_STEPS)


@pytest.mark.slow
@pytest.mark.skipif(not machines.can_compile(), reason="no C compiler on this machine")
def test_one_compiled_graph_serves_all_cells_of_a_shape(
    set_images: list[SetImage], small: Callable[..., Method], machine: Machine
) -> None:
    plan = make(Request(methods=("n2c",), noises=("gauss25", "poisson30"), steps=3))
    works = [structs.replace(c.fit, method=small("n2c")) for c in plan.cells if c.name == "n2c"]
    plain = [training.train(work, set_images, machine).history for work in works]
    counters.clear()
    torch._dynamo.reset()
    compiled, graphs = [], []
    for work in works:
        compiled.append(training.train(work, set_images, structs.replace(machine, compile=True)).history)
        graphs.append(counters["stats"]["unique_graphs"])
    for mine, theirs in zip(compiled, plain, strict=True):
        assert [loss for _, loss in mine] == pytest.approx([loss for _, loss in theirs], rel=1e-4)
    assert graphs[0] > 0
    assert graphs[1] == graphs[0]


def test_a_placed_network_is_the_network_itself() -> None:
    net = torch.nn.Conv2d(1, 1, 3)
    names, forward = list(net.state_dict()), net.forward
    placed = Machine("cpu", "bf16").place(net)
    assert placed(torch.rand(1, 1, 8, 8)).dtype == torch.float32
    assert placed.network is net
    assert list(net.state_dict()) == names
    assert net.forward == forward
    assert placed.kernel_size == (3, 3)  # a method may use what its network has


def test_further_arguments_reach_the_network() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor, factor: float, name: str) -> torch.Tensor:
            return x * factor * (name == "two")

    y = torch.rand(1, 1, 4, 4)
    assert torch.equal(Machine("cpu").place(Scaled())(y, 2.0, "two"), 2.0 * y)
