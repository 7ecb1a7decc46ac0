"""The commands that compute: run, rescore, score; and status, which says how far they are."""

import argparse
import shlex
from pathlib import Path

from .. import api
from .asked import asked, request_and_machine
from .parser import (
    LAST,
    RECORDED,
    Commands,
    add_all,
    add_data,
    add_machine,
    add_request,
    add_table,
    add_tests,
    command,
    few,
    names,
    setting,
)
from .printing import print_rows, print_tables, tell

UNDONE = "some cells are not done"
IMPOSSIBLE = "wrong input, or a method of which no cell is possible here (the others are computed)"


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    _add_run(commands)
    _add_status(commands)
    _add_rescore(commands)
    _add_score(commands)


def _add_run(commands: Commands) -> None:
    sub = command(commands, "run", "train and score what is missing, then print the table", UNDONE, IMPOSSIBLE)
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="python -m bench methods; or all")
    add_request(sub, "synthetic", "mini")
    add_machine(sub)
    add_data(sub)
    add_all(sub)
    sub.add_argument("--force", action="store_true", help="compute again what is done")
    sub.add_argument("--jobs", type=few, default=1, metavar="N", help="units at a time (default 1)")
    sub.add_argument("--engine", default="local", help="what starts the jobs: local (default), dask, slurm")
    sub.add_argument("--scheduler", default="", metavar="ADDRESS", help="of Dask, such as tcp://host:8786")
    sub.add_argument(
        "--slurm", type=setting, action="append", default=[], metavar="KEY=VALUE", help="such as slurm_partition=gpu"
    )
    sub.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost")
    sub.set_defaults(do=run)


def _add_status(commands: Commands) -> None:
    sub = command(commands, "status", "tell what is done, running, failed, stale or missing, and the time to go")
    sub.add_argument("--methods", type=names, default=(), metavar="A,B", help="default: what was run last")
    sub.add_argument("--long", action="store_true", help="what is done, too")
    add_request(sub, "what was run last; with --methods, synthetic", f"{LAST}; with --methods, mini")
    sub.set_defaults(do=status)


def _add_rescore(commands: Commands) -> None:
    sub = command(
        commands,
        "rescore",
        "score the same weights and stored images under other evaluation protocols; nothing is trained",
        "some could not be scored",
    )
    sub.add_argument(
        "--scoring", type=names, required=True, metavar="A,B", help="see bench/protocol/scorings.toml, or all"
    )
    add_data(sub)
    add_table(sub)
    add_request(sub, RECORDED, LAST)
    add_machine(sub)
    sub.set_defaults(do=rescore)


def _add_score(commands: Commands) -> None:
    sub = command(commands, "score", "score external weights as a method's, then print the table", UNDONE, IMPOSSIBLE)
    sub.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".safetensors, or a saved state dict")
    sub.add_argument("--method", required=True, metavar="NAME", help="whose network it is: python -m bench methods")
    add_data(sub)
    add_tests(sub, "synthetic", "mini")
    add_machine(sub)
    add_all(sub)
    sub.set_defaults(do=score, train="", seeds=(), steps=0, crop=0, skip_unusable=False, set=(), force=False)


def run(options: argparse.Namespace) -> int:
    """Trains and scores what is missing, then prints the tables."""
    how = request_and_machine(options)
    how |= {name: getattr(options, name) for name in ("force", "jobs", "engine", "scheduler")}
    how |= {"slurm": dict(options.slurm), "plugins": options.plugin}
    what = (options.methods, options.suite or "synthetic", options.preset or "mini")
    if options.dry_run:
        return _dry_run(api.dry_run(*what, **how), options)
    return _ended(api.run(*what, **how), options)


def _tell_impossible(methods: list[str]) -> None:
    """Names the methods of which nothing can be computed: wrong input."""
    tell(f"bench: error: {line}" for line in methods)


def _dry_run(found: "api.DryRun", options: argparse.Namespace) -> int:
    tell([f"Store: {found['store']}", *found["notes"]])
    columns = ["unit", "kind", "key", "estimated"]
    rows = [dict(zip(columns, (*unit, api.clock(seconds)), strict=True)) for *unit, seconds in found["units"]]
    print_rows(rows, options, columns)
    done = found["total"] - len(rows)
    tell([f"{len(rows)} units to do, {done} done already, about {api.clock(found['seconds'])}"])
    _tell_impossible(found["impossible"])
    return 2 if found["impossible"] else 0


def _ended(outcome: "api.Outcome", options: argparse.Namespace) -> int:
    """Prints the tables of a run, and how many cells ended how."""
    print_tables(api.outcome_tables(outcome), options)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(outcome.states.items()))
    tell([f"cells: {counted}. Records: {outcome.store}"])
    _tell_impossible(outcome.impossible)
    tell([_next(outcome, options.force)])
    return outcome.code


def _next(outcome: "api.Outcome", force: bool) -> str:
    """Where the page is, or what to type where cells are not done."""
    store = shlex.quote(str(outcome.store))
    if outcome.interrupted and force:
        anew = "with it, all results are computed again"
        return f"Next: the same command without --force continues what has no result yet; {anew}"
    if outcome.interrupted:
        return "Next: run the same command again to continue"
    if outcome.code == 1:
        return f"Next, what is not done and why:\n  python -m bench status --store {store}"
    return f"Page: none yet; this writes report.html with tables, images and records:\n  python -m bench report {store}"


def status(options: argparse.Namespace) -> int:
    """Says how far the last runs of a store are, or what would be run."""
    known = {"store": options.store} | asked(options)
    found, wrong = api.status(options.methods, options.suite, options.preset, **known)
    tell([f"Store: {api.store_folder(options.store)}", *(f"left out: {line}" for line in wrong)])
    rows = [
        {"unit": one.unit, "kind": one.kind, "state": one.state, "detail": one.detail, "to go": api.clock(one.seconds)}
        for one in found
        if options.long or one.state != "done" or one.detail
    ]
    if rows or options.format == "json":
        print_rows(rows, options)
    left = api.clock(sum(one.seconds for one in found))
    tell([f"{api.counted(found)}; about {left} of one process's time to go"])
    return 0


def rescore(options: argparse.Namespace) -> int:
    """Scores again under other evaluation protocols, then prints what each is worth in dB."""
    what = (options.scoring, options.suite, options.preset, options.table)
    found = api.rescore(*what, **request_and_machine(options))
    print_rows(found.by_protocol if options.format == "terminal" else found.scores, options)
    interrupted = ["interrupted before all was scored; run the same command again to continue"]
    tell(interrupted if found.outcome.interrupted else found.unscored)
    return found.outcome.code


def score(options: argparse.Namespace) -> int:
    """Scores external weights, then prints the tables."""
    what = (options.method, options.weights, options.suite or "synthetic", options.preset or "mini")
    return _ended(api.score(*what, **request_and_machine(options)), options)
