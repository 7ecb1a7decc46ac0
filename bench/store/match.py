"""Records matched with what this version plans under the same name: the same unit of work, or what differs."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from ..datasets.errors import InputError, few
from ..datasets.sets.digests import SetDigests
from ..protocol import plan, suite_files
from ..protocol.differences import differences
from ..protocol.request import ExternalWeights, Request
from ..protocol.states import State
from ..protocol.units import Unit
from .names import kind
from .record import Record

LONGEST = 4000  # letters of a label
VALUE = r'"(?:[^"\\]|\\.)*"|(?:[^+",]|,(?! ))+'  # in a label; see `quoted`
CHANGE = rf", ([a-z-]+)=((?:{VALUE})(?:\+(?:{VALUE}))*)"
# In labels: in requests.
LISTS = {"noise": "noises", "test-sets": "tests", "seeds": "seeds", "set": "settings", "tested": "tested"}


def match(records: Sequence[Record], requests: Iterable[Request], digests: SetDigests) -> dict[str, Unit | State]:
    """For each key the unit of this version, or why the record is foreign; `requests` know suites that are files."""
    files = {name: {name: None} for name in suite_files.suites()}  # files by the name in them; ours come first
    for request in requests:
        files.setdefault(_name(request.suite), {})[request.suite] = None
    external = list(dict.fromkeys(filter(None, (record.external for record in records))))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.label["suite"], record.label["preset"]), []).append(record)
    found: dict[str, Unit | State] = {}
    for (name, preset), mine in groups.items():
        found |= dict.fromkeys((record.key for record in mine), State("foreign", f"no suite {name!r} here"))
        for suite in reversed(files.get(name, {})):
            left = [record for record in mine if isinstance(found[record.key], State)]
            try:
                found |= _matched(request_of_label(suite, preset), left, external, digests)
            except InputError as error:
                found |= {record.key: State("foreign", str(error)) for record in left}
    return found


def _name(suite: str) -> str:
    """The name of a suite that is a file; empty if it cannot be read."""
    try:
        return suite_files.load(suite).name
    except InputError:
        return ""


def request_of_label(suite: str, label: str) -> Request:
    """The request that has a label such as `mini, steps=20`; InputError if none has."""
    if len(label) > LONGEST:
        raise InputError(f"a label of {len(label)} letters; expected at most {LONGEST}")
    preset, comma, changes = label.partition(", ")
    given: dict[str, Any] = {}
    for name, text in re.findall(CHANGE, comma + changes):
        values = tuple(_unquoted(value, label) for value in re.findall(VALUE, text))
        value = values[0]
        given[LISTS.get(name, name)] = values if name in LISTS else value
        if name == "seeds" and all(map(str.isdecimal, values)):
            given[name] = tuple(map(int, values))
        if name in ("steps", "repeats", "crop") and value.isdecimal():
            given[name] = int(value)
        if name == "skip-unusable":
            given["skip_unusable"] = bool(given.pop(name))
        if name not in (*LISTS, "train", "steps", "repeats", "crop", "skip-unusable", "net", "scoring"):
            raise InputError(f"a label {label!r}, which no request has")
    request = Request(suite=suite, preset=preset, **given)
    if request.label != label:
        raise InputError(f"a label {label!r}, which no request has")
    return request


def _unquoted(value: str, label: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:
        raise InputError(f"a label {label!r}, which no request has") from None


def _matched(
    request: Request, records: Sequence[Record], external: Sequence[ExternalWeights], digests: SetDigests
) -> dict[str, Unit | State]:
    """The records of one request, with the units that this version plans for their methods."""
    known = plan.methods_of(suite_files.load(request.suite))
    names = dict.fromkeys(record.label["method"] for record in records)
    methods = tuple(name for name in names if name in known)
    weights = tuple(one for one in external if one.name in names and one.method in known)
    planned = plan.make(structs.replace(request, methods=methods, weights=weights), digests)
    cells = [cell for cell in planned.cells if not cell.excluded]
    units: list[Unit] = [cell.fit for cell in cells]
    units += [score for cell in cells for score in cell.scores]
    methods = tuple(name for name in names if name in plan.methods_of(planned.suite))
    methods += tuple(one.name for one in weights)
    return {record.key: _unit(record, units, methods) for record in records}


def _unit(record: Record, units: Sequence[Unit], methods: Sequence[str]) -> Unit | State:
    method, suite, preset = (record.label[name] for name in ("method", "suite", "preset"))
    named = [unit for unit in units if (kind(unit), unit.title) == (record.kind, record.title)]
    known = [unit for unit in named or units if _has_images(unit)]
    same = next((unit for unit in known if unit.key == record.key), None)
    if same is not None:
        return same
    if method not in methods:
        return State("foreign", f"the method {method!r} is not known here; give its file with --plugin FILE.py")
    if not named:  # perhaps called otherwise then
        return State("foreign", f"not in suite {suite} [{preset}] of this version")
    if not known:
        return State("foreign", "its folder of images is not here")
    return State("foreign", few(min((differences(record.identity, unit.identity) for unit in known), key=len)))


def _has_images(unit: Unit) -> bool:
    try:
        return bool(unit.key)
    except InputError:  # a folder that is not here, and of which nothing is known
        return False
