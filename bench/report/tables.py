"""The tables of a suite from records alone: measured numbers beside the published ones."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import structs

from ..datasets.errors import InputError, plural, printable
from ..datasets.noise.model import parse as parse_noise
from ..datasets.sets.find import find
from ..methods import registry
from ..methods.base import Method
from ..methods.networks.registry import label_of, networks
from ..protocol.metrics.registry import find_metric
from ..protocol.plan import BASELINES, Cell, Plan, make, methods_of
from ..protocol.request import Request
from ..protocol.settings import parse
from ..protocol.suite_files import load
from ..protocol.suites import Row
from ..protocol.units import Score
from ..store.record import Record
from ..store.store import Store
from .marks import judge, mark
from .measured import measure, trained
from .published import Other, others_for, published_for
from .table_lines import Line, Place, Table

PLUGIN = "--plugin FILE.py"


def build(
    store: Store,
    asked: Request,
    preset: bool,
    number: int | None = None,
    methods: Sequence[str] = (),
    published: str = "paper",
) -> list[Table]:
    """The tables of a suite, or the one of a number; without a preset, of the suite's last run on this store.

    `methods` leaves only their rows and those of the baselines; `published` "all" adds rows with what others than the
    paper published. InputError: a name that means nothing.
    """
    every = store.find("")
    asked = request_of(store, asked, preset, every)
    plan = make(asked, store.last.known().digests)
    records = [record for record in every if record.label["suite"] == plan.suite.name]
    numbers: list[int | None] = [number] if number else [int(n) for n in plan.suite.tables]
    found = [table(plan, store, n, narrowed=bool(asked.noises)) for n in numbers or [None]]
    if not any(line.run and line.method not in BASELINES for one in found for line in one.lines):
        found[0].notes += _elsewhere(records, plan)
    found[0].notes += _unknown_methods(records, plan)
    found[0].notes += [] if preset else _not_known(store.last.known().requests.get(plan.request.suite))
    if methods:
        found = [one for one in (_only(one, methods) for one in found) if one.lines]
        if not found:
            tables = f"table {number}" if number else f"suite {plan.suite.name!r}"
            raise InputError(f"--methods {','.join(methods)}: {tables} has no row of it")
    return [_with_others(one) for one in found] if published == "all" else found


def _with_others(table: Table) -> Table:
    """With rows of what others published, behind those of the same noise."""
    noises = list(dict.fromkeys((line.noise, line.tested) for line in table.lines))
    found = [_other_line(table, one) for one in others_for(table.plan) if (one.noise, one.noise) in noises]
    lines = sorted([*table.lines, *found], key=lambda line: noises.index((line.noise, line.tested)))
    return structs.replace(table, lines=lines)


def _other_line(table: Table, one: Other) -> Line:
    plan = table.plan
    return Line(
        table=table.number, suite=plan.suite.name, version=plan.suite.version, preset=plan.request.label,
        noise=one.noise, tested=one.noise, label=one.label, method=one.method, output="", test=one.set, other=one,
    )  # fmt: skip


def request_of(store: Store, asked: Request, preset: bool, records: Sequence[Record] | None = None) -> Request:
    """All rows and noises of what is asked; without a preset, on top of the store's last run of the suite."""
    last, wanted = store.last.known().requests.get(asked.suite), asked.noises
    if last is not None and not preset:
        asked = asked.over(_known(last))
    suite = load(asked.suite)
    if not wanted and set(asked.noises) <= set(suite.noises):
        asked = structs.replace(asked, noises=())
    records = store.find("") if records is None else records
    recorded = [record.label["method"] for record in records if record.label["suite"] == suite.name]
    known = {*registry.methods(), *suite.configurations}
    methods = dict.fromkeys(
        name for name in (*(row.method for row in suite.rows), *asked.methods, *recorded) if name in known
    )
    imported = dict.fromkeys(one for record in records if (one := record.external) and one.name in recorded)
    weights = tuple(one for one in imported if one.method in known and _is_noise(one.noise))
    return structs.replace(asked, methods=tuple(methods), weights=weights)


def _known(last: Request) -> Request:
    """What a run was asked for, as far as names of plug-ins are known here."""
    return structs.replace(
        last,
        noises=tuple(filter(_is_noise, last.noises)),
        tested=tuple(filter(_is_noise, last.tested)),
        settings=tuple(text for text in last.settings if _method_of(text) in methods_of(load(last.suite))),
        net=last.net if last.net in networks() else "",
    )


