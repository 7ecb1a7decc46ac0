"""What the records of a store say: tables, comparisons, single records, figures; and the methods that are known."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd
from msgspec import structs

from ..compute.machine import choose
from ..datasets import files
from ..datasets.errors import InputError, few, unknown
from ..methods import plugins, registry
from ..methods.base import Method
from ..methods.guard import MethodError, guarded
from ..protocol import plan
from ..protocol.request import Request
from ..protocol.suite_files import load
from ..report import compare as comparison
from ..report import show
from ..report.published import suite_of
from ..report.table_columns import frame
from ..report.table_lines import Table
from ..report.tables import build, request_of
from ..runner.display import Display
from ..runner.execution import Sets
from ..runner.run import Outcome
from ..store.match import request_of_label
from ..store.record import Record
from ..store.store import Store
from .options import Asked, Options, PathLike, asked_in, load_plugins, path_of, store_of, table_requests

if TYPE_CHECKING:
    from ..report.figures import Made, Skipped


def tables(table: int = 1, preset: str = "", *, store: PathLike | None = None) -> pd.DataFrame:
    """A table of the paper from the store's records: its last run, or a preset."""
    plugins.load_entry_points()
    asked = Request(suite=suite_of(table), preset=preset or "mini")
    (found,) = build(store_of(store, must_exist=store is not None), asked, bool(preset), table)
    return frame(found)


def recorded_tables(
    suite: str = "",
    preset: str = "",
    table: int | None = None,
    methods: Sequence[str] = (),
    published: str = "paper",
    *,
    store: PathLike | None = None,
    **asked: Unpack[Asked],
) -> tuple[list[Table], list[str]]:
    """The tables of suites with all that belongs to each number, and which suites cannot be shown.

    `methods` leaves only their rows; `published` "all" adds rows with what others than the paper published. InputError
    if there is nothing to show.
    """
    return _tables(store_of(store), suite, preset, table, methods, published, **asked)


def _tables(
    store: Store,
    suite: str,
    preset: str,
    table: int | None,
    methods: Sequence[str],
    published: str = "paper",
    **asked: Unpack[Asked],
) -> tuple[list[Table], list[str]]:
    wanted = table_requests(store, suite, preset, table, **asked)
    known = {name for one in wanted for name in plan.methods_of(load(one.suite))}
    for name in methods:
        if name not in known:
            raise registry.unknown_method(name, known)
    found, refused = list[Table](), dict[str, InputError]()
    for one in wanted:
        try:
            found += build(store, one, bool(preset), table, methods, published)
        except InputError as error:  # of a suite's file or a plug-in; the others can be shown
            refused[one.suite] = error
    if refused and not found:
        raise next(iter(refused.values()))
    return found, [f"suite {name} is left out: {error}" for name, error in refused.items()]


def compare(
    other: PathLike,
    suite: str = "",
    preset: str = "",
    table: int | None = None,
    methods: Sequence[str] = (),
    *,
    store: PathLike | None = None,
    **asked: Unpack[Asked],
) -> tuple[pd.DataFrame, list[str]]:
    """The tables of two stores side by side, and what cannot be; InputError where their protocols differ."""
    one, two = store_of(store), Store(Path(other))
    if not two.root.is_dir():
        raise InputError(f"--compare {two.root}: no such folder")
    (a, left_a), (b, left_b) = (_tables(side, suite, preset, table, methods, **asked) for side in (one, two))
    return comparison.compare(a, b, (str(one.root), str(two.root))), [*dict.fromkeys([*left_a, *left_b])]


