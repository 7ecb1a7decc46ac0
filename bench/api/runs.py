"""What computes: run, rescore, score; and what says how far they are or what they would do."""

import os
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import pandas as pd
from msgspec import structs

from ..compute.machine import choose
from ..datasets import files
from ..datasets.errors import AbsentError, InputError, few, plural
from ..datasets.sets.catalogue import data_root
from ..datasets.sets.find import find
from ..datasets.sets.image_set import CatalogueSet
from ..protocol import plan
from ..protocol.request import Request
from ..protocol.scoring import Scoring, rescored, scorings
from ..protocol.settings import parse_all
from ..protocol.units import Fit, Score
from ..report.compare import by_protocol, evaluation_protocols, unscored
from ..report.table_lines import Table
from ..report.tables import build, request_of
from ..runner import engines, external_weights
from ..runner.display import Display
from ..runner.estimates import Estimates
from ..runner.execution import Sets
from ..runner.run import Outcome, Run
from ..runner.status import Standing, standing
from ..runner.workers import Assignment, SharedRun
from ..store.last_runs import Last
from ..store.store import Store
from .options import (
    Asked,
    Options,
    PathLike,
    RunOptions,
    asked_in,
    load_plugins,
    machine_of,
    path_of,
    request,
    requests,
    store_of,
    table_requests,
)


def run(
    methods: Sequence[str], suite: str = "synthetic", preset: str = "mini", **options: Unpack[RunOptions]
) -> Outcome:
    """Trains and scores what is missing in the store; InputError for wrong input, or if nothing of it is possible."""
    load_plugins(options.get("plugins", ()))
    with Display(options.get("quiet", False)) as display:
        works = _works(requests(methods, suite, preset, **asked_in(options)), options, display)
        try:
            outcome = Outcome(store=works[0].store.root, impossible=_impossible(works, methods))
            for work in _able(works, outcome, display) if len(works) > 1 else works:
                outcome.add(work.carry_out(), work.plan.request)
                for line in _excluded(work.plan):
                    display.note(line)
                if outcome.interrupted:
                    break
        finally:
            works[0].close()
    return outcome


class DryRun(TypedDict):
    """What a run would do."""

    units: list[tuple[str, str, str, float]]  # title, kind, key, estimated seconds of one process
    total: int  # units, done ones included
    seconds: float  # of all workers together
    notes: list[str]  # images that are missing, cells that are left out
    impossible: list[str]  # methods of which all cells are, with the reasons
    store: Path


def dry_run(
    methods: Sequence[str], suite: str = "synthetic", preset: str = "mini", **options: Unpack[RunOptions]
) -> DryRun:
    """What `run` would do, and how long it takes; nothing is computed, and no image is read."""
    load_plugins(options.get("plugins", ()))
    works = _works(requests(methods, suite, preset, **asked_in(options)), options, Display(quiet=True))
    _check_place(works[0].store.root)
    impossible = _impossible(works, methods)
    pending = {unit.key: unit for work in works for _, unit in work.pending()}
    estimates = Estimates(works[0].store, works[0].machine)
    units = [(unit.title, type(unit).__name__.lower(), unit.key, estimates.seconds(unit)) for unit in pending.values()]
    sets = {unit.test if isinstance(unit, Score) else unit.train for unit in pending.values()}
    notes = [warning for work in works for warning in work.plan.warnings] + _missing_sets(sets, works[0].sets.data)
    notes += [line for work in works for line in _excluded(work.plan)]
    total = len(set().union(*(work.plan.units() for work in works)))
    seconds = sum(one[3] for one in units) / min(works[0].jobs, max(1, len(units)))
    store = works[0].store.root
    return DryRun(units=units, total=total, seconds=seconds, notes=notes, impossible=impossible, store=store)


def _check_place(root: Path) -> None:
    """InputError for a store that cannot be a folder."""
    place = next(one for one in (root, *root.parents) if os.path.lexists(one))
    if not files.is_folder(place):
        raise InputError(f"cannot write to the store {root}: {place} is no folder; give another with --store DIR")


def _missing_sets(names: Iterable[str], data: Path | None) -> list[str]:
    """The image sets that are not on this machine, and how to get each."""
    found = []
    for name in sorted(names):
        image_set = find(name)
        if isinstance(image_set, CatalogueSet) and (lacking := image_set.summary(data).missing):
            lack = f"{plural(lacking, 'image')} {'is' if lacking == 1 else 'are'} missing"
            found.append(f"{name}: {lack}; get: {image_set.how_to_get}")
    return found


