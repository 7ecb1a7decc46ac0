"""What starts workers and notices when they end: processes of this machine, Dask, Slurm through submitit."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import torch
from msgspec import structs

from ..datasets.errors import InputError, one_line, unknown
from ..store.folder import unwritable
from .workers import GRACE, Assignment, Ended, Engine, work

Note = Callable[[str], None]
ENGINES = ("local", "dask", "slurm")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CODE = "from bench.runner.workers import serve; raise SystemExit(serve())"


class Local(Engine):
    """Processes on this machine."""

    local = True

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._workers: dict[int, subprocess.Popen[bytes]] = {}  # by number

    def start(self, assignment: Assignment, note: Note) -> None:
        """Starts one worker; worker i takes GPU i modulo their count. InputError if the system starts no more."""
        number = next(n for n in range(self.jobs) if n not in self._workers)
        device, gpus = assignment.device, torch.cuda.device_count() if assignment.device == "cuda" else 0
        assignment = structs.replace(
            assignment, device=f"cuda:{number % gpus}" if gpus > 1 else device, parent=os.getpid()
        )
        threads = dict.fromkeys(THREADS, str(max(1, assignment.threads)))
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", CODE], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True,
                env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"cannot start a worker: {error.strerror or error}") from None
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(msgspec.json.encode(assignment))
        threading.Thread(target=_pass_on, args=(process, note), daemon=True).start()
        self._workers[number] = process

    def ended(self) -> list[Ended]:
        """The workers that ended since the last call."""
        found = []
        for number, process in list(self._workers.items()):
            if process.poll() is not None:
                del self._workers[number]
                assert process.stdout is not None
                with process.stdout as stream:
                    error = stream.read().decode(errors="replace")
                code = process.returncode
                how = f"a worker was killed by signal {-code}" if code < 0 else f"a worker ended with code {code}"
                found.append(Ended(error, how if code else ""))
        return found

    def running(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def close(self) -> None:
        """Kills the workers that are left; they can be continued."""
        for process in self._workers.values():
            process.kill()
            process.wait()
        self._workers.clear()


def _pass_on(process: "subprocess.Popen[bytes]", note: Note) -> None:
    """Shows what a worker says."""
    assert process.stderr is not None
    with process.stderr as stream:
        for line in stream:
            note(line.decode(errors="replace").rstrip())


class Dask(Engine):
    """The workers of a running Dask scheduler, each with one thread: a process holds one worker of ours."""

    def __init__(self, address: str) -> None:
        self._distributed, self._address = _extra("distributed", "dask"), address
        try:
            self._client = self._distributed.Client(address, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None
        self._futures: list[Any] = []
        self.jobs = self._workers()

    def _workers(self) -> int:
        """How many workers there are; InputError for none, for several threads, or for one without this package."""

        def has_bench() -> bool:  # inside a function: Dask sends what it holds, not where to import it from
            from importlib.util import find_spec

            return find_spec("bench") is not None

        found = self._client.run(has_bench)
        start = f"dask worker {self._address} --nthreads 1"
        if not found:
            raise InputError(f"--scheduler {self._address}: no workers there; start some: {start}")
        if without := [worker for worker, has in found.items() if not has]:
            raise InputError(f"--scheduler {self._address}: this package is not installed for its worker {without[0]}")
        if several := [worker for worker, threads in self._client.nthreads().items() if threads > 1]:
            raise InputError(
                f"--scheduler {self._address}: its worker {several[0]} has several threads, which would share plug-ins "
                f"and torch's settings; start workers of one thread: {start}"
            )
        return len(found)

    def start(self, assignment: Assignment, note: Note) -> None:
        """Starts one worker."""
        self._futures.append(self._client.submit(work, msgspec.json.encode(assignment), pure=False))

    def ended(self) -> list[Ended]:
        """The workers that ended since the last call; Dask itself starts one again whose process died."""
        if self._client.status != "running":
            self._futures.clear()
            return [Ended(f"the scheduler {self._address} is lost")]
        done = [future for future in self._futures if future.done()]
        self._futures = [future for future in self._futures if future not in done]
        return [
            Ended(future.result())
            if future.status == "finished"
            else Ended(died=f"a worker of {self._address} died ({one_line(future.exception())})")
            for future in done
        ]

    def running(self) -> int:
        """How many workers there are."""
        return len(self._futures)

    def close(self) -> None:
        """Waits for those that are about to stop, and cancels the others."""
        deadline = time.monotonic() + GRACE
        while self._futures and self._client.status == "running" and time.monotonic() < deadline:
            self._futures = [future for future in self._futures if not future.done()]
            time.sleep(0.2)
        if self._client.status == "running":
            self._client.cancel(self._futures)
        self._client.close()


class Slurm(Engine):
    """Slurm's jobs through submitit; without Slurm on this machine its local processes."""

    def __init__(self, jobs: int, options: dict[str, Any], folder: Path) -> None:
        self._submitit = _extra("submitit", "slurm")
        self.jobs, self._options, self._folder = jobs, options, folder
        self._sent: list[Any] = []
        with TemporaryDirectory() as trial:  # a wrong parameter is said before anything starts
            self._executor(Path(trial))

    def _executor(self, folder: Path) -> Any:
        try:
            executor = self._submitit.AutoExecutor(folder=folder)
            executor.update_parameters(**{"timeout_min": 24 * 60, "name": "bench"} | self._options)
        except OSError as error:
            raise unwritable(folder, error) from None
        except (TypeError, ValueError, NameError, AssertionError) as error:
            what = "parameters of submitit.AutoExecutor, such as slurm_partition=gpu"
            raise InputError(f"--slurm: {one_line(error)} (allowed: {what})") from None
        return executor

    def start(self, assignment: Assignment, note: Note) -> None:
        """Submits one worker; InputError for what sbatch says."""
        try:
            self._sent.append(self._executor(self._folder).submit(work, msgspec.json.encode(assignment)))
        except OSError as error:
            raise unwritable(self._folder, error) from None
        except RuntimeError as error:
            raise InputError(f"--engine slurm: {one_line(error)}") from None

    def ended(self) -> list[Ended]:
        """The workers that ended since the last call."""
        found = []
        for job in [job for job in self._sent if job.done()]:
            self._sent.remove(job)
            try:
                found.append(Ended(job.result()))
            except Exception as error:  # submitit has several kinds
                died = f"job {job.job_id} ended without a result ({type(error).__name__}; see {self._folder})"
                found.append(Ended(died=died))
        return found

    def running(self) -> int:
        """How many workers there are."""
        return len(self._sent)

    def stop(self) -> None:
        """Cancels what waits in the queue."""
        for job in [job for job in self._sent if job.state == "PENDING"]:
            job.cancel()
            self._sent.remove(job)

    def close(self) -> None:
        """Cancels all that is left."""
        for job in self._sent:
            job.cancel()
        self._sent.clear()


def choose(engine: str, jobs: int, scheduler: str, slurm: dict[str, Any], store: Path) -> Engine | None:
    """What starts workers; None if this process does the work. InputError for options that do not fit."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if scheduler and engine != "dask":
        raise InputError("--scheduler is for --engine dask")
    if slurm and engine != "slurm":
        raise InputError("--slurm is for --engine slurm")
    if engine == "local":
        return Local(jobs) if jobs > 1 else None
    if engine == "slurm":
        return Slurm(jobs, slurm, store / "slurm")
    if jobs > 1:
        raise InputError("--engine dask has as many jobs as there are workers; --jobs is for local and slurm")
    if not scheduler:
        raise InputError("--engine dask needs --scheduler ADDRESS, such as tcp://host:8786 (dask scheduler)")
    return Dask(scheduler)


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        fix = f"pip install 'blind2unblind-bench[{extra}]', or in a checkout pip install '.[{extra}]'"
        raise InputError(f"--engine {extra}: the package {module} is not installed: {fix}") from None


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
