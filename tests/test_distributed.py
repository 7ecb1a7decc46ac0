"""One training in two processes: the numbers of one, decisions taken together, one writer."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli import Result, bench, finish, photos, record, start, weights
from msgspec import structs
from tiny import SHORT

from bench import distributed
from bench.datasets.errors import InputError
from bench.distributed import Team, Vote
from bench.machine import Machine
from bench.plan import Fit
from bench.tensors import read_tensors

SUITE = (
    """
name = "tiny"
version = 1
title = "A tiny suite"
channels = 3
noises = ["gauss5_50"]
[[rows]]
label = "N2C"
method = "n2c"
"""
    + SHORT
    + """batch = 3
steps = 12
epochs = 4
recipe = "one"
[presets.mini.fields]
n2c = { net = { width = 4 } }
r2r = { net = { width = 4 }, ensemble = 1 }
nbr2nbr = { net = { width = 4 } }
b2u = { net = { width = 4 }, s = 2 }
"""
)

PLUGIN = """
import os, time
from pathlib import Path
import torch
from torch.nn.functional import mse_loss
from bench import Method, register
from bench.methods.unet import UNetConfig

RANK = os.environ.get("RANK", "0")
Path(os.environ["PIDS"], RANK).write_text(str(os.getpid()))

class Tiny(Method, frozen=True):
    supervision = "clean"
    def build(self, channels):
        return UNetConfig(width=4).build(channels)
    def losses(self, net, batch, ctx):
        yield mse_loss(net(batch.noisy), batch.target) + 0.1 * ctx.rng.normal("own", 1).mean()

@register("slow")
class Slow(Tiny, frozen=True):
    def losses(self, net, batch, ctx):
        Path(os.environ["PIDS"], f"step {RANK}").write_text(str(ctx.progress.step))
        time.sleep(0.2)
        yield from super().losses(net, batch, ctx)

@register("faulty")
class Faulty(Tiny, frozen=True):
    def losses(self, net, batch, ctx):
        if RANK == "1" and ctx.progress.step == 3:
            raise ValueError("a fault in one of them")
        yield from super().losses(net, batch, ctx)

@register("greedy")
class Greedy(Tiny, frozen=True):
    def losses(self, net, batch, ctx):
        if RANK == "1" and ctx.chunk > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield from super().losses(net, batch, ctx)
"""

EQUAL = ("n2c", "b2u", "nbr2nbr", "r2r", "greedy")  # streamed parts, random numbers, unequal shares, less memory
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bench")


class Place:
    """A tiny suite, and stores of runs in one and in two processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.suite, self.plugin = folder, folder / "tiny.toml", folder / "tiny.py"
        train = photos(folder / "train", "astronaut", "coffee", height=96, width=96)
        test = photos(folder / "test", "chelsea")
        text = SUITE.replace("TRAIN", train.as_posix()).replace("TEST", test.as_posix())
        self.suite.write_text(text, encoding="utf-8")
        self.plugin.write_text(PLUGIN, encoding="utf-8")

    def command(self, store: str, *methods: str) -> list[object]:
        asked = ("--methods", ",".join(methods), "--plugin", self.plugin, "--suite", self.suite)
        return ["run", *asked, "--threads", "1", "--precision", "float32", "--store", self.folder / store]

    def start(self, store: str, *methods: str) -> subprocess.Popen[str]:
        """In two processes."""
        return start(*self.command(store, *methods), program=TORCHRUN, PIDS=self.folder)

    def reached(self, step: int) -> subprocess.Popen[str]:
        """`slow` in two processes, into store `halted`, which are in this step now or just after it."""
        (begun := self.folder / "step 1").unlink(missing_ok=True)
        process = self.start("halted", "slow")
        while not (begun.is_file() and int(begun.read_text() or "0") >= step):
            assert process.poll() is None, "the run ended before"
            time.sleep(0.05)
        return process

    def files(self, store: str) -> set[str]:
        root = self.folder / store
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}

    def step(self, store: str) -> int:
        """Of the only checkpoint."""
        (path,) = (self.folder / store / "fits").glob("*.checkpoint")
        return int(read_tensors(path)[1]["step"])

    def fit(self, store: str, method: str) -> dict[str, Any]:
        return record(self.folder / store, "fit", f"{method} ")

    def weights(self, store: str, method: str) -> dict[str, Any]:
        return weights(self.folder / store, f"{method} ")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("distributed"))