def _excluded(planned: plan.Plan) -> list[str]:
    """Why cells of a plan have no number, and which methods cannot be run on this machine."""
    lacking = {cell.name: why for cell in planned.cells if (why := cell.fit.method.unavailable())}
    return [*_impossible_cells(planned), *(f"{name}: skipped: {why}" for name, why in lacking.items())]


def _impossible_cells(planned: plan.Plan) -> list[str]:
    """Why cells of a plan have no number."""
    return [f"{cell.name} {cell.noise.name}: {cell.excluded}" for cell in planned.cells if cell.excluded]


def _impossible(works: list[Run], methods: Sequence[str]) -> list[str]:
    """Those of the methods asked for of which no cell can be computed; InputError if that is true of all of them."""
    cells = [(cell.name, _why_not(work, cell)) for work in works for cell in work.plan.cells]
    settings = [one.name for one in parse_all(text for work in works for text in work.plan.request.settings)]
    asked, found = list(dict.fromkeys([*methods, *settings])), list[str]()
    for name in asked:
        mine = [why for cell, why in cells if cell == name or (name == "all" and cell not in plan.BASELINES)]
        if mine and all(mine):
            found.append(f"{name} {few(list(dict.fromkeys(mine)), '; ')}")
    if len(found) == len(asked):
        raise InputError(f"nothing that was asked for can be computed: {few(found, '; ')}")
    return found


def _why_not(work: Run, cell: plan.Cell) -> str:
    """Why a cell cannot be computed, here or at all; empty if it can, or is done."""
    if cell.excluded:
        return "" if cell.excluded.kind == "failed" else f"{cell.noise.name}: {cell.excluded}"
    lacking = cell.fit.method.unavailable()
    done = not lacking or all(work.store.whole(unit) for unit in cell.units())
    return "" if done else f"{cell.noise.name}: {lacking}"


def status(
    methods: Sequence[str] = (),
    suite: str = "",
    preset: str = "",
    *,
    store: PathLike | None = None,
    **asked: Unpack[Asked],
) -> tuple[list[Standing], list[str]]:
    """How the units of the last runs stand, or those that `methods` would run; and what is left out, and why."""
    where, (here, _) = store_of(store), choose()
    if methods or asked.get("settings"):
        wanted = requests(methods, suite or "synthetic", preset or "mini", **asked)
    else:
        wanted = _last_requests(where, suite, preset, request("", (), preset or "mini", **asked))
    found, wrong = list[Standing](), list[str]()
    for one in wanted:
        try:
            planned = plan.make(one, where.last.known().digests)
            found += standing(planned, where, here)
            wrong += [line for line in _impossible_cells(planned) if line not in wrong]
        except InputError as error:  # the suite's file or a plug-in is gone; the others can be said
            wrong.append(str(error))
    return found, wrong


class Rescored(NamedTuple):
    """The scores of the same outputs under several evaluation protocols."""

    scores: pd.DataFrame  # with the differences from the first protocol
    unscored: list[str]  # what the others have no numbers of
    outcome: Outcome

    @property
    def by_protocol(self) -> pd.DataFrame:
        """The scores with a row for each evaluation protocol."""
        return by_protocol(self.scores)


def rescore(
    scoring: Sequence[str], suite: str = "", preset: str = "", table: int | None = None, **options: Unpack[Options]
) -> Rescored:
    """Scores again what the store has under other evaluation protocols; nothing is trained."""
    load_plugins(options.get("plugins", ()))
    store, found = store_of(options.get("store")), dict[str, list[Table]]()
    wanted = table_requests(store, suite, preset, table, **asked_in(options))
    names = list(scorings()) if list(scoring) == ["all"] else list(scoring)
    for name in names:
        rescored(Scoring(), name)
    here, _ = machine_of(options)  # nothing is trained
    outcome, sets = Outcome(store=store.root), Sets(path_of(options.get("data")))
    with Display(options.get("quiet", False)) as display:
        for name, asked in product(names, wanted):
            last = structs.replace(request_of(store, asked, bool(preset)), tested=())
            one = structs.replace(last, scoring="" if name == "preset" else name)
            if not outcome.interrupted:
                planned = _of_recorded_fits(one, last, store)
                outcome.add(Run(planned, store, here, sets, display, training=False).carry_out(), one)
            found.setdefault(name, []).extend(build(store, one, True, table))
    return Rescored(evaluation_protocols(found), unscored(found), outcome)


