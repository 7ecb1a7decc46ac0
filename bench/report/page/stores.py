"""The page of stores: their tables, the scenes that the rule chooses, plots, and every record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ... import __version__
from ...compute.machine import Machine
from ...datasets.errors import few
from ...runner.execution import Sets
from ...store.store import Store
from ..table_lines import Table
from . import crops
from .charts import looks, plots
from .chosen_images import scenes_of
from .model import Page, Scene, Sheet
from .page import within
from .records import described
from .tables import VERDICTS, Found, sheets

Tables = Mapping[str, Sequence[Table]]  # store -> its tables


class Contents(Struct):
    """What pages of the same stores share."""

    stores: Mapping[str, Store]
    machine: Machine
    sets: Sets
    budget: float  # MB of a page at most
    tell: Callable[[str], None]  # is given a sentence about each noise and test set whose images are computed
    summary: str
    records: dict[str, dict[str, Any]]
    sources: dict[str, str]
    notes: list[str]
    reading: str = VERDICTS

    def sheets_of(self, tables: Tables) -> list[Sheet]:
        """The tables as sheets."""
        return sheets([Found(name, list(mine)) for name, mine in tables.items()], self.machine)


def contents(
    stores: Mapping[str, Store], machine: Machine, sets: Sets, budget: float, tell: Callable[[str], None]
) -> Contents:
    """The records of stores, and how pages of them are made."""
    records, sources, differ = described(stores)
    text = (
        f"{len(records)} records of {few([*stores])}, blind2unblind-bench {__version__}. Every number opens its "
        "record: key, command, method's file, environment and the score of each image. This page sends no request."
    )
    return Contents(stores, machine, sets, budget, tell, text, records, sources, differ)


def page_of(known: Contents, tables: Tables) -> Page:
    """One page of one store or several; InputError if the tables alone are larger than its budget."""
    page = Page(
        title=f"Denoising results: {few([*known.stores])}",
        lead=[known.summary, *known.notes],
        reading=known.reading,
        sheets=known.sheets_of(tables),
        records=known.records,
        sources=known.sources,
    )
    page.lead += _in_no_table(page)
    look = looks([table for name in known.stores for table in tables[name]])
    for name, store in known.stores.items():
        more, paired = plots(store, tables[name], look)
        page.plots += more
        page.paired += paired
    scenes, said = _scenes(known, tables)
    page.rule = [*crops.RULE, *said]
    return within(page, scenes, known.budget)


def _in_no_table(page: Page) -> list[str]:
    """Which scores have no number in a table."""
    shown = {key for sheet in page.sheets for row in sheet.rows for cell in row.cells for key in cell.keys}
    left = [record["title"] for key, record in page.records.items() if record["kind"] == "score" and key not in shown]
    if not left:
        return []
    return [
        f"{len(left)} scores are in no table, as this version plans others under their names, or does not know their "
        f"methods: {few(left)}."
    ]


def _scenes(known: Contents, tables: Tables) -> tuple[list[Scene], list[str]]:
    """The scenes of every suite, those of the median images first; each place once."""
    ranked: dict[str, tuple[int, Scene]] = {}
    said: dict[str, None] = {}
    for name, store in known.stores.items():
        seen: set[str] = set()
        tests = {line.test for table in tables[name] for line in table.lines}
        for plan in {id(table.plan): table.plan for table in tables[name]}.values():
            found, wrong = scenes_of(plan, store, known.machine, known.sets, tests, seen, known.tell)
            said |= dict.fromkeys(wrong)
            for rank, scene in found:
                other = ranked.setdefault(scene.id, (rank, scene))[1]
                if len(scene.panels) > len(other.panels):
                    ranked[scene.id] = (rank, scene)
    order = sorted(ranked.values(), key=lambda one: one[0])  # stable: suites in their order
    return [scene for _, scene in order], [*said]
