"""Live progress: bars on a terminal, a line a minute elsewhere, and one for each unit that ends."""

import sys
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..datasets.errors import InputError
from .estimates import Cost

LINE_SECONDS = 60.0  # between two lines of progress where there is no terminal
SEEN_SECONDS = 5.0  # on a terminal
DAY, YEAR = 86_400, 31_557_600  # seconds


class Running(Struct):
    """A unit that is worked on."""

    cost: Cost
    bar: TaskID
    began: float
    fraction: float = 0.0
    first: float = 0.0  # the fraction that was there when it began: a training may continue in its middle

    @property
    def estimated(self) -> float:
        """Estimated seconds of what was done since it began."""
        return self.cost.seconds * (self.fraction - self.first)


class Display:
    """Units done and running, step, loss, PSNR of one fixed crop (display only), time to go.

    Notes wait until the work begins: where wrong input stops it before, the error is the only line.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, soft_wrap=True)
        self.live = self.console.is_terminal and not quiet
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
        )
        self.bars = Progress(*columns, console=self.console, disable=not self.live)
        self.overall: TaskID | None = None
        self.running: dict[str, Running] = {}
        self.left: defaultdict[str, float] = defaultdict(float)  # estimated seconds to go, by kind of unit
        self.estimated: defaultdict[str, float] = defaultdict(float)  # of the units that ended ...
        self.took: defaultdict[str, float] = defaultdict(float)  # ... and what they took
        self.done = self.units = 0
        self.jobs = 1
        self._said: set[str] = set()
        self._waiting: list[str] | None = []  # notes; None once the work began
        self._printed = time.monotonic()

    def __enter__(self) -> "Display":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()
        if not isinstance(value, InputError):
            self.work_begins()

    def plan(self, units: int, to_go: Collection[Cost], jobs: int) -> None:
        """So many units in all, and what the others take of so many jobs."""
        done = units - len(to_go)
        self.units, self.done, self.jobs = units, done, min(jobs, max(1, len(to_go)))
        self.left.clear()
        for cost in to_go:
            self.left[cost.kind] += cost.seconds
        self.work_begins()
        if self.overall is not None:  # of another suite or evaluation protocol
            self.bars.remove_task(self.overall)
        self.overall = self.bars.add_task("units", total=max(units, 1), completed=done, text="")
        if done < units:
            self.note(f"{done} of {units} units done; about {clock(self.to_go())} for the others")

    def begin(self, title: str, cost: Cost) -> None:
        """A unit starts."""
        self.work_begins()
        self.running[title] = Running(cost, self.bars.add_task(title, total=1.0, text=""), time.monotonic())

    def advance(self, title: str, fraction: float, text: str) -> None:
        """So much of a unit is done."""
        unit = self.running.get(title)
        if unit is None:  # it ended while this was on its way
            return
        if not unit.fraction:
            unit.first, unit.began = fraction, time.monotonic()
        unit.fraction = fraction
        self.bars.update(unit.bar, completed=fraction, text=text)
        if self.overall is not None:
            self.bars.update(self.overall, text=self._eta())
        self._line(f"[{self.done}/{self.units}] {title}: {text}, {self._eta()}")

    def leave(self, title: str) -> Running | None:
        """A unit is not worked on any more."""
        unit = self.running.pop(title, None)
        if unit is not None:
            self.bars.remove_task(unit.bar)
        return unit

    def end(self, title: str, text: str, cost: Cost) -> None:
        """A unit is over."""
        if unit := self.leave(title):
            self.estimated[cost.kind] += cost.seconds * (1.0 - unit.first)
            self.took[cost.kind] += time.monotonic() - unit.began
        self.left[cost.kind] -= cost.seconds
        self.done += 1
        if self.overall is not None:
            self.bars.update(self.overall, completed=self.done, text=self._eta())
        self._line(f"[{self.done}/{self.units}] {title}: {text}", force=True)

    def note(self, text: str) -> None:
        """Something a user should know."""
        if self._waiting is not None:
            self._waiting.append(text)
        elif not self.quiet:
            style = "yellow" if self.live else None
            self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=not self.live)

    def once(self, text: str) -> None:
        """A note that is given only the first time."""
        if text not in self._said:
            self._said.add(text)
            self.note(text)

    def store(self, root: Path) -> None:
        """Names the store, before all notes."""
        self.once(f"Store: {root}")
        if self._waiting:
            self._waiting.insert(0, self._waiting.pop())

    def work_begins(self) -> None:
        """Shows the notes that waited, and those that follow at once."""
        waiting, self._waiting = self._waiting or [], None
        for text in waiting:
            self.note(text)

    def to_go(self) -> float:
        """Estimated seconds to go, for each kind corrected by how the estimates of that kind fared so far."""
        total, now = 0.0, time.monotonic()
        for kind, left in self.left.items():
            running = [unit for unit in [*self.running.values()] if unit.cost.kind == kind]
            estimated = self.estimated[kind] + sum(unit.estimated for unit in running)
            took = self.took[kind] + sum(now - unit.began for unit in running if unit.fraction)
            pace = took / estimated if took > 5.0 and estimated > 0.0 else 1.0
            total += pace * max(0.0, left - sum(unit.cost.seconds * unit.fraction for unit in running))
        return total / self.jobs

    def _eta(self) -> str:
        return f"{clock(self.to_go())} to go"

    def _line(self, text: str, force: bool = False) -> None:
        if self.live or self.quiet:
            return
        now = time.monotonic()
        if force or now - self._printed > LINE_SECONDS:
            self._printed = now
            print(text, file=sys.stderr, flush=True)


class Lines:
    """A line now and then about work that is counted in files, bytes or pairs."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def __call__(self, done: int, total: int, what: str) -> None:
        """`done` of `total` (0: not known)."""
        if time.monotonic() - self._printed > (SEEN_SECONDS if sys.stderr.isatty() else LINE_SECONDS):
            self._printed = time.monotonic()
            print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as 12s, 3m20s, 1h05m, 5d07h or 2.5 years."""
    whole = round(seconds)
    if whole >= 2 * YEAR:
        return f"{whole / YEAR:,.1f} years"
    if whole >= 2 * DAY:
        return f"{whole // DAY}d{whole % DAY // 3600:02d}h"
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