@pytest.fixture(scope="module")
def one(place: Place) -> Result:
    """Every method by one process, into store `one`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIDS", str(place.folder))
        return bench(*place.command("one", *EQUAL, "slow"))


@pytest.fixture(scope="module")
def two(place: Place) -> Result:
    """Every method by two processes, into store `two`; first of all one that fails in the second of them."""
    return finish(place.start("two", "faulty", *EQUAL, "slow"))


# ---- numbers


@pytest.mark.parametrize("method", EQUAL)
def test_two_processes_train_the_network_of_one(place: Place, one: Result, two: Result, method: str) -> None:
    """Three samples over two processes, levels and random numbers of their own."""
    expected, found = place.weights("one", method), place.weights("two", method)
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=1e-4, atol=1e-6, err_msg=name)
    (steps, losses), (mine, theirs) = (
        zip(*place.fit(s, method)["result"]["history"], strict=True) for s in ("one", "two")
    )
    assert steps == mine
    assert theirs == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(("count", "size"), [(3, 2), (4, 2), (2, 2), (7, 3), (4, 1)])
def test_every_sample_is_one_process_s(count: int, size: int) -> None:
    shares = [Team(rank, size).share(count) for rank in range(size)]
    assert [slot for share in shares for slot in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_no_process_is_left_without_a_sample(work: Callable[..., Fit], machine: Machine) -> None:
    distributed.check(work(batch=2), structs.replace(machine, processes=2))
    with pytest.raises(InputError, match="a batch of 2 for 3 processes"):
        distributed.check(work(batch=2), structs.replace(machine, processes=3))


# ---- decisions


def test_a_fault_in_one_process_fails_its_cell_alone(place: Place, two: Result) -> None:
    assert two.code == 1
    assert place.fit("two", "faulty")["state"] == "failed"
    assert place.fit("two", "faulty")["reason"] == "ValueError: a fault in one of them"


def test_short_of_memory_in_one_process_all_take_smaller_pieces(place: Place, two: Result) -> None:
    assert (
        place.fit("two", "greedy")["result"]["warnings"][0]
        == "step 1: out of memory with 16 images at a time: 1 from here on"
    )


def test_stopped_or_with_one_process_killed_the_same_command_continues(place: Place, two: Result) -> None:
    process = place.reached(2)
    process.send_signal(signal.SIGTERM)
    assert "stopped in slow" in finish(process).err
    halted = place.step("halted")
    assert 2 <= halted < 12
    process = place.reached(halted + 2)
    os.kill(int((place.folder / "1").read_text()), signal.SIGKILL)
    began = time.monotonic()
    assert finish(process).code != 0
    assert time.monotonic() - began < 30.0
    assert halted < place.step("halted") < 12
    assert not list((place.folder / "halted" / "fits").glob("*.json"))
    finished = finish(place.start("halted", "slow"))
    assert finished.code == 0, finished.err
    for name, weight in place.weights("two", "slow").items():
        assert place.weights("halted", "slow")[name].tobytes() == weight.tobytes()
    assert place.fit("halted", "slow") == place.fit("two", "slow")


def test_a_signal_to_another_process_interrupts_the_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDS", str(place.folder))
    monkeypatch.setattr(Team, "vote", lambda self, mine, why="": Vote.STOP)
    result = bench(*place.command("elsewhere", "n2c"))
    assert result.code == 128 + signal.SIGTERM
    assert "stopped in n2c" in result.err


# ---- one writer


def test_only_the_first_process_writes(place: Place, one: Result, two: Result) -> None:
    assert one.code == 0, one.err
    assert place.files("two") == place.files("one") | {f"fits/{place.fit('two', 'faulty')['key']}.json"}
    assert two.out.count("A tiny suite") == one.out.count("A tiny suite")
    assert two.err.count("[1/") == 1


def test_a_record_tells_how_many_trained_and_one_scores(place: Place, two: Result) -> None:
    assert place.fit("two", "n2c")["environment"]["processes"] == 2
    assert "processes" not in record(place.folder / "two", "score", "n2c ")["environment"]
