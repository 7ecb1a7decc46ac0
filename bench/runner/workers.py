"""A worker is the ordinary runner in another process; the run that started it follows what the store says."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from ..compute import machine
from ..datasets.errors import InputError
from ..methods import plugins
from ..protocol.plan import Cell, make
from ..protocol.request import Request
from ..protocol.units import Unit
from ..store.progress import running
from ..store.store import Store
from .display import Display
from .estimates import check_memory
from .execution import Sets, describe
from .run import Run

GRACE = 60.0  # seconds that workers without a parent, or on other machines, have to reach their next safe point
PATIENCE = 3  # ends of workers in a row before any of them began a unit
OTHER = (
    "a worker plans other units than this run: it has another version of the package, of the suite's file, of a "
    "plug-in or of the images"
)


class Job(Struct, frozen=True, kw_only=True):
    """What a worker needs to know."""

    request: Request
    store: str
    data: str | None
    device: str
    precision: str
    threads: int  # 0: as many as the process finds
    compile: bool | None
    deterministic: bool
    plugins: tuple[str, ...] = ()
    forced: dict[str, int] = {}
    keys: tuple[str, ...] = ()  # of all units
    stop: str = ""  # a file, another one for every run; when it is there, all workers stop
    parent: int = 0  # the process that must not be gone; 0: it is on another machine


class Ended(Struct):
    """How a worker ended."""

    error: str = ""  # of an InputError
    died: str = ""  # what is known of its death


class Engine(Protocol):
    """Starts workers, and notices when they end."""

    local: bool  # whether the workers are on this machine
    jobs: int  # how many workers there should be at a time

    def start(self, job: Job, note: Callable[[str], None]) -> None:
        """Starts one worker."""

    def ended(self) -> list[Ended]:
        """The workers that ended since the last call."""

    def running(self) -> int:
        """How many workers there are."""

    def stop(self) -> None:
        """Takes back the workers that have not begun; the others stop at their next safe point."""

    def close(self) -> None:
        """Ends the workers that are left."""


class Worker(Run):
    """Claims, executes and writes until nothing is left."""

    signals = (*Run.signals, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else []))  # Slurm's: time is nearly up

    def __init__(self, job: Job, note: Callable[[str], None]) -> None:
        plugins.load_entry_points()
        for path in job.plugins:
            plugins.load(Path(path))
        chosen, notes = machine.choose(job.device, job.precision, job.threads, job.compile, job.deterministic)
        sets = Sets(None if job.data is None else Path(job.data))
        super().__init__(make(job.request), Store(Path(job.store)), chosen, sets, _Said(note))
        self.job, self.forced, self.run = job, dict(job.forced), job.stop
        for line in notes:
            note(line)

    def work(self) -> None:
        """Does what nobody else does; InputError if this process would plan other units than the run."""
        if self.keys() != set(self.job.keys):
            raise InputError(OTHER)
        self.machine.apply()
        self.store.open()
        with self._signals():
            self._work({})

    def _stopping(self) -> bool:
        return super()._stopping() or os.path.lexists(self.job.stop) or self.job.parent not in (0, os.getppid())


class _Said(Display):
    """Passes on what a user should know; the progress is in the store."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(quiet=True)
        self.say = say

    def note(self, text: str) -> None:
        """Something a user should know now."""
        self.say(text)


def work(job: bytes) -> str:
    """What a worker process does; the text of an InputError, or nothing."""
    try:
        Worker(msgspec.json.decode(job, type=Job), _to_stderr).work()
    except InputError as error:
        return str(error)
    return ""


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Jobs(Run):
    """A run whose units other processes execute."""

    def __init__(self, *args: Any, engine: Engine, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.jobs = engine, engine.jobs
        self.stop = self.store.root.resolve() / "claims" / f"{uuid4().hex[:12]}.stop"
        self.job = structs.replace(
            job, request=self.plan.request, forced=self.forced, keys=tuple(self.keys()), stop=str(self.stop)
        )

    def check(self, pending: list[tuple[Cell, Unit]]) -> None:
        """As every run, and the memory that workers on this machine will take; InputError."""
        super().check(pending)
        if self.engine.local:
            check_memory((unit for _, unit in pending), self.machine, min(self.jobs, len(pending)))

    def _work(self, costs: dict[str, float]) -> None:
        units = {unit.key: unit for _, unit in self.pending()}
        made = {key: self._made(unit) for key, unit in units.items()}
        error, early, seen = "", 0, self._progress()
        with self._closing():
            while (pending := self.pending()) or self.engine.running():
                if self._stopping() or error:
                    with self.store.writing():
                        self.stop.touch()
                    self.engine.stop()
                elif self.engine.running() < min(self.jobs, len(pending)):
                    self.engine.start(self.job, self.display.once)
                    continue
                time.sleep(0.2)
                self._follow(units, made, costs)
                for one in self.engine.ended():
                    error = error or one.error
                    now = self._progress()
                    early, seen = early + 1 if now[0] and now == seen else 0, now
                    if one.died and not self._stopping():
                        self.display.once(f"{one.died}; continuing with what is left")
                    if early == PATIENCE and not error:
                        error = f"{one.died or 'a worker ended'}, {PATIENCE} times before any unit was begun"
                if (self._stopping() or error) and not self.engine.running():
                    break
        self._follow(units, made, costs)
        if error:
            raise InputError(error)

    def _progress(self) -> tuple[int, int]:
        """Changes when a unit was begun or ended."""
        notes = sum(1 + note.deaths for note in running(self.store, dead=True))
        return len(self.pending()), notes

    def _follow(self, units: dict[str, Unit], made: dict[str, int], costs: dict[str, float]) -> None:
        """Shows which units are worked on, how far they are, and how they ended."""
        notes = {note.title: note for note in running(self.store) if note.key in units}
        for title in self.display.running.keys() - notes.keys():
            self.display.leave(title)
        for title, note in notes.items():
            if title not in self.display.running:
                self.display.begin(title, costs.get(note.key, 0.0))
            self.display.advance(title, note.fraction, note.text)
        for key, unit in units.items():
            if (
                key not in self.tried
                and self._made(unit) != made[key]
                and (record := self.store.whole(unit)) is not None
            ):
                for warning in record.result.get("warnings", ()):
                    self.display.once(f"{unit.title}: {warning}")
                self._finish(unit, describe(unit, record, self.store), costs.get(key, 0.0))

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.engine.close()
            if self.engine.local:  # elsewhere, one that starts late finds the file
                self.stop.unlink(missing_ok=True)


def serve() -> int:
    """A worker on this machine: its job comes on standard input, an error goes to standard output."""
    job = sys.stdin.buffer.read()
    parent = msgspec.json.decode(job, type=Job).parent

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    error = work(job)
    with suppress(OSError):
        sys.stdout.write(error)
        sys.stdout.flush()
    return 0
