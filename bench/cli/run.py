"""The commands that compute: run, rescore, score; and status, which says how far they are."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
from msgspec import structs

from ..compute import machine
from ..datasets.errors import InputError
from ..protocol import plan
from ..protocol.request import Request
from ..protocol.scoring import Scoring, rescored, scorings
from ..report.compare import evaluation_protocols, unscored
from ..report.lines import Table
from ..report.render import render
from ..report.tables import build, request_of
from ..runner import external_weights
from ..runner.display import Display, clock
from ..runner.execution import Sets
from ..runner.run import Outcome, Run
from ..runner.status import counted, standing
from ..store.store import Store, default, existing
from . import launch
from .parser import (
    Commands,
    add_all,
    add_data,
    add_machine,
    add_request,
    add_table,
    add_tests,
    command,
    names,
    positive,
    setting,
)
from .tables import print_tables, requests


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "run", "train and score what is missing, then print the table")
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="python -m bench methods; or all")
    add_request(sub)
    add_machine(sub)
    add_data(sub)
    add_all(sub)
    sub.add_argument("--force", action="store_true", help="compute again what is done")
    sub.add_argument("--jobs", type=positive, default=1, metavar="N", help="units at a time (default 1)")
    sub.add_argument("--engine", choices=("loky", "dask", "slurm"), default="loky", help="default: this machine")
    sub.add_argument("--scheduler", default="", metavar="ADDRESS", help="of Dask, such as tcp://host:8786")
    sub.add_argument(
        "--slurm", type=setting, action="append", default=[], metavar="KEY=VALUE", help="such as slurm_partition=gpu"
    )
    sub.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost")
    sub.set_defaults(do=run)

    sub = command(commands, "status", "tell what is done, running, failed, stale or missing, and the time to go")
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="default: what was run last")
    sub.add_argument("--long", action="store_true", help="what is done, too")
    add_request(sub)
    sub.set_defaults(do=status)

    sub = command(
        commands,
        "rescore",
        "score the same weights and stored images under other evaluation protocols; nothing is trained",
    )
    sub.add_argument("--scoring", type=names, required=True, metavar="A,B", help="see bench/scorings.toml, or all")
    add_data(sub)
    add_table(sub)
    add_request(sub)
    add_machine(sub)
    sub.set_defaults(do=rescore)

    sub = command(commands, "score", "score external weights as a method's, then print the table")
    sub.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".safetensors, or a saved state dict")
    sub.add_argument("--method", required=True, metavar="NAME", help="whose network it is: python -m bench methods")
    add_data(sub)
    add_tests(sub)
    add_machine(sub)
    add_all(sub)
    sub.set_defaults(do=score, train="", seeds=(), steps=0, crop=0, skip_unusable=False, set=())


def run(options: argparse.Namespace) -> int:
    """Trains and scores what is missing, then prints the tables."""
    chosen, notes = launch.chosen(options, options.jobs)
    store = Store(options.store or default())
    requests = [launch.asked(options, suite, methods) for suite, methods in launch.suites_asked(options)]
    planned = [plan.make(request) for request in requests]  # all that is wrong is said before anything is trained
    outcomes, found = [], list[Table]()
    with Display() as display:
        for note in notes:
            display.note(note)
        sets = Sets(options.data)
        works = launch.works(options, planned, store, chosen, sets, display)
        if options.dry_run:
            frame, said = launch.dry_run(works)
            print(render(frame, options.format))
            print(said, file=sys.stderr)
            return 0
        for work in launch.able(works, display) if len(works) > 1 else works:
            outcome = work.carry_out()
            for cell in work.plan.cells:
                if cell.excluded:
                    display.note(f"{cell.name} {cell.noise.name}: {cell.excluded}")
            outcomes.append(outcome)
            found += build(store, work.plan.request, True)
            if outcome.interrupted:
                break
    print_tables(found, options)
    print(_summary(outcomes, store), file=sys.stderr)
    return max(outcome.code for outcome in outcomes)


def _summary(outcomes: list[Outcome], store: Store) -> str:
    states = sum((outcome.states for outcome in outcomes), Counter[str]())
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    how = "; run the same command again to continue" if outcomes[-1].interrupted else ""
    return f"cells: {counted}{how}. Records: {store.root}"


def status(options: argparse.Namespace) -> int:
    """Tells how far the last runs of a store are, or what would be run."""
    store, (here, _) = existing(options.store), machine.choose()
    if options.methods or options.set:
        requests = [launch.asked(options, suite, methods) for suite, methods in launch.suites_asked(options)]
    else:
        requests = _last_requests(store, options)
    found = []
    for request in requests:
        try:
            planned = plan.make(request, store.digests())
        except InputError as error:  # of a suite's file or a plug-in that is gone; the others can be told
            print(f"not told: {error}", file=sys.stderr)
        else:
            found += standing(planned, store, here)
    rows = [
        {"unit": one.unit, "kind": one.kind, "state": one.state, "detail": one.detail, "to go": clock(one.seconds)}
        for one in found
        if options.long or one.state != "done"
    ]
    if rows or options.format == "json":
        print(render(pd.DataFrame(rows), options.format))
    left = clock(sum(one.seconds for one in found))
    print(f"{counted(found)}; about {left} of one process's time to go", file=sys.stderr)
    return 0


def _last_requests(store: Store, options: argparse.Namespace) -> list[Request]:
    """What was run last of the suites asked for, with what is asked for otherwise now."""
    suites = [options.suite] if options.suite not in ("", "all") else sorted(store.asked())
    last = [request for suite in suites if (request := store.last_request(suite)) is not None]
    if not last:
        of = f" of {options.suite}" if options.suite else ""
        raise InputError(f"the store {store.root} has seen no run{of}; say what would be run: --methods A,B")
    asked, plain = launch.asked(options, ""), Request()
    given = {name: getattr(asked, name) for name in asked.__struct_fields__ if name not in ("suite", "preset")}
    given = {name: value for name, value in given.items() if value != getattr(plain, name)}
    return [structs.replace(one, **given | ({"preset": options.preset} if options.preset else {})) for one in last]


def rescore(options: argparse.Namespace) -> int:
    """Scores again under other evaluation protocols, then prints what each is worth in dB."""
    names = tuple(scorings()) if options.scoring == ("all",) else options.scoring
    for name in names:
        rescored(Scoring(), name)
    chosen, notes = launch.chosen(options)
    store, sets, tables_of = existing(options.store), Sets(options.data), {}
    outcomes: list[Outcome] = []
    with Display() as display:
        for note in notes:
            display.note(note)
        for name in names:
            found = []
            for asked in requests(store, options):
                request = request_of(store, asked, bool(options.preset))
                request = structs.replace(request, scoring="" if name == "official" else name, tested=())
                if not (outcomes and outcomes[-1].interrupted):
                    outcomes.append(
                        Run(
                            plan.make(request, store.digests()), store, chosen, sets, display, training=False
                        ).carry_out()
                    )
                found += build(store, request, True, options.table)
            tables_of[name] = found
    print(render(evaluation_protocols(tables_of), options.format))
    if outcomes and outcomes[-1].interrupted:
        print("interrupted before all was scored; run the same command again to continue", file=sys.stderr)
    else:
        for line in unscored(tables_of):
            print(line, file=sys.stderr)
    return max((outcome.code for outcome in outcomes), default=0)


def score(options: argparse.Namespace) -> int:
    """Scores external weights, then prints the tables."""
    chosen, notes = launch.chosen(options)
    store = Store(options.store or default())
    asked = launch.asked(options, options.suite or "synthetic")
    with Display() as display:
        for note in notes:
            display.note(note)
        planned = external_weights.add(store, asked, options.method, options.weights, display.note)
        for one in planned.request.weights:
            if one.file != options.weights.name:
                display.note(f"{options.weights.name} holds the weights of {one.file}, whose row shows them")
        outcome = Run(planned, store, chosen, Sets(options.data), display).carry_out()
    print_tables(build(store, planned.request, True), options)
    print(_summary([outcome], store), file=sys.stderr)
    return outcome.code
