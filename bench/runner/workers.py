"""A worker is the ordinary runner in another process; the run that started it follows what the store says."""

import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from ..compute import machine
from ..datasets import files
from ..datasets.errors import InputError
from ..methods import plugins
from ..protocol.plan import Cell, make
from ..protocol.request import Request
from ..protocol.units import Unit
from ..store.progress import running
from ..store.store import Store
from .display import Display
from .estimates import check_memory
from .execution import Sets
from .run import Run

GRACE = 60.0  # seconds that workers without a parent, or on other machines, have to reach their next safe point
PATIENCE = 3  # ends of workers in a row before any of them began a unit
OTHER = (
    "a worker plans other units than this run: it has another version of the package, of the suite's file, of a "
    "plug-in or of the images"
)


class Assignment(Struct, frozen=True, kw_only=True):
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


class Engine(ABC):
    """Starts workers, and notices when they end."""

    local = False  # whether the workers are on this machine
    jobs: int  # how many workers there should be at a time

    @abstractmethod
    def start(self, assignment: Assignment, note: Callable[[str], None]) -> None:
        """Starts one worker; InputError if that is refused."""

    @abstractmethod
    def ended(self) -> list[Ended]:
        """The workers that ended since the last call."""

    @abstractmethod
    def running(self) -> int:
        """How many workers there are."""

    def stop(self) -> None:  # noqa: B027 - not every engine has a queue
        """Takes back the workers that have not begun; the others, or late ones, find the file that stops them."""

    @abstractmethod
    def close(self) -> None:
        """Ends the workers that are left."""


class Worker(Run):
    """Claims, executes and writes until nothing is left."""

    stops_at = (*Run.stops_at, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else []))  # Slurm's: time is nearly up

    def __init__(self, assignment: Assignment, note: Callable[[str], None]) -> None:
        plugins.load_entry_points()
        for path in assignment.plugins:
            plugins.load(Path(path))
        names = ("device", "precision", "threads", "compile", "deterministic")
        chosen, notes = machine.choose(**{name: getattr(assignment, name) for name in names})
        sets = Sets(None if assignment.data is None else Path(assignment.data))
        super().__init__(make(assignment.request), Store(Path(assignment.store)), chosen, sets, _Said(note))
        self.assignment, self.forced, self.group = assignment, dict(assignment.forced), assignment.stop
        for line in notes:
            note(line)

    def work(self) -> None:
        """Does what nobody else does; InputError if this process would plan other units than the run."""
        if self.plan.units().keys() != set(self.assignment.keys):
            raise InputError(OTHER)
        self.machine.apply()
        self.store.open()
        with self.signals:
            self._work()

    def _stopping(self) -> bool:
        orphan = self.assignment.parent not in (0, os.getppid())
        return orphan or super()._stopping() or os.path.lexists(self.assignment.stop)


class _Said(Display):
    """Passes on what a user should know; the progress is in the store."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(quiet=True)
        self.say = say

    def note(self, text: str) -> None:
        """Something a user should know now."""
        self.say(text)


def work(assignment: bytes) -> str:
    """What a worker process does; the text of an InputError, or nothing."""
    try:
        Worker(msgspec.json.decode(assignment, type=Assignment), partial(print, file=sys.stderr, flush=True)).work()
    except InputError as error:
        return str(error)
    return ""


class SharedRun(Run):
    """A run whose units other processes execute."""

    def __init__(self, *args: Any, engine: Engine, assignment: Assignment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.jobs = engine, engine.jobs
        self.error = ""  # that ends the run
        self.early = 0  # workers that ended in a row before any of them began a unit
        self.stop = files.resolved(self.store.root) / "claims" / f"{uuid4().hex[:12]}.stop"
        self.assignment = structs.replace(
            assignment,
            request=self.plan.request,
            forced=self.forced,
            keys=tuple(self.plan.units()),
            stop=str(self.stop),
        )

    def check(self, pending: list[tuple[Cell, Unit]]) -> None:
        """Also InputError if the workers on this machine would need more memory than is free."""
        super().check(pending)
        if self.engine.local:
            check_memory((unit for _, unit in pending), self.machine, min(self.jobs, len(pending)))

    def _work(self) -> None:
        units = {unit.key: unit for _, unit in self.pending()}
        made = {key: self.store.made(unit) for key, unit in units.items()}
        self.seen = self._progress()
        try:
            while self.engine.running() or (self.pending() and not self._stopping()):
                if self._stopping():
                    with self.store.writing():
                        self.stop.touch()
                    self.engine.stop()
                elif self.engine.running() < min(self.jobs, len(self.pending())):
                    self.engine.start(self.assignment, self.display.once)
                    continue
                time.sleep(0.2)
                self._follow(units, made)
                for one in self.engine.ended():
                    self._ended(one)
        finally:
            if self.engine.local:  # elsewhere, one that starts late finds the file
                self.stop.unlink(missing_ok=True)
        self._follow(units, made)
        if self.error:
            raise InputError(self.error)

    def _stopping(self) -> bool:
        return super()._stopping() or bool(self.error)

    def _ended(self, one: Ended) -> None:
        """Goes on without this worker, unless several ended in a row before any of them began a unit."""
        progress = self._progress()
        self.early, self.seen = self.early + 1 if progress[0] and progress == self.seen else 0, progress
        if one.died and not self._stopping():
            self.display.once(f"{one.died}; continuing with what is left")
        if self.early == PATIENCE:
            self.error = self.error or f"{one.died or 'a worker ended'}, {PATIENCE} times before any unit was begun"
        self.error = one.error or self.error

    def _progress(self) -> tuple[int, int]:
        """Changes when a unit was begun or ended."""
        notes = sum(1 + note.deaths for note in running(self.store, dead=True))
        return len(self.pending()), notes

    def _follow(self, units: dict[str, Unit], made: dict[str, int]) -> None:
        """Shows how units ended, which are worked on, and how far they are."""
        for key, unit in units.items():
            if key not in self.tried and self.store.made(unit) != made[key] and (record := self._record(unit)):
                for warning in record.result.get("warnings", ()):
                    self.display.once(f"{unit.title}: {warning}")
                self._finish(unit, record)
        notes = {note.title: note for note in running(self.store) if note.key in units.keys() - self.tried}
        for title in self.display.running.keys() - notes.keys():
            self.display.leave(title)
        for title, note in notes.items():
            if title not in self.display.running:
                self.display.begin(title, self._cost(note.key))
            self.display.advance(title, note.fraction, note.text)

    def close(self) -> None:
        """Ends the workers, and the connection to what starts them."""
        self.engine.close()


def serve() -> int:
    """A worker on this machine: its assignment comes on standard input, an error goes to standard output."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)  # what a method prints is no error
    assignment = sys.stdin.buffer.read()
    parent = msgspec.json.decode(assignment, type=Assignment).parent

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    error = work(assignment)
    with suppress(OSError), said:
        said.write(error)
    return 0
