"""The commands that look after records: export, merge, verify, clean, weights."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from ..datasets.errors import InputError, unknown
from ..protocol.metrics.registry import find_metric
from ..report.render import render
from ..runner import external_weights, verification
from ..runner.display import Display
from ..runner.execution import Sets
from ..store import clean, exchange
from ..store.store import Store, default, existing
from .asked import chosen_machine
from .parser import Commands, add_data, add_machine, add_store, command


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(
        commands, "export", "write records with their rows, and weights if asked, as one zip file for other groups"
    )
    sub.add_argument("file", type=Path, metavar="FILE.zip")
    sub.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    sub.add_argument("--weights", action="store_true", help="with the weights of trainings")
    add_store(sub)
    sub.set_defaults(do=export)

    sub = command(
        commands, "merge", "take what another store has: refuses other data, protocols and numbers; exit 1 if any"
    )
    sub.add_argument("source", type=Path, metavar="FILE.zip", help="of bench export, or the folder of a store")
    add_store(sub)
    sub.set_defaults(do=merge)

    sub = command(commands, "verify", "score stored weights and images again, and report drift; exit 1 if there is any")
    sub.add_argument("words", nargs="*", metavar="WORDS", help="of their titles, such as b2u gauss25; default: all")
    add_data(sub)
    add_store(sub)
    add_machine(sub)
    sub.set_defaults(do=verify)

    sub = command(commands, "clean", "list what a store can do without; remove the kinds that are named")
    sub.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(clean.KINDS)}; none: only list all")
    sub.add_argument("--yes", action="store_true", help="do not ask")
    add_store(sub)
    sub.set_defaults(do=tidy)

    sub = command(
        commands, "weights", "write the weights of a training as a file, with the authors' names for its layers"
    )
    sub.add_argument("cell", help="the start of its key, or words of its title such as 'b2u gauss25 seed 0'")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help=".safetensors or .pth")
    add_store(sub)
    sub.set_defaults(do=weights)


def export(options: argparse.Namespace) -> int:
    """Writes records as one file; 1 if some could not be read."""
    store = existing(options.store)
    count, left = exchange.export(store, options.file, " ".join(options.words), options.weights)
    print(f"{count} records, {_size(options.file.stat().st_size)}: {options.file}")
    for line in left:
        print(f"not exported: {line}", file=sys.stderr)
    return 1 if left else 0


def merge(options: argparse.Namespace) -> int:
    """Takes the records of others; 1 if some were refused."""
    merged = exchange.merge(options.source, Store(options.store or default()))
    for line in [*merged.notes, *(f"refused: {line}" for line in merged.refused)]:
        print(line, file=sys.stderr)
    print(f"{merged.taken} records taken, {merged.same} were here, {len(merged.refused)} refused")
    return 1 if merged.refused else 0


def verify(options: argparse.Namespace) -> int:
    """Scores again what is stored; 1 if a record is not what its weights give, or nothing could be scored again."""
    chosen, notes = chosen_machine(options)
    store = existing(options.store)
    found: list[verification.Drift] = []
    with Display() as display:
        for one in verification.verify(store, " ".join(options.words), chosen, Sets(options.data)):
            for note in notes if not found else ():
                display.note(note)
            display.note(f"{one.title}: {one}")
            found.append(one)
    if not found:
        titles = [record.title for record in store.find("") if record.kind == "score"]
        raise unknown("score", " ".join(options.words), titles, f"Store: {store.root}.")
    print(render(pd.DataFrame(map(_row, found)), options.format))
    if not any(one.compared for one in found):
        print("nothing was verified: no score could be computed again", file=sys.stderr)
        return 1
    return 1 if any(one.wrong for one in found) else 0


def _row(one: verification.Drift) -> dict[str, str]:
    if not one.compared:
        return {"score": one.title, "recorded": "", "now": "", "drift": "", "result": str(one)}
    shown = find_metric(one.metric).shown
    numbers = {"recorded": shown(one.recorded), "now": shown(one.now), "drift": f"{one.apart[one.metric]:.2f}"}
    others = {
        f"{find_metric(name).label} drift": f"{apart:.4f}" for name, apart in one.apart.items() if name != one.metric
    }
    return {"score": one.title, **numbers, **others, "result": str(one)}


def tidy(options: argparse.Namespace) -> int:
    """Lists what can go, and removes the kinds named."""
    store = existing(options.store)
    for kind in options.kinds:
        if kind not in clean.KINDS:
            raise unknown("kind of file", kind, clean.KINDS)
    kinds = [kind for kind in clean.KINDS if kind in options.kinds or not options.kinds]
    listed = [(kind, one) for kind in kinds for one in clean.find(store, kind)]
    rows = [
        {"kind": kind, "file": str(one.path.relative_to(store.root)), "size": _size(one.size)} for kind, one in listed
    ]
    print(render(pd.DataFrame(rows, columns=["kind", "file", "size"]), options.format))
    found = list({one.path: one for _, one in listed}.values())
    total = f"{len(found)} files, {_size(sum(one.size for one in found))}"
    if not options.kinds or not found:
        print(total, file=sys.stderr)
        return 0
    if not options.yes and not _agreed(f"Remove {total}? [y/N] "):
        return 0
    stayed = clean.remove(store, found)
    for path in stayed:
        print(f"stays, as it changed or its unit is being worked on: {path}", file=sys.stderr)
    print(f"{len(found) - len(stayed)} of {total} removed", file=sys.stderr)
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
    """Writes the weights of a training as a file."""
    title = external_weights.export(Store(options.store or default()), options.cell, options.out)
    print(f"{title}: {options.out}")
    return 0
