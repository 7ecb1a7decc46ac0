"""Tables as an HTML page and as a LaTeX document: whole, escaped, marked; what else pages hold is in test_page.py."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from bench.report.latex import document, escape
from bench.report.page.page import of_frames
from bench.report.sheets import Cell, Table, cell, sheet

SCRIPT = "<script>alert(\"1\")</script> & 'x'"
SPECIAL = r"100 % & a_b #1 $5 {c} ~d ^e \f ± λ σ − [g] *h -- <i> `j` \"k\" é 日"
FRAME = pd.DataFrame(
    {
        "noise": ["gauss25", "gauss25", "poisson30"],
        "method": ["NBR2NBR", "_mine_", "**kwargs**"],
        "folder:somewhere/my_set": ["**31.20±0.01/0.850±0.002**", "_31.10/0.840_", "not run"],
        "diff.": ["+0.12", "-0.30", ""],
    }
)
VOID = {"meta", "img", "input"}


# ---- cells


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("**31.20/0.850**", Cell("31.20/0.850", "best", number=True)),
        ("_31.10_", Cell("31.10", "second", number=True)),
        ("31.20±0.01/0.850±0.002", Cell("31.20±0.01/0.850±0.002", number=True)),
        ("-0.30", Cell("-0.30", number=True)),
        ("1,102,371", Cell("1,102,371", number=True)),
        ("inf/1.000", Cell("inf/1.000", number=True)),
        ("<0.001", Cell("<0.001", number=True)),
        (250, Cell("250", number=True)),
        (float("nan"), Cell("")),
        ("-", Cell("-")),
        ("gauss25", Cell("gauss25")),
        ("2 of 50 passes", Cell("2 of 50 passes")),
        ("_mine_", Cell("_mine_")),
        ("**kwargs**", Cell("**kwargs**")),
        ("**31.20_", Cell("**31.20_")),
    ],
)
def test_only_numbers_are_marked_and_flush_right(value: object, expected: Cell) -> None:
    assert cell(value) == expected


def test_a_column_with_a_number_is_one_of_numbers() -> None:
    assert sheet(FRAME).numbers == [False, False, True, True]


def test_rows_are_grouped_by_the_first_column() -> None:
    assert sheet(FRAME).begins == [False, False, True]
    assert sheet(FRAME[["method", "noise"]]).begins == [False, False, False]  # every row a group of its own


def test_a_folder_is_called_by_its_last_part() -> None:
    assert sheet(FRAME).headings == ["noise", "method", "folder my_set", "diff."]


# ---- HTML


class Read(HTMLParser):
    """The tags of a page with their text; refuses a page whose tags are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()) if self.open else ("", data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def page(*tables: Table) -> str:
    return of_frames("A page", tables)


def test_page_holds_tables_and_notes() -> None:
    read = Read(page(("One", FRAME, ["why", "because"]), ("Two", FRAME[["noise"]], [])))
    names = [tag for tag, _ in read.tags]
    assert (names.count("table"), names.count("tr"), names.count("ul")) == (2, 4 + 4, 1)
    assert read.of("figcaption") == ["One", "Two"]
    assert read.of("li") == ["why", "because"]
    assert read.of("th")[:4] == ["noise", "method", "folder my_set", "diff."]


def test_page_marks_best_and_second() -> None:
    read = Read(page(("One", FRAME, [])))
    assert read.of("strong") == ["31.20±0.01/0.850±0.002"]
    assert read.of("u") == ["31.10/0.840"]
    assert {"_mine_", "**kwargs**", "not run"} <= set(read.of("td"))


def test_page_sets_numbers_flush_right() -> None:
    read = Read(page(("One", FRAME, [])))
    classes = [attributes.get("class") for tag, attributes in read.tags if tag in ("th", "td")]
    assert classes == [None, None, "number", "number"] * 4


def test_everything_on_a_page_is_escaped() -> None:
    frame = pd.DataFrame({SCRIPT: [SCRIPT]})
    text = page((SCRIPT, frame, [SCRIPT]))
    read = Read(text)
    assert SCRIPT not in text
    assert [read.of(tag) for tag in ("figcaption", "th", "td", "li")] == [[SCRIPT]] * 4


def test_page_of_an_empty_table() -> None:
    assert Read(page(("None", pd.DataFrame(columns=["noise"]), []))).of("th") == ["noise"]


# ---- LaTeX


def wide(columns: int) -> pd.DataFrame:
    return pd.DataFrame({f"set {i}": ["30.00/0.900"] for i in range(columns)})


@pytest.fixture
def difficult() -> str:
    """A document with every special character everywhere."""
    frame = pd.DataFrame({SPECIAL: [SPECIAL, "[x]", "*y"], "set_1": ["**31.20/0.850**", "_31.10/0.840_", "-1.0"]})
    return document([(SPECIAL, frame, [SPECIAL]), ("Two", FRAME, [])])


def test_environments_and_braces_are_balanced(difficult: str) -> None:
    stack = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", difficult):
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", difficult):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert difficult.count(r"\begingroup") == difficult.count(r"\endgroup") == 2


def test_special_characters_are_escaped(difficult: str) -> None:
    body = difficult.partition(r"\begin{document}")[2]
    assert not re.search(r"(?<!\\)[%#$_^~]", body)
    assert body.isascii() or set(filter(lambda sign: not sign.isascii(), body)) == {"é"}
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {1, 3}  # two columns, and FRAME's four


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50%", r"50\%"),
        ("a_b & c", r"a\_b \& c"),
        ("\\x{y}", r"\textbackslash{}x\{y\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("σ = 25 ± 1", r"\ensuremath{\sigma} = 25 \ensuremath{\pm} 1"),
        ("λ−1", r"\ensuremath{\lambda}\ensuremath{-}1"),
        ("--steps", r"-{}-{}steps"),
        ("[mini]*", r"{[}mini{]}{*}"),
        ("two\n\nlines", "two lines"),
        ("é日", "é(U+65E5)"),
    ],
)
def test_escapes(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_document_marks_best_and_second() -> None:
    text = document([("One", FRAME, [])])
    best = r"31.20\ensuremath{\pm}0.01/0.850\ensuremath{\pm}0.002"
    assert rf"\textbf{{{best}}}" in text
    assert r"\underline{31.10/0.840}" in text
    assert r"\_mine\_ & " in text
    assert text.count(r"\textbf") == text.count(r"\underline") == 1


def test_document_sets_columns_and_groups() -> None:
    text = document([("One", FRAME, ["a note"])])
    assert r"\begin{longtable}{@{}llrr@{}}" in text
    assert r"\addlinespace poisson30" in text
    assert text.count(r"\addlinespace") == 1
    assert r"\ensuremath{-}0.30" in text
    assert r"\noindent a note\par" in text


@pytest.mark.parametrize(
    ("columns", "size"), [(3, "normalsize"), (11, "footnotesize"), (13, "scriptsize"), (20, "tiny")]
)
def test_wide_tables_are_set_smaller(columns: int, size: str) -> None:
    frame = pd.DataFrame({f"set {i}": ["30.00/0.900"] for i in range(columns)})
    assert rf"\begingroup\{size}" + "\n" in document([("One", frame, [])])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on this machine")
@pytest.mark.parametrize("columns", [0, 10, 12, 14, 17, 25])
def test_document_compiles_and_fits(columns: int, difficult: str, tmp_path: Path) -> None:
    text = document([("Wide", wide(columns), [])]) if columns else difficult
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
