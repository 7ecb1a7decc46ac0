"""The tables in results/measured are what the records beside them give."""

from pathlib import Path

import pytest
from support.cli import bench

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured"
STORES = sorted(path.parent.name for path in MEASURED.glob("*/tables.md"))


def test_there_are_tables_of_all_suites() -> None:
    text = (MEASURED / "mini" / "tables.md").read_text(encoding="utf-8")
    assert [number for number in range(1, 9) if f"Table {number}: " not in text] == []


@pytest.mark.parametrize(("form", "file"), [("md", "tables.md"), ("csv", "tables.csv"), ("latex", "tables.tex")])
@pytest.mark.parametrize("store", STORES)
def test_committed_tables_are_those_of_the_committed_records(store: str, form: str, file: str) -> None:
    result = bench("tables", "--store", MEASURED / store, "--format", form)
    assert result.code == 0, result.err
    assert result.out == (MEASURED / store / file).read_text(encoding="utf-8")


SETS = ("--noise", "gauss25", "--test-sets", "set12,bsd68")


@pytest.mark.parametrize(
    ("store", "asked", "suites"),
    [
        ("srgb", (), ["srgb"]),
        ("zeroshot", (), ["zeroshot", "zeroshot-fmdd"]),
        ("zeroshot-sets", ("--suite", "zeroshot", *SETS), ["zeroshot"]),
    ],
)
def test_tables_of_suites_beside_the_paper_are_those_of_the_committed_records(
    store: str, asked: tuple[str, ...], suites: list[str]
) -> None:
    result = bench("tables", *asked, "--store", MEASURED / store, "--format", "md")
    assert result.code == 0, result.err
    assert result.out == "\n".join((MEASURED / store / f"{suite}.md").read_text(encoding="utf-8") for suite in suites)


@pytest.mark.parametrize("preset", sorted(path.parent.name for path in MEASURED.glob("*/verdicts.md")))
def test_committed_verdicts_are_those_of_the_committed_records(preset: str) -> None:
    what = ("--suite", "synthetic", "--preset", preset, "--store", MEASURED / preset)
    result = bench("verdicts", *what, "--format", "md")
    assert result.code == 0, result.err
    assert result.out == (MEASURED / preset / "verdicts.md").read_text(encoding="utf-8")
