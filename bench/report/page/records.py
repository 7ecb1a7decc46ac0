"""The records of stores as a page shows them: where each stands, its command, its method's file, its scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...datasets.errors import printable
from ...methods import registry
from ...store.record import Record, UnreadableError
from ...store.rows import infinite
from ...store.store import Store
from ..show import details

METHODS = Path(str(registry.__file__)).resolve().parent


def described(stores: Mapping[str, Store]) -> tuple[dict[str, dict[str, Any]], dict[str, str], list[str]]:
    """Records by key, the texts of our methods' files, and sentences about what differs between the stores."""
    found: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for name, store in stores.items():
        for record in store.find(""):
            one = _record(name, store, record)
            known = found.setdefault(record.key, one)
            if known is not one:
                known["stores"] += one["stores"]
                if known["outputs"] != one["outputs"] or known["state"] != one["state"]:
                    notes.append(f"{record.title}: {_apart(known, one, ' and '.join(known['stores']))}")
    files = {one["method_file"] for one in found.values()}
    return found, {file: text for file in sorted(files) if (text := _text(file))}, notes


def _apart(a: dict[str, Any], b: dict[str, Any], where: str) -> str:
    """How two records of one key differ: their states, the outputs that have means, or these by how much at most."""
    if a["state"] != b["state"]:
        return f"the states in {where} differ: {a['state']} and {b['state']}"
    means, others = _means(a["outputs"]), _means(b["outputs"])
    if means.keys() != others.keys():
        return f"the means in {where} are those of other outputs"
    apart = max((abs(means[one] - others[one]) for one in means if means[one] != others[one]), default=0.0)
    return f"the means in {where} differ by up to {apart:.1g}"


def _means(outputs: list[list[Any]]) -> dict[tuple[str, str], float]:
    """(output, metric) -> mean, of a table whose first row are the headings."""
    return {(row[0], name): mean for row in outputs[1:] for name, mean in zip(outputs[0][1:], row[1:], strict=True)}


def _record(name: str, store: Store, record: Record) -> dict[str, Any]:
    try:
        all_of_it = details(store, record)
    except UnreadableError as error:
        all_of_it = details(store, Record(**(_fields(record) | {"state": "failed", "reason": str(error.state)})))
    result = all_of_it["result"]
    rows = all_of_it.get("rows", [])
    columns = list(rows[0]) if rows else []
    outputs = result.get("outputs", {}) if record.kind == "score" else {}
    means = [[output, *(infinite(value) for value in values.values())] for output, values in outputs.items()]
    return {
        "key": record.key,
        "kind": record.kind,
        "title": printable(record.title),
        "state": all_of_it["state"],
        "reason": printable(all_of_it["reason"]),
        "stores": [name],
        "file": f"{name}/{Path(all_of_it['file']).relative_to(store.root).as_posix()}",
        "method": str(record.label["method"]),
        "method_file": method_file(all_of_it["method_file"]),
        "command": all_of_it["command"],
        "environment": {name: _flat(value) for name, value in record.environment.items()},
        "identity": record.identity,
        "fit": str(record.identity.get("fit", "")),
        "outputs": [["output", *next(iter(outputs.values()))], *means] if outputs else [],
        "rows": {"columns": columns, "values": [[row[column] for column in columns] for row in rows]} if rows else None,
        "warnings": [printable(str(text)) for text in result.get("warnings", [])],
    }


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _flat(value: Any) -> str:
    """A value of the environment in words; versions as `torch 2.13, numpy 2.4`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)


def method_file(path: str) -> str:
    """A method's file below `methods/`; of a plug-in the name alone, as the folders that it lies in are private."""
    file = Path(path)
    if file.is_relative_to(METHODS):
        return f"methods/{file.relative_to(METHODS).as_posix()}"
    return file.name


def _text(file: str) -> str:
    """The text of a file of ours; nothing of plug-ins, as they may be private."""
    inside = file.removeprefix("methods/")
    return (METHODS / inside).read_text(encoding="utf-8") if inside != file else ""