def _not_known(last: Request | None) -> list[str]:
    """What of a run cannot be shown, as the plug-in that registered it was not given."""
    if last is None:
        return []
    known = _known(last)
    names = [name for name in (*last.noises, *last.tested) if not _is_noise(name)]
    names += [text for text in last.settings if text not in known.settings]
    names += [last.net] if last.net != known.net else []
    return [
        printable(f"{name}: the last run had it, but it is not known here; give the file that registers it: {PLUGIN}")
        for name in dict.fromkeys(names)
    ]


def _is_noise(name: str) -> bool:
    try:
        return bool(parse_noise(name))
    except InputError:
        return False


def _method_of(setting: str) -> str:
    return setting.partition(".")[0]


def _elsewhere(records: Sequence[Record], plan: Plan) -> list[str]:
    """Where a suite without numbers has some."""
    labels = {record.label["preset"] for record in records if record.kind == "score"}
    others = ", ".join(f"[{label}]" for label in sorted(labels - {plan.request.label}))
    return [f"This store has records of this suite with other options, which show them: {others}."] if others else []


def _unknown_methods(records: Sequence[Record], plan: Plan) -> list[str]:
    """Which records have no row, as their method is not known here."""
    external = {one.name: one.method for record in records if (one := record.external)}
    known = {*registry.methods(), *plan.suite.configurations}
    names = [external.get(record.label["method"], record.label["method"]) for record in records]
    return [
        printable(f"{name}: {plural(count, 'record')} without a row here; {_fix(name)}")
        for name, count in Counter(name for name in names if name not in known).items()
    ]


def _fix(name: str) -> str:
    """What shows the records of a name that is not known."""
    if setting := re.fullmatch(r"([\w-]+), (\S+=\S+)", name):
        return f"to show them, add --set {setting[1]}.{setting[2]}"
    return f"no method has this name; give the file that registers it: {PLUGIN}"


def _only(table: Table, methods: Sequence[str]) -> Table:
    """The rows of some methods, their external weights and settings, and the baselines; none if no method has one."""
    request = table.plan.request
    external = {one.name for one in request.weights if one.method in methods}
    settings = {one.name for text in request.settings for one in parse(text) if one.method in methods}
    wanted = {*methods, *external, *settings, *BASELINES}
    lines = [line for line in table.lines if line.method in wanted]
    if all(line.method in BASELINES for line in lines) and not {*methods} <= {*BASELINES}:
        lines = []
    return structs.replace(table, lines=lines)


def table(plan: Plan, store: Store, number: int | None, narrowed: bool = False) -> Table:
    """The table of a number, or the suite's only one: every line that a plan has there.

    `narrowed`: noises were asked for, so that those that only the paper has are left out.
    """
    found: list[Line] = []
    unmarked: dict[tuple[str, str, str], str] = {}
    means: dict[Place, dict[str, float]] = {}
    primary = find_metric(plan.suite.primary)
    for noise, met in _groups(plan, number, narrowed):
        lines = []
        for row, test in _places(plan, store, number):
            cells = [cell for cell in plan.cells if (cell.name, cell.noise.name) == (row.method, noise)]
            line, images = _line(plan, store, number, row, (noise, met), test, cells)
            if (cells and test in plan.preset.tests) or line.published is not None:
                lines.append(line)
                means[line.place] = images
        judge(plan, lines, primary)
        unmarked |= mark(lines, means, primary)
        found += lines
    return Table(number, plan, found, [], means, unmarked)


def _groups(plan: Plan, number: int | None, narrowed: bool) -> Iterator[tuple[str, str]]:
    """The noises of a table, each with those met in the test."""
    planned: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        planned.setdefault(cell.noise.name, {}).update(dict.fromkeys(score.noise.name for score in cell.scores))
    for noise, met in planned.items():
        yield from ((noise, name) for name in met or (noise,))
    if not narrowed:  # a small preset has not all noises that the paper printed
        yield from dict.fromkeys((key[0], key[0]) for key in published_for(plan, number) if key[0] not in planned)


def _places(plan: Plan, store: Store, number: int | None) -> Iterator[tuple[Row, str]]:
    """The rows and test sets of a table: those of the suite, then methods that it does not list."""
    suite = plan.suite
    run = list(dict.fromkeys(cell.name for cell in plan.cells))
    listed = {row.method for row in suite.rows}
    external = {one.name for one in plan.request.weights}
    rows = [row for row in suite.rows if _shows(row, number)]
    rows += [Row(label=name, method=name, optional=name in external) for name in run if name not in listed]
    rows = [row for row in rows if not row.optional or _has_record(plan, store, row.method)]
    tests = list(dict.fromkeys([*plan.preset.tests, *(key[3] for key in published_for(plan, number))]))
    for row in rows:
        for test in tests:
            yield row, test


