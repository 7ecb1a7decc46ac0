"""Orders: units of work in words that any process understands, and how a process carries them out."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import msgspec
import torch
from filelock import FileLock, Timeout
from msgspec import Struct

from ..compute import machine
from ..datasets.errors import InputError
from ..methods import registry
from ..protocol import suite_files
from ..protocol.plan import Plan, make
from ..protocol.request import Request
from ..protocol.units import Unit
from ..store.store import Store
from .display import Display
from .execution import Sets
from .run import Run

Engine = Callable[[Sequence[bytes], Callable[[], bool]], Iterator[bytes]]  # orders, whether to stop -> replies


class DeadError(Exception):
    """A worker process died."""


class Order(Struct, frozen=True, kw_only=True):
    """Units that one process is to execute in a row."""

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
    stop: str = ""  # a file, another one for every run; where it is, all stop
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

    signals = (*Run.signals, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else []))  # Slurm's: time is nearly up

    def __init__(self, order: Order, plan: Plan, machine: machine.Machine, told: Told) -> None:
        super().__init__(plan, Store(Path(order.store)), machine, _sets(order.data), told)
        self.order, self.ended = order, list[tuple[str, str]]()
        self._forced = set(order.forced)

    def work(self) -> None:
        """Does once what is ready and not claimed; InputError if this process would plan other units."""
        if not self.keys().issuperset(self.order.keys):
            raise InputError(
                "a worker process plans other units than this one: it has another version of the package, of the "
                "suite's file, of a plug-in or of the images"
            )
        self.store.open()
        with self._signals():
            self._pass([one for one in self.pending() if one[1].key in self.order.keys], {})
        if self.signal and self.order.parent == os.getpid():  # it was meant for the run in this process
            raise KeyboardInterrupt

    def _stopping(self) -> bool:
        return super()._stopping() or _stopped(self.order)

    def _finish(self, unit: Unit, text: str, seconds: float) -> None:
        super()._finish(unit, text, seconds)
        self.ended.append((unit.key, text))


def work(order: bytes) -> bytes:
    """Carries out an order and replies, both in JSON: all that engines send around."""
    asked = msgspec.json.decode(order, type=Order)
    told, reply = Told(), Reply()
    try:
        _renew(asked.stop)
        _load(asked.plugins)
        with place(asked) as device:
            chosen, notes = machine.choose(device, asked.precision, asked.threads, asked.compile, asked.deterministic)
            chosen.apply()
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
    return order.parent not in (0, os.getppid(), os.getpid())


def _stopped(order: Order) -> bool:
    return Path(order.stop).exists() or _orphaned(order)


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


_run = ""  # whose files this process has read


def _renew(run: str) -> None:
    """A process may outlive a run, and files be changed between two."""
    global _run
    if run != _run:
        for known in (_sets, _plan, _load, suite_files.load):
            known.cache_clear()
    _run = run


@contextmanager
def place(order: Order) -> Iterator[str]:
    """A device for an order: of several GPUs one that has a place left; waits until there is one, or all stop."""
    if order.device != "cuda" and not (order.device == "auto" and torch.cuda.is_available()):
        yield order.device
        return
    claims, devices = Path(order.store) / "claims", range(torch.cuda.device_count())
    if not devices:
        raise InputError("--device cuda: a worker process finds no CUDA device; allowed: auto, cpu")
    host = os.uname().nodename
    names = [(index, claims / f"{host}.cuda{index}.{p}.lock") for p in range(order.places) for index in devices]
    while not _stopped(order):
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
    yield f"cuda:{devices[0]}"  # nothing is begun any more
