"""Carries out a plan: claims each unit, has it executed, goes on after a failed one."""

import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field, structs

from ..compute.machine import Machine
from ..compute.noisy_images import check_images
from ..compute.step import Stopped
from ..compute.training import Report, source_of
from ..datasets.noise.captured import Captured
from ..methods import plugins
from ..methods.networks.registry import Network
from ..protocol.metrics.registry import find_metric
from ..protocol.plan import Cell, Plan
from ..protocol.request import Request
from ..protocol.units import Fit, Score, Unit
from ..store.progress import Notes
from ..store.record import Record
from ..store.store import Store, stale
from . import signals
from .display import Display
from .estimates import Cost, Estimates
from .execution import Sets, Watch, describe, execute, failed

DEATHS = 3  # of the processes that execute a unit, until the unit is taken for the cause


class Outcome(Struct):
    """How a run ended."""

    store: Path
    states: Counter[str] = field(default_factory=Counter)
    interrupted: int = 0  # the signal's number
    requests: list[Request] = []
    impossible: list[str] = []  # methods that were asked for and that no cell can be computed of, with the reasons

    def add(self, other: "Outcome", request: Request) -> None:
        """Takes in how the run of one suite ended."""
        self.states += other.states
        self.interrupted = self.interrupted or other.interrupted
        self.requests.append(request)

    @property
    def code(self) -> int:
        """0: every cell that is possible is done; 1: some are not; 2: none of a method is possible; 128 + signal."""
        if self.interrupted:
            return 128 + self.interrupted
        if self.impossible:
            return 2
        return int(any(self.states[kind] for kind in ("failed", "diverged", "missing", "skipped")))


