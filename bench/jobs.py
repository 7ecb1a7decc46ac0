"""Runs of several processes: orders that any process can carry out, and the run that hands them out."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import torch
from filelock import FileLock, Timeout
from msgspec import Struct, structs

from . import machine, memory
from .datasets.errors import InputError
from .display import Display
from .execution import Sets, describe
from .methods import registry
from .plan import Cell, Fit, Plan, Request, Unit, make
from .progress import running
from .runner import Outcome, Run
from .store import Store

Engine = Callable[[Sequence[bytes], Callable[[], bool]], Iterator[bytes]]  # orders, whether to stop -> replies
PATIENCE = 3  # deaths of worker processes in a row, without a unit done between, before it is an error
GRACE = 60.0  # seconds that processes elsewhere have to reach their next safe point


class DeadError(Exception):
    """A worker process died."""


class Order(Struct, frozen=True, kw_only=True):
    """Units that one process is to execute in a row, in words that any process understands."""

    request: Request
    keys: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    store: str
    data: str | None
    device: str
    precision: str
    threads: int  # 0: as many as the process finds
    compile: bool | None
    deterministic: bool
    places: int = 1  # orders that share a GPU
    plugins: tuple[str, ...] = ()
    stop: str = ""  # a file; where it is, all stop
    parent: int = 0  # the process that must not be gone; 0: none


class Reply(Struct):
    """What became of an order."""

    ended: list[tuple[str, str]] = []  # keys, and how each ended
    notes: list[str] = []
    error: str = ""


class Told(Display):
    """Keeps what a display would show, for the process that has one."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something a user should know."""
        self.notes.append(text)


class Worker(Run):
    """Executes the units of an order."""

    def __init__(self, order: Order, plan: Plan, machine: machine.Machine, told: Told) -> None:
        super().__init__(plan, Store(Path(order.store)), machine, _sets(order.data), told)
        self.order, self.ended = order, list[tuple[str, str]]()
        self._forced = set(order.forced)

    def work(self) -> None:
        """Does once what is ready and not claimed."""
        self.store.open()
        with self._signals():
            self._pass([one for one in self.pending() if one[1].key in self.order.keys], {})

    def _stopping(self) -> bool:
        return super()._stopping() or Path(self.order.stop).exists() or _orphaned(self.order)

    def _finish(self, unit: Unit, text: str, seconds: float) -> None:
        super()._finish(unit, text, seconds)
        self.ended.append((unit.key, text))


def work(order: bytes) -> bytes:
    """Carries out an order and replies, both in JSON: all that engines send around."""
    asked = msgspec.json.decode(order, type=Order)
    told, reply = Told(), Reply()
    try:
        _load(asked.plugins)
        with place(Path(asked.store), asked.device, asked.places) as device:
            chosen, notes = machine.choose(device, asked.precision, asked.threads, asked.compile, asked.deterministic)
            told.notes += notes
            worker = Worker(asked, _plan(msgspec.json.encode(asked.request)), chosen, told)
            reply.ended = worker.ended
            worker.work()
    except InputError as error:
        reply.error = str(error)
    if _orphaned(asked):
        os._exit(1)  # nobody waits for the reply
    reply.notes = told.notes
    return msgspec.json.encode(reply)


def _orphaned(order: Order) -> bool:
    return order.parent not in (0, os.getppid())


@cache
def _sets(data: str | None) -> Sets:
    return Sets(None if data is None else Path(data))


@cache
def _plan(request: bytes) -> Plan:
    return make(msgspec.json.decode(request, type=Request))


@cache
def _load(plugins: tuple[str, ...]) -> None:
    registry.load_entry_points()
    for path in plugins:
        registry.load_plugin(Path(path))


@contextmanager
def place(store: Path, device: str, places: int) -> Iterator[str]:
    """A device for one order: of several GPUs one that has a place left; waits until there is one."""
    if device != "cuda":
        yield device
        return
    host, devices = os.uname().nodename, range(torch.cuda.device_count())
    names = [(index, store / "claims" / f"{host}.cuda{index}.{p}.lock") for p in range(places) for index in devices]
    while True:
        for index, path in names:
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield f"cuda:{index}"
            finally:
                lock.release()
            return
        time.sleep(0.5)


