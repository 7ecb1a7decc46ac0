"""The command that looks after image sets."""

import argparse
from pathlib import Path

from ..datasets.errors import InputError, unknown
from ..datasets.sets import overview
from ..datasets.sets.catalogue import catalogue, data_root
from ..report.render import render
from ..runner.display import Lines
from .parser import Commands, add_data, command


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "data", "list, show, fetch, verify or prepare image sets")
    sub.add_argument("action", choices=("list", "show", "fetch", "verify", "prepare"))
    sub.add_argument("sets", nargs="*", metavar="SET", help="verify also finds photographs that two sets share")
    add_data(sub)
    sub.add_argument("--mirror", action="append", default=[], metavar="URL", help="asked first; laid out like DIR")
    sub.add_argument("--source", type=Path, metavar="DIR", help="what prepare makes its pack from")
    sub.set_defaults(do=sets)


def sets(options: argparse.Namespace) -> int:
    """Lists, shows, fetches, verifies or prepares image sets."""
    progress = Lines()
    if options.data and options.action in ("list", "show", "verify") and not options.data.is_dir():
        raise InputError(f"--data {options.data}: no such folder")
    if options.action == "list":
        print(render(overview.listed(options.data), options.format))
        return 0
    if options.action == "show":
        print(render(overview.shown(_only(options.sets), options.data), options.format))
        return 0
    if options.action == "verify":
        frame, right = overview.verified(_known(options.sets), options.data, progress)
        print(render(frame, options.format))
        return 0 if right else 1
    root = options.data or default_data()
    if options.action == "fetch":
        frame = overview.fetched(_known(options.sets), root, options.mirror, progress)
        print(render(frame, options.format))
        return int((frame["result"] == "failed").any())
    if options.source is None:
        raise InputError("data prepare: --source DIR is missing: where the files as they were downloaded lie")
    pack = overview.prepared(_only(options.sets), options.source, root, progress)
    print(f"{len(pack)} images in {pack.folder}")
    return 0


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in catalogue():
            raise unknown("image set", name, catalogue())
    if not names:
        raise InputError("data: name one or more image sets (python -m bench data list)")
    return names


def _only(names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise InputError(f"data: {len(names)} image sets named; expected one (python -m bench data list)")
    return _known(names)[0]


def default_data() -> Path:
    """The folder of image sets where none is given; InputError without $BENCH_DATA."""
    root = data_root(None)
    if root is None:
        raise InputError("where to? give --data DIR, or set BENCH_DATA")
    return root
