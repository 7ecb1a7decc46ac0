"""Whether each number of the paper is reproduced and each column keeps its order, by rules in verdicts.toml."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import combinations

import pandas as pd
import scipy
from msgspec import Struct

from ..datasets.documents import from_toml
from .published import published_for
from .table_lines import Line, Table

VERDICTS = REPRODUCED, ORDER, NEITHER, NOT_RUN = "reproduced", "order reproduced", "not reproduced", "not run"
SEEDS = ((0, 1, 2), (0,))  # a cell's number is the mean over the first of them that it has


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a verdict means; see verdicts.toml."""

    within: float  # dB
    apart: float  # dB
    concordant: float  # share of pairs


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of some columns, best first, as they were expected to be measured."""

    suite: str
    preset: str
    noises: tuple[str, ...]
    sets: dict[str, str]  # test set -> the paper's one whose printed order it is compared with
    rows: tuple[str, ...]  # method, or method/output


class Hypothesis(Struct, frozen=True, forbid_unknown_fields=True):
    """What may turn pairs of rows round against the paper, and what would test that."""

    better: tuple[str, ...]  # as the paper prints them
    worse: tuple[str, ...]
    why: str
    test: str
    found: str = ""  # what the test showed, once it was made
    presets: tuple[str, ...] = ()  # where it is meant; empty: everywhere
    noises: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    def explains(self, pair: tuple[str, str], preset: str, noise: str, test: str) -> bool:
        """Whether it is meant for this pair of rows, better one first, in this column."""
        here = ((preset, self.presets), (noise, self.noises), (test, self.sets))
        return pair[0] in self.better and pair[1] in self.worse and all(one in (many or (one,)) for one, many in here)


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of verdicts.toml."""

    rule: Rule
    orders: tuple[Order, ...]
    hypotheses: tuple[Hypothesis, ...] = ()


@cache
def expected() -> Expected:
    """The rule, the expected orders, and the hypotheses."""
    return from_toml((resources.files(__package__) / "verdicts.toml").read_bytes(), Expected)


class Column(Struct, frozen=True):
    """The measured rows of one test set and noise beside what the paper printed for them [dB of PSNR]."""

    noise: str
    test: str
    measured: dict[str, float]  # row -> PSNR
    printed: dict[str, float]

    @property
    def both(self) -> list[str]:
        """The rows that have both numbers."""
        return [row for row in self.measured if row in self.printed]


def merged(several: Sequence[Sequence[Table]]) -> list[Table]:
    """The same tables for different seeds as one: each line from the first of them that has its number."""
    first, *others = several
    for one, *more in zip(first, *others, strict=True):
        found = {line.place: line for table in reversed((one, *more)) for line in table.lines if _done(line)}
        one.lines = [found.get(line.place, line) for line in one.lines]
    return list(first)


class Judged(Struct, frozen=True):
    """The verdicts on the cells of a table of the paper that have a number."""

    title: str
    verdicts: list[tuple[Line, str]]


def judge(tables: Sequence[Table], rule: Rule) -> list[Judged]:
    """The verdicts on all cells."""
    return [
        Judged(table.title, [(line, _verdict(line, table.lines, rule)) for line in table.lines if line.published])
        for table in tables
    ]


def summary(tables: Sequence[Judged]) -> pd.DataFrame:
    """How many cells of each table have which verdict."""
    rows = []
    for table in tables:
        kinds = [verdict.partition(" (")[0] for _, verdict in table.verdicts]
        rows.append({"table": table.title} | {kind: str(kinds.count(kind)) for kind in VERDICTS})
    return pd.DataFrame(rows)


