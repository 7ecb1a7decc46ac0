"""The public functions: `run` and `tables`, the same code as the command line's."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .compute import machine as machines
from .methods import registry
from .protocol.plan import make
from .protocol.request import Request
from .report.frames import frame
from .report.published import suite_of
from .report.tables import build
from .runner.display import Display
from .runner.execution import Sets
from .runner.run import Outcome, Run
from .store.store import Store, default


def run(
    methods: Sequence[str],
    suite: str = "synthetic",
    preset: str = "mini",
    *,
    noises: Sequence[str] = (),
    train: str = "",
    tests: Sequence[str] = (),
    seeds: Sequence[int] = (),
    steps: int = 0,
    crop: int = 0,
    skip_unusable: bool = False,
    net: str = "",
    repeats: int = 0,
    data: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    compile: bool | None = None,
    deterministic: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Trains and scores what is missing in the store; InputError for wrong input."""
    registry.load_entry_points()
    machine, notes = machines.choose(device, precision, threads, compile, deterministic)
    request = Request(
        suite=suite,
        preset=preset,
        methods=tuple(methods),
        noises=tuple(noises),
        train=train,
        tests=tuple(tests),
        seeds=tuple(seeds),
        steps=steps,
        crop=crop,
        skip_unusable=skip_unusable,
        net=net,
        repeats=repeats,
    )
    with Display(quiet) as display:
        for note in notes:
            display.note(note)
        sets = Sets(None if data is None else Path(data))
        work = Run(make(request), Store(_path(store)), machine, sets, display, force)
        return work.carry_out()


def tables(table: int = 1, preset: str = "", *, store: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """A table of the paper from the store's records: its last run, or a preset."""
    registry.load_entry_points()
    asked = Request(suite=suite_of(table), preset=preset or "mini")
    (found,) = build(Store(_path(store)), asked, bool(preset), table)
    return frame(found)


def _path(store: str | os.PathLike[str] | None) -> Path:
    return default() if store is None else Path(store)
