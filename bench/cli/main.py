"""Train, score and compare image denoisers under one protocol."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from .. import __version__
from ..datasets.errors import InputError
from ..methods import plugins
from . import data, own, run, store, tables, tools
from .parser import Parser


def parser() -> Parser:
    """The command line."""
    top = Parser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, tables, own, data, store, tools):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code.

    0 done; 1 a cell, an image or a check is not; 2 wrong input or an unwritable place; 128 + n: ended by signal n.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show every character
    try:
        options = parser().parse_args(arguments)
        plugins.load_entry_points()
        for path in options.plugin:
            plugins.load(path)
        code = int(options.do(options))
        sys.stdout.flush()  # a full device says so here, not when Python exits
        return code
    except InputError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("bench: interrupted", file=sys.stderr)
        return 128 + int(next(iter(stop.args), signal.SIGINT))
    except BrokenPipeError:
        _drop_output()
        return 141  # as if by SIGPIPE
    except OSError as error:  # of standard output, or of a file that nobody foresaw
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        print(f"bench: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _drop_output() -> None:
    """What standard output did not take is lost; else Python would try again, and fail, when it exits."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
