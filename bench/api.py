"""The functions behind the commands: they take plain Python values, return data, and raise InputError."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import pandas as pd
from msgspec import structs

from .compute import machine as machines
from .datasets.errors import AbsentError, InputError, unknown
from .datasets.sets.catalogue import data_root
from .datasets.sets.find import find
from .datasets.sets.image_set import CatalogueSet
from .methods import registry
from .protocol import plan, suite_files
from .protocol.request import Request
from .protocol.scoring import Scoring, rescored, scorings
from .protocol.settings import canonical
from .protocol.units import Score
from .report.frames import frame
from .report.lines import Table
from .report.published import suite_of, with_tables
from .report.tables import build, request_of
from .runner import engines, external_weights
from .runner.display import Display
from .runner.estimates import Estimates
from .runner.execution import Sets
from .runner.run import Outcome, Run
from .runner.status import Standing, standing
from .runner.workers import Job, Jobs
from .store.store import Store, default, existing

PathLike = str | os.PathLike[str]


class Asked(TypedDict, total=False):
    """What is asked for besides methods, suite and preset; what is left out is as in the preset."""

    noises: Sequence[str]  # such as gauss25
    train: str  # a training set, or folder:PATH
    tests: Sequence[str]  # test sets
    seeds: Sequence[int]
    steps: int
    crop: int  # side of training crops [pixels]
    skip_unusable: bool  # goes on without unreadable or too small images of a folder
    net: str  # a registered network, for every method that accepts one
    repeats: int  # noise draws per test image
    settings: Sequence[str]  # rows for other values of fields, such as b2u.lambda_f=2,40
    tested: Sequence[str]  # noises that a method was not trained for


class Computed(TypedDict, total=False):
    """What computes, on which images, into which store; by default this machine's best device and `results/runs`."""

    data: PathLike | None  # the folder of image sets
    store: PathLike | None
    device: str  # auto, cpu, cuda, cuda:N
    precision: str  # auto, bf16, float32
    threads: int
    compile: bool | None
    deterministic: bool
    plugins: Sequence[PathLike]
    quiet: bool  # shows no progress


class Options(Asked, Computed, total=False):
    """What a run can be told."""

    force: bool  # computes again what is done
    jobs: int  # workers
    engine: str  # what starts them: local, dask, slurm
    scheduler: str  # the address of Dask's
    slurm: Mapping[str, int | str]  # parameters of submitit


def run(methods: Sequence[str], suite: str = "synthetic", preset: str = "mini", **options: Unpack[Options]) -> Outcome:
    """Trains and scores what is missing in the store; InputError for wrong input."""
    with Display(options.get("quiet", False)) as display:
        works = _works(requests(methods, suite, preset, **_asked(options)), options, display)
        outcome = Outcome(store=works[0].store.root)
        for work in _able(works, outcome, display) if len(works) > 1 else works:
            outcome.add(work.carry_out(), work.plan.request)
            for line in excluded(work.plan):
                display.note(line)
            if outcome.interrupted:
                break
    return outcome


class DryRun(TypedDict):
    """What a run would do."""

    units: list[tuple[str, str, str, float]]  # title, kind, key, estimated seconds of one process
    total: int  # units, done ones included
    seconds: float  # of all workers together
    notes: list[str]  # images that are missing, methods that are left out
    store: Path


def dry_run(
    methods: Sequence[str], suite: str = "synthetic", preset: str = "mini", **options: Unpack[Options]
) -> DryRun:
    """What `run` would do, and how long it takes; nothing is computed, and no image is read."""
    works = _works(requests(methods, suite, preset, **_asked(options)), options, Display(quiet=True))
    pending = {unit.key: unit for work in works for _, unit in work.pending()}
    estimates = Estimates(works[0].store, works[0].machine)
    units = [(unit.title, type(unit).__name__.lower(), unit.key, estimates.seconds(unit)) for unit in pending.values()]
    sets = {unit.test if isinstance(unit, Score) else unit.train for unit in pending.values()}
    notes = [doubt for work in works for doubt in work.plan.doubts] + missing_sets(sets, works[0].sets.data)
    notes += [line for work in works for line in excluded(work.plan)]
    total = len(set().union(*(work.keys() for work in works)))
    seconds = sum(one[3] for one in units) / min(works[0].jobs, max(1, len(units)))
    return DryRun(units=units, total=total, seconds=seconds, notes=notes, store=works[0].store.root)


