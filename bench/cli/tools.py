"""The commands for authors and reporters: check, regress, speed, submit, env."""

import argparse
import sys
from pathlib import Path

import msgspec
import pandas as pd
import torch

from .. import __version__
from ..apply.submission import About, submit
from ..compute import machine
from ..datasets.errors import InputError
from ..methods import registry
from ..protocol import plan, suite_files
from ..report.render import render
from ..runner.display import Lines
from ..store.store import Store, default
from .asked import chosen_machine, request
from .parser import Commands, add_data, add_machine, add_request, command, few, names


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "check", "tell whether a method fits the harness, check by check (under a minute)")
    sub.add_argument("method", help="a registered name, FILE.py, or package:Class")
    sub.set_defaults(do=check)

    sub = command(
        commands, "regress", "compare small subsets of the suites with committed references; exit 1 if one is off"
    )
    sub.add_argument("cases", nargs="*", metavar="CASE", help="such as synthetic/b2u/gauss25/losses; default: all")
    add_data(sub)
    sub.add_argument("--update", action="store_true", help="write the references anew, all seeds")
    sub.set_defaults(do=regression)

    sub = command(
        commands, "speed", "measure training steps against plain ones, scoring with several workers, several jobs"
    )
    sub.add_argument("--methods", type=names, default=(), metavar="A,B")
    sub.add_argument("--rounds", type=few, default=5, metavar="N", help="interleaved repetitions (default 5)")
    sub.add_argument("--jobs", type=few, default=1, metavar="N", help="measure runs with 1 and N jobs instead")
    add_machine(sub)
    sub.set_defaults(do=speed)

    sub = command(commands, "submit", "write the file that the SIDD server scores")
    sub.add_argument("--methods", type=names, required=True, metavar="A", help="one trained method of suite raw")
    sub.add_argument("--output", default="weighted", metavar="NAME", help="default: weighted, as in the paper")
    sub.add_argument("--blocks", type=Path, required=True, metavar="DIR", help="where BenchmarkNoisyBlocksRaw.mat is")
    sub.add_argument("--out", type=Path, default=Path("SubmitRaw.mat"), metavar="FILE")
    sub.add_argument("--authors", default="", metavar="TEXT", help="as the server shows it; also --title, --venue")
    sub.add_argument("--title", default="", metavar="TEXT")
    sub.add_argument("--venue", default="", metavar="TEXT")
    add_request(sub)
    add_machine(sub)
    sub.set_defaults(do=submission)

    command(commands, "env", "print what a bug report needs").set_defaults(do=env)


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


def speed(options: argparse.Namespace) -> int:
    """Prints times of steps and scoring."""
    from ..tools import scaling  # imported here: nothing else needs them
    from ..tools.speed import measure

    if options.jobs > 1 and options.methods:
        raise InputError("speed --jobs has its own work to measure; leave out --methods")
    for method in options.methods:
        registry.find(method)
    chosen, notes = chosen_machine(options)
    for note in notes:
        print(note, file=sys.stderr)
    if options.jobs > 1:
        print(render(scaling.measure(options.jobs, chosen, options.rounds), options.format))
        return 0
    found = [table for table in measure(options.methods, chosen, options.rounds) if len(table)]
    if options.format in ("json", "csv"):  # one document
        found = [pd.concat(found).fillna("")]
    print("\n\n".join(render(table, options.format) for table in found))
    return 0


def submission(options: argparse.Namespace) -> int:
    """Writes a submission to the SIDD server."""
    chosen, notes = chosen_machine(options)
    for note in notes:
        print(note, file=sys.stderr)
    planned = plan.make(request(options, options.suite or "raw", options.methods))
    about = About(",".join(options.methods), options.authors, options.title, options.venue)
    store = Store(options.store or default())
    submit(planned, store, chosen, options.blocks, options.out, options.output, about, Lines())
    print(options.out)
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
