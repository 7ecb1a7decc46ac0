"""A run whose units other processes execute; they share its store, and nothing else."""

import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import structs

from ..datasets.errors import InputError
from ..protocol.plan import Cell
from ..protocol.units import Fit, Unit
from ..store.progress import running
from . import memory
from .execution import describe, failed
from .orders import DeadError, Engine, Order, Reply
from .run import Outcome, Run

PATIENCE = 3  # deaths of the process that executes a unit, until the unit is taken for the cause


class Spread(Run):
    """Hands out orders, and shows what becomes of them."""

    def __init__(self, *args: Any, engine: Engine, order: Order, jobs: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.jobs = engine, jobs
        self._stop = self.store.root / "claims" / f"{uuid4().hex[:12]}.stop"
        self.order = structs.replace(order, stop=str(self._stop.resolve()))
        self._deaths = Counter[str]()  # of processes, by the unit that they were executing
        self._early = 0  # deaths in a row before any unit was begun
        self._said: set[str] = set()
        self._began: dict[str, int] = {}  # when the records that are to be made again were made

    def carry_out(self) -> Outcome:
        """Has its units executed; an order that is still on its way elsewhere finds the file that stops it."""
        self._began = {unit.key: self._made(unit) for cell in self.plan.cells for unit in cell.units()}
        try:
            outcome = super().carry_out()
        except InputError:
            self._over()
            raise
        self._over()
        return outcome

    def _over(self) -> None:
        if self.order.parent:  # its processes are at rest
            self._stop.unlink(missing_ok=True)

    def check(self, pending: list[tuple[Cell, Unit]]) -> None:
        """As every run, and the memory that this machine's processes will take; InputError."""
        super().check(pending)
        if self.order.parent:
            units = [unit for _, unit in pending]
            memory.check(units, self.machine, min(self.jobs, len(chains(units, {}))))

    def _pass(self, pending: list[tuple[Cell, Unit]], costs: dict[str, float]) -> bool:
        units = {unit.key: unit for _, unit in pending}
        orders = self._orders(list(units.values()), costs)
        before, error = len(self.tried), ""
        with self._followed(units, costs):
            try:
                for answer in self.engine([msgspec.json.encode(order) for order in orders], self._stopping):
                    reply = msgspec.json.decode(answer, type=Reply)
                    for key, text in reply.ended:
                        self._finish(units[key], text, costs.get(key, 0.0))
                    for note in reply.notes:
                        self._say(note)
                    if reply.error and not error:  # such as a full disk: the others end as they would
                        error = reply.error
                        self._stop.touch()
            except DeadError as dead:
                self._dead(dead, pending, costs)
        if error:
            raise InputError(error)
        return len(self.tried) > before

    def _orders(self, units: Sequence[Unit], costs: dict[str, float]) -> list[Order]:
        """What nobody has claimed; units whose process died come last, each alone, so that they take no other along."""
        free = [chain for chain in chains(units, costs) if not any(map(self.store.claimed, chain))]
        suspect = [chain for chain in free if self._deaths.keys() & set(chain)]
        handed = [chain for chain in free if chain not in suspect] or suspect[:1]
        return [
            structs.replace(self.order, keys=chain, forced=tuple(self._forced.intersection(chain))) for chain in handed
        ]

    def _dead(self, dead: DeadError, pending: list[tuple[Cell, Unit]], costs: dict[str, float]) -> None:
        """Takes note of what the dead process had done, and of what it was doing."""
        left, began = self.store.notes(), False
        for cell, unit in pending:
            if unit.key in self._forced and self._made(unit) != self._began[unit.key]:
                self._forced.discard(unit.key)
            record = None if self._todo(cell, unit) else self.store.whole(unit)
            if record is not None and unit.key not in self.tried:
                self._finish(unit, describe(unit, record, self.store), costs.get(unit.key, 0.0))
            if unit.key in left and record is None and not self.store.claimed(unit.key) and not self.signal:
                self._suspect(cell, unit, costs)
                began = True
        if self.signal:
            return
        self._early = 0 if began else self._early + 1
        if self._early == PATIENCE:
            raise InputError(f"{dead}, {PATIENCE} times before any unit was begun; nothing is lost")
        self.display.note(f"{dead}; going on with what is left")

    def _say(self, note: str) -> None:
        """What several processes say is said once."""
        if note not in self._said:
            self._said.add(note)
            self.display.note(note)

    def _suspect(self, cell: Cell, unit: Unit, costs: dict[str, float]) -> None:
        self._deaths[unit.key] += 1
        self.store.note(unit.key).unlink(missing_ok=True)
        if self._deaths[unit.key] == PATIENCE:
            reason = f"its process was killed {PATIENCE} times (out of memory?)"
            record = failed(unit, self._label(cell, unit), self.store, self.machine, reason)
            self._finish(unit, describe(unit, record, self.store), costs.get(unit.key, 0.0))

    def _made(self, unit: Unit) -> int:
        """When its record was written [ns]; 0 without one."""
        path = self.store.path(unit)
        return path.stat().st_mtime_ns if path.is_file() else 0

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
            if self.signal:
                self._stop.touch()


def chains(units: Sequence[Unit], costs: dict[str, float]) -> list[tuple[str, ...]]:
    """The keys that one process does in a row, a training and its scores, the longest first."""
    fits = {unit.key for unit in units if isinstance(unit, Fit)}
    found: dict[str, list[str]] = {}
    for unit in units:
        fit = unit.key if isinstance(unit, Fit) else unit.fit.key
        found.setdefault(fit if fit in fits else unit.key, []).append(unit.key)
    return sorted(map(tuple, found.values()), key=lambda chain: -math.fsum(costs.get(key, 0.0) for key in chain))