def _line(
    plan: Plan, store: Store, number: int | None, row: Row, noises: tuple[str, str], test: str, cells: list[Cell]
) -> tuple[Line, dict[str, float]]:
    """One cell, and the primary metric of each of its images."""
    line, mine = _printed(plan, number, row, noises, test, cells), [cell for cell in cells if test in cell.tests]
    if not mine and not any(cell.excluded and cell.excluded.kind == "not defined" for cell in cells[:1]):
        return line, {}  # printed, but not planned
    cells = mine or cells
    cell = cells[0]
    method = cell.fit.method
    line.knowledge, line.passes = method.knowledge, method.passes().get(line.output)
    line.supervision = "" if cell.fit.weights else method.supervision  # not known of external weights
    line.primary = _stands_for_method(plan, number, row, method)
    line.command = plan.request.command(cell.name, cell.noise.name)
    if state := cell.excluded or cell.undefined.get(line.tested):
        line.state = state
        return line, {}
    line.network = "" if _on_another_network(plan, cells) else registry.other_network(method)
    line.reduced_settings = reduced_settings(plan, cell)
    if not cell.scores:
        line.state = trained(store, [cell.fit for cell in cells])
        return line, {}
    scores = [_score(cell, test, line.tested) for cell in cells]
    planned = [score for score in scores if score is not None]
    return line, measure(store, line, planned, plan.suite.primary) if len(planned) == len(scores) else {}


def _printed(plan: Plan, number: int | None, row: Row, noises: tuple[str, str], test: str, cells: list[Cell]) -> Line:
    """A line of which nothing but its place and the paper's numbers is known."""
    noise, tested = noises
    method = cells[0].fit.method if cells else registry.methods().get(row.method)
    other_net = _on_another_network(plan, cells)
    line = Line(
        table=number,
        suite=plan.suite.name,
        version=plan.suite.version,
        preset=plan.request.label,
        noise=noise,
        tested=tested,
        label=f"{row.label}, {label_of(cells[0].fit.method.network)}" if other_net else row.label,
        method=row.method,
        output=row.output or (method.primary().name if method else ""),
        test=test,
    )
    if noise == tested and not other_net:  # the paper has its own networks only
        line.published = published_for(plan, number).get((noise, row.method, row.output, test))
    return line


def _on_another_network(plan: Plan, cells: list[Cell]) -> bool:
    """Whether --net put the method on a network of the user's choice."""
    return bool(plan.request.net and cells) and registry.accepts_network(type(cells[0].fit.method))


def _stands_for_method(plan: Plan, number: int | None, row: Row, method: Method) -> bool:
    """Whether a row's output does: the only one of the method, else one that the paper printed, else the primary."""
    primary = method.primary().name
    if len([one for one in plan.suite.rows if one.method == row.method and _shows(one, number)]) == 1:
        return True
    printed = {output or primary for _, name, output, _ in published_for(plan, number) if name == row.method}
    return (row.output or primary) in (printed or {primary})


def _shows(row: Row, number: int | None) -> bool:
    return not row.tables or number in row.tables


def _score(cell: Cell, test: str, met: str) -> Score | None:
    return next((score for score in cell.scores if (score.test, score.noise.name) == (test, met)), None)


def reduced_settings(plan: Plan, cell: Cell) -> str:
    """What a cell does less than the preset's other rows or the published method, in the words of the table."""
    fit = cell.fit
    parts = [fit.method.reduced_settings(fit.steps)]
    if cell.trains and fit.steps != plan.preset.steps:
        parts.append(f"{fit.steps:,} steps")
    if cell.trains and any(find(fit.train).overlaps(find(test)) for test in cell.tests):
        parts.append("trained on the test images")
    if cell.scores and cell.scores[0].centre_crop:
        parts.append(f"centre {cell.scores[0].centre_crop}x{cell.scores[0].centre_crop}")
    return ", ".join(part for part in parts if part)


def _has_record(plan: Plan, store: Store, name: str) -> bool:
    return any(store.path(unit).is_file() for cell in plan.cells if cell.name == name for unit in cell.units())
