"""A static site of stores: a leaderboard, one page for each method and each test set, where every record comes from."""

import hashlib
import re
from collections.abc import Sequence

from msgspec import structs

from ...datasets.sets.own_folder import short_name, short_names
from ...methods import registry
from ...protocol.metrics.metric import Metric
from ...protocol.metrics.registry import find_metric
from ..table_columns import interval, value
from ..table_lines import Line, Table, group, headings, row_name
from .model import Cell, Column, Page, Row, Sheet
from .stores import Contents, Tables, page_of
from .tables import filters

INDEX = "index.html"
ORDER = (
    "Rows are in the order of their means on the same noise, test set and preset, whatever store they come from. The "
    "order alone says nothing about significance: see the intervals, and the verdicts on the pages of the sets."
)


def pages_of(known: Contents, tables: Tables) -> dict[str, Page]:
    """File name -> page; each page holds the records that it shows."""
    lines = [
        (name, table, line) for name in known.stores for table in tables[name] for line in table.lines if line.metrics
    ]
    tests = {test: _file("set", test) for test in dict.fromkeys(line.test for _, _, line in lines)}
    methods = {name: _file("method", name) for name in dict.fromkeys(_method(table, line) for _, table, line in lines)}
    links = [("Leaderboard", INDEX)]
    index = _index(known, lines, methods, tests)
    found = {INDEX: index}
    for test, file in tests.items():
        page = page_of(known, _narrowed(tables, test=test))
        found[file] = structs.replace(_own(page, known), title=short_name(test), links=links)
    for name, file in methods.items():
        own = known.sheets_of(_narrowed(tables, method=name))
        page = Page(title=name, lead=_card(name), links=links, sheets=own, reading=known.reading)
        found[file] = _own(page, known)
    return found


def _index(
    known: Contents, lines: Sequence[tuple[str, Table, Line]], methods: dict[str, str], tests: dict[str, str]
) -> Page:
    """The leaderboard and the provenance of all records."""
    sheets = _leaderboard(lines, methods)
    return Page(
        title="Leaderboard",
        lead=[f"{known.summary}", ORDER, *known.notes],
        links=[
            *((f"set {short_name(test)}", file) for test, file in tests.items()),
            *((f"method {name}", file) for name, file in methods.items()),
        ],
        sheets=[*sheets, _provenance(known)],
        records=known.records,
        sources=known.sources,
    )


def _leaderboard(lines: Sequence[tuple[str, Table, Line]], methods: dict[str, str]) -> list[Sheet]:
    """One sheet for each preset, test set and noise; a number that several tables or stores have stands once."""
    groups: dict[tuple[str, str, str], dict[tuple[str, ...], tuple[list[str], Table, Line]]] = {}
    for store, table, line in lines:
        place = (line.preset.split(", noise=")[0], line.test, group(line))
        known = groups.setdefault(place, {}).setdefault((*line.keys, line.output), ([], table, line))
        known[0].append(store)
    return [_ranking(place, [*mine.values()], methods) for place, mine in groups.items()]


def _ranking(place: tuple[str, str, str], rows: list[tuple[list[str], Table, Line]], methods: dict[str, str]) -> Sheet:
    table = rows[0][1]
    primary = find_metric(table.plan.suite.primary)
    rows = sorted(rows, key=lambda row: -primary.sign * row[2].metrics[primary.name])
    numbers = ("rank", headings(table.metrics), "95 % interval", "images", "seeds")
    texts = ("noise knowledge", "learns from", "store", "commit", "device")
    columns = [Column("method"), *(Column(name, number=True) for name in numbers), *map(Column, texts)]
    preset, test, noise = place
    found = [
        Row(
            _ranked(rank, stores, own, line, primary),
            filters(line, preset),
            href=methods[_method(own, line)],
        )
        for rank, (stores, own, line) in enumerate(rows, 1)
    ]
    return Sheet(f"Preset [{short_names(preset)}].", columns, found, title=f"{noise}, {short_name(test)}.")


def _ranked(rank: int, stores: list[str], table: Table, line: Line, primary: Metric) -> list[Cell]:
    """The cells of a line in the order of the columns."""
    return [
        Cell(row_name(line)),
        Cell(str(rank), rank),
        Cell(value(line, table.metrics).strip("*_"), line.metrics[primary.name], line.keys),
        Cell(interval(line, primary), line.low),
        Cell(str(line.images or ""), line.images),
        Cell(str(line.seeds), line.seeds),
        Cell(line.knowledge),
        Cell({"none": "nothing"}.get(line.supervision, line.supervision)),
        Cell(", ".join(dict.fromkeys(stores))),
        Cell(line.environment.get("commit", "")),
        Cell(line.environment.get("device", "")),
    ]


def _provenance(known: Contents) -> Sheet:
    """Every record once: the stores that have it, and where it was computed."""
    names = ("record", "key", "stores", "commit", "processor", "device", "precision", "versions")
    rows = []
    for record in known.records.values():
        where = record["environment"]
        cells = [
            Cell(record["title"]),
            Cell(record["key"][:8], keys=(record["key"],)),
            Cell(", ".join(record["stores"])),
        ]
        rows.append(Row(cells + [Cell(where.get(name, "")) for name in names[3:]]))
    text = "The records that the stores have, and the machine and the code that made them. Equal keys are one record."
    return Sheet(text, [Column(name) for name in names], rows, title="Provenance.")


def _narrowed(tables: Tables, test: str = "", method: str = "") -> dict[str, list[Table]]:
    """The measured lines of a test set or a method; without tables that have none."""
    found: dict[str, list[Table]] = {}
    for store, mine in tables.items():
        found[store] = []
        for table in mine:
            lines = [line for line in table.lines if line.run and line.test == (test or line.test)]
            lines = [line for line in lines if not method or _method(table, line) == method]
            if lines:
                found[store].append(structs.replace(table, lines=lines, notes=[]))
    return found


def _own(page: Page, known: Contents) -> Page:
    """The page with the records that its cells, scenes and plots name, and with their trainings."""
    keys = {key for one in page.sheets for row in one.rows for cell in row.cells for key in cell.keys}
    keys |= {panel.key for scene in page.scenes for panel in scene.panels}
    keys |= {key for plot in page.plots for series in plot.series for key in series.keys}
    keys |= {known.records[key]["fit"] for key in keys if key in known.records}
    records = {key: record for key, record in known.records.items() if key in keys}
    files = {record["method_file"] for record in records.values()}
    sources = {file: text for file, text in known.sources.items() if file in files}
    return structs.replace(page, records=records, sources=sources)


def _method(table: Table, line: Line) -> str:
    """The registered name of a line's method, which a suite may call otherwise."""
    fits = [cell.fit for cell in table.plan.cells if cell.name == line.method]
    classes = {cls: name for name, cls in registry.methods().items()}
    return classes.get(type(fits[0].method), line.method) if fits else line.method


def _card(name: str) -> list[str]:
    """What a method says of itself."""
    method = registry.methods().get(name)
    if method is None:
        return [f"No method {name} is known here."]
    card = method.card
    said = [f"Paper: {card.paper}." if card.paper else "", f"Equations: {card.equations}." if card.equations else ""]
    said += [f"Deviations: {card.deviations}" if card.deviations else ""]
    return [" ".join(filter(None, said))] if any(said) else []


def _file(kind: str, name: str) -> str:
    """A file name that every server and system takes, another one for every name."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", short_name(name)).strip("-.")
    same = plain == name
    return f"{kind}-{plain}{'' if same else '-' + hashlib.sha256(name.encode()).hexdigest()[:8]}.html"
