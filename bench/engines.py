"""What carries orders to processes: joblib's loky on this machine, Dask's workers, Slurm's jobs."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from .datasets.errors import InputError
from .jobs import DeadError, Engine, work


def loky(jobs: int, threads: int) -> Engine:
    """Processes on this machine, each with so many threads."""

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        with parallel_config("loky", inner_max_num_threads=threads, initializer=_deaf):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            try:
                yield from pool(delayed(work)(order) for order in orders)
            except BrokenProcessPool:
                raise DeadError("a worker process was killed") from None

    return carry_out


def _deaf() -> None:
    """Ctrl-C reaches all processes of a terminal: the first one tells the others when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def dask(address: str) -> Engine:
    """The workers of a running Dask scheduler; one unit at a time in each, if they have one thread each."""
    distributed = _extra("distributed", "dask")

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        try:
            client = distributed.Client(address, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None
        with client:
            waiting = set(client.map(work, orders, pure=False))
            while waiting and not stopping():
                try:
                    done, waiting = distributed.wait(waiting, timeout=1.0, return_when="FIRST_COMPLETED")
                except distributed.TimeoutError:
                    continue
                for future in done:
                    if future.status == "finished":
                        yield future.result()
                    else:
                        raise DeadError(f"a worker of {address} died with a unit ({future.status})")
            client.cancel(list(waiting))  # those that run stop by themselves

    return carry_out


def slurm(jobs: int, options: dict[str, Any], folder: Path) -> Engine:
    """Slurm jobs, so many at a time, by submitit; without Slurm on this machine its local processes."""
    submitit = _extra("submitit", "slurm")
    executor = submitit.AutoExecutor(folder=folder)
    try:
        executor.update_parameters(**{"timeout_min": 24 * 60, "name": "bench"} | options)
    except (TypeError, ValueError, NameError, AssertionError) as error:
        raise InputError(
            f"--slurm: {error} (parameters of submitit.AutoExecutor, such as slurm_partition=gpu)"
        ) from None

    def carry_out(orders: Sequence[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
        waiting, sent = list(orders), list[Any]()
        while sent or (waiting and not stopping()):
            while waiting and len(sent) < jobs and not stopping():
                sent.append(executor.submit(work, waiting.pop(0)))
            for job in [job for job in sent if job.done()]:
                sent.remove(job)
                yield _result(job)
            time.sleep(0.5)

    def _result(job: Any) -> bytes:
        try:
            answer: bytes = job.result()
        except Exception as error:  # submitit has several kinds
            raise DeadError(f"job {job.job_id} ended without a result ({type(error).__name__}; see {folder})") from None
        return answer

    return carry_out


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        fix = f"pip install 'blind2unblind-bench[{extra}]', or in a checkout pip install '.[{extra}]'"
        raise InputError(f"--engine {extra}: the package {module} is not installed: {fix}") from None


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
