"""The commands: parse, call, print."""

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from .. import __version__
from ..datasets.errors import InputError
from ..datasets.sets.own_folder import absolute
from ..methods import registry
from ..report.render import FORMATS
from ..store import clean
from . import commands, records


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
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
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
    run.add_argument("--jobs", type=_positive, default=1, metavar="N", help="units at a time (default 1)")
    run.add_argument("--engine", choices=("loky", "dask", "slurm"), default="loky", help="default: this machine")
    run.add_argument("--scheduler", default="", metavar="ADDRESS", help="of Dask, such as tcp://host:8786")
    run.add_argument(
        "--slurm", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="such as slurm_partition=gpu"
    )
    run.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost")
    run.set_defaults(do=commands.run)

    show = command("tables", "print a table of the paper from the records alone")
    show.add_argument("--table", type=int, default=None, metavar="N", help="1 to 8; default: all of the suites")
    show.add_argument("--long", action="store_true", help="one line per number: images, seeds, interval, cost, ...")
    show.add_argument("--compare", type=Path, metavar="DIR", help="another store: both side by side")
    _request(show)
    show.set_defaults(do=commands.tables)

    command("methods", "list the methods").set_defaults(do=commands.methods)

    images = command("data", "list, show, fetch, verify or prepare image sets")
    images.add_argument("action", choices=("list", "show", "fetch", "verify", "prepare"))
    images.add_argument("sets", nargs="*", metavar="SET", help="verify also finds photographs that two sets share")
    images.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    images.add_argument("--mirror", action="append", default=[], metavar="URL", help="asked first; laid out like DIR")
    images.add_argument("--source", type=Path, metavar="DIR", help="what prepare makes its pack from")
    images.set_defaults(do=commands.sets)

    draw = command("figures", "draw comparison crops, steps, PSNR against training and cost, as PNG and PDF")
    draw.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default: figures")
    draw.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    draw.add_argument("--table", type=int, default=None, metavar="N", help="1 to 8; default: all of the suites")
    _request(draw)
    draw.set_defaults(do=commands.figures)

    again = command(
        "rescore", "score the same weights and stored images under other evaluation protocols; nothing is trained"
    )
    again.add_argument("--scoring", type=_names, required=True, metavar="A,B", help="see bench/scorings.toml, or all")
    again.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    again.add_argument("--table", type=int, default=None, metavar="N", help="1 to 8; default: all of the suites")
    _request(again)
    _machine(again)
    again.set_defaults(do=commands.rescore)

    other = command("score", "score external weights as a method's, then print the table")
    other.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help=".safetensors, or a saved state dict"
    )
    other.add_argument("--method", required=True, metavar="NAME", help="whose network it is: python -m bench methods")
    other.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    _tests(other)
    _machine(other)
    other.set_defaults(do=commands.score, train="", seeds=(), steps=0)

    export = command("weights", "write the weights of a training as a file, with the authors' names for its layers")
    export.add_argument("cell", help="the start of its key, or words of its title such as 'b2u gauss25 seed 0'")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help=".safetensors or .pth")
    _store(export)
    export.set_defaults(do=commands.export)

    where = command("status", "tell what is done, running, failed, stale or missing, and the time to go")
    where.add_argument("--methods", type=_names, default=(), metavar="A,B", help="default: what was run last")
    where.add_argument("--long", action="store_true", help="what is done, too")
    _request(where)
    where.set_defaults(do=records.status)

    give = command("export", "write records with their rows, and weights if asked, as one zip file for other groups")
    give.add_argument("file", type=Path, metavar="FILE.zip")
    give.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    give.add_argument("--weights", action="store_true", help="with the weights of trainings")
    _store(give)
    give.set_defaults(do=records.export)

    take = command("merge", "take what another store has: refuses other data, protocols and numbers; exit 1 if any")
    take.add_argument("source", type=Path, metavar="FILE.zip", help="of bench export, or the folder of a store")
    _store(take)
    take.set_defaults(do=records.merge)

    again = command("verify", "score stored weights and images again, and report drift; exit 1 if there is any")
    again.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    again.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    _store(again)
    _machine(again)
    again.set_defaults(do=records.verify)

    tidy = command("clean", "list what a store can do without; remove the kinds that are named")
    tidy.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(clean.KINDS)}; none: only list all")
    tidy.add_argument("--yes", action="store_true", help="do not ask")
    _store(tidy)
    tidy.set_defaults(do=records.tidy)

    guard = command("regress", "compare small subsets of the suites with committed references; exit 1 if one is off")
    guard.add_argument("cases", nargs="*", metavar="CASE", help="such as synthetic/b2u/gauss25/losses; default: all")
    guard.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")
    guard.add_argument("--update", action="store_true", help="write the references anew, all seeds")
    guard.set_defaults(do=commands.regression)

    server = command("submit", "write the file that the SIDD server scores")
    server.add_argument("--methods", type=_names, required=True, metavar="A", help="one trained method of suite raw")
    server.add_argument("--output", default="weighted", metavar="NAME", help="default: weighted, as in the paper")
    server.add_argument(
        "--blocks", type=Path, required=True, metavar="DIR", help="where BenchmarkNoisyBlocksRaw.mat is"
    )
    server.add_argument("--out", type=Path, default=Path("SubmitRaw.mat"), metavar="FILE")
    server.add_argument("--authors", default="", metavar="TEXT", help="as the server shows it; also --title, --venue")
    server.add_argument("--title", default="", metavar="TEXT")
    server.add_argument("--venue", default="", metavar="TEXT")
    _request(server)
    _machine(server)
    server.set_defaults(do=commands.submission)

    cell = command("show", "print one record")
    cell.add_argument("cell", help="the start of its key, or words of its title such as 'b2u gauss25'")
    _store(cell)
    cell.set_defaults(do=commands.show)

    kit = command("check", "tell whether a method fits the harness, check by check (under a minute)")
    kit.add_argument("method", help="a registered name, FILE.py, or package:Class")
    kit.set_defaults(do=commands.check)

    speed = command("speed", "measure training steps against plain ones, scoring with several workers, several jobs")
    speed.add_argument("--methods", type=_names, default=(), metavar="A,B")
    speed.add_argument("--rounds", type=_positive, default=5, metavar="N", help="interleaved repetitions (default 5)")
    speed.add_argument("--jobs", type=_positive, default=1, metavar="N", help="measure runs with 1 and N jobs instead")
    _machine(speed)
    speed.set_defaults(do=commands.speed)

    command("env", "print what a bug report needs").set_defaults(do=commands.env)
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
    _tests(sub)
    sub.add_argument("--train", type=absolute, default="", metavar="SET", help="another training set, or folder:PATH")
    sub.add_argument("--seeds", type=_integers, default=(), metavar="0,1,2")
    sub.add_argument("--steps", type=_positive, default=0, metavar="N")


def _tests(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--suite",
        default="",
        metavar="NAME",
        help="synthetic, ..., all, or FILE.toml; default: synthetic to run, else all recorded",
    )
    sub.add_argument("--preset", default="", metavar="NAME", help="mini (default), reduced, paper")
    sub.add_argument("--noise", type=_names, default=(), metavar="A,B", help="such as gauss25,poisson5_50, or none")
    sub.add_argument("--test-sets", type=_names, default=(), metavar="A,B", help="other test sets, or folder:PATH")
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
    sub.add_argument("--deterministic", action="store_true", help="the same bytes on CUDA, too; slower")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(absolute(name.strip()) for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("expected a comma list of names")
    return names


def _integers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma list of whole numbers")
    return tuple(int(part) for part in text.split(","))


def _setting(text: str) -> tuple[str, int | str]:
    """A parameter of submitit, whole numbers as such."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return name, int(value) if re.fullmatch(r"[0-9]+", value) else value


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
