"""The commands that show what is recorded: tables, verdicts, show, figures, report, methods."""

import argparse
from pathlib import Path

from .. import api
from ..datasets.errors import printable
from .asked import asked, request_and_machine
from .parser import (
    LAST,
    RECORDED,
    Commands,
    add_all,
    add_data,
    add_request,
    add_store,
    add_table,
    command,
    megabytes,
    names,
)
from .printing import print_frames, print_json, print_record, print_rows, print_tables, tell, tell_unreadable


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    _add_tables(commands)
    _add_verdicts(commands)
    _add_show(commands)
    _add_figures(commands)
    _add_report(commands)
    command(commands, "methods", "list the methods").set_defaults(do=methods)


def _add_tables(commands: Commands) -> None:
    sub = command(commands, "tables", "print a table of the paper from the records alone")
    add_table(sub)
    add_all(sub)
    sub.add_argument(
        "--long", action="store_true", help="one line per number with all about it; for wide terminals, or --format csv"
    )
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="only their rows; default: all")
    adds = "all: with rows of what others published under the same protocol, marked with its provenance"
    sub.add_argument("--published", choices=("paper", "all"), default="paper", help=adds)
    sub.add_argument("--compare", type=Path, metavar="DIR", help="another store: both side by side")
    add_request(sub, RECORDED, LAST)
    sub.set_defaults(do=tables)


def _add_verdicts(commands: Commands) -> None:
    sub = command(
        commands, "verdicts", "tell which cells of the paper are reproduced and which columns keep their order"
    )
    sub.add_argument("--suite", default="", metavar="NAME", help=f"default: {RECORDED}")
    sub.add_argument("--preset", default="reduced", metavar="NAME", help="default: reduced")
    add_store(sub)
    sub.set_defaults(do=verdicts)


def _add_show(commands: Commands) -> None:
    sub = command(
        commands, "show", "print one record: what was run, its command, its metrics and the score of each image"
    )
    sub.add_argument("record", help="the start of its key, or words of its title such as 'b2u gauss25'")
    add_store(sub)
    sub.set_defaults(do=show)


def _add_figures(commands: Commands) -> None:
    sub = command(
        commands,
        "figures",
        "draw comparison crops, one method's outputs, training curves and quality against cost, as PNG and PDF",
    )
    sub.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default: figures")
    add_data(sub)
    add_table(sub)
    add_request(sub, RECORDED, LAST)
    sub.set_defaults(do=figures)


def _add_report(commands: Commands) -> None:
    sub = command(
        commands, "report", "write one HTML page of records: tables, images to flip between, plots, every record"
    )
    sub.add_argument("stores", type=Path, nargs="*", metavar="STORE", help="default: $BENCH_STORE, or results/runs")
    place = sub.add_mutually_exclusive_group()
    place.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    place.add_argument(
        "--site", type=Path, metavar="DIR", help="a site instead: a leaderboard, a page per method and set"
    )
    sub.add_argument("--budget", type=megabytes, default=20.0, metavar="MB", help="most of a page (default 20)")
    add_data(sub)
    sub.set_defaults(do=report)


def tables(options: argparse.Namespace) -> int:
    """Prints tables from the records alone."""
    what = (options.suite, options.preset, options.table, options.methods)
    known = {"store": options.store} | asked(options)
    if options.compare:
        found, left_out = api.compare(options.compare, *what, **known)
        sides = {"A": api.store_folder(options.store), "B": options.compare}
        tell([*(f"{name}: {store}" for name, store in sides.items()), *left_out])
        for name, store in sides.items() if options.format == "terminal" else ():  # paths are too long for it
            found = found.rename(columns={str(store): name})
            found = found.map(lambda cell, store=store, name=name: cell.replace(f"({store})", f"({name})"))
        print_rows(found, options)
        tell_unreadable(options.compare)
    else:
        shown, left_out = api.recorded_tables(*what, options.published, **known)
        tell([_store(options), *left_out])
        print_tables(shown, options)
    tell_unreadable(options.store)
    return 0


def _store(options: argparse.Namespace) -> str:
    """Where the records are, and whether there are any."""
    root = api.store_folder(options.store)
    records = any(True for kind in ("fits", "scores") for _ in root.glob(f"{kind}/*/*/*.json"))
    return f"Store: {root}" if records else f"Store: {root} (no records)"


def verdicts(options: argparse.Namespace) -> int:
    """Prints the verdict of each cell, the columns' rank correlations, and the inversions."""
    found, left_out = api.verdicts(options.suite, options.preset, store=options.store)
    tell([_store(options), *left_out])
    print_frames([one for one in found if len(one)], options)
    tell_unreadable(options.store)
    return 0


def show(options: argparse.Namespace) -> int:
    """Prints one record, or lists those that the words name."""
    records = api.find(options.record, store=options.store)
    tell_unreadable(options.store)
    if len(records) > 1 and options.format != "json":
        rows = [
            {"key": r.key, "kind": r.kind, "state": r.state, "cell": printable(r.title), "preset": r.label["preset"]}
            for r in records
        ]
        print_rows(rows, options)
        return 0
    found = [api.details(record, store=options.store) for record in records]
    if options.format == "json":
        print_json(found if len(found) > 1 else found[0])
    else:
        print_record(found[0], options)
    return 0


def figures(options: argparse.Namespace) -> int:
    """Draws what the store has."""
    tell_unreadable(options.store)
    what, made = (options.out, options.suite, options.preset, options.table), 0
    for one in api.figures(*what, **request_and_machine(options)):
        print(one)
        made += one.path is not None
    tell([f"{made} files in {options.out}. Records: {api.store_folder(options.store)}"])
    return 0


def report(options: argparse.Namespace) -> int:
    """Writes the page, or the site."""
    for store in options.stores or [None]:
        tell_unreadable(store)
    if options.site:
        found = api.report_site(options.stores, options.site, options.budget, data=options.data)
        print(f"{len(found)} pages; begin with {found[0]}")
    else:
        print(api.report_page(options.stores, options.out, options.budget, data=options.data))
    return 0


def methods(options: argparse.Namespace) -> int:
    """Lists the methods."""
    found = api.methods()
    if options.format == "json":
        print_json(found)
        return 0
    papers = [{"name": one["name"], "paper": one["paper"]} for one in found]
    facts = [
        {
            "name": one["name"],
            "supervision": one["supervision"],
            "noise knowledge": one["knowledge"],
            "network": one["network"],
            "outputs (passes)": ", ".join(_with_passes(output, one["passes"]) for output in one["outputs"]),
        }
        for one in found
    ]
    if options.format == "terminal":  # one table of both is wider than most
        print_rows(facts, options)
        print()
        print_rows(papers, options)
    else:
        print_rows([paper | fact for paper, fact in zip(papers, facts, strict=True)], options)
    return 0


def _with_passes(output: str, passes: dict[str, int]) -> str:
    """An output, and how many passes of a network it costs, if any."""
    return f"{output} ({passes[output]})" if passes.get(output) else output