def cells(table: Judged) -> pd.DataFrame:
    """The verdicts on a table: a row per method, a column per set."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for line, verdict in table.verdicts:
        own = {"table": table.title, "noise": line.noise, "method": line.label}
        rows.setdefault((line.noise, line.label), own)[line.test] = verdict
    return pd.DataFrame(list(rows.values())).fillna("")


def _verdict(line: Line, lines: Sequence[Line], rule: Rule) -> str:
    """One of VERDICTS, with the difference from the paper [dB] and the pairs in the printed order."""
    if not _done(line):
        return NOT_RUN
    difference = line.metrics["psnr"] - _printed(line)
    if abs(difference) <= max(rule.within, _half_width(line)):
        return f"{REPRODUCED} ({difference:+.2f} dB)"
    column = [one for one in lines if (one.noise, one.test) == (line.noise, line.test) and one.published and _done(one)]
    pairs = [
        (_printed(line) - _printed(one)) * (line.metrics["psnr"] - one.metrics["psnr"]) > 0
        for one in column
        if abs(_printed(line) - _printed(one)) > rule.apart
    ]
    kept = bool(pairs) and sum(pairs) >= rule.concordant * len(pairs)
    return f"{ORDER if kept else NEITHER} ({difference:+.2f} dB, {sum(pairs)} of {len(pairs)} pairs)"


def columns(tables: Sequence[Table], known: Expected) -> pd.DataFrame:
    """The rank correlations of each measured column to the paper's order and to the expected one."""
    rows = []
    for order, column in _columns(tables, known):
        mine = [row for row in order.rows if row in column.measured]
        paper = [(column.measured[row], column.printed[row]) for row in column.both]
        hoped = [(column.measured[row], -order.rows.index(row)) for row in mine]
        rows.append(
            {
                "suite": order.suite,
                "noise": column.noise,
                "set": column.test,
                "order of": order.sets[column.test],
                "rows": str(len(paper)),
                "Spearman, paper": _spearman(paper),
                "Kendall, paper": _kendall(paper),
                "Spearman, expected": _spearman(hoped),
                "Kendall, expected": _kendall(hoped),
                "measured order": " > ".join(sorted(mine, key=column.measured.__getitem__, reverse=True)),
            }
        )
    return pd.DataFrame(rows)


def inversions(tables: Sequence[Table], known: Expected) -> pd.DataFrame:
    """The pairs of rows that are measured the other way round than the paper prints them, with what may explain it."""
    rows = []
    for order, column in _columns(tables, known):
        for pair in combinations(sorted(column.both, key=column.printed.__getitem__, reverse=True), 2):
            gap, found = (values[pair[0]] - values[pair[1]] for values in (column.printed, column.measured))
            if gap > known.rule.apart and found < 0:
                here = (pair, order.preset, column.noise, column.test)
                why = next((one for one in known.hypotheses if one.explains(*here)), None)
                rows.append(
                    {
                        "noise": column.noise,
                        "set": column.test,
                        "paper": f"{pair[0]} > {pair[1]}",
                        "printed (dB)": f"{gap:+.2f}",
                        "measured (dB)": f"{found:+.2f}",
                        "hypothesis": why.why if why else "",
                        "test": why.test if why else "",
                        "found": why.found if why else "",
                    }
                )
    return pd.DataFrame(rows)


def _columns(tables: Sequence[Table], known: Expected) -> Iterator[tuple[Order, Column]]:
    """The columns that have an expected order and at least two measured rows of it."""
    for order in known.orders:
        mine = [t for t in tables if (t.plan.suite.name, t.plan.request.preset) == (order.suite, order.preset)]
        for noise in order.noises:
            for test, paper in order.sets.items():
                column = Column(noise, test, {}, {})
                for found in mine:
                    _fill(column, found, order, paper)
                if len(column.measured) > 1:
                    yield order, column


def _fill(column: Column, table: Table, order: Order, paper: str) -> None:
    """Takes the numbers of a column from a table."""
    for line in table.lines:
        row = _row(line, order)
        if row and _done(line) and (line.noise, line.tested, line.test) == (column.noise, column.noise, column.test):
            column.measured[row] = line.metrics["psnr"]
            if printed := _printed_for(table, line, paper):
                column.printed[row] = printed


def _printed_for(table: Table, line: Line, paper: str) -> float | None:
    """What the paper printed for a row on a set of its own: for the same noise, or for that of its cameras."""
    for noise in (line.noise, "captured"):
        for output in (line.output, ""):
            if metrics := published_for(table.plan, table.number).get((noise, line.method, output, paper)):
                return metrics["psnr"]
    return None


def _row(line: Line, order: Order) -> str:
    """The name of a line in an order, "" if it is not in it."""
    full = f"{line.method}/{line.output}"
    return full if full in order.rows else line.method if line.method in order.rows and line.primary else ""


def _done(line: Line) -> bool:
    """Whether it has a number of whole test images."""
    return line.state.kind == "done" and "psnr" in line.metrics and not line.centre_crop


def _printed(line: Line) -> float:
    return (line.published or {})["psnr"]


def _half_width(line: Line) -> float:
    """Of Student's 95 % interval of the mean over seeds [dB]; 0 for one seed."""
    if line.seeds < 2:
        return 0.0
    return float(scipy.stats.t.ppf(0.975, line.seeds - 1)) * line.std["psnr"] / math.sqrt(line.seeds)


def _spearman(pairs: Sequence[tuple[float, float]]) -> str:
    return f"{scipy.stats.spearmanr(*zip(*pairs, strict=True)).statistic:.2f}" if len(pairs) > 2 else ""


def _kendall(pairs: Sequence[tuple[float, float]]) -> str:
    return f"{scipy.stats.kendalltau(*zip(*pairs, strict=True)).statistic:.2f}" if len(pairs) > 2 else ""
