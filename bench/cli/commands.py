"""What the commands do: call, print, say how it ended."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import torch
from msgspec import structs

from .. import __version__
from ..apply.submission import submit
from ..compute import machine
from ..datasets.errors import InputError, printable, unknown
from ..datasets.sets import overview
from ..datasets.sets.catalogue import catalogue, data_root
from ..datasets.sets.sidd import About
from ..methods import registry
from ..protocol import plan, suite_files
from ..protocol.request import Request
from ..protocol.scoring import Scoring, rescored, scorings
from ..report.compare import compare, evaluation_protocols, unscored
from ..report.lines import Table, plain
from ..report.render import page, render
from ..report.tables import build, request_of, suite_of, with_tables
from ..run import external_weights
from ..run.display import Display, Lines
from ..run.execution import Sets
from ..run.runner import Outcome, Run
from ..store.store import Store, default, existing
from . import launch


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
                if cell.reason:
                    display.note(f"{cell.name} {cell.noise.name}: {cell.reason}")
            outcomes.append(outcome)
            found += build(store, work.plan.request, True)
            if outcome.interrupted:
                break
    _print_tables(found, options)
    print(_summary(outcomes, store), file=sys.stderr)
    return max(outcome.code for outcome in outcomes)


def tables(options: argparse.Namespace) -> int:
    """Prints tables from the records alone."""
    store = existing(options.store)
    found = _shown(store, options)
    if options.compare:
        other = Store(options.compare)
        if not other.root.is_dir():
            raise InputError(f"--compare {other.root}: no such folder")
        names = (str(store.root), str(other.root))
        print(render(compare(found, _shown(other, options), names), options.format))
        _complain(other)
    else:
        _print_tables(found, options)
    _complain(store)
    return 0


def _complain(store: Store) -> None:
    """Names the records that could not be read."""
    for error in store.look()[1]:
        print(f"not read: {error}", file=sys.stderr)


def _shown(store: Store, options: argparse.Namespace) -> list[Table]:
    """The tables asked for."""
    asked = _requests(store, options)
    return [table for one in asked for table in build(store, one, bool(options.preset), options.table)]


def _requests(store: Store, options: argparse.Namespace) -> list[Request]:
    """The suites asked for; if none is, those that the store has records of."""
    if options.table is not None:
        names = [suite_of(options.table) if options.suite in ("", "all") else options.suite]
        if str(options.table) not in (known := suite_files.load(names[0]).tables):
            raise unknown(f"table of suite {names[0]}", str(options.table), known)
    elif options.suite and options.suite != "all":
        names = [options.suite]
    else:
        recorded = {record.label["suite"] for record in store.find("")} | store.asked()
        names = [name for name in with_tables() if name in recorded or options.suite == "all"] or ["synthetic"]
    return [launch.asked(options, suite) for suite in names]


def _print_tables(found: list[Table], options: argparse.Namespace) -> None:
    if options.format == "json":
        rows = [row for table in found for row in plain(table.lines)]
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        print(page(found, options.format, getattr(options, "long", False)))


def figures(options: argparse.Namespace) -> int:
    """Draws what the store has."""
    from ..report.figures import Inputs, Made, draw  # imported here: matplotlib is slow to load

    store, (chosen, _) = existing(options.store), machine.choose()
    images, drawn, refused = Sets(options.data), 0, []
    for asked in _requests(store, options):
        planned = plan.make(request_of(store, asked, bool(options.preset)))
        try:
            found = draw(Inputs(planned, store, chosen, images), options.out)
        except InputError as error:
            refused.append(error)
            continue
        for one in found:
            drawn += isinstance(one, Made)
            print(one.path if isinstance(one, Made) else f"{one.name}: skipped: {one.reason}")
    _complain(store)
    if not drawn and refused:
        raise refused[0]
    return 0


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
            for asked in _requests(store, options):
                request = request_of(store, asked, bool(options.preset))
                request = structs.replace(request, scoring="" if name == "official" else name, tested=())
                if not (outcomes and outcomes[-1].interrupted):
                    outcomes.append(Run(plan.make(request), store, chosen, sets, display, training=False).carry_out())
                found += build(store, request, True, options.table)
            tables_of[name] = found
    print(render(evaluation_protocols(tables_of), options.format))
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
    _print_tables(build(store, planned.request, True), options)
    print(_summary([outcome], store), file=sys.stderr)
    return outcome.code


def export(options: argparse.Namespace) -> int:
    """Writes the weights of a training as a file."""
    title = external_weights.export(Store(options.store or default()), options.cell, options.out)
    print(f"{title}: {options.out}")
    return 0


def regression(options: argparse.Namespace) -> int:
    """Compares with the committed references, or writes them anew."""
    from ..tools import regression  # imported here: nothing else needs it

    def report(case: str) -> None:
        print(case, file=sys.stderr, flush=True)

    if options.update:
        for case in regression.update(options.cases, options.data, report):
            print(f"{case}: skipped, its data are not on this machine")
        return 0
    found = list(regression.check(options.cases, options.data, report))
    rows = [dict(zip(("case", "expected", "found", "verdict"), finding.words, strict=True)) for finding in found]
    print(render(pd.DataFrame(rows), options.format))
    red = [finding.case for finding in found if finding.state == "failed"]
    print(f"{len(red)} of {len(found)} failed" + "".join(f"\n  {case}" for case in red), file=sys.stderr)
    return 1 if red else 0


def submission(options: argparse.Namespace) -> int:
    """Writes a submission to the SIDD server."""
    chosen, notes = launch.chosen(options)
    for note in notes:
        print(note, file=sys.stderr)
    planned = plan.make(launch.asked(options, options.suite or "raw", options.methods))
    about = About(",".join(options.methods), options.authors, options.title, options.venue)
    store = Store(options.store or default())
    submit(planned, store, chosen, options.blocks, options.out, options.output, about, Lines())
    print(options.out)
    return 0


def sets(options: argparse.Namespace) -> int:
    """Lists, shows, fetches, verifies or prepares image sets."""
    progress = Lines()
    if options.data and options.action in ("list", "show", "verify") and not options.data.is_dir():
        raise InputError(f"--data {options.data}: no such folder")
    if options.action == "list":
        print(render(overview.listed(options.data), options.format))
        return 0
    if options.action == "show":
        print(render(overview.shown(_only(options.sets), options.data), options.format))
        return 0
    if options.action == "verify":
        frame, right = overview.verified(_known(options.sets), options.data, progress)
        print(render(frame, options.format))
        return 0 if right else 1
    root = options.data or default_data()
    if options.action == "fetch":
        frame = overview.fetched(_known(options.sets), root, options.mirror, progress)
        print(render(frame, options.format))
        return 2 if (frame["result"] == "damaged").any() else int((frame["result"] == "failed").any())
    if options.source is None:
        raise InputError("data prepare: --source DIR is missing: where the files as they were downloaded lie")
    pack = overview.prepared(_only(options.sets), options.source, root, progress)
    print(f"{len(pack)} images in {pack.folder}")
    return 0


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in catalogue():
            raise unknown("image set", name, catalogue())
    if not names:
        raise InputError("data: name one or more image sets (python -m bench data list)")
    return names


def _only(names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise InputError(f"data: {len(names)} image sets named; expected one (python -m bench data list)")
    return _known(names)[0]


def default_data() -> Path:
    """The folder of image sets where none is given; InputError without $BENCH_DATA."""
    root = data_root(None)
    if root is None:
        raise InputError("where to? give --data DIR, or set BENCH_DATA")
    return root


def methods(options: argparse.Namespace) -> int:
    """Lists the methods."""
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "paper": method.card.paper,
            "equations": method.card.equations,
            "deviations": method.card.deviations,
            "supervision": method.supervision,
            "knowledge": method.knowledge,
            "trains_on": method.trains_on,
            "outputs": [output.name for output in method.outputs],
            "primary": method.primary().name,
        }
        for name, method in sorted(registry.methods().items())
    ]
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    shown = pd.DataFrame(rows).drop(columns=["equations", "deviations", "trains_on", "primary"])
    print(render(shown.assign(outputs=shown["outputs"].map(", ".join)), options.format))
    return 0


def show(options: argparse.Namespace) -> int:
    """Prints one record."""
    store = existing(options.store)
    records = store.find(options.cell)
    for error in store.look()[1]:
        if error.path.stem.startswith(options.cell):
            raise error
    _complain(store)
    if not records:
        raise unknown("cell", options.cell, [record.title for record in store.find("")], f"Store: {store.root}.")
    shortest = min(records, key=lambda record: len(record.title))
    if all(record.title.startswith(shortest.title) for record in records):
        records = [shortest]  # a fit and its scores: the fit
    if options.format == "json" or (options.format == "terminal" and len(records) == 1):
        print(msgspec.json.format(msgspec.json.encode(records if options.format == "json" else records[0])).decode())
        return 0
    rows = [
        {"key": r.key, "kind": r.kind, "state": r.state, "cell": printable(r.title), "preset": r.label["preset"]}
        for r in records
    ]
    print(render(pd.DataFrame(rows), options.format))
    return 0


def check(options: argparse.Namespace) -> int:
    """Tells whether a method fits the harness."""
    from ..tools.conformance import check, targets  # imported here: nothing else needs it

    torch.set_num_threads(1)  # small images, and numbers that do not depend on the machine
    rows = []
    for name, method in targets(options.method).items():
        for finding in check(name, method):
            print(f"{name}: {finding.check}: {finding.state}", file=sys.stderr, flush=True)
            rows.append({"method": name, "check": finding.check, "result": finding.state, "what": finding.text})
    print(render(pd.DataFrame(rows), options.format))
    return 1 if any(row["result"] == "failed" for row in rows) else 0


def speed(options: argparse.Namespace) -> int:
    """Prints times of steps and scoring."""
    from ..tools import scaling  # imported here: nothing else needs them
    from ..tools.speed import measure

    chosen, notes = launch.chosen(options, options.jobs)
    for note in notes:
        print(note, file=sys.stderr)
    if options.jobs > 1 and options.methods:
        raise InputError("speed --jobs has its own work to measure; leave out --methods")
    if options.jobs > 1:
        print(render(scaling.measure(options.jobs, chosen, options.rounds), options.format))
        return 0
    found = [table for table in measure(options.methods, chosen, options.rounds) if len(table)]
    if options.format in ("json", "csv"):  # one document
        found = [pd.concat(found).fillna("")]
    print("\n\n".join(render(table, options.format) for table in found))
    return 0


def env(options: argparse.Namespace) -> int:
    """Prints what a bug report needs."""
    chosen, _ = machine.choose()
    facts = machine.environment(chosen) | {"bench": __version__, "suites": ", ".join(suite_files.suites())}
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return 0
    flat = {**{key: value for key, value in facts.items() if key != "versions"}, **facts["versions"]}
    print(render(pd.DataFrame({"what": list(flat), "value": [str(v) for v in flat.values()]}), options.format))
    return 0


def _summary(outcomes: list[Outcome], store: Store) -> str:
    states = sum((outcome.states for outcome in outcomes), Counter[str]())
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    how = "; run the same command again to continue" if outcomes[-1].interrupted else ""
    return f"cells: {counted}{how}. Records: {store.root}"
