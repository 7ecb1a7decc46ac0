"""Carries out a plan: each unit claimed, executed, recorded; a failed one does not stop the others."""

import hashlib
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from msgspec import Struct
from safetensors import SafetensorError
from torch import nn

from . import cost, training
from .datasets import catalogue
from .datasets.errors import InputError
from .datasets.images import Picture
from .datasets.patches import Patches
from .display import Display, clock
from .evaluation import Row, check_sizes, evaluate, infinite
from .health import DivergedError
from .machine import Machine, environment
from .plan import Cell, Fit, Plan, Score, Unit
from .store import Record, Store, kind


class Outcome(Struct):
    """How a run ended."""

    states: Counter[str]
    interrupted: int = 0  # the signal's number

    @property
    def code(self) -> int:
        """0 done, 1 a unit failed or diverged, 128 + signal."""
        if self.interrupted:
            return 128 + self.interrupted
        return 1 if self.states["failed"] + self.states["diverged"] else 0


class Run:
    """One plan on one store and machine."""

    def __init__(self, plan: Plan, store: Store, machine: Machine, data: Path | None, display: Display) -> None:
        self.plan, self.store, self.machine, self.data, self.display = plan, store, machine, data, display
        self.signal = 0
        self._sets: dict[tuple[str, int], list[Picture]] = {}
        self._forced: set[str] = set()
        self._tried: set[str] = set()

    def pending(self) -> list[tuple[Cell, Unit]]:
        """The units still to do, fits before their scores; scores of a failed fit are not."""
        found: list[tuple[Cell, Unit]] = []
        seen = set(self._tried)
        for cell in self.plan.cells:
            scores: list[Unit] = [score for score in cell.scores if not self._finished(score)]
            fits: list[Unit] = [cell.fit] if self._must_fit(cell, bool(scores)) else []
            if not fits and scores and not self._ready(cell.scores[0]):
                continue
            new = [unit for unit in (*fits, *scores) if unit.key not in seen]
            seen.update(unit.key for unit in new)
            found += [(cell, unit) for unit in new]
        return found

    def total(self) -> int:
        """The number of units of the plan."""
        return len(self._keys())

    def _keys(self) -> set[str]:
        return {unit.key for cell in self.plan.cells for unit in cell.units()}

    def check(self) -> None:
        """Reads and checks all images that the pending units need; InputError before anything is trained."""
        for _, unit in self.pending():
            if isinstance(unit, Score):
                for name in (unit.test, *(name for name, _ in unit.before)):
                    check_sizes(self._pictures(name, unit.fit.channels))
            else:
                Patches(self._pictures(unit.train, unit.channels), unit.noise, unit.train_noise, unit.crop, unit.seed)

    def carry_out(self, force: bool = False) -> Outcome:
        """Executes what is pending; waits for units that another run has claimed."""
        self.store.open()
        if force:
            self._forced = self._keys()
        pending = self.pending()
        self.check()
        costs = {unit.key: cost.seconds(unit, self.machine) for _, unit in pending}
        self.display.plan(self.total(), self.total() - len(pending), sum(costs.values()))
        self.store.remember(self.plan.request)
        with self._signals():
            while not self.signal and (pending := self.pending()):
                if not self._pass(pending, costs):
                    time.sleep(1.0)  # another run works on these
        return Outcome(self._states(), self.signal)

    def _pass(self, pending: list[tuple[Cell, Unit]], costs: dict[str, float]) -> bool:
        """Executes every pending unit that is ready and not claimed; whether there was one."""
        progressed = False
        for cell, unit in pending:
            if self.signal:
                break
            if isinstance(unit, Score) and not self._ready(unit):
                continue
            with self.store.claim(unit) as mine:
                if mine and unit.key in {other.key for _, other in self.pending()}:  # not done meanwhile
                    progressed = True
                    self._do(cell, unit, costs.get(unit.key, 0.0))
        return progressed

    def _do(self, cell: Cell, unit: Unit, seconds: float) -> None:
        self.display.begin(unit.title, seconds)
        try:
            text = self._fit(cell, unit) if isinstance(unit, Fit) else self._score(cell, unit)
        except training.Stopped:
            self.display.note(f"stopped in {unit.title}; run the same command again to continue")
            return
        except InputError:
            raise
        except Exception as error:  # a method's code may raise anything; the other cells go on
            state = "diverged" if isinstance(error, DivergedError) else "failed"
            reason = str(error) if type(error).__module__.startswith("bench") else f"{type(error).__name__}: {error}"
            record = self._record(cell, unit)
            record.state, record.reason = ("diverged" if state == "diverged" else "failed"), reason
            self.store.write(unit, record)
            text = f"{state}: {reason}"
        self._forced.discard(unit.key)
        self._tried.add(unit.key)
        self.display.end(text)

    def _fit(self, cell: Cell, unit: Fit) -> str:
        checkpoint = self.store.path(unit, ".checkpoint")
        if unit.key in self._forced:
            checkpoint.unlink(missing_ok=True)
        pictures = self._pictures(unit.train, unit.channels)
        trained = training.fit(unit, pictures, self.machine, checkpoint, self.display.fit, lambda: self.signal != 0)
        weights = self.store.path(unit, ".safetensors")
        tensors = {name: value.cpu().contiguous() for name, value in trained.net.state_dict().items()}
        training.write_tensors(weights, tensors, {"key": unit.key, "identity": unit.identity})
        record = self._record(cell, unit)
        record.result = {
            "parameters": trained.parameters,
            "seconds": round(trained.seconds, 1),
            "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "history": trained.history,
            "warnings": trained.warnings,
            "compiled": self.machine.compiles(unit.steps),
        }
        self.store.write(unit, record)
        checkpoint.unlink(missing_ok=True)
        return f"trained in {clock(trained.seconds)}"

    def _score(self, cell: Cell, unit: Score) -> str:
        before = [self._pictures(name, unit.fit.channels) for name, _ in unit.before]
        began = time.monotonic()
        pictures = self._pictures(unit.test, unit.fit.channels)
        rows = evaluate(
            unit, self._net(unit.fit), pictures, self.machine, before, self.display.score, lambda: self.signal != 0
        )
        record = self._record(cell, unit)
        record.result = {"outputs": summary(rows), "seconds": round(time.monotonic() - began, 1)}
        if any(math.isnan(row.ssim) for row in rows):
            raise DivergedError("an output has values that are not finite")
        self.store.write(unit, record, rows)
        best = record.result["outputs"][unit.fit.method.headline().name]
        return f"{infinite(best['psnr']):.2f} dB / {best['ssim']:.3f}"

    def _net(self, fit: Fit) -> nn.Module | None:
        if fit.method.fits == "never":
            return None
        net = training.build(fit.method, fit.channels, 1.0, 0)
        tensors, _ = training.read_tensors(self.store.path(fit, ".safetensors"))
        net.load_state_dict(tensors)
        return self.machine.place(net, precision="float32").eval()

    def _record(self, cell: Cell, unit: Unit) -> Record:
        request, suite, method = self.plan.request, self.plan.suite, cell.fit.method
        label: dict[str, Any] = {"suite": suite.name, "version": suite.version, "preset": request.label}
        label |= {"method": cell.name, "noise": cell.noise.name, "seed": cell.seed, "knowledge": method.knowledge}
        if isinstance(unit, Score):
            label |= {"test": unit.test, "passes": method.passes()}
        return Record(
            key=unit.key,
            kind=kind(unit),
            state="done",
            title=unit.title,
            label=label,
            identity=unit.identity,
            environment=environment(self.machine),
        )

    def _must_fit(self, cell: Cell, scores_missing: bool) -> bool:
        if not cell.fits or cell.fit.key in self._tried:
            return False
        record = None if cell.fit.key in self._forced else self.store.read(cell.fit)
        if record is None or record.state == "failed":
            return True
        return record.state == "done" and scores_missing and not self._readable(cell.fit)

    def _readable(self, fit: Fit) -> bool:
        path = self.store.path(fit, ".safetensors")
        try:
            return path.is_file() and bool(training.read_tensors(path)[1])
        except (SafetensorError, KeyError, msgspec.DecodeError):
            return False

    def _finished(self, score: Score) -> bool:
        record = None if score.key in self._forced else self.store.read(score)
        return record is not None and record.state != "failed"

    def _ready(self, score: Score) -> bool:
        """Whether the weights to score are there."""
        fit = score.fit
        return fit.method.fits != "dataset" or (fit.key not in self._forced and self._readable(fit))

    def _states(self) -> Counter[str]:
        states: Counter[str] = Counter()
        for cell in self.plan.cells:
            if cell.reason:
                states["not defined"] += 1
                continue
            found = {record.state if record else "missing" for record in map(self.store.read, cell.units())}
            order = ("failed", "diverged", "missing", "done")
            states[next(state for state in order if state in found)] += 1
        return states

    def _pictures(self, name: str, channels: int) -> list[Picture]:
        if (name, channels) not in self._sets:
            self._sets[name, channels] = catalogue.load(name, self.data, channels)
        return self._sets[name, channels]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop at the next step or image; a second Ctrl-C stops at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.signal:
                raise KeyboardInterrupt
            self.signal = number

        old = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                old[number] = signal.signal(number, stop)
            except ValueError:  # not in the main thread: its owner handles signals
                break
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def summary(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Means of the per-image scores of each output (not the PSNR of a mean error)."""
    result: dict[str, dict[str, float | None]] = {}
    for output in dict.fromkeys(row.output for row in rows):
        mine = [row for row in rows if row.output == output]
        decibels = sum(infinite(row.psnr) for row in mine) / len(mine)
        result[output] = {
            "psnr": None if decibels == math.inf else decibels,
            "ssim": sum(row.ssim for row in mine) / len(mine),
            "images": len(mine),
        }
    return result