def verdicts(
    suite: str = "", preset: str = "reduced", *, store: PathLike | None = None
) -> tuple[list[pd.DataFrame], list[str]]:
    """The verdicts on the paper's cells, counted and one by one, the columns' rank correlations, the inverted pairs.

    Also what is left out. A number is the mean over three seeds where the store has them, else of seed 0.
    InputError as for tables.
    """
    from ..report import verdicts as judging  # imported here: scipy is slow to load

    place = store_of(store)
    (found, left_out), *others = (_tables(place, suite, preset, None, (), seeds=seeds) for seeds in judging.SEEDS)
    recorded = {record.label["preset"].split(",")[0] for record in place.find("")}  # overrides follow
    if recorded and preset not in recorded:
        left_out.append(f"no record of preset {preset}; the store has {', '.join(sorted(recorded))} (--preset)")
    merged, known = judging.merged([found, *(tables for tables, _ in others)]), judging.expected()
    judged = judging.judge(merged, known.rule)
    if preset in recorded and all(said == judging.NOT_RUN for one in judged for _, said in one.verdicts):
        left_out.append("No cell has a number on the paper's test images. The orders below are of other images.")
    counted = [judging.summary(judged), *map(judging.cells, judged)]
    return [*counted, judging.columns(merged, known), judging.inversions(merged, known)], left_out


def outcome_tables(outcome: Outcome) -> list[Table]:
    """The tables of what a run was asked for."""
    return [found for asked in outcome.requests for found in build(Store(outcome.store), asked, True)]


def store_folder(store: PathLike | None = None) -> Path:
    """The folder of the store to read; InputError if one was named that does not exist."""
    return store_of(store).root


def unreadable(store: PathLike | None = None) -> list[str]:
    """The records of a store that cannot be read, and why."""
    return [str(error) for error in store_of(store).look()[1]]


def find(words: str, *, store: PathLike | None = None) -> list[Record]:
    """The records whose key starts so or whose titles have these words; a fit alone where the others are its scores."""
    place = store_of(store)
    found, wrong = place.find(words), place.look()[1]
    for error in wrong:
        if error.path.stem.endswith(f"-{words[:8]}"):
            raise error
    if not found:
        damaged = f" Not readable: {few([str(error) for error in wrong])}" if wrong else ""
        titles = [record.title for record in place.find("")]
        raise unknown("cell", words, titles, f"Store: {place.root}.{damaged}") if titles or wrong else _empty(place)
    fits = [record for record in found if record.kind == "fit"]
    of_it = len(fits) == 1 and all(record.identity.get("fit", record.key) == fits[0].key for record in found)
    return fits if of_it else found


def details(record: Record, *, store: PathLike | None = None) -> dict[str, Any]:
    """A record with its file, the method's file, the command that makes it again, and its per-image scores."""
    return show.details(store_of(store), record)


def figures(
    out: PathLike = "figures", suite: str = "", preset: str = "", table: int | None = None, **options: Unpack[Options]
) -> Iterator["Made | Skipped"]:
    """Draws what the store has; the figures of each suite as they come. InputError if there is nothing to draw."""
    from ..report import figure_entries
    from ..report.figures import Inputs, Skipped, draw  # imported here: matplotlib is slow to load

    load_plugins(options.get("plugins", ()))
    store, (machine, _) = store_of(options.get("store")), choose()
    images, drawn, refused = Sets(path_of(options.get("data"))), False, dict[str, InputError]()
    requests = table_requests(store, suite, preset, table, **asked_in(options))
    if not store.find(""):
        raise _empty(store)
    for asked in requests:
        try:
            planned = plan.make(request_of(store, asked, bool(preset)), store.last.known().digests)
            yield from draw(Inputs(planned, store, machine, images), Path(out), figure_entries.load())
            drawn = True
        except InputError as error:
            refused[asked.suite] = error
    if refused and not drawn:
        raise next(iter(refused.values()))
    yield from (Skipped(f"suite {name}", str(error)) for name, error in refused.items())


def report_page(
    stores: Sequence[PathLike] = (),
    out: PathLike = "report.html",
    budget: float = 20.0,
    *,
    data: PathLike | None = None,
) -> Path:
    """Writes one page of stores, of at most `budget` MB; by default of this machine's store.

    InputError: no records, a budget that the tables alone exceed, or a place that cannot be written.
    """
    from ..report.page.page import build as document  # imported here: scipy is slow to load
    from ..report.page.stores import contents, page_of

    named = _named(stores)
    tables, machine = _tables_of(named), choose()[0]
    with Display() as display:
        display.work_begins()
        page = page_of(contents(named, machine, Sets(path_of(data)), budget, display.note), tables)
    _write(Path(out), document(page))
    return Path(out)


