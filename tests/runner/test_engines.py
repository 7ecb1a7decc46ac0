"""Engines of clusters: Dask and Slurm leave the bytes of one process, and options that do not fit are refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs
from support.cli import LIMIT, bench, finish, refused, start
from support.jobs import UNITS, begun, executed
from support.tiny import Tiny, check_same, settled

from bench.api import runs
from bench.protocol.request import Request


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "dask"), "--engine dask needs --scheduler ADDRESS"),
        (("--scheduler", "tcp://x:1"), "--scheduler is for --engine dask"),
        (("--slurm", "a=1"), "--slurm is for --engine slurm"),
        (("--engine", "slurm", "--slurm", "what"), "'what' is not KEY=VALUE"),
        (("--engine", "pbs"), "unknown engine 'pbs'"),
        (("--jobs", "0"), "'0' is not a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assert said in refused("run", "--methods", "noisy", "--store", tmp_path, *options)


@pytest.mark.parametrize(("engine", "module"), [("dask", "distributed"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_says_how_to_get_it(
    engine: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    options = ("--scheduler", "tcp://127.0.0.1:1") if engine == "dask" else ()
    said = refused("run", "--methods", "noisy", "--store", tmp_path, "--engine", engine, *options)
    assert f"the package {module} is not installed: pip install 'blind2unblind-bench[{engine}]'" in said


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[str]"]]]:
    """A Dask scheduler and two workers of one thread, each a process of its own."""
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    file = tmp_path / "scheduler.json"
    program = ("-m", "distributed.cli.dask_scheduler")
    hub = start("--scheduler-file", file, "--port", 0, "--no-dashboard", "--host", "127.0.0.1", program=program)
    deadline = time.monotonic() + LIMIT
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    program = ("-m", "distributed.cli.dask_worker")
    worker = ("--scheduler-file", file, "--nthreads", 1, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    workers = [start(*worker, program=program, cwd=tmp_path) for _ in range(2)]
    try:
        yield json.loads(file.read_text(encoding="utf-8"))["address"], workers
    finally:
        for process in [*workers, hub]:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_killed_dask_worker_s_unit_is_continued_by_another(
    scheduler: tuple[str, list["subprocess.Popen[str]"]], command: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    address, workers = scheduler
    store = tmp_path / "store"
    process = begun(command, "--engine", "dask", "--scheduler", address, store=store)
    time.sleep(1.0)
    workers[0].kill()
    result = finish(process)
    assert result.code == 0, result.err
    check_same(settled(store), whole, result.err)
    assert len(set(executed(result))) == len(executed(result))


@pytest.mark.slow
def test_a_signal_stops_the_units_on_dask(
    scheduler: tuple[str, list["subprocess.Popen[str]"]], command: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    address, workers = scheduler
    store = tmp_path / "store"
    process = begun(command, "--engine", "dask", "--scheduler", address, store=store)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130, result.err
    assert not list(store.glob("claims/*.note"))
    assert [worker.poll() for worker in workers] == [None, None]  # they are the cluster's, not ours
    again = finish(start(*command, "--store", store, "--engine", "dask", "--scheduler", address))
    assert again.code == 0, again.err
    check_same(settled(store), whole, again.err)


class Cluster:
    """A client of Dask whose workers have so many threads and do their work at once."""

    threads, status = 1, "running"

    def __init__(self, *_: object, **__: object) -> None: ...

    def run(self, function: Callable[[], bool]) -> dict[str, bool]:
        return {"tcp://one": function()}

    def nthreads(self) -> dict[str, int]:
        return {"tcp://one": self.threads}

    def submit(self, function: Callable[..., Any], *args: object, pure: bool) -> "Future[Any]":
        assert self.status == "running"
        done: Future[Any] = Future()
        done.set_result(function(*args))
        done.status = "finished"  # type: ignore[attr-defined]
        return done

    def cancel(self, futures: object) -> None:
        assert self.status == "running"

    def close(self) -> None:
        self.status = "closed"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options of a run on a cluster that is none."""
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Cluster))
    return ("--engine", "dask", "--scheduler", "tcp://x:1", "--methods", "noisy", "--precision", "float32")


def test_all_suites_run_on_one_connection_to_dask(
    cluster: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Request(suite=str(Tiny(tmp_path).suite), methods=("noisy",))
    monkeypatch.setattr(runs, "requests", lambda *_, **__: [one, structs.replace(one, noises=("gauss30",))])
    result = bench("run", *cluster, "--store", tmp_path / "store")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "store").rglob("scores/**/*.json"))) == 4  # noisy and blur, each with two noises


def test_dask_workers_of_several_threads_are_refused(
    cluster: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "threads", 2)
    assert "--nthreads 1" in refused("run", *cluster, "--noise", "gauss25", "--store", tmp_path)


def test_without_a_scheduler_dask_is_refused(command: list[str], tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    asked = ("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9", "--store", tmp_path)
    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there" in refused(*command, *asked)


@pytest.mark.slow
def test_submitit_s_local_jobs_leave_the_same_bytes_though_one_is_killed(
    command: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="the slurm extra is not installed")
    process = begun(command, "--engine", "slurm", "--jobs", 2, store=tmp_path)
    time.sleep(1.0)
    note = next(iter(tmp_path.glob("claims/*.note"))).read_text(encoding="utf-8")
    os.kill(int(note.split('"process":')[1].split(",")[0]), signal.SIGKILL)
    result = finish(process)
    assert result.code == 0, result.err
    assert "ended without a result" in result.err
    check_same(settled(tmp_path), whole, result.err)
    assert len(set(executed(result))) == len(executed(result)) == UNITS


def test_a_wrong_parameter_of_submitit_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the slurm extra is not installed")
    said = refused("run", "--methods", "noisy", "--store", tmp_path, "--engine", "slurm", "--slurm", "colour=1")
    assert "--slurm:" in said
    assert "colour" in said
