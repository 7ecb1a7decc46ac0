"""Two short trainings in several processes, and what is seen of them from outside."""

import subprocess
import time
from pathlib import Path

from .cli import LIMIT, Result, start

UNITS = 6  # two methods, a training and a score each; and two baselines


def executed(result: Result) -> list[str]:
    """The titles of the units that a run says it has done."""
    lines = [line.partition("] ")[2] for line in result.err.splitlines() if line.startswith("[")]
    return sorted(line.rpartition(": ")[0] for line in lines if ": PSNR" in line or ": trained in" in line)


def until_training(store: Path, count: int = 2) -> None:
    """Waits for so many trainings to have saved or noted something."""
    deadline = time.monotonic() + LIMIT
    while len(list(store.glob("claims/*.note"))) < count:
        assert time.monotonic() < deadline, "nothing has started"
        time.sleep(0.05)


def begun(command: list[str], *argv: object, store: Path) -> "subprocess.Popen[str]":
    """A run that has begun its trainings."""
    process = start(*command, "--store", store, *argv)
    until_training(store)
    return process
