"""What `run` starts: a run per suite, carried out here or by other processes."""

import argparse
import os
from pathlib import Path

import pandas as pd
import torch
from msgspec import structs

from ..compute import machine
from ..datasets.errors import AbsentError, InputError, unknown
from ..datasets.sets.catalogue import data_root
from ..protocol import plan, suite_files
from ..protocol.request import Request
from ..protocol.settings import canonical
from ..report.published import with_tables
from ..runner import cost, engines
from ..runner.display import Display, clock
from ..runner.execution import Sets
from ..runner.orders import Engine, Order
from ..runner.run import Run
from ..runner.spread import Spread
from ..store.store import Store


def chosen(options: argparse.Namespace, jobs: int = 1) -> tuple[machine.Machine, list[str]]:
    """The machine of this process, or of each of several."""
    threads = options.threads or (max(1, engines.cores() // jobs) if jobs > 1 else 0)
    found, notes = machine.choose(options.device, options.precision, threads, options.compile, options.deterministic)
    found.apply()
    return found, notes


def works(
    options: argparse.Namespace,
    planned: list[plan.Plan],
    store: Store,
    here: machine.Machine,
    sets: Sets,
    display: Display,
) -> list[Run]:
    """A run per suite, whose units this process executes or others do."""
    engine = _engine(options, here, store)
    known = (store, here, sets, display, options.force)
    if engine is None:
        return [Run(one, *known) for one in planned]
    order = _order(options, here, store)
    return [
        Spread(one, *known, engine=engine, order=structs.replace(order, request=one.request), jobs=options.jobs)
        for one in planned
    ]


def _engine(options: argparse.Namespace, here: machine.Machine, store: Store) -> Engine | None:
    """What carries orders to other processes; None if this one does the work."""
    if options.scheduler and options.engine != "dask":
        raise InputError("--scheduler is for --engine dask")
    if options.slurm and options.engine != "slurm":
        raise InputError("--slurm is for --engine slurm")
    if options.engine == "loky" and options.jobs == 1:
        return None
    if options.engine == "loky":
        return engines.loky(options.jobs, here.threads)
    if options.engine == "slurm":
        return engines.slurm(options.jobs, dict(options.slurm), store.root / "slurm")
    if options.jobs > 1:
        raise InputError("--engine dask has as many jobs as its workers have threads; --jobs is for loky and slurm")
    if not options.scheduler:
        raise InputError("--engine dask needs --scheduler ADDRESS, such as tcp://host:8786 (dask scheduler)")
    return engines.dask(options.scheduler)


def _order(options: argparse.Namespace, here: machine.Machine, store: Store) -> Order:
    """What all orders have in common; processes elsewhere choose their own device and threads."""
    root = data_root(options.data)
    order = Order(
        request=Request(),
        store=str(store.root.resolve()),
        data=str(root.resolve()) if root else None,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        compile=options.compile,
        deterministic=options.deterministic,
        plugins=tuple(str(path.resolve()) for path in options.plugin),
    )
    if options.engine != "loky":
        return order
    places = -(-options.jobs // max(1, torch.cuda.device_count()))
    order = structs.replace(order, parent=os.getpid(), places=places)
    return structs.replace(order, device=here.device, precision=here.precision, threads=here.threads)


def able(works: list[Run], display: Display) -> list[Run]:
    """The suites whose images are on this machine, all looked at before the first is trained; AbsentError if none."""
    able, absent = [], []
    for work in works:
        try:
            work.check(work.pending())
            able.append(work)
        except AbsentError as error:
            absent.append(error)
            display.note(f"suite {work.plan.suite.name} is left out: {error}")
    if not able:
        raise absent[0]
    return able


def asked(options: argparse.Namespace, suite: str, methods: tuple[str, ...] = ()) -> Request:
    """What the options ask of a suite."""
    return Request(
        suite=str(Path(suite).resolve()) if suite.endswith(".toml") else suite,  # understood from every folder
        preset=options.preset or "mini",
        methods=methods,
        noises=options.noise,
        train=options.train,
        tests=options.test_sets,
        seeds=options.seeds,
        steps=options.steps,
        crop=options.crop,
        skip_unusable=options.skip_unusable,
        net=options.net,
        repeats=options.repeats,
        settings=_settings(options, suite),
        tested=options.tested,
    )


def _settings(options: argparse.Namespace, suite: str) -> tuple[str, ...]:
    """The settings asked of a suite; of all suites, each takes those of methods that it knows."""
    if options.suite != "all" or not suite:
        return canonical(options.set)
    known = plan.methods_of(suite_files.load(suite))
    return tuple(one for one in canonical(options.set) if one.partition(".")[0] in known)


def suites_asked(options: argparse.Namespace) -> list[tuple[str, tuple[str, ...]]]:
    """The suites asked for, each with those of the methods that it can run."""
    if not options.methods and not options.set:
        raise InputError("--methods A,B is missing; python -m bench methods lists them")
    names = with_tables() if options.suite == "all" else [options.suite or "synthetic"]
    known = {name: plan.methods_of(suite_files.load(name)) for name in names}
    unknown_ = [
        method for method in options.methods if method != "all" and not any(method in k for k in known.values())
    ]
    if unknown_:
        everywhere = dict.fromkeys(method for methods in known.values() for method in methods)
        raise unknown("method", unknown_[0], ["all", *everywhere], plan.OWN)
    found = []
    for name in names:
        rows = [row.method for row in suite_files.load(name).rows if not row.optional]
        chosen = [m for method in options.methods for m in (rows if method == "all" else [method]) if m in known[name]]
        if chosen or len(names) == 1 or _settings(options, name):  # of all suites, those that have something to do
            found.append((name, tuple(dict.fromkeys(chosen))))
    return found


def dry_run(works: list[Run]) -> tuple[pd.DataFrame, str]:
    """What is to do, and how long it takes: one list for all suites, as a unit that several share is done once."""
    pending = {unit.key: unit for work in works for _, unit in work.pending()}
    total = len(set().union(*(work.keys() for work in works)))
    estimates = [cost.seconds(unit, works[0].machine) for unit in pending.values()]
    rows = [
        {"unit": unit.title, "kind": type(unit).__name__.lower(), "key": unit.key, "estimated": clock(seconds)}
        for unit, seconds in zip(pending.values(), estimates, strict=True)
    ]
    left = sum(estimates) / min(works[0].jobs, max(1, len(rows)))
    said = f"{total - len(rows)} of {total} units done; the others take about {clock(left)}"
    return pd.DataFrame(rows, columns=["unit", "kind", "key", "estimated"]), said