def missing_sets(names: Iterable[str], data: Path | None) -> list[str]:
    """The image sets that are not on this machine, and how to get each."""
    found = []
    for name in sorted(names):
        image_set = find(name)
        if isinstance(image_set, CatalogueSet) and (lacking := image_set.summary(data).missing):
            found.append(f"{name}: {lacking} images are missing; get: {image_set.how_to_get}")
    return found


def excluded(planned: plan.Plan) -> list[str]:
    """Why cells of a plan have no number, and which methods cannot be run on this machine."""
    cells = [f"{cell.name} {cell.noise.name}: {cell.excluded}" for cell in planned.cells if cell.excluded]
    lacking = {cell.name: why for cell in planned.cells if (why := cell.fit.method.unavailable())}
    return [*cells, *(f"{name}: skipped: {why}" for name, why in lacking.items())]


def status(
    methods: Sequence[str] = (),
    suite: str = "",
    preset: str = "",
    *,
    store: PathLike | None = None,
    **asked: Unpack[Asked],
) -> tuple[list[Standing], list[str]]:
    """How the units of the last runs stand, or those that `methods` would run; and what cannot be said."""
    where, (here, _) = existing(_path(store)), machines.choose()
    if methods or asked.get("settings"):
        wanted = requests(methods, suite or "synthetic", preset or "mini", **asked)
    else:
        wanted = _last_requests(where, suite, preset, request("", (), preset or "mini", **asked))
    found, wrong = list[Standing](), list[str]()
    for one in wanted:
        try:
            found += standing(plan.make(one, where.digests()), where, here)
        except InputError as error:  # the suite's file or a plug-in is gone; the others can be said
            wrong.append(str(error))
    return found, wrong


def rescore(
    scoring: Sequence[str], wanted: Sequence[Request], preset: bool, number: int | None, **options: Unpack[Computed]
) -> tuple[dict[str, list[Table]], Outcome]:
    """Scores again what the store has under other evaluation protocols; the tables of each, and how it ended."""
    names = list(scorings()) if list(scoring) == ["all"] else list(scoring)
    for name in names:
        rescored(Scoring(), name)
    store, tables_of = existing(_path(options.get("store"))), dict[str, list[Table]]()
    here, notes = _machine(options, 1)
    outcome, sets = Outcome(store=store.root), Sets(_path(options.get("data")))
    with Display(options.get("quiet", False)) as display:
        for note in notes:
            display.note(note)
        for name in names:
            tables_of[name] = []
            for asked in wanted:
                one = request_of(store, asked, preset)
                one = structs.replace(one, scoring="" if name == "preset" else name, tested=())
                if not outcome.interrupted:
                    work = Run(plan.make(one, store.digests()), store, here, sets, display, training=False)
                    outcome.add(work.carry_out(), one)
                tables_of[name] += build(store, one, True, number)
    return tables_of, outcome


def score(method: str, weights: PathLike, asked: Request, **options: Unpack[Computed]) -> Outcome:
    """Scores external weights as those of a method."""
    store, file = Store(_path(options.get("store")) or default()), Path(weights)
    here, notes = _machine(options, 1)
    outcome = Outcome(store=store.root)
    with Display(options.get("quiet", False)) as display:
        for note in notes:
            display.note(note)
        planned = external_weights.add(store, asked, method, file, display.note)
        for one in planned.request.weights:
            if one.file != file.name:
                display.note(f"{file.name} holds the weights of {one.file}, whose row shows them")
        work = Run(planned, store, here, Sets(_path(options.get("data"))), display)
        outcome.add(work.carry_out(), planned.request)
    return outcome


def tables(table: int = 1, preset: str = "", *, store: PathLike | None = None) -> pd.DataFrame:
    """A table of the paper from the store's records: its last run, or a preset."""
    registry.load_entry_points()
    asked = Request(suite=suite_of(table), preset=preset or "mini")
    (found,) = build(Store(_path(store) or default()), asked, bool(preset), table)
    return frame(found)


