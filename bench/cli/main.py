"""The commands: parse, call, print."""

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
