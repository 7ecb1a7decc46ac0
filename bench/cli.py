"""The commands: parse, call, print."""

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pandas as pd
import torch

from . import __version__, cost, machine, plan, protocol
from .compare import compare
from .datasets.errors import InputError, unknown
from .display import Display, clock
from .methods import registry
from .render import FORMATS, page, render
from .runner import Outcome, Run
from .store import Store, default
from .tables import Table, build, plain, suite_of, with_tables


class Parser(argparse.ArgumentParser):
    """Errors in one line, with the nearest option or command."""

    def error(self, message: str) -> NoReturn:
        """Raises InputError instead of printing the usage."""
        known = re.search(r"unrecognized arguments: (-\S+)", message)
        if known:
            options = [option for action in self._walk() for option in action.option_strings]
            near = get_close_matches(known[1].split("=")[0], options, 1, 0.5)
            message += f". Did you mean {near[0]}?" if near else ""
        choice = re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message)
        if choice:
            near = get_close_matches(choice[1], re.findall(r"[\w-]+", choice[2]), 1, 0.5)
            message += f". Did you mean {near[0]}?" if near else ""
        raise InputError(f"{message} (help: {self.prog} --help)")

    def _walk(self) -> list[argparse.Action]:
        """All options, those of the subcommands included: argparse reports unknown ones at the top."""
        actions = list(self._actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                actions += [inner for parser in action.choices.values() for inner in parser._actions]
        return actions


def parser() -> Parser:
    """The command line."""
    top = Parser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument(
            "--plugin", type=Path, action="append", default=[], metavar="FILE.py", help="a method of yours"
        )
        sub.add_argument("--format", choices=FORMATS, default="terminal")
        return sub

    run = command("run", "train and score what is missing, then print the table")
    run.add_argument("--methods", type=_names, required=True, metavar="A,B", help="python -m bench methods; or all")
    _request(run)
    _machine(run)
    run.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    run.add_argument("--force", action="store_true", help="compute again what is done")
    run.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost")
    run.set_defaults(do=_run)

    show = command("tables", "print a table of the paper from the records alone")
    show.add_argument("--table", type=int, default=None, metavar="N")
    show.add_argument("--long", action="store_true", help="one line per number: images, seeds, interval, cost, ...")
    show.add_argument("--compare", type=Path, metavar="DIR", help="another store: both side by side")
    _request(show)
    show.set_defaults(do=_tables)

    command("methods", "list the methods").set_defaults(do=_methods)

    cell = command("show", "print one record")
    cell.add_argument("cell", help="the start of its key, or words of its title such as 'b2u gauss25'")
    _store(cell)
    cell.set_defaults(do=_show)

    kit = command("check", "tell whether a method fits the harness, check by check (under a minute)")
    kit.add_argument("method", help="a registered name, FILE.py, or package:Class")
    kit.set_defaults(do=_check)

    speed = command("speed", "measure training steps against plain ones, scoring with several workers")
    speed.add_argument("--methods", type=_names, default=(), metavar="A,B")
    speed.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved repetitions (default 5)")
    _machine(speed)
    speed.set_defaults(do=_speed)

    command("env", "print what a bug report needs").set_defaults(do=_env)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a cell failed, 2 wrong input, 130/143 interrupted."""
    try:
        options = parser().parse_args(arguments)
        registry.load_entry_points()
        for path in options.plugin:
            registry.load_plugin(path)
        return int(options.do(options))
    except InputError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def _request(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--suite", default="", metavar="NAME", help="synthetic (default), ..., all, or FILE.toml")
    sub.add_argument("--preset", default="", metavar="NAME", help="mini (default), reduced, paper")
    sub.add_argument("--noise", type=_names, default=(), metavar="A,B", help="such as gauss25,poisson5_50, or none")
    sub.add_argument("--train", type=_absolute, default="", metavar="SET", help="another training set, or folder:PATH")
    sub.add_argument("--test-sets", type=_names, default=(), metavar="A,B", help="other test sets, or folder:PATH")
    sub.add_argument("--seeds", type=_integers, default=(), metavar="0,1,2")
    sub.add_argument("--steps", type=_positive, default=0, metavar="N")
    sub.add_argument("--repeats", type=_positive, default=0, metavar="N")
    sub.add_argument("--tested", type=_names, default=(), metavar="A,B", help="test with other noise, too: gauss50")
    _store(sub)


def _store(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--store", type=Path, metavar="DIR", help="folder of records (or $BENCH_STORE; default results/runs)"
    )


def _machine(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    sub.add_argument("--precision", default="auto", help="of training: auto, bf16, float32")
    sub.add_argument("--threads", type=_positive, default=0, metavar="N")
    sub.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="default: when it pays")


def _asked(options: argparse.Namespace, suite: str, methods: tuple[str, ...] = ()) -> plan.Request:
    return plan.Request(
        suite=suite,
        preset=options.preset or "mini",
        methods=methods,
        noises=options.noise,
        train=options.train,
        tests=options.test_sets,
        seeds=options.seeds,
        steps=options.steps,
        repeats=options.repeats,
        tested=options.tested,
    )


def _run(options: argparse.Namespace) -> int:
    chosen, notes = machine.choose(options.device, options.precision, options.threads, options.compile)
    store = Store(options.store or default())
    requests = [_asked(options, suite, methods) for suite, methods in _suites(options)]
    planned = [plan.make(request) for request in requests]  # all that is wrong is said before anything is trained
    codes = []
    with Display() as display:
        for note in notes:
            display.note(note)
        for one in planned:
            work = Run(one, store, chosen, options.data, display, options.force)
            codes.append(_dry_run(work, options.format) if options.dry_run else _carry_out(work, display, options))
            if codes[-1] > 1:
                break
    return max(codes)


def _carry_out(work: Run, display: Display, options: argparse.Namespace) -> int:
    outcome = work.carry_out()
    for cell in work.plan.cells:
        if cell.reason:
            display.note(f"{cell.name} {cell.noise.name}: {cell.reason}")
    _print_tables(build(work.store, work.plan.request, True), options)
    print(_summary(outcome, work.store), file=sys.stderr)
    return outcome.code


def _suites(options: argparse.Namespace) -> list[tuple[str, tuple[str, ...]]]:
    """The suites asked for, each with those of the methods that it can run."""
    names = with_tables() if options.suite == "all" else [options.suite or "synthetic"]
    known = {name: plan.methods_of(protocol.load(name)) for name in names}
    unknown_ = [
        method for method in options.methods if method != "all" and not any(method in k for k in known.values())
    ]
    if unknown_:
        everywhere = dict.fromkeys(method for methods in known.values() for method in methods)
        raise unknown("method", unknown_[0], ["all", *everywhere], plan.OWN)
    found = []
    for name in names:
        rows = [row.method for row in protocol.load(name).rows if not row.optional]
        chosen = [m for method in options.methods for m in (rows if method == "all" else [method]) if m in known[name]]
        found.append((name, tuple(dict.fromkeys(chosen))))
    return found


def _dry_run(work: Run, form: str) -> int:
    pending = work.pending()
    estimates = [cost.seconds(unit, work.machine) for _, unit in pending]
    rows = [
        {"unit": unit.title, "kind": type(unit).__name__.lower(), "key": unit.key, "estimated": clock(seconds)}
        for (_, unit), seconds in zip(pending, estimates, strict=True)
    ]
    columns = ["unit", "kind", "key", "estimated"]
    print(render(pd.DataFrame(rows, columns=columns), form))
    total = work.total()
    print(f"{total - len(rows)} of {total} units done; the others take about {clock(sum(estimates))}", file=sys.stderr)
    return 0


def _tables(options: argparse.Namespace) -> int:
    store = Store(options.store or default())
    found = _shown(store, options)
    if options.compare:
        other = Store(options.compare)
        if not other.root.is_dir():
            raise InputError(f"--compare {other.root}: no such folder")
        names = (str(store.root), str(other.root))
        print(render(compare(found, _shown(other, options), names), options.format))
        return 0
    _print_tables(found, options)
    return 0


def _shown(store: Store, options: argparse.Namespace) -> list[Table]:
    """The tables asked for; if none is, those of every suite that the store has records of."""
    if options.table is not None:
        suites = [options.suite or suite_of(options.table)]
    elif options.suite and options.suite != "all":
        suites = [options.suite]
    else:
        recorded = {record.label["suite"] for record in store.find("")}
        suites = [name for name in with_tables() if name in recorded or options.suite == "all"] or ["synthetic"]
    requests = [_asked(options, suite) for suite in suites]
    return [table for request in requests for table in build(store, request, bool(options.preset), options.table)]


def _print_tables(found: list[Table], options: argparse.Namespace) -> None:
    if options.format == "json":
        rows = [row for table in found for row in plain(table.lines)]
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        print(page(found, options.format, getattr(options, "long", False)))


def _methods(options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "paper": method.card.paper,
            "equations": method.card.equations,
            "deviations": method.card.deviations,
            "supervision": method.supervision,
            "knowledge": method.knowledge,
            "fits": method.fits,
            "outputs": [output.name for output in method.outputs],
            "headline": method.headline().name,
        }
        for name, method in sorted(registry.methods().items())
    ]
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    shown = pd.DataFrame(rows).drop(columns=["equations", "deviations", "fits", "headline"])
    print(render(shown.assign(outputs=shown["outputs"].map(", ".join)), options.format))
    return 0


def _show(options: argparse.Namespace) -> int:
    store = Store(options.store or default())
    records = store.find(options.cell)
    if not records:
        raise unknown("cell", options.cell, [record.title for record in store.find("")], f"Store: {store.root}.")
    shortest = min(records, key=lambda record: len(record.title))
    if all(record.title.startswith(shortest.title) for record in records):
        records = [shortest]  # a fit and its scores: the fit
    if options.format == "json" or (options.format == "terminal" and len(records) == 1):
        print(msgspec.json.format(msgspec.json.encode(records if options.format == "json" else records[0])).decode())
        return 0
    rows = [
        {"key": r.key, "kind": r.kind, "state": r.state, "cell": r.title, "preset": r.label["preset"]} for r in records
    ]
    print(render(pd.DataFrame(rows), options.format))
    return 0


def _check(options: argparse.Namespace) -> int:
    from .check import check, targets  # imported here: nothing else needs it

    torch.set_num_threads(1)  # small images, and numbers that do not depend on the machine
    rows = []
    for name, method in targets(options.method).items():
        for finding in check(name, method):
            print(f"{name}: {finding.check}: {finding.state}", file=sys.stderr, flush=True)
            rows.append({"method": name, "check": finding.check, "result": finding.state, "what": finding.text})
    print(render(pd.DataFrame(rows), options.format))
    return 1 if any(row["result"] == "failed" for row in rows) else 0


def _speed(options: argparse.Namespace) -> int:
    from .speed import measure  # imported here: nothing else needs it

    chosen, notes = machine.choose(options.device, options.precision, options.threads, options.compile)
    for note in notes:
        print(note, file=sys.stderr)
    found = [table for table in measure(options.methods, chosen, options.rounds) if len(table)]
    if options.format in ("json", "csv"):  # one document
        found = [pd.concat(found).fillna("")]
    print("\n\n".join(render(table, options.format) for table in found))
    return 0


def _env(options: argparse.Namespace) -> int:
    chosen, _ = machine.choose()
    facts = machine.environment(chosen) | {"bench": __version__, "suites": ", ".join(protocol.suites())}
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return 0
    flat = {**{key: value for key, value in facts.items() if key != "versions"}, **facts["versions"]}
    print(render(pd.DataFrame({"what": list(flat), "value": [str(v) for v in flat.values()]}), options.format))
    return 0


def _summary(outcome: Outcome, store: Store) -> str:
    counted = ", ".join(f"{count} {state}" for state, count in sorted(outcome.states.items()))
    how = "; run the same command again to continue" if outcome.interrupted else ""
    return f"cells: {counted}{how}. Records: {store.root}"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(_absolute(name.strip()) for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("expected a comma list of names")
    return names


def _absolute(name: str) -> str:
    """An image set's name; the path of a folder means the same from everywhere."""
    prefix, colon, path = name.partition("folder:")
    return f"{colon}{Path(path).expanduser().resolve()}" if colon and not prefix else name


def _integers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma list of whole numbers")
    return tuple(int(part) for part in text.split(","))


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
