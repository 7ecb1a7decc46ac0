"""What carries orders to processes: joblib's loky on this machine, Dask's workers, Slurm's jobs."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from ..datasets.errors import InputError, one_line
from ..store.folder import unwritable
from .orders import DeadError, Engine, work

GRACE = 60.0  # seconds that processes without a parent, or on other machines, have to reach their next safe point


def loky(jobs: int, threads: int) -> Engine:
    """Processes on this machine, each with so many threads."""

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        with parallel_config("loky", inner_max_num_threads=threads, initializer=_child, initargs=(os.getpid(),)):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            try:
                yield from pool(delayed(work)(order) for order in orders)
            except BrokenProcessPool:
                raise DeadError("a worker process was killed") from None

    return carry_out


def _child(parent: int) -> None:
    """Ctrl-C reaches all processes of a terminal: the first one tells the others. None outlives it for long."""
    if os.getpid() == parent:  # joblib does one job at a time in the process itself
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def dask(address: str) -> Engine:
    """The workers of a running Dask scheduler; one unit at a time in each, if they have one thread each."""
    distributed = _extra("distributed", "dask")

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        try:
            client = distributed.Client(address, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None
        with client:
            _check_workers(client, address)
            try:
                yield from _gather(client, client.map(work, orders, pure=False), stopping)
            except (OSError, distributed.CancelledError) as error:
                raise DeadError(f"the scheduler {address} is lost ({one_line(error)})") from None

    def _gather(client: Any, waiting: list[Any], stopping: Callable[[], bool]) -> Iterator[bytes]:
        while waiting and not stopping():
            try:
                done, rest = distributed.wait(waiting, timeout=1.0, return_when="FIRST_COMPLETED")
            except distributed.TimeoutError:
                continue
            waiting = list(rest)
            for future in done:
                if future.status != "finished":
                    raise DeadError(f"a worker of {address} died with a unit ({one_line(future.exception())})")
                yield future.result()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and _processing(client) & {future.key for future in waiting}:
            time.sleep(0.2)  # those that run see for themselves that all stop
        client.cancel(waiting)

    return carry_out


def _check_workers(client: Any, address: str) -> None:
    """InputError if the scheduler has no workers, or one without this package, which would not survive an order."""

    def has_bench() -> bool:  # inside a function: Dask sends what it holds, not where to import it from
        from importlib.util import find_spec

        return find_spec("bench") is not None

    found = client.run(has_bench)
    if not found:
        raise InputError(f"--scheduler {address}: no workers there; start some: dask worker {address} --nthreads 1")
    if without := [worker for worker, has in found.items() if not has]:
        raise InputError(f"--scheduler {address}: this package is not installed for its worker {without[0]}")


def _processing(client: Any) -> set[str]:
    return {key for keys in client.processing().values() for key in keys}


def slurm(jobs: int, options: dict[str, Any], folder: Path) -> Engine:
    """Slurm jobs, so many at a time, by submitit; without Slurm on this machine its local processes."""
    submitit = _extra("submitit", "slurm")
    with TemporaryDirectory() as trial:  # a wrong parameter is said before anything starts
        _executor(submitit, options, Path(trial))

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        executor, dead = _executor(submitit, options, folder), ""
        waiting, sent = list(orders), list[Any]()
        while sent or (waiting and not stopping() and not dead):
            while waiting and len(sent) < jobs and not stopping() and not dead:
                sent.append(_submit(executor, waiting.pop(0)))
            for job in [job for job in sent if job.done()]:
                sent.remove(job)
                try:
                    yield job.result()
                except Exception as error:  # submitit has several kinds
                    dead = f"job {job.job_id} ended without a result ({type(error).__name__}; see {folder})"
            for job in [job for job in sent if stopping() and job.state == "PENDING"]:
                job.cancel()
                sent.remove(job)
            time.sleep(0.5)
        if dead:
            raise DeadError(dead)

    return carry_out


def _executor(submitit: Any, options: dict[str, Any], folder: Path) -> Any:
    try:
        executor = submitit.AutoExecutor(folder=folder)
        executor.update_parameters(**{"timeout_min": 24 * 60, "name": "bench"} | options)
    except OSError as error:
        raise unwritable(folder, error) from None
    except (TypeError, ValueError, NameError, AssertionError) as error:
        what = "parameters of submitit.AutoExecutor, such as slurm_partition=gpu"
        raise InputError(f"--slurm: {one_line(error)} (allowed: {what})") from None
    return executor


def _submit(executor: Any, order: bytes) -> Any:
    try:
        return executor.submit(work, order)
    except OSError as error:
        raise unwritable(executor.folder, error) from None
    except RuntimeError as error:  # what sbatch said
        raise InputError(f"--engine slurm: {one_line(error)}") from None


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        fix = f"pip install 'blind2unblind-bench[{extra}]', or in a checkout pip install '.[{extra}]'"
        raise InputError(f"--engine {extra}: the package {module} is not installed: {fix}") from None


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
