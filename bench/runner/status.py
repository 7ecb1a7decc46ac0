"""Where a plan stands: units done, running, interrupted, failed, diverged, stale, damaged, missing; the time to go."""

from collections import Counter

from msgspec import Struct

from ..compute.machine import Machine
from ..protocol.differences import differences
from ..protocol.plan import Plan
from ..protocol.units import Fit, Score, Unit
from ..store.names import kind
from ..store.progress import running
from ..store.record import Record, UnreadableError
from ..store.store import Store, stale
from .estimates import Estimates

NAMED = 3  # ingredients of a stale record


class Standing(Struct):
    """How a unit of work stands."""

    unit: str
    kind: str
    key: str
    state: str
    detail: str = ""
    seconds: float = 0.0  # to go, roughly


def standing(plan: Plan, store: Store, machine: Machine) -> list[Standing]:
    """Every unit of a plan, each once."""
    now = {note.key: note for note in running(store)}
    known: dict[tuple[str, ...], Record] = {}  # the last of each name: what a stale record is compared with
    for record in store.look()[0]:
        known[record.kind, record.label["suite"], record.label["preset"], record.title] = record
    estimates, found = Estimates(store, machine), []
    for key, unit in plan.units().items():
        note = now.get(key)
        old = known.get((kind(unit), plan.suite.name, plan.request.label, unit.title))
        state, detail = _recorded(unit, store, old)
        if note is not None:
            state, detail = "running", f"{note.host}, process {note.process}: {note.text}"
        one = Standing(unit.title, kind(unit), key, state, detail)
        if state not in ("done", "diverged", "skipped"):
            one.seconds = note.left if note and note.left is not None else estimates.seconds(unit)
        found.append(one)
    return found


def _recorded(unit: Unit, store: Store, old: Record | None) -> tuple[str, str]:
    """State and detail of a unit, as its record says; `old`: the last record of this name."""
    try:
        record = store.read(unit)
    except UnreadableError as error:
        return error.state.kind, error.state.reason
    if record is None:
        return _absent(unit, store, old)
    if isinstance(unit, Score) and stale(record, store.whole(unit.fit)):
        return "stale", "scored with other weights than its fit has now"
    again = store.failed_again(unit)
    return record.state, f"{again.state} when it was computed again: {again.reason}" if again else record.reason


def _absent(unit: Unit, store: Store, old: Record | None) -> tuple[str, str]:
    """State and detail of a unit without a record."""
    if why := (unit.fit if isinstance(unit, Score) else unit).method.unavailable():
        return "skipped", why
    if isinstance(unit, Fit) and unit.weights:
        return "missing", "give its weights again: python -m bench score"
    if isinstance(unit, Fit) and store.path(unit, ".checkpoint").is_file():
        return "interrupted", "its checkpoint is there"
    fit = store.whole(unit.fit) if isinstance(unit, Score) else None
    if fit is not None and fit.state == "diverged":
        return "diverged", "its training did"
    if old is None:
        return "missing", ""
    changed = differences(old.identity, unit.identity)
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return "stale", f"recorded with {', '.join(changed[:NAMED])}{more}"


def counted(found: list[Standing]) -> str:
    """How many units are in which state, such as `3 of 5 units done, 1 failed, 1 missing`."""
    states = Counter(one.state for one in found)
    others = [f"{count} {state}" for state, count in sorted(states.items()) if state != "done"]
    return ", ".join([f"{states['done']} of {len(found)} units done", *others])
