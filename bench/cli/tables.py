"""The commands that show what is recorded: tables, show, figures, methods."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from ..compute import machine
from ..datasets.errors import InputError, printable, unknown
from ..methods import registry
from ..protocol import plan
from ..protocol.plan import OWN, methods_of
from ..protocol.request import Request
from ..protocol.suite_files import load
from ..report.compare import compare
from ..report.lines import Table
from ..report.published import suite_of, with_tables
from ..report.render import page, render
from ..report.show import details, text
from ..report.tables import build, request_of
from ..runner.execution import Sets
from ..store.store import Store, existing
from .asked import request
from .parser import Commands, add_all, add_data, add_request, add_store, add_table, command, names


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "tables", "print a table of the paper from the records alone")
    add_table(sub)
    add_all(sub)
    sub.add_argument(
        "--long", action="store_true", help="one line per number with all about it; for wide terminals, or --format csv"
    )
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="only their rows; default: all")
    sub.add_argument("--compare", type=Path, metavar="DIR", help="another store: both side by side")
    add_request(sub)
    sub.set_defaults(do=tables)

    sub = command(
        commands, "show", "print one record: what was run, its command, its metrics and the score of each image"
    )
    sub.add_argument("cell", help="the start of its key, or words of its title such as 'b2u gauss25'")
    add_store(sub)
    sub.set_defaults(do=show)

    sub = command(commands, "figures", "draw comparison crops, steps, PSNR against training and cost, as PNG and PDF")
    sub.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default: figures")
    add_data(sub)
    add_table(sub)
    add_request(sub)
    sub.set_defaults(do=figures)

    command(commands, "methods", "list the methods").set_defaults(do=methods)


def tables(options: argparse.Namespace) -> int:
    """Prints tables from the records alone."""
    store = existing(options.store)
    found = _shown(store, options)
    print(f"Store: {store.root}", file=sys.stderr)
    if options.compare:
        other = Store(options.compare)
        if not other.root.is_dir():
            raise InputError(f"--compare {other.root}: no such folder")
        sides = (str(store.root), str(other.root))
        print(render(compare(found, _shown(other, options), sides), options.format))
        complain(other)
    else:
        print_tables(found, options)
    complain(store)
    return 0


def complain(store: Store) -> None:
    """Names the records that could not be read."""
    for error in store.look()[1]:
        print(f"not read: {error}", file=sys.stderr)


def _shown(store: Store, options: argparse.Namespace) -> list[Table]:
    """The tables asked for."""
    asked = requests(store, options)
    known = {name for one in asked for name in methods_of(load(one.suite))}
    for name in options.methods:
        if name not in known:
            raise unknown("method", name, known, OWN)
    found = [build(store, one, bool(options.preset), options.table, options.methods) for one in asked]
    return [table for tables in found for table in tables]


def requests(store: Store, options: argparse.Namespace) -> list[Request]:
    """The suites asked for; if none is, those that the store has records of."""
    if options.table is not None:
        suites = [suite_of(options.table) if options.suite in ("", "all") else options.suite]
        if str(options.table) not in (known := load(suites[0]).tables):
            raise unknown(f"table of suite {suites[0]}", str(options.table), known)
    elif options.suite and options.suite != "all":
        suites = [options.suite]
    else:
        recorded = {record.label["suite"] for record in store.find("")} | store.asked()
        suites = [name for name in with_tables() if name in recorded or options.suite == "all"] or ["synthetic"]
    return [request(options, suite) for suite in suites]


def print_tables(found: list[Table], options: argparse.Namespace) -> None:
    """Prints tables in the format asked for."""
    print(page(found, options.format, getattr(options, "long", False), options.all))


def show(options: argparse.Namespace) -> int:
    """Prints one record."""
    store = existing(options.store)
    records = store.find(options.cell)
    for error in store.look()[1]:
        if error.path.stem.endswith(f"-{options.cell[:8]}"):
            raise error
    complain(store)
    if not records:
        raise unknown("cell", options.cell, [record.title for record in store.find("")], f"Store: {store.root}.")
    shortest = min(records, key=lambda record: len(record.title))
    if all(record.title.startswith(shortest.title) for record in records):
        records = [shortest]  # a fit and its scores: the fit
    if options.format == "json" or len(records) == 1:
        found = [details(store, record) for record in records]
        whole = found if len(found) > 1 else found[0]
        json = options.format == "json"
        print(msgspec.json.format(msgspec.json.encode(whole)).decode() if json else text(found[0], options.format))
        return 0
    rows = [
        {"key": r.key, "kind": r.kind, "state": r.state, "cell": printable(r.title), "preset": r.label["preset"]}
        for r in records
    ]
    print(render(pd.DataFrame(rows), options.format))
    return 0


def figures(options: argparse.Namespace) -> int:
    """Draws what the store has."""
    from ..report.figures import Inputs, Made, draw  # imported here: matplotlib is slow to load

    store, (chosen, _) = existing(options.store), machine.choose()
    images, drawn, refused = Sets(options.data), 0, []
    for asked in requests(store, options):
        planned = plan.make(request_of(store, asked, bool(options.preset)), store.digests())
        try:
            found = draw(Inputs(planned, store, chosen, images), options.out)
        except InputError as error:
            refused.append(error)
            continue
        for one in found:
            drawn += isinstance(one, Made)
            print(one.path if isinstance(one, Made) else f"{one.name}: skipped: {one.reason}")
    complain(store)
    if not drawn and refused:
        raise refused[0]
    return 0


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
