"""The commands that look after records: export, merge, verify, clean, weights."""

import argparse
import sys
from pathlib import Path

from .. import api
from ..datasets.errors import InputError
from .asked import computed
from .parser import Commands, add_data, add_machine, add_store, command
from .printing import print_rows, tell

WRITTEN = (
    ".safetensors or .pth: the weights, under the authors' names for its layers; .onnx: the function from noisy to "
    "denoised; .zip: the same as a model of bioimage.io. The last two are run back and compared with our own output"
)


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(
        commands,
        "export",
        "write records with their rows, and weights if asked, as one zip file for other groups",
        "some records could not be read",
    )
    sub.add_argument("file", type=Path, metavar="FILE.zip")
    sub.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    sub.add_argument("--weights", action="store_true", help="with the weights of trainings")
    add_store(sub)
    sub.set_defaults(do=export)

    sub = command(
        commands,
        "merge",
        "take what another store has; other data, protocols and numbers are refused",
        "some records were refused",
    )
    sub.add_argument("source", type=Path, metavar="FILE.zip", help="of bench export, or the folder of a store")
    add_store(sub)
    sub.set_defaults(do=merge)

    sub = command(
        commands,
        "verify",
        "score stored weights and images again, and say what differs",
        "a score differs, or none could be computed again",
    )
    sub.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    add_data(sub)
    add_store(sub)
    add_machine(sub)
    sub.set_defaults(do=verify)

    sub = command(commands, "clean", "list what a store can do without; remove the kinds that are named")
    sub.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(api.KINDS)}; none: only list all")
    sub.add_argument("--yes", action="store_true", help="do not ask")
    add_store(sub)
    sub.set_defaults(do=clean)

    sub = command(
        commands,
        "weights",
        "write a training for other programs: its weights, an ONNX file or a model of bioimage.io",
        "the file gives another output than ours, and is not kept",
    )
    sub.add_argument("training", help="the start of its key, or words of its title such as 'b2u gauss25 seed 0'")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help=WRITTEN)
    add_store(sub)
    sub.set_defaults(do=weights)


def export(options: argparse.Namespace) -> int:
    """Writes records as one file; 1 if some could not be read."""
    count, left = api.export(options.file, " ".join(options.words), options.weights, store=options.store)
    print(f"{count} records, {_size(options.file.stat().st_size)}: {options.file}")
    tell(f"not exported: {line}" for line in left)
    return 1 if left else 0


def merge(options: argparse.Namespace) -> int:
    """Takes the records of others; 1 if some were refused."""
    merged = api.merge(options.source, store=options.store)
    tell([*merged.notes, *(f"refused: {line}" for line in merged.refused)])
    print(f"{merged.taken} records taken, {merged.same} were here, {len(merged.refused)} refused")
    return 1 if merged.refused else 0


def verify(options: argparse.Namespace) -> int:
    """Scores again what is stored; 1 if a record is not what its weights give, or nothing could be scored again."""
    found = api.verify(" ".join(options.words), **computed(options))
    print_rows([one.row for one in found], options)
    tell(
        f"{verdict}: {meaning}" for verdict, meaning in api.LEGEND.items() if verdict in {one.verdict for one in found}
    )
    if not any(one.compared for one in found):
        tell(["nothing was verified: no score could be computed again"])
        return 1
    return 1 if any(one.wrong for one in found) else 0


def clean(options: argparse.Namespace) -> int:
    """Lists what can be removed, and removes the kinds that are named."""
    root, listed = api.store_folder(options.store), api.removable(options.kinds, store=options.store)
    rows = [{"kind": kind, "file": str(one.path.relative_to(root)), "size": _size(one.size)} for kind, one in listed]
    print_rows(rows, options, ["kind", "file", "size"])
    found = list({one.path: one for _, one in listed}.values())
    total = f"{len(found)} files, {_size(sum(one.size for one in found))}"
    if not options.kinds or not found:
        tell([total])
        return 0
    if not options.yes and not _agreed(f"Remove {total}? [y/N] "):
        return 0
    stayed = api.remove(found, store=options.store)
    tell(f"stays, as it changed or its unit is being worked on: {path}" for path in stayed)
    tell([f"{len(found) - len(stayed)} of {total} removed"])
    return 0


def _agreed(question: str) -> bool:
    """What a person at the terminal answers; InputError where there is none."""
    if not sys.stdin.isatty():
        raise InputError("clean: no terminal to ask on; say --yes to remove what is listed")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _size(count: int) -> str:
    """Bytes as 34.0 MB."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def weights(options: argparse.Namespace) -> int:
    """Writes a training as a file; 1 if the file, run back, gives another output than ours, and is not kept."""
    title, checked = api.export_weights(options.training, options.out, store=options.store)
    if checked is not None:
        apart = f"at most {checked.difference:.2g} gray levels of 255 from our own output"
        tell([f"{checked.runtime} on {' and '.join(checked.shapes)}: {apart}"])
        if not checked.agrees:
            tell([f"{title}: not written; allowed are {api.TOLERANCE:g} gray levels"])
            return 1
    print(f"{title}: {options.out}")
    return 0