def _of_recorded_fits(asked: Request, last: Request, store: Store) -> plan.Plan:
    """The plan of a request, with those cells alone whose fits or scores the last request left in the store."""
    digests = store.last.known().digests
    cells = plan.make(last, digests).cells
    known = {cell.fit.key for cell in cells if any(store.path(unit).is_file() for unit in cell.units())}
    planned = plan.make(asked, digests)
    return structs.replace(planned, cells=tuple(cell for cell in planned.cells if cell.fit.key in known))


def score(
    method: str, weights: PathLike, suite: str = "synthetic", preset: str = "mini", **options: Unpack[Options]
) -> Outcome:
    """Scores external weights as those of a method."""
    load_plugins(options.get("plugins", ()))
    store, file = store_of(options.get("store"), must_exist=False), Path(weights)
    asked = request(suite, (), preset, **asked_in(options))
    here, _ = machine_of(options)  # nothing is trained
    outcome = Outcome(store=store.root)
    with Display(options.get("quiet", False)) as display:
        planned = external_weights.plan_external(store, asked, method, file, display.note)
        for one in planned.request.weights:
            if one.file != file.name:
                display.note(f"{file.name} holds the weights of {one.file}, whose row shows them")
        work = Run(planned, store, here, Sets(path_of(options.get("data"))), display, training=False)
        outcome.add(work.carry_out(), planned.request)
        asked = planned.request  # it replaces that of no run
        store.last.adopt(Last(planned.digests.folders, {asked.suite: asked}))
    return outcome


def _last_requests(store: Store, suite: str, preset: str, asked: Request) -> list[Request]:
    """What was run last of the suites asked for, with what is asked for otherwise now."""
    known = store.last.known().requests
    names = [request(suite, ()).suite] if suite not in ("", "all") else sorted(known)
    last = [known[name] for name in names if name in known]
    if not last:
        of = f" of {suite}" if suite else ""
        raise InputError(f"the store {store.root} has seen no run{of}; say what would be run: --methods A,B")
    return [structs.replace(asked.over(one), preset=preset or one.preset) for one in last]


def _works(wanted: list[Request], options: RunOptions, display: Display) -> list[Run]:
    """A run for each request, whose units this process executes or workers do; InputError before anything starts."""
    jobs, kind = options.get("jobs", 1), options.get("engine", "local")
    store, data = store_of(options.get("store"), must_exist=False), path_of(options.get("data"))
    planned = [plan.make(one) for one in wanted]  # all that is wrong is said before anything is trained
    here, notes = machine_of(options, jobs)
    known = (store, here, Sets(data), display, options.get("force", False))
    engine = engines.choose(kind, jobs, options.get("scheduler", ""), dict(options.get("slurm", {})), store.root)
    if engine is None:
        return _noted([Run(one, *known) for one in planned], notes)
    root, local = data_root(data), engine.local  # processes elsewhere choose their own device and threads
    assignment = Assignment(
        request=Request(),
        store=str(files.resolved(store.root)),
        data=str(files.resolved(root)) if root else None,
        device=here.device if local else options.get("device", "auto"),
        precision=here.precision if local else options.get("precision", "auto"),
        threads=here.threads if local else options.get("threads", 0),
        compile=options.get("compile"),
        deterministic=options.get("deterministic", False),
        plugins=tuple(str(Path(path).resolve()) for path in options.get("plugins", ())),
    )
    return _noted([SharedRun(one, *known, engine=engine, assignment=assignment) for one in planned], notes)


def _noted(works: Sequence[Run], notes: list[str]) -> list[Run]:
    """The runs, after what the machine cannot do is said where there is something to train."""
    units = [unit for work in works for _, unit in work.pending()]
    if any(isinstance(unit, Fit) or unit.fit.method.per_image() for unit in units):
        for note in notes:
            works[0].display.note(note)
    return list(works)


def _able(works: list[Run], outcome: Outcome, display: Display) -> list[Run]:
    """The runs whose images are on this machine, all looked at before the first trains; AbsentError if none."""
    able, absent = [], []
    for work in works:
        try:
            work.check(work.pending())
            able.append(work)
        except AbsentError as error:
            absent.append(error)
            display.note(f"suite {work.plan.suite.name} is left out: {error}")
            outcome.states["missing"] += sum(cell.excluded is None for cell in work.plan.cells)
    if not able:
        raise absent[0]
    return able