def request(suite: str, methods: Sequence[str], preset: str = "mini", **asked: Unpack[Asked]) -> Request:
    """What is asked of one suite; the path of its file means the same from every folder."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
    values["settings"] = canonical(tuple(asked.get("settings", ())))
    name = str(Path(suite).resolve()) if suite.endswith(".toml") else suite
    return Request(suite=name, preset=preset, methods=tuple(methods), **values)  # type: ignore[arg-type]


def requests(methods: Sequence[str], suite: str, preset: str, **asked: Unpack[Asked]) -> list[Request]:
    """What is asked of each suite, with those of the methods that it can run; InputError for an unknown one."""
    if not methods and not asked.get("settings"):
        raise InputError("--methods A,B is missing; python -m bench methods lists them")
    names = with_tables() if suite == "all" else [suite]
    known = {name: plan.methods_of(suite_files.load(name)) for name in names}
    for method in methods:
        if method != "all" and not any(method in inside for inside in known.values()):
            everywhere = dict.fromkeys(one for inside in known.values() for one in inside)
            raise unknown("method", method, ["all", *everywhere], plan.OWN)
    found = []
    for name in names:
        rows = [row.method for row in suite_files.load(name).rows if not row.optional]
        chosen = [m for method in methods for m in (rows if method == "all" else [method]) if m in known[name]]
        own = request(name, tuple(dict.fromkeys(chosen)), preset, **asked)
        if suite == "all":
            settings = tuple(one for one in own.settings if one.partition(".")[0] in known[name])
            own = structs.replace(own, settings=settings)
        if chosen or own.settings or len(names) == 1:  # of all suites, those that have something to do
            found.append(own)
    return found


def _asked(options: Options) -> Asked:
    return {name: value for name, value in options.items() if name in Asked.__annotations__}  # type: ignore[return-value]


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _last_requests(store: Store, suite: str, preset: str, asked: Request) -> list[Request]:
    """What was run last of the suites asked for, with what is asked for otherwise now."""
    name = request(suite, ()).suite
    last = [one for each in ([name] if suite not in ("", "all") else sorted(store.asked()))
            if (one := store.last_request(each)) is not None]  # fmt: skip
    if not last:
        of = f" of {suite}" if suite else ""
        raise InputError(f"the store {store.root} has seen no run{of}; say what would be run: --methods A,B")
    plain = structs.asdict(Request())
    given = {name: value for name, value in structs.asdict(asked).items() if value != plain[name]}
    given = {name: value for name, value in given.items() if name not in ("suite", "preset")}
    return [structs.replace(one, **given | ({"preset": preset} if preset else {})) for one in last]


def _machine(options: Computed, jobs: int) -> tuple[machines.Machine, list[str]]:
    """The machine of this process, or of each of several."""
    threads = options.get("threads", 0) or (max(1, engines.cores() // jobs) if jobs > 1 else 0)
    names = ("device", "precision", "compile", "deterministic")
    known = {name: options[name] for name in names if name in options}  # type: ignore[literal-required]
    return machines.choose(threads=threads, **known)


def _works(wanted: list[Request], options: Options, display: Display) -> list[Run]:
    """A run for each request, whose units this process executes or workers do; InputError before anything starts."""
    registry.load_entry_points()
    jobs, kind = options.get("jobs", 1), options.get("engine", "local")
    store, data = Store(_path(options.get("store")) or default()), _path(options.get("data"))
    planned = [plan.make(one) for one in wanted]  # all that is wrong is said before anything is trained
    here, notes = _machine(options, jobs)
    known = (store, here, Sets(data), display, options.get("force", False))
    engine = engines.choose(kind, jobs, options.get("scheduler", ""), dict(options.get("slurm", {})), store.root)
    for note in notes:
        display.note(note)
    if engine is None:
        return [Run(one, *known) for one in planned]
    root, local = data_root(data), engine.local  # processes elsewhere choose their own device and threads
    job = Job(
        request=Request(),
        store=str(store.root.resolve()),
        data=str(root.resolve()) if root else None,
        device=here.device if local else options.get("device", "auto"),
        precision=here.precision if local else options.get("precision", "auto"),
        threads=here.threads if local else options.get("threads", 0),
        compile=options.get("compile"),
        deterministic=options.get("deterministic", False),
        plugins=tuple(str(Path(path).resolve()) for path in options.get("plugins", ())),
    )
    return [Jobs(one, *known, engine=engine, job=job) for one in planned]


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
