"""What an image costs a method that trains on it or trains nothing: seconds, and memory beyond that before it."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import torch

T = TypeVar("T")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux; "5" forgets the peak


class Cost(NamedTuple):
    """Medians over the images."""

    seconds: float
    megabytes: float | None  # of the device, or of the process; None where threads share it or the system is silent


class Costs:
    """Measures images, one by one or in several threads."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self.megabytes = device, list[float](), list[float]()

    def of(self, compute: Callable[[], T], alone: bool) -> T:
        """What `compute` returns; its cost is kept, with memory if no other image is computed meanwhile."""
        before, began = self._start() if alone else None, time.monotonic()
        made = compute()
        self.seconds.append(time.monotonic() - began)
        if before is not None:
            self.megabytes.append(max(0.0, self._peak() - before))
        return made

    def median(self) -> Cost | None:
        """None if no image was computed, as all were there already."""
        if not self.seconds:
            return None
        return Cost(median(self.seconds), median(self.megabytes) if self.megabytes else None)

    def _start(self) -> float | None:
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device) / 2**20
        try:
            CLEAR.write_text("5")
            return _status("VmRSS")
        except OSError:
            return None

    def _peak(self) -> float:
        if self.device.startswith("cuda"):
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return _status("VmHWM")


def _status(name: str) -> float:
    """A number of kilobytes of this process, in megabytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024.0
