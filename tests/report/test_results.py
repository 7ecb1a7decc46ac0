"""The tables in results/measured are what the records beside them give."""

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
from support.cli import CHECKOUT, bench

from bench.methods import registry
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


# ---- the tables of the README, of docs/results.md and of the stores' own README.md

QUALITY = re.compile(r"\d+\.\d\d/0\.\d{3}")
NOISE = re.compile(r"(sigma|lambda)(?: in)? (\d+)(?:\.\.(\d+))?")
TESTS = {"measured": "embedded_test", "embedded photographs": "embedded_test"}
UNSAID = {"baseline", "structn2v"}  # words of the suite's labels that the pages leave out
Printed = tuple[str, str, str, str, str]  # preset, noise, label, test set, quality


def words(label: str) -> frozenset[str]:
    """The words of a label, without what it does less than published, which begins with a number."""
    said = [part for part in label.lower().split(", ") if not part[0].isdigit()]
    return frozenset(re.findall(r"\w+", " ".join(said))) - UNSAID


def named() -> dict[frozenset[str], tuple[str, str]]:
    """Method and output by the words of a label: a row's own, or that of a method with the name of an output."""
    suite, found = load("synthetic"), {}
    for row in suite.rows:
        configuration = suite.configurations.get(row.method)
        outputs = registry.find(configuration.method if configuration else row.method).outputs
        (primary,) = (output.name for output in outputs if output.primary)
        found[words(row.label)] = row.method, row.output or primary
        if not row.output:
            found |= {words(f"{row.label}, {output.name}"): (row.method, output.name) for output in outputs}
    return found


def measured(preset: str) -> dict[tuple[str, str, str, str], str]:
    """The quality that the records give a method's output on a noise and a test set: mean of three seeds, or seed 0."""
    seeds: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for path in sorted((MEASURED / preset).glob("scores/*/*/*.json"), key=lambda path: "-seed" in path.name):
        record = json.loads(path.read_bytes())
        outputs = {name: (mean["psnr"], mean["ssim"]) for name, mean in record["result"]["outputs"].items()}
        for output, quality in (outputs | {"best": max(outputs.values())}).items():
            seeds.setdefault((*path.parts[-3:-1], output, record["label"]["test"]), []).append(quality)
    means = {cell: np.mean(all_ if len(all_) == 3 else all_[:1], axis=0) for cell, all_ in seeds.items()}
    return {cell: "{:.2f}/{:.3f}".format(*mean) for cell, mean in means.items()}


def printed() -> Iterator[Printed]:
    """Each measured cell of the pages."""
    for _, (_, _, *body) in tables((CHECKOUT / "README.md").read_text(encoding="utf-8")):
        for row in body:
            if row[0] in ("[mini]", "[reduced]", "[standard]"):
                preset, noise, label, test, quality, _ = row
                yield preset[1:-1], noise, label, TESTS.get(test, test.lower()), quality
    results = (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## Preset \[(\w+)\]\n(.*?)(?=^## )", results, re.MULTILINE | re.DOTALL)
    stores = [(name, (MEASURED / name / "README.md").read_text(encoding="utf-8")) for name in ("reduced", "standard")]
    for preset, text in sections + stores:
        for above, (head, _, *body) in tables(text):
            noise = noise_of(above)
            for row in body:
                cells = [(TESTS.get(name, name.lower()), one) for name, one in zip(head, row, strict=True)]
                yield from (
                    (preset, noise, row[0], test, one)
                    for test, one in cells
                    if test != "paper" and QUALITY.fullmatch(one)
                )


def noise_of(text: str) -> str:
    """The first noise that a text tells in words, such as gauss5_50 for `sigma in 5..50`; empty for none."""
    for symbol, level, highest in NOISE.findall(text.lower()):
        return f"{'gauss' if symbol == 'sigma' else 'poisson'}{level}{'_' * bool(highest)}{highest}"
    return ""


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Each table of a text: the paragraph above it, and the cells of its rows."""
    above = ""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("|"):
            yield above, [[one.strip() for one in line[1:-1].split("|")] for line in paragraph.strip().splitlines()]
        above = paragraph


def test_the_pages_print_what_the_records_give() -> None:
    names, known = named(), {preset: measured(preset) for preset in ("mini", "reduced", "standard")}
    found = list(printed())
    assert len(found) > 100
    wrong = []
    for cell in found:
        preset, noise, label, test, quality = cell
        method, output = names.get(words(label)) or names.get(words(label) - {"level", "known", "unknown"}, ("", ""))
        if known[preset].get((method, noise, output, test)) != quality:
            wrong.append(cell)
    assert wrong == []
