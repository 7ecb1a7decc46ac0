"""The command that looks after image sets."""

import argparse
from pathlib import Path

from .. import api
from ..datasets.errors import InputError
from .parser import Commands, add_data, command
from .printing import print_rows


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "data", "list, show, fetch, verify or prepare image sets", "a set is not as it should be")
    sub.add_argument("action", choices=("list", "show", "fetch", "verify", "prepare"))
    sub.add_argument("sets", nargs="*", metavar="SET", help="verify also finds photographs that two sets share")
    add_data(sub)
    sub.add_argument("--mirror", action="append", default=[], metavar="URL", help="asked first; laid out like DIR")
    sub.add_argument("--source", type=Path, metavar="DIR", help="what prepare makes its pack from")
    sub.set_defaults(do=sets)


def sets(options: argparse.Namespace) -> int:
    """Lists, shows, fetches, verifies or prepares image sets."""
    names, data, right = options.sets, options.data, True
    if options.action == "prepare":
        if options.source is None:
            raise InputError("data prepare: --source DIR is missing: where the files as they were downloaded lie")
        pack = api.data_prepare(_only(names), options.source, data=data)
        print(f"{len(pack)} images in {pack.folder}")
        return 0
    if options.action == "list":
        found = api.data_list(data=data)
    elif options.action == "show":
        found = api.data_show(_only(names), data=data)
    elif options.action == "verify":
        found, right = api.data_verify(names, data=data)
    else:
        found = api.data_fetch(names, options.mirror, data=data)
        right = not (found["result"] == "failed").any()
    print_rows(found, options)
    return 0 if right else 1


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise InputError(f"data: {len(names)} image sets named; expected one (python -m bench data list)")
    return names[0]
