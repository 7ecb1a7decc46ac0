"""Several processes on one plan: the same bytes, whatever stops or kills them; nothing is done twice."""

import io
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from support.cli import LIMIT, finish, refused, start
from support.jobs import UNITS, begun, executed
from support.tiny import Tiny, check_same, settled

from bench.compute import step
from bench.compute.machine import Machine
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner import engines, estimates
from bench.runner.workers import Assignment, work
from bench.store.store import Store
from bench.tools import scaling

psutil = pytest.importorskip("psutil", reason="psutil tells which processes are left; it comes with the test extra")

LONG = 1200.0  # seconds for six processes that load all libraries one after another
SEVERAL = pytest.mark.timeout(1500)


def children(process: "subprocess.Popen[str]") -> list[Any]:
    """The processes that a run has started, those that train last."""
    return list(psutil.Process(process.pid).children(recursive=True))


def check_gone(started: list[Any], seconds: float = 60.0) -> None:
    _, alive = psutil.wait_procs(started, timeout=seconds)
    assert [one.cmdline() for one in alive] == []


# ---- loky


def test_two_jobs_leave_the_bytes_of_one(command: list[str], whole: dict[str, bytes], tmp_path: Path) -> None:
    result = finish(start(*command, "--store", tmp_path, "--jobs", 2))
    assert result.code == 0, result.err
    check_same(settled(tmp_path), whole, result.err)
    assert len(set(executed(result))) == len(executed(result)) == UNITS


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_jobs_at_the_next_safe_point(
    number: signal.Signals, command: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    process = begun(command, "--jobs", 2, store=tmp_path)
    started, sent = children(process), time.monotonic()
    process.send_signal(number)
    stopped = finish(process)
    assert time.monotonic() - sent < 60.0
    assert stopped.code == 128 + number, stopped.err
    assert "run the same command again to continue" in stopped.err
    assert "Traceback" not in stopped.err
    check_gone(started)
    assert not list(tmp_path.glob("claims/*.stop"))
    again = finish(start(*command, "--store", tmp_path, "--jobs", 2))
    assert again.code == 0, again.err
    check_same(settled(tmp_path), whole, again.err)


@pytest.mark.slow
def test_the_jobs_of_a_killed_run_end_too(command: list[str], whole: dict[str, bytes], tmp_path: Path) -> None:
    process = begun(command, "--jobs", 2, store=tmp_path)
    started = children(process)
    process.kill()
    finish(process)
    check_gone(started)
    again = finish(start(*command, "--store", tmp_path))
    assert again.code == 0, again.err
    check_same(settled(tmp_path), whole, again.err)


@pytest.mark.slow
def test_a_killed_job_is_done_by_another(command: list[str], whole: dict[str, bytes], tmp_path: Path) -> None:
    process = begun(command, "--jobs", 2, store=tmp_path)
    time.sleep(1.0)
    note = next(iter(tmp_path.glob("claims/*.note"))).read_text(encoding="utf-8")
    victim = next(one for one in children(process) if f'"process":{one.pid},' in note)
    victim.kill()
    result = finish(process)
    assert result.code == 0, result.err
    assert "a worker was killed" in result.err
    check_same(settled(tmp_path), whole, result.err)
    assert len(set(executed(result))) == len(executed(result))


@SEVERAL
@pytest.mark.slow
def test_a_unit_that_fails_or_kills_its_process_leaves_the_others(command: list[str], tmp_path: Path) -> None:
    asked = [("killer,wrong,slow" if one == "slow,slower" else one) for one in command]
    result = finish(start(*asked, "--steps", 5, "--store", tmp_path, "--jobs", 2), LONG)
    assert result.code == 1, result.err
    assert "killer gauss25 seed 0: failed: its process was killed 3 times" in result.err
    assert "wrong gauss25 seed 0: failed: ValueError: no loss today" in result.err
    assert "cells: 3 done, 2 failed" in result.err


@SEVERAL
@pytest.mark.slow
def test_what_was_done_stays_where_it_fails_when_computed_again(command: list[str], tmp_path: Path) -> None:
    asked = [("killer,wrong" if one == "slow,slower" else one) for one in command]
    asked += ["--steps", "5", "--store", str(tmp_path)]
    assert finish(start(*asked, FINE=1)).code == 0
    before = settled(tmp_path)
    result = finish(start(*asked, "--force", "--jobs", 2), LONG)
    assert result.code == 1, result.err
    assert "failed: its process was killed 3 times (out of memory?); its earlier result stays" in result.err
    assert "failed: ValueError: no loss today; its earlier result stays" in result.err
    assert "cells: 2 done, 2 failed" in result.err
    check_same(settled(tmp_path), before, result.err)


def test_jobs_that_would_not_fit_into_memory_are_refused(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "_free", lambda: 3 * estimates.PROCESS)
    said = refused(*command, "--store", tmp_path, "--jobs", 4)
    assert "--jobs 4" in said
    assert said.endswith("allowed: up to 2")


def test_larger_networks_and_crops_need_more_memory() -> None:
    """The order of what processes were seen to take: about 100 and 350 MiB."""
    cells = make(Request(methods=("n2c", "laine19"), noises=("gauss25",))).cells
    machine = Machine("cpu", "float32", 1)
    one, four = (estimates.needed(cell.fit, machine) - estimates.PROCESS for cell in cells if cell.trains)
    assert 70 * 2**20 < one < 200 * 2**20
    assert 250 * 2**20 < four < 800 * 2**20


def test_worker_i_takes_gpu_i_modulo_their_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Assignment] = []

    class Process:
        def __init__(self, *_: object, **__: object) -> None:
            self.stdin, self.stderr = self, io.BytesIO()

        def __enter__(self) -> "Process":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, text: bytes) -> None:
            started.append(msgspec.json.decode(text, type=Assignment))

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(engines.subprocess, "Popen", Process)
    local = engines.Local(3)
    for _ in range(3):
        local.start(assignment(tmp_path, device="cuda"), lambda text: None)
    assert [one.device for one in started] == ["cuda:0", "cuda:1", "cuda:0"]


