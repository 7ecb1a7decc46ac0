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
                    apart = _apart(known["outputs"], one["outputs"])
                    notes.append(
                        f"{record.title}: the means in {' and '.join(known['stores'])} differ by up to {apart}"
                    )
    files = {one["method_file"] for one in found.values()}
    return found, {file: text for file in sorted(files) if (text := _text(file))}, notes


def _apart(a: list[list[Any]], b: list[list[Any]]) -> str:
    """The largest difference of two tables of means, or that they are not alike."""
    pairs = [(x, y) for one, other in zip(a, b, strict=False) for x, y in zip(one, other, strict=False)]
    numbers = [abs(x - y) for x, y in pairs if isinstance(x, int | float) and isinstance(y, int | float)]
    return f"{max(numbers):.1g}" if numbers and [*map(len, a)] == [*map(len, b)] else "other outputs or states"


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
