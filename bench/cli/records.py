"""The commands that look after records: status, export, merge, verify, clean."""

import argparse
import sys

import pandas as pd
from msgspec import structs

from ..compute import machine
from ..datasets.errors import InputError, unknown
from ..protocol import plan
from ..protocol.request import Request
from ..report.render import render
from ..run import verification
from ..run.display import Display, clock
from ..run.execution import Sets
from ..run.status import counted, standing
from ..store import clean, exchange
from ..store.store import Store, default, existing
from . import launch


def status(options: argparse.Namespace) -> int:
    """Tells how far the last runs of a store are, or what would be run."""
    store, (here, _) = existing(options.store), machine.choose()
    if options.methods:
        requests = [launch.asked(options, suite, methods) for suite, methods in launch.suites_asked(options)]
    else:
        requests = _last_requests(store, options)
    found = []
    for request in requests:
        try:
            planned = plan.make(request)
        except InputError as error:  # of a suite's file or a plug-in that is gone; the others can be told
            print(f"not told: {error}", file=sys.stderr)
        else:
            found += standing(planned, store, here)
    rows = [
        {"unit": one.unit, "kind": one.kind, "state": one.state, "detail": one.detail, "to go": clock(one.seconds)}
        for one in found
        if options.long or one.state != "done"
    ]
    if rows or options.format == "json":
        print(render(pd.DataFrame(rows), options.format))
    left = clock(sum(one.seconds for one in found))
    print(f"{counted(found)}; about {left} of one process's time to go", file=sys.stderr)
    return 0


def _last_requests(store: Store, options: argparse.Namespace) -> list[Request]:
    """What was run last of the suites asked for, with what is asked for otherwise now."""
    suites = [options.suite] if options.suite not in ("", "all") else sorted(store.asked())
    last = [request for suite in suites if (request := store.last_request(suite)) is not None]
    if not last:
        of = f" of {options.suite}" if options.suite else ""
        raise InputError(f"the store {store.root} has seen no run{of}; say what would be run: --methods A,B")
    asked, plain = launch.asked(options, ""), Request()
    given = {name: getattr(asked, name) for name in asked.__struct_fields__ if name not in ("suite", "preset")}
    given = {name: value for name, value in given.items() if value != getattr(plain, name)}
    return [structs.replace(one, **given | ({"preset": options.preset} if options.preset else {})) for one in last]


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
    """Scores again what is stored; 1 if a record is not what its weights give."""
    chosen, notes = launch.chosen(options)
    store, found = existing(options.store), []
    with Display() as display:
        for note in notes:
            display.note(note)
        for one in verification.verify(store, " ".join(options.words), chosen, Sets(options.data)):
            display.note(f"{one.title}: {one.state}")
            found.append(one)
    if not found:
        titles = [record.title for record in store.find("") if record.kind == "score"]
        raise unknown("score", " ".join(options.words), titles, f"Store: {store.root}.")
    print(render(pd.DataFrame(map(_row, found)), options.format))
    return 1 if any(one.wrong for one in found) else 0


def _row(one: verification.Drift) -> dict[str, str]:
    if not one.compared:
        return {"score": one.title, "recorded": "", "now": "", "drift": "", "SSIM drift": "", "result": one.state}
    numbers = {"recorded": f"{one.recorded:.2f}", "now": f"{one.now:.2f}", "drift": f"{one.psnr:.2f}"}
    return {"score": one.title, **numbers, "SSIM drift": f"{one.ssim:.4f}", "result": one.state}


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