def test_what_a_worker_prints_is_no_error_and_does_not_block_it(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("print('hello ' * 20000)", encoding="utf-8")
    local, said = engines.Local(1), list[str]()
    local.start(assignment(tmp_path, plugins=(str(tmp_path / "loud.py"),), parent=os.getpid()), said.append)
    deadline = time.monotonic() + LIMIT
    while not (found := local.ended()) and time.monotonic() < deadline:
        time.sleep(0.1)
    local.close()
    assert [one.error.split()[0] for one in found] == ["--plugin"]  # it registers nothing
    assert any("hello" in line for line in said)


# ---- a worker in this process


def assignment(store: Path, **changes: Any) -> Assignment:
    """What a worker on this machine's processor needs to know."""
    known: dict[str, Any] = {"request": Request(), "store": str(store), "data": None, "device": "cpu", "threads": 1}
    known |= {"precision": "float32", "compile": None, "deterministic": False, "stop": str(store / "none.stop")}
    return Assignment(**known | changes)


def nine_steps(folder: Path) -> Tiny:
    """A suite whose trainings have nine steps."""
    tiny = Tiny(folder)
    text = tiny.suite.read_text(encoding="utf-8")
    tiny.suite.write_text(text.replace("steps = 1\n", "steps = 9\n"), encoding="utf-8")
    return tiny


def stop_after_a_step(patch: pytest.MonkeyPatch) -> list[int]:
    """Has Slurm's signal follow every training step, of which the numbers are noted."""
    update, steps = step.Step.__call__, list[int]()

    def signalled(self: step.Step, number: int, *args: Any) -> Any:
        found = update(self, number, *args)
        steps.append(number)
        os.kill(os.getpid(), signal.SIGUSR2)
        return found

    patch.setattr(step.Step, "__call__", signalled)
    return steps


def worked(tiny: Tiny, **changes: Any) -> str:
    """The error of a worker on the units of a suite's file."""
    request = Request(suite=str(tiny.suite), methods=("n2c",))
    keys = tuple(unit.key for cell in make(request).cells for unit in cell.units())
    return work(msgspec.json.encode(assignment(tiny.store, **{"request": request, "keys": keys} | changes)))


def test_a_worker_that_would_do_other_units_says_so(tmp_path: Path) -> None:
    assert "plans other units" in worked(Tiny(tmp_path), keys=("0" * 24,))


def test_a_worker_does_nothing_where_the_stop_file_is(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    (tmp_path / "all.stop").touch()
    assert worked(tiny, stop=str(tmp_path / "all.stop")) == ""
    assert not list(tiny.store.rglob("fits/**/*.json"))


def test_slurm_s_signal_leaves_a_checkpoint_and_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = nine_steps(tmp_path)
    with monkeypatch.context() as patch:
        stop_after_a_step(patch)
        assert worked(tiny) == ""
    assert list(tiny.store.rglob("*.checkpoint"))
    assert not list(tiny.store.rglob("fits/**/*.json"))
    assert worked(tiny) == ""
    assert list(tiny.store.rglob("fits/**/*.json"))


def test_what_slurm_stopped_is_continued_in_a_forced_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a training that is longer than a job of Slurm would never end."""
    tiny = nine_steps(tmp_path)
    assert worked(tiny) == ""
    store, fit = Store(tiny.store), make(Request(suite=str(tiny.suite), methods=("n2c",))).cells[-1].fit
    forced = {fit.key: store.made(fit)}
    steps = stop_after_a_step(monkeypatch)
    while store.made(fit) == forced[fit.key] and len(steps) < 20:
        assert worked(tiny, forced=forced) == ""
    assert len(steps) == 9


# ---- measured


def test_an_interrupted_measurement_leaves_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    this = psutil.Process()
    before = set(this.children(recursive=True))
    monkeypatch.setattr(engines.Local, "ended", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scaling._seconds(Request(methods=("noisy",), noises=("gauss25",)), 2, Machine("cpu", "float32", 1))
    assert set(this.children(recursive=True)) == before


@pytest.mark.slow
def test_one_job_and_two_are_measured_on_the_same_units(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Request(methods=("noisy",), noises=("gauss25",))
    monkeypatch.setattr(scaling, "WORKLOADS", {"little": few})
    (row,) = scaling.measure(2, Machine("cpu", "float32", 1), 1).to_dict("records")
    assert row["work"] == "little"
    assert 0.0 < float(row["ratio"]) < 10.0
