"""The tables in results/measured are what the records beside them give."""

import json
import re
import statistics

import pytest
from support.cli import CHECKOUT, bench

from bench.protocol.suite_files import load

MEASURED = CHECKOUT / "results" / "measured"
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
    what = ("--suite", "all", "--preset", preset, "--store", MEASURED / preset)
    result = bench("verdicts", *what, "--format", "md")
    assert result.code == 0, result.err
    assert result.out == (MEASURED / preset / "verdicts.md").read_text(encoding="utf-8")
    *_, inverted = result.out.split("\n\n")
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in inverted.splitlines() if line)
    assert rows
    assert all(row[head.index("hypothesis")] and row[head.index("test")] for row in rows)


# ---- the tables of the README and of docs/results.md

CELL = re.compile(r"\d+\.\d\d/0\.\d{3}")
TESTS = {
    "measured": "embedded_test",
    "embedded photographs": "embedded_test",
    "Kodak": "kodak",
    "BSD300": "bsd300",
    "Set14": "set14",
}


def measured(preset: str) -> dict[tuple[str, str], set[str]]:
    """What the records of sigma 25 give for a word of a row's label and a test set: means of three seeds, or seed 0."""
    seeds: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for path in sorted((MEASURED / preset).glob("scores/*/gauss25/*.json"), key=lambda path: "-seed" in path.name):
        record = json.loads(path.read_bytes())
        for output, mean in record["result"]["outputs"].items():
            seeds.setdefault((path.parts[-3], output, record["label"]["test"]), []).append((mean["psnr"], mean["ssim"]))
    found: dict[tuple[str, str], set[str]] = {}
    for row in load("synthetic").rows:
        for (method, _, test), values in seeds.items():
            if method == row.method:
                shown = values if len(values) == 3 else values[:1]
                psnr, ssim = (statistics.fmean(value) for value in zip(*shown, strict=True))
                for word in re.findall(r"\w+", row.label.lower()):
                    found.setdefault((word, test), set()).add(f"{psnr:.2f}/{ssim:.3f}")
    return found


def printed() -> list[tuple[str, str, str, str]]:
    """Preset, label, test set and numbers of each measured cell of the pages."""
    readme, results = ((CHECKOUT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/results.md"))
    table = [row for row in rows(readme) if row[0] in ("[mini]", "[reduced]", "[standard]")]
    found = [(preset[1:-1], label, TESTS[test], quality) for preset, _, label, test, quality, _ in table]
    for preset, section in re.findall(r"^## Preset \[(\w+)\]\n(.*?)(?=^## )", results, re.MULTILINE | re.DOTALL):
        head, _, *body = rows(section)
        columns = [(number, TESTS[name]) for number, name in enumerate(head) if name in TESTS]
        found += [
            (preset, row[0], test, quality) for row in body for n, test in columns for quality in CELL.findall(row[n])
        ]
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables of a text."""
    return [[one.strip() for one in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_pages_print_what_the_records_give() -> None:
    known = {preset: measured(preset) for preset in ("mini", "reduced", "standard")}
    found = printed()
    assert len(found) > 50
    wrong = [
        one for one in found if one[3] not in known[one[0]].get((re.findall(r"\w+", one[1].lower())[0], one[2]), set())
    ]
    assert wrong == []
