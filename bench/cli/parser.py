"""The parser, and the options that several commands share."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, TypeAlias

from .. import api
from ..datasets.errors import InputError

FORMATS = ("terminal", "md", "latex", "csv", "html", "json")
RECORDED, LAST = "those that the store has records of", "the last run's"  # defaults of --suite and --preset
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Errors in one line, with the nearest option or command."""

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """The options; InputError for what the command that was given does not know."""
        found, rest = self.parse_known_args(args)
        if rest:
            found.parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Raises InputError instead of printing the usage."""
        known = re.search(r"unrecognized arguments: (-\S+)", message)
        if known:
            options = [option for action in self._actions for option in action.option_strings]
            near = get_close_matches(known[1].split("=")[0], options, 1, 0.7)
            message += f". Did you mean {near[0]}?" if near else ""
        choice = re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message)
        if choice:
            near = get_close_matches(choice[1], re.findall(r"[\w-]+", choice[2]), 1, 0.6)
            message += f". Did you mean {near[0]}?" if near else ""
        raise InputError(f"{message} (help: {self.prog} --help)")


def command(commands: Commands, name: str, text: str, one: str = "", two: str = "wrong input") -> Parser:
    """A command with the options of all; `one` and `two` say when its exit code is 1 or 2."""
    codes = f"Exit code 1: {one}; 2: {two}." if one else f"Exit code 2: {two}."
    sub = commands.add_parser(name, help=text, description=text, epilog=codes, allow_abbrev=False)
    adds = "a file that registers a method, network, noise, metric or image format"
    sub.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py", help=adds)
    sub.add_argument("--format", choices=FORMATS, default="terminal")
    sub.set_defaults(parser=sub)
    return sub


def add_data(sub: argparse.ArgumentParser) -> None:
    """Where image sets are."""
    sub.add_argument("--data", type=Path, metavar="DIR", help="folder of image sets (or $BENCH_DATA)")


def add_table(sub: argparse.ArgumentParser) -> None:
    """Which table of the paper."""
    sub.add_argument("--table", type=int, default=None, metavar="N", help="1 to 8; default: all of the suites")


def add_all(sub: argparse.ArgumentParser) -> None:
    """Whether a terminal shows the whole table."""
    sub.add_argument("--all", action="store_true", help="the whole table, not only the rows that were run")


def add_request(sub: argparse.ArgumentParser, suite: str, preset: str) -> None:
    """What to train on, with which seeds and steps, and what to test; the defaults of suite and preset in words."""
    add_tests(sub, suite, preset)
    sub.add_argument("--train", default="", metavar="SET", help="another training set, or folder:PATH")
    sub.add_argument("--seeds", type=integers, default=(), metavar="0,1,2", help="one training for each (default 0)")
    sub.add_argument("--steps", type=positive, default=0, metavar="N", help="of training; default: the preset's")
    sub.add_argument("--crop", type=positive, default=0, metavar="N", help="side of training crops in pixels")
    sub.add_argument(
        "--skip-unusable", action="store_true", help="go on without images of a folder that are unreadable or too small"
    )
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.FIELD=V1,V2",
        help="a row for each value, such as b2u.lambda_f=2,40 or b2u.net.width=8 (may be repeated)",
    )


def add_tests(sub: argparse.ArgumentParser, suite: str, preset: str) -> None:
    """What to test: suite, preset, noise, sets; the defaults of suite and preset in words."""
    sub.add_argument("--suite", default="", metavar="NAME", help=f"synthetic, ..., all, or FILE.toml; default: {suite}")
    adds = f"mini, reduced, paper, or standard (of synthetic); default: {preset}"
    sub.add_argument("--preset", default="", metavar="NAME", help=adds)
    sub.add_argument("--noise", type=names, default=(), metavar="A,B", help=_noises())
    sub.add_argument("--test-sets", type=names, default=(), metavar="A,B", help="other test sets, or folder:PATH")
    sub.add_argument("--net", default="", metavar="NAME", help="put every method that accepts a network on dncnn, ...")
    sub.add_argument("--repeats", type=positive, default=0, metavar="N", help="noise draws of each test image")
    sub.add_argument("--tested", type=names, default=(), metavar="A,B", help="test with other noise, too: gauss50")
    add_store(sub)


def _noises() -> str:
    """Examples of each noise family, with the unit of its levels."""
    known = [(family.examples or (f"{name}1",), family.unit) for name, family in api.families().items()]
    text = "; ".join(f"{' or '.join(examples)}{f' ({unit})' if unit else ''}" for examples, unit in known)
    return text.replace("%", "%%")


def add_store(sub: argparse.ArgumentParser) -> None:
    """Where records are."""
    sub.add_argument(
        "--store", type=Path, metavar="DIR", help="folder of records (or $BENCH_STORE; default results/runs)"
    )


def add_machine(sub: argparse.ArgumentParser) -> None:
    """What to compute with."""
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    sub.add_argument("--precision", default="auto", help="of training: auto, bf16, float32")
    sub.add_argument("--threads", type=few, default=0, metavar="N", help="of one process")
    sub.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="default: when it pays")
    sub.add_argument("--deterministic", action="store_true", help="the same bytes on CUDA, too; slower")


def names(text: str) -> tuple[str, ...]:
    """The names of a comma list."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("expected a comma list of names")
    return names


def integers(text: str) -> tuple[int, ...]:
    """The numbers of a comma list."""
    if not re.fullmatch(r"[0-9]{1,19}(,[0-9]{1,19})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma list of whole numbers")
    return tuple(int(part) for part in text.split(","))


def setting(text: str) -> tuple[str, int | str]:
    """A parameter of submitit, whole numbers as such."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return name, int(value) if re.fullmatch(r"[0-9]+", value) else value


def positive(text: str, most: int = 10**9) -> int:
    """A whole number from 1 to `most`."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to {most:,}")
    return int(text)


def megabytes(text: str) -> float:
    """The size of a page."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 2000.0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a size from 0.1 to 2000 MB")
    return float(text)


def few(text: str) -> int:
    """A number of threads, workers or rounds."""
    return positive(text, most=1024)