class Run:
    """One plan on one store and machine."""

    stops_at: ClassVar[Sequence[signal.Signals]] = signals.USUAL
    jobs = 1

    def __init__(
        self,
        plan: Plan,
        store: Store,
        machine: Machine,
        sets: Sets,
        display: Display,
        force: bool = False,
        training: bool = True,
    ) -> None:
        self.plan, self.store, self.machine, self.display = plan, store, machine, display
        self.training = training  # without it, only what weights and stored images can tell is scored
        self.sets = sets
        self.signals = signals.StopSignals(self.stops_at)
        units = plan.units() if force else {}  # when those were computed that are to be computed again
        self.forced = {key: made for key, unit in units.items() if (made := store.made(unit))}
        self.group = ""  # names the run that this process works for, where there are several
        self.tried: set[str] = set()  # keys that this run has executed
        self.costs: dict[str, Cost] = {}  # of units by key, for the display

    def carry_out(self) -> Outcome:
        """Executes what is to do; waits for units that another run has claimed."""
        self.machine.apply()
        for warning in self.plan.warnings:
            self.display.note(warning)
        self.store.open()
        self.check(pending := self.pending())
        self.display.store(self.store.root)
        estimates = Estimates(self.store, self.machine)
        self.costs = {unit.key: estimates.cost(unit) for _, unit in pending}
        self.display.plan(self._done() + len(self.costs), self.costs.values(), self.jobs)
        if self.training:
            self.store.last.add(self.plan)
            self._begin_anew()
        with self.signals:
            self._work()
        return Outcome(self.store.root, self._states(), self.signals.received)

    def close(self) -> None:
        """Ends what the runs of several suites share: nothing where they are in this process."""

    def _begin_anew(self) -> None:
        """Deletes what forced units would continue with, and what a killed process left of trainings that are done.

        It does so once, so that this run can continue a forced unit itself.
        """
        for key, unit in self.plan.units().items():
            if key in self.forced or (isinstance(unit, Fit) and self.store.weights(unit) is not None):
                self.store.begin_anew(unit)

    def _work(self) -> None:
        """Executes units until none is left."""
        while not self._stopping() and (pending := self.pending()):
            if not self._pass(pending):
                time.sleep(1.0)  # another process works on these

    def pending(self) -> list[tuple[Cell, Unit]]:
        """The units still to do, fits before their scores; scores of a failed fit are not."""
        found: dict[str, tuple[Cell, Unit]] = {}
        for cell in self.plan.cells:
            for unit in cell.units():
                if self._todo(cell, unit):
                    found.setdefault(unit.key, (cell, unit))
        return list(found.values())

    def _done(self) -> int:
        """How many units have a whole record and are not pending; what cannot be computed has none."""
        units = self.plan.units().items()
        return sum(key not in self.costs and self.store.whole(unit) is not None for key, unit in units)

    def check(self, pending: list[tuple[Cell, Unit]]) -> None:
        """Reads and checks all images that these units need; InputError before anything is trained."""
        notes: dict[str, None] = {}
        for _, unit in sorted(pending, key=lambda one: isinstance(one[1], Score)):  # training sets first
            if isinstance(unit, Score):
                for metric in unit.metrics:
                    find_metric(metric).check()
                frames = unit.repeats if isinstance(unit.noise.family, Captured) else 0
                check_images(self.sets.used_by(unit), unit.fit.view, frames)
            else:
                source_of(unit, self.sets.used_by(unit))
            notes |= dict.fromkeys([*self.sets.left_out(unit), *self.sets.copies(unit)])
        for text in notes:
            self.display.note(text)

    def _todo(self, cell: Cell, unit: Unit) -> bool:
        if unit.key in self.tried or self._failed_again(unit) or cell.fit.method.unavailable():
            return False
        if isinstance(unit, Score):
            return not self._finished(unit) and (self._ready(unit) or self._todo(cell, cell.fit))
        if not self.training or unit.weights:
            return False
        record = None if self._again(unit) else self.store.whole(unit)
        if record is None or record.state == "failed":
            return True
        if record.state != "done" or self.store.weights(unit) is not None:
            return False
        other = self.store.path(unit, ".safetensors").is_file()  # a process was killed before it wrote their record
        return other or not all(self._finished(score) for score in cell.scores)

    def _again(self, unit: Unit) -> bool:
        """Whether a unit is to be computed again, and neither this run nor another process has done so yet."""
        return unit.key in self.forced and unit.key not in self.tried and self.forced[unit.key] == self.store.made(unit)

    def _failed_again(self, unit: Unit) -> Record | None:
        """How the computation ended that was to replace a done record and failed in this run."""
        return self.store.failed_again(unit) if unit.key in self.forced and not self._again(unit) else None

    def _record(self, unit: Unit) -> Record | None:
        """How a unit has ended, in this run or before."""
        return self._failed_again(unit) or self.store.whole(unit)

    def _finished(self, score: Score) -> bool:
        record = None if self._again(score) else self.store.whole(score)
        return record is not None and record.state != "failed" and not stale(record, self.store.whole(score.fit))

    def _ready(self, score: Score) -> bool:
        """Whether the weights to score are there and belong to a training that succeeded."""
        fit = score.fit
        if not self.training and (fit.method.keeps_images or fit.method.per_image()):
            return self._kept(score)
        return not fit.method.has_weights() or (not self._again(fit) and self.store.weights(fit) is not None)

    def _kept(self, score: Score) -> bool:
        """Whether the store has all denoised images of a method that no stored weights can give back."""
        images = score.repeats * len(self.sets.used_by(score))
        return len(list(self.store.images(score).glob("*.safetensors"))) == images

    def _pass(self, pending: list[tuple[Cell, Unit]]) -> bool:
        """Executes every pending unit that is ready and not claimed; whether there was one."""
        progressed = False
        for cell, unit in pending:
            if self._stopping():
                break
            if isinstance(unit, Score) and not self._ready(unit):
                continue
            with self.store.claim(unit) as mine:
                if mine and self._todo(cell, unit):  # not done by another run meanwhile
                    progressed = True
                    self._execute(cell, unit)
        return progressed

    def _execute(self, cell: Cell, unit: Unit) -> None:
        again = self._again(unit)
        self.store.discard(unit)
        if note := self.store.quarantine(unit):
            self.display.note(note)
        self.display.begin(unit.title, self._cost(unit.key))
        notes, label = Notes(self.store, unit.key, unit.title, self.group), self._label(cell, unit)
        try:
            if notes.deaths >= DEATHS:
                reason = f"its process was killed {DEATHS} times (out of memory?)"
                record = failed(unit, label, self.store, self.machine, reason, again)
            else:
                record = execute(unit, label, self.store, self.machine, self.sets, self._watch(unit, notes), again)
        except Stopped:
            self.display.note(f"stopped in {unit.title}")
            return
        finally:
            notes.end()
        self._finish(unit, record)

    def _finish(self, unit: Unit, record: Record) -> None:
        self.tried.add(unit.key)
        self.display.end(unit.title, describe(unit, record, self.store), self._cost(unit.key))

    def _cost(self, key: str) -> Cost:
        """What a unit was estimated to take; a worker, which shows nothing, does not know."""
        return self.costs.get(key, Cost())

    def _watch(self, unit: Unit, notes: Notes) -> Watch:
        """Shows the progress of a unit here, and to other processes."""

        def advance(fraction: float, text: str) -> None:
            self.display.advance(unit.title, fraction, text)
            notes(fraction, text)

        def fit(report: Report) -> None:
            advance(report.step / report.steps, report.text)
            if report.message:
                self.display.note(f"{unit.title}: {report.message} (step {report.step})")

        def score(done: float, total: int) -> None:
            advance(done / total, f"image {done:.4g}/{total}")

        return Watch(fit, score, self._stopping)

    def _stopping(self) -> bool:
        return self.signals()

    def _label(self, cell: Cell, unit: Unit) -> dict[str, Any]:
        suite, method = self.plan.suite, cell.fit.method
        label: dict[str, Any] = {"suite": suite.name, "version": suite.version, "preset": self.plan.request.label}
        label |= {"method": cell.name, "noise": cell.noise.name, "seed": cell.seed, "knowledge": method.knowledge}
        label |= {"train": cell.fit.train} if isinstance(unit, Fit) else {"test": unit.test, "passes": method.passes()}
        metrics = () if isinstance(unit, Fit) else unit.metrics
        networks = [type(value) for value in structs.asdict(method).values() if isinstance(value, Network)]
        functions = [find_metric(name).function for name in metrics]
        files = plugins.files([type(method), *networks, type(cell.noise.family), *functions])
        label["command"] = self.plan.request.command(cell.name, cell.noise.name, files)
        return label

    def _states(self) -> Counter[str]:
        states: Counter[str] = Counter()
        for cell in self.plan.cells:
            if cell.excluded:
                states[cell.excluded.kind] += 1
                continue
            found = {record.state if record else "missing" for record in map(self._record, cell.units())}
            order = ("failed", "diverged", "missing", "done")
            state = next(state for state in order if state in found)
            if state == "missing":
                state = "skipped" if cell.fit.method.unavailable() else "missing" if self.training else "not run"
            states[state] += 1
        return states
