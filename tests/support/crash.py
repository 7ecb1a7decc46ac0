"""Runs commands in children that kill themselves at a named moment, or are killed after some seconds.

`python -m support.crash JOBS`:
a JSON list of {"argv": [...], "at": [moment, pattern, number] or "after": seconds}; prints
the list of exit statuses (negative: the signal). The children are forks, so that torch is imported once.
"""

import functools
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

import bench as package
from bench.cli.main import main
from bench.compute import training
from bench.datasets import files

MOMENTS = ("before", "half", "written", "renamed")  # of a file: not there, torn, without its name, whole


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(moment: str, pattern: str, number: int) -> None:
    """Makes this process die at a moment of the file's writing that matches a pattern for the n-th time."""
    count = 0

    def write(path: Path, make: Callable[[Path], object], plain: Any = files.write) -> None:
        nonlocal count
        count += path.match(pattern)
        hit = path.match(pattern) and count == number
        if hit and moment == "before":
            die()

        def made(temporary: Path) -> None:
            make(temporary)
            if hit and moment == "half":
                os.truncate(temporary, temporary.stat().st_size // 2)
            if hit and moment in ("half", "written"):
                die()

        plain(path, made)
        if hit and moment == "renamed":
            die()

    def acquire(self: FileLock, *args: Any, plain: Any = FileLock.acquire, **kwargs: Any) -> Any:
        nonlocal count
        proxy = plain(self, *args, **kwargs)
        count += moment == "claimed"
        if moment == "claimed" and count == number:
            die()
        return proxy

    files.write = write
    FileLock.acquire = acquire  # type: ignore[method-assign]


def begin(job: dict[str, Any], path: str, prepare: Callable[[], None]) -> int:
    """The process of a job, which logs to a file."""
    if pid := os.fork():
        return pid
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "at" in job:
        plant(*job["at"])
    prepare()
    code = main(job["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def often() -> None:
    """A checkpoint after every step."""
    training.train = functools.partial(training.train, every_seconds=0.0)


def child(job: dict[str, Any]) -> int:
    """The status of one job."""
    pid = begin(job, os.environ["CRASH_LOG"], often)
    if "after" in job:
        time.sleep(job["after"])
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def load() -> None:
    """All that a run imports late: once, not for seconds in every child."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    ours = {found.name for found in pkgutil.walk_packages(package.__path__, "bench.")}
    for name in (*sorted(ours - {"bench.__main__", "bench.bench"}), "skimage.metrics", "scipy.ndimage"):
        importlib.import_module(name)
    with suppress(ImportError):
        importlib.import_module("bm3d")


if __name__ == "__main__":
    load()
    print(json.dumps([child(job) for job in json.loads(sys.argv[1])]))
