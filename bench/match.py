"""Records matched with what this version plans under the same name: the same unit of work, or what differs."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from . import plan, protocol
from .datasets.errors import InputError, few
from .ingredients import differences
from .plan import Imported, Request, Unit
from .record import Record
from .store import kind

LISTS = {"noise": "noises", "test-sets": "tests", "seeds": "seeds", "tested": "tested"}  # in labels: in requests


def match(records: Sequence[Record], requests: Iterable[Request]) -> dict[str, Unit | str]:
    """For each key the unit of this version, or in words why it is none; `requests` know suites that are files."""
    paths = {name: name for name in protocol.suites()}
    for request in requests:
        if name := _name(request.suite):
            paths.setdefault(name, request.suite)
    elsewhere = list(dict.fromkeys(filter(None, (record.imported for record in records))))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.label["suite"], record.label["preset"]), []).append(record)
    found: dict[str, Unit | str] = {}
    for (suite, preset), mine in groups.items():
        try:
            if suite not in paths:
                raise InputError(f"no suite {suite!r} here")
            units = _units(request_of_label(paths[suite], preset), mine, elsewhere)
        except InputError as error:
            found |= dict.fromkeys((record.key for record in mine), f"foreign: {error}")
            continue
        found |= {record.key: _unit(record, units) for record in mine}
    return found


def _name(suite: str) -> str:
    """The name of a suite that is a file; empty if it cannot be read."""
    try:
        return protocol.load(suite).name
    except InputError:
        return ""


def request_of_label(suite: str, label: str) -> Request:
    """The request that has a label such as `mini, steps=20`; InputError if none has."""
    preset, *changes = label.split(", ")
    given: dict[str, Any] = {}
    for name, equals, value in (change.partition("=") for change in changes):
        values = tuple(value.split("+"))
        given[LISTS.get(name, name)] = values if name in LISTS else value
        if name == "seeds" and all(map(str.isdecimal, values)):
            given[name] = tuple(map(int, values))
        if name in ("steps", "repeats") and value.isdecimal():
            given[name] = int(value)
        if not equals or name not in (*LISTS, "train", "steps", "repeats", "scoring"):
            raise InputError(f"a label {label!r}, which no request has")
    request = Request(suite=suite, preset=preset, **given)
    if request.label != label:
        raise InputError(f"a label {label!r}, which no request has")
    return request


def _units(request: Request, records: Sequence[Record], elsewhere: Sequence[Imported]) -> list[Unit]:
    """All units of a request with the methods of these records, as far as their images are known here."""
    known = plan.methods_of(protocol.load(request.suite))
    names = dict.fromkeys(record.label["method"] for record in records)
    methods = tuple(name for name in names if name in known)
    weights = tuple(one for one in elsewhere if one.name in names and one.method in known)
    planned = plan.make(structs.replace(request, methods=methods, weights=weights))
    cells = [cell for cell in planned.cells if not cell.reason]
    units: list[Unit] = [cell.fit for cell in cells]
    units += [score for cell in cells for score in cell.scores]
    return [unit for unit in units if _has_images(unit)]


def _has_images(unit: Unit) -> bool:
    try:
        return bool(unit.key)
    except InputError:  # a folder that is not here, and of which nothing is known
        return False


def _unit(record: Record, units: Sequence[Unit]) -> Unit | str:
    same = next((unit for unit in units if unit.key == record.key), None)
    if same is not None:
        return same
    named = [unit for unit in units if (kind(unit), unit.title) == (record.kind, record.title)]
    if not named:
        return f"foreign: not in suite {record.label['suite']} [{record.label['preset']}] of this version"
    return "not ours: " + few(min((differences(record.identity, unit.identity) for unit in named), key=len))
