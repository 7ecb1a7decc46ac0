"""The commands: parse, call, print."""

import errno
import io
import sys
from collections.abc import Sequence

from .. import __version__
from ..datasets.errors import InputError
from ..methods import registry
from . import data, run, store, tables, tools
from .parser import Parser


def parser() -> Parser:
    """The command line."""
    top = Parser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, tables, data, store, tools):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a cell failed, 2 wrong input, 130/143 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show every character
    try:
        options = parser().parse_args(arguments)
        registry.load_entry_points()
        for path in options.plugin:
            registry.load_plugin(path)
        code = int(options.do(options))
        sys.stdout.flush()  # a full device says so here, not when Python exits
        return code
    except InputError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = io.StringIO()  # what is left in the buffer cannot be written either
        print(f"bench: error: no space left: {error}; free some, then run the same command again", file=sys.stderr)
        return 2
