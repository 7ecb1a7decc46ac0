"""The numbers that the paper and others printed, and the suites that regenerate its tables."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.errors import unknown
from ..protocol.plan import Plan
from ..protocol.suite_files import load, suites

Published = Mapping[tuple[str, str, str, str], dict[str, float]]  # noise, method, output or "", test set -> metrics
Level = Literal["paper", "image", "note"]
LEVELS: dict[Level, str] = {
    "paper": "printed by its source",
    "image": "read from an image of its source's table",
    "note": "second hand, from a note on its source; check it there before you cite it",
}


class Other(Struct, frozen=True, forbid_unknown_fields=True):
    """A number that somebody else published under a suite's protocol, and how it got here."""

    suite: str
    noise: str
    method: str
    label: str
    set: str
    metrics: dict[str, float]
    level: Level
    source: str
    remark: str = ""


@cache
def published(table: int | None) -> Published:
    """The printed PSNR and SSIM of each cell of a table of the paper; empty where it printed - / -."""
    source = resources.files("bench.results.paper") / f"table{table}.csv"
    if table is None or not source.is_file():
        return {}
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return {
        (r["noise"], r["method"], r["output"], r["set"]): {"psnr": float(r["psnr"]), "ssim": float(r["ssim"])}
        if r["psnr"]
        else {}
        for r in rows
    }


def published_for(plan: Plan, table: int | None) -> Published:
    """The same for the suites that ship with the package; a file of one's own has none, whatever its numbers are."""
    return published(table) if plan.request.suite in suites() else {}


@cache
def others(suite: str) -> tuple[Other, ...]:
    """What others than the paper published under the protocol of a suite."""
    text = (resources.files("bench.results.paper") / "others.csv").read_text(encoding="utf-8")
    found = (msgspec.convert(_with_metrics(row), Other) for row in csv.DictReader(text.splitlines()))
    return tuple(one for one in found if one.suite == suite)


def _with_metrics(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its numbers under one name; an empty SSIM was not published."""
    metrics = {name: float(text) for name in ("psnr", "ssim") if (text := row.pop(name))}
    return row | {"metrics": metrics}


def others_for(plan: Plan) -> tuple[Other, ...]:
    """The same for the suites that ship with the package."""
    return others(plan.request.suite) if plan.request.suite in suites() else ()


def suite_of(table: int) -> str:
    """The suite that regenerates a table of the paper; InputError for a number that the paper does not have."""
    by_table = {number: name for name in suites() for number in load(name).tables}
    if str(table) not in by_table:
        raise unknown("table", str(table), by_table)
    return by_table[str(table)]


def with_tables() -> list[str]:
    """The suites that regenerate tables of the paper, in the paper's order."""
    return sorted((name for name in suites() if load(name).tables), key=lambda name: int(min(load(name).tables)))