def report_site(
    stores: Sequence[PathLike], folder: PathLike, budget: float = 20.0, *, data: PathLike | None = None
) -> list[Path]:
    """Writes a static site of stores into a folder: index.html, and one page for each method and each test set.

    InputError: as for `report_page`.
    """
    from ..report.page.page import build as document
    from ..report.page.site import pages_of
    from ..report.page.stores import contents

    named = _named(stores)
    tables, machine = _tables_of(named), choose()[0]
    with Display() as display:
        display.work_begins()
        pages = pages_of(contents(named, machine, Sets(path_of(data)), budget, display.note), tables)
    for name, page in pages.items():
        _write(Path(folder, name), document(page))
    return [Path(folder, name) for name in pages]


def _empty(store: Store) -> InputError:
    """What a store without records is answered with."""
    fix = f"python -m bench run --methods n2c,b2u --noise gauss25 --store {quote(str(store.root))}"
    return InputError(f"{store.root}: no records; make some: {fix}")


def _named(stores: Sequence[PathLike]) -> dict[str, Store]:
    """Stores by the shortest ends of their paths that tell them apart."""
    found = [store_of(store) for store in stores] or [store_of(None)]
    paths = list(dict.fromkeys(store.root.resolve() for store in found))
    length = next(n for n in range(1, 99) if len({path.parts[-n:] for path in paths}) == len(paths))
    return {"/".join(path.parts[-length:]): Store(path) for path in paths}


def _tables_of(stores: dict[str, Store]) -> dict[str, list[Table]]:
    """The tables of every store; InputError for one without records."""
    plugins.load_entry_points()
    tables = {}
    for store in stores.values():
        if not store.find(""):
            raise _empty(store)
    for name, store in stores.items():
        tables[name] = _tables(store, "", "", None, ())[0]
        tables[name] += _earlier(store, {key for table in tables[name] for line in table.lines for key in line.keys})
    return tables


def _earlier(store: Store, shown: set[str]) -> list[Table]:
    """Lines whose records are not shown yet: of earlier runs, which asked for something else than the last one."""
    found = list[Table]()
    left = [record for record in store.find("") if record.kind == "score" and record.key not in shown]
    for suite, label in dict.fromkeys((record.label["suite"], record.label["preset"]) for record in left):
        try:
            tables = build(store, request_of_label(suite, label), True)
        except InputError:  # of a suite or an option that is not known here; the page names the records
            continue
        for table in tables:
            lines = [line for line in table.lines if line.run and not shown.issuperset(line.keys)]
            if lines:
                found.append(structs.replace(table, lines=lines, notes=[]))
        shown = shown | {key for table in tables for line in table.lines for key in line.keys}
    return found


def _write(path: Path, text: str) -> None:
    with files.output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def methods() -> list[dict[str, Any]]:
    """Every registered method with its card, what it may know, what it trains on, its network, outputs and passes."""
    return [
        {
            "name": name,
            "paper": method.card.paper,
            "equations": method.card.equations,
            "deviations": method.card.deviations,
            "supervision": method.supervision,
            "knowledge": method.knowledge,
            "trains_on": method.trains_on,
            "outputs": [output.name for output in method.outputs],
            "primary": method.primary().name,
        }
        | _by_default(method)
        for name, method in sorted(registry.methods().items())
    ]


def _by_default(cls: type[Method]) -> dict[str, Any]:
    """The network and the passes per image of a method with its default fields; nothing where it cannot be made."""
    try:
        with guarded():
            method = cls()
            network = registry.other_network(method) or ("U-Net" if method.learns() else "")
            return {"network": network, "passes": method.passes()}
    except MethodError:
        return {"network": "", "passes": {}}
