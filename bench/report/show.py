"""One record in full: what was run, by which code and command, how it ended, and the score of each image."""

import textwrap
from typing import Any

import msgspec
import pandas as pd

from ..datasets.errors import InputError, printable
from ..methods import plugins, registry
from ..protocol import suite_files
from ..store.match import request_of_label
from ..store.record import Record
from ..store.rows import infinite
from ..store.store import Store
from .render import command_lines, render, several, terminal_width


def details(store: Store, record: Record) -> dict[str, Any]:
    """The record with its file, the method's file, the command that makes it again, and its per-image scores."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    method = _method(store, record)
    known = method in registry.methods()
    found["file"] = str(store.path(record))
    found["method_file"] = str(plugins.source_file(registry.find(method)) or "") if known else ""
    found["command"] = command(record)
    if (record.kind, record.state) == ("score", "done"):
        found["rows"] = [row.flat for row in store.rows(record)]
    return found


def text(found: dict[str, Any], style: str) -> str:
    """What `details` found, for people; in csv and latex the per-image scores alone."""
    rows = pd.DataFrame(found.get("rows", []))
    if style not in ("terminal", "md", "html"):
        return render(rows, style)
    label, result, environment = found["label"], found["result"], found["environment"]
    facts = {
        "key": found["key"],
        "kind": found["kind"],
        "state": f"{found['state']}: {found['reason']}" if found["reason"] else found["state"],
        "suite": f"{label['suite']} [{label['preset']}]",
        "method": f"{label['method']}: {found['method_file'] or 'not known here; give its file with --plugin FILE.py'}",
        "command": found["command"],
        "file": found["file"],
    }
    facts |= {name: result[name] for name in ("parameters", "weights") if result.get(name)}
    facts |= {"warnings": "; ".join(result["warnings"])} if result.get("warnings") else {}
    facts |= {name: environment[name] for name in ("device", "precision", "commit") if environment.get(name)}
    for output, means in result.get("outputs", {}).items():
        facts[output] = ", ".join(f"{name} {infinite(value):.5g}" for name, value in means.items())
    if style == "html":
        cells = [{"": name, "value": str(value)} for name, value in {"cell": found["title"], **facts}.items()]
        return several([pd.DataFrame(cells), *([rows.round(4)] if len(rows) else [])], style)
    lines = [printable(found["title"])]
    lines += [_fact(name, printable(str(value))) for name, value in facts.items()]
    return "\n".join([*lines, render(rows.round(4), style)] if len(rows) else lines)


def _fact(name: str, value: str) -> str:
    """A name and its value, on a terminal over several lines; a command is then still one that can be pasted."""
    head = f"  {name + ':':12} "
    width = terminal_width()
    if width is None or len(head) + len(value) <= width:
        return head + value
    if " " not in value:  # a path, which stays whole
        return f"{head}\n    {value}"
    room = width - len(head)
    wrapped = textwrap.wrap(value, room, break_on_hyphens=False, break_long_words=False)
    return head + f"\n{' ' * len(head)}".join(command_lines(value, room) if name == "command" else wrapped)


def command(record: Record) -> str:
    """The command that makes a record again; the first committed ones do not hold it, but what it asked for."""
    if recorded := record.label.get("command"):
        return str(recorded)
    try:
        asked = request_of_label(record.label["suite"], record.label["preset"])
        return asked.command(record.label["method"], record.label["noise"])
    except InputError:
        return ""


def _method(store: Store, record: Record) -> str:
    """The registered name of a record's method, which a suite may call otherwise."""
    if record.kind == "fit":
        return str(record.identity["method"])
    for fit in store.find(record.identity["fit"]):
        return str(fit.identity["method"])
    name, suite = record.label["method"], record.label["suite"]
    configurations = suite_files.load(suite).configurations if suite in suite_files.suites() else {}
    return configurations[name].method if name in configurations else str(name)