class Spread(Run):
    """A run whose units other processes execute; they share its store, and nothing else."""

    def __init__(self, *args: Any, engine: Engine, order: Order, jobs: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.jobs = engine, jobs
        self._stop = self.store.root / "claims" / f"{uuid4().hex[:12]}.stop"
        self.order = structs.replace(order, stop=str(self._stop.resolve()))
        self._deaths = 0

    def carry_out(self) -> Outcome:
        """Has its units executed; they are at rest when it ends, unless a second Ctrl-C ends it at once."""
        outcome = super().carry_out()
        if self.signal:
            self._wait()
            self._stop.unlink(missing_ok=True)
        return outcome

    def check(self, pending: list[tuple[Cell, Unit]]) -> None:
        """As every run, and the memory that this machine's processes will take; InputError."""
        super().check(pending)
        if self.order.parent:
            memory.check((unit for _, unit in pending), self.machine, self.jobs)

    def _wait(self) -> None:
        deadline, mine = time.monotonic() + GRACE, self.keys()
        while time.monotonic() < deadline and any(note.key in mine for note in running(self.store)):
            time.sleep(0.2)

    def _pass(self, pending: list[tuple[Cell, Unit]], costs: dict[str, float]) -> bool:
        units = {unit.key: unit for _, unit in pending}
        orders = [
            structs.replace(self.order, keys=chain, forced=tuple(self._forced.intersection(chain)))
            for chain in chains([unit for _, unit in pending], costs)
        ]
        done, error = 0, ""
        with self._followed(units, costs):
            try:
                for answer in self.engine([msgspec.json.encode(order) for order in orders], self._stopping):
                    reply = msgspec.json.decode(answer, type=Reply)
                    done += len(reply.ended)
                    for key, text in reply.ended:
                        self._finish(units[key], text, costs.get(key, 0.0))
                    for note in dict.fromkeys(reply.notes):
                        self.display.note(note)
                    if reply.error and not error:  # such as a full disk: the others end as they would
                        error = reply.error
                        self._stop.touch()
            except DeadError as lost:
                for cell, unit in pending:  # what the dead one had done could not be told
                    record = None if self._todo(cell, unit) else self.store.whole(unit)
                    if record is not None and unit.key not in self.tried:
                        self._finish(unit, describe(unit, record, self.store), costs.get(unit.key, 0.0))
                if not self.signal:
                    self._died(lost, done)
        if error:
            self._stop.unlink(missing_ok=True)
            raise InputError(error)
        return done > 0

    def _died(self, lost: DeadError, done: int) -> None:
        self._deaths = 0 if done else self._deaths + 1
        if self._deaths == PATIENCE:
            raise InputError(f"{lost}, {PATIENCE} times in a row (out of memory? fewer --jobs); nothing is lost")
        self.display.note(f"{lost}; going on with what is left")

    @contextmanager
    def _followed(self, units: dict[str, Unit], costs: dict[str, float]) -> Iterator[None]:
        """Shows how far the units are, and passes a signal on."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(0.5):
                if self.signal:
                    self._stop.touch()
                notes = {note.title: note for note in running(self.store) if note.key in units}
                for title in self.display.running.keys() - notes.keys():
                    self.display.leave(title)
                for title, note in notes.items():
                    if title not in self.display.running:
                        self.display.begin(title, costs.get(note.key, 0.0))
                    self.display.advance(title, note.fraction, note.text)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def chains(units: Sequence[Unit], costs: dict[str, float]) -> list[tuple[str, ...]]:
    """The keys that one process does in a row, a training and its scores, the longest first."""
    fits = {unit.key for unit in units if isinstance(unit, Fit)}
    found: dict[str, list[str]] = {}
    for unit in units:
        fit = unit.key if isinstance(unit, Fit) else unit.fit.key
        found.setdefault(fit if fit in fits else unit.key, []).append(unit.key)
    return sorted(map(tuple, found.values()), key=lambda chain: -math.fsum(costs.get(key, 0.0) for key in chain))
