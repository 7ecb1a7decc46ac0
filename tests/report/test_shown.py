"""What a terminal and a document show: 80 columns, the rows that were run, whose numbers, and nothing harmful."""

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from msgspec import structs
from support.cli import altered_suite, bench, finish, lines, refused, start
from support.planted import plant

from bench.methods import registry
from bench.protocol.metrics.registry import find_metric
from bench.protocol.plan import make
from bench.protocol.request import ExternalWeights, Request
from bench.protocol.states import State
from bench.report import escape
from bench.report.marks import mark
from bench.report.render import render
from bench.report.table_columns import interval
from bench.report.table_lines import Line
from bench.store.record import read_record

SIGMA25 = {"noises": ("gauss25",)}
TWO = {
    "noisy": {"noisy": 20.0},
    "nbr2nbr": {"denoised": 30.0},
    "b2u": {"visible": 31.0, "blind": 30.0, "weighted": 31.0},
}
HARM = "\x1b[31m<script>a|b](x)\x07\u009b"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods of a suite."""
    return plant(tmp_path_factory.mktemp("two"), TWO, **SIGMA25).root


# ---- terminal


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("tests", [(), ("--test-sets", "kodak,bsd300,set14")])
def test_a_terminal_shows_the_rows_that_were_run_in_80_columns(tests: tuple[str, ...], tmp_path: Path) -> None:
    sets = {"tests": tuple(tests[1].split(","))} if tests else {}
    plant(tmp_path, TWO, **SIGMA25, **sets)
    text = bench("tables", "--table", 1, "--noise", "gauss25", *tests, "--store", tmp_path).out
    assert widest(text) <= 80
    assert ("NBR2NBR" in text, "Noisy input" in text) == (True, True)
    assert ("N2V" in text, "not run" in text.replace("that were not run", "")) == (False, False)
    assert "--all" in text
    for test in tests[1].split(",") if tests else ():
        assert re.search(rf"\b{test}\b.*30\.00/0\.850", text), test


def test_all_shows_the_whole_table(store: Path) -> None:
    text = bench("tables", "--table", 1, "--all", "--store", store).out
    assert ("N2V" in text, "kodak (paper)" in text) == (True, True)
    assert "--all" not in text


def test_a_store_without_numbers_shows_the_paper_s(tmp_path: Path) -> None:
    text = bench("tables", "--table", 1, "--store", tmp_path).out
    assert ("32.43/0.884" in text, widest(text) <= 80) == (True, True)


def test_methods_choose_rows_in_every_format(store: Path) -> None:
    argv = ("--table", 1, "--noise", "gauss25", "--methods", "nbr2nbr", "--store", store)
    assert {one["method"] for one in lines(*argv)} == {"noisy", "blur", "nbr2nbr"}
    assert "Blind2Unblind (" not in bench("tables", *argv).out
    assert "Did you mean 'nbr2nbr'?" in refused("tables", *argv[:-3], "nbr2nb", "--store", store)


@pytest.mark.slow
def test_a_terminal_without_utf_8_shows_ascii(store: Path) -> None:
    argv = ("tables", "--table", 1, "--all", "--store", store)
    result = finish(start(*argv, PYTHONIOENCODING="ascii"))
    assert (result.code, "Error" in result.err) == (0, False), result.err
    assert ("31.00/0.850" in result.out, result.out.isascii()) == (True, True)


# ---- keys and commands


def test_every_number_has_its_record_and_its_command(store: Path) -> None:
    text = bench("tables", "--table", 1, "--noise", "gauss25", "--long", "--format", "csv", "--store", store).out
    one = next(
        row for row in csv.DictReader(io.StringIO(text)) if row["method"] == "NBR2NBR" and row["state"] == "done"
    )
    (path,) = (store / "scores" / "nbr2nbr").rglob("*.json")
    assert one["record"] == read_record(path).key
    words = one["command"].split()
    assert words[:4] == ["python", "-m", "bench", "run"]
    assert words[words.index("--methods") + 1] == "nbr2nbr"
    wide = bench("tables", "--table", 1, "--noise", "gauss25", "--format", "csv", "--store", store).out
    assert one["record"] in wide
    assert one["record"] not in bench("tables", "--table", 1, "--format", "md", "--store", store).out


def test_a_command_leads_back_to_its_cell() -> None:
    request = Request(
        suite="gray", preset="reduced", methods=("b2u",), noises=("gauss15",), seeds=(0,), steps=7,
        settings=("b2u.lambda_f=2",), scoring="luma",
    )  # fmt: skip
    cells = {cell.name: request.command(cell.name, cell.noise.name) for cell in make(request).cells}
    run = "python -m bench run --suite gray --preset reduced"
    end = "--noise gauss15 --seeds 0 --steps 7 && python -m bench rescore --suite gray --scoring luma"
    assert cells["b2u"] == f"{run} --methods b2u {end}"
    assert cells["b2u, lambda_f=2"] == f"{run} --set b2u.lambda_f=2 {end}"


def test_the_command_of_external_weights_scores_them() -> None:
    one = ExternalWeights("b2u", "it is mine.pth", "gauss25", "0" * 64)
    request = Request(noises=("gauss25",), weights=(one,))
    cell = next(cell for cell in make(request).cells if cell.name == one.name)
    assert "bench score" in request.command(cell.name, cell.noise.name)
    assert "--method b2u --weights 'it is mine.pth'" in request.command(cell.name, cell.noise.name)


# ---- whose numbers, and which is best


def test_a_suite_of_one_s_own_has_no_published_numbers(tmp_path: Path) -> None:
    mine = altered_suite(tmp_path, "version = 1\n", "version = 2\n")
    found = lines("--suite", mine, "--store", tmp_path)
    assert {one["published"] for one in found} == {None}
    assert "(paper)" not in bench("tables", "--suite", mine, "--format", "md", "--store", tmp_path).out


def candidate(name: str, value: float, **changes: object) -> Line:
    known = Line(
        table=1, suite="synthetic", version=1, preset="mini", noise="gauss25", tested="gauss25", label=name,
        method=name, output="denoised", test="kodak", state=State("done"), metrics={"psnr": value},
        supervision="noisy", primary=True,
    )  # fmt: skip
    return structs.replace(known, **changes)


def marked(*found: Line, metric: str = "psnr") -> dict[str, str]:
    """Label -> mark, with 24 images each around the line's number."""
    means = {one.place: {str(i): one.metrics[metric] + i / 100 for i in range(24)} for one in found}
    mark(list(found), means, find_metric(metric))
    return {one.label: one.mark for one in found}


def test_a_single_candidate_is_never_best() -> None:
    noisy = candidate("noisy", 20.0)
    assert marked(noisy, candidate("b2u", 31.0)) == {"noisy": "", "b2u": ""}
    two = [candidate("b2u (visible)", 31.0, method="b2u"), candidate("b2u (blind)", 30.0, method="b2u")]
    assert set(marked(noisy, *two).values()) == {""}


def test_nothing_below_the_noisy_input_is_best() -> None:
    found = [candidate("noisy", 20.0), candidate("b2u", 15.0), candidate("n2v", 10.0)]
    assert set(marked(*found).values()) == {""}
    assert marked(found[0], candidate("r2r", 30.0), found[1]) == {"noisy": "", "r2r": "best", "b2u": ""}


def test_where_lower_is_better_the_lowest_is_best() -> None:
    found = [candidate(name, 0.0, metrics={"mae": value}) for name, value in (("noisy", 20.0), ("a", 5.0), ("b", 4.0))]
    assert marked(*found, metric="mae") == {"noisy": "", "a": "", "b": "best"}


@pytest.mark.parametrize(
    ("metric", "text"), [("psnr", "0.12..0.13"), ("ssim", "0.121..0.132"), ("lpips", "0.1211..0.1322")]
)
def test_an_interval_has_the_digits_of_its_metric(metric: str, text: str) -> None:
    assert interval(candidate("b2u", 0.0, low=0.12111, high=0.13222), find_metric(metric)) == text
    assert interval(candidate("b2u", 0.0), find_metric(metric)) == ""


# ---- records of others


def test_records_without_their_plug_in_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(registry.find("nbr2nbr")):  # type: ignore[misc]
        """A method of a plug-in."""

    with monkeypatch.context() as patch:
        patch.setitem(registry.METHODS.entries, "mine", Mine)
        plant(tmp_path, {"mine": {"denoised": 30.0}}, **SIGMA25)
    text = bench("tables", "--suite", "synthetic", "--noise", "gauss25", "--store", tmp_path, "--format", "md").out
    assert re.search(r"^mine: 1 record .*--plugin FILE\.py", text, re.MULTILINE)


def test_records_of_a_setting_say_which(tmp_path: Path) -> None:
    plant(tmp_path, {"b2u, lambda_f=2": TWO["b2u"]}, settings=("b2u.lambda_f=2",), **SIGMA25)
    text = bench("tables", "--suite", "synthetic", "--noise", "gauss25", "--store", tmp_path, "--format", "md").out
    assert "--set b2u.lambda_f=2" in text


# ---- two stores


def test_a_typed_default_can_be_compared(tmp_path: Path) -> None:
    plant(tmp_path / "a", TWO, **SIGMA25)
    plant(tmp_path / "b", TWO, seeds=(0,), **SIGMA25)
    (tmp_path / "b" / "last.json").write_text(json.dumps({"requests": {"synthetic": {"seeds": [0]}}}), encoding="utf-8")
    result = bench("tables", "--table", 1, "--store", tmp_path / "a", "--compare", tmp_path / "b", "--format", "json")
    assert result.code == 0, result.err
    assert {row["difference"] for row in json.loads(result.out)} >= {"+0.00/+0.000"}


# ---- escapes


@pytest.mark.parametrize("form", ["terminal", "md", "csv", "html", "json", "latex"])
def test_no_format_lets_control_characters_through(form: str) -> None:
    text = render(pd.DataFrame({"noise": [HARM], HARM: ["x"]}), form)
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    if form in ("md", "html"):
        assert "<script>a|b" not in text
    if form == "json":
        assert json.loads(text)[0]["noise"] == HARM


def test_a_cell_of_markdown_stays_one_cell() -> None:
    assert len(re.findall(r"(?<!\\)\|", render(pd.DataFrame({"noise": ["a|b\nc"]}), "md").splitlines()[-1])) == 2


@pytest.mark.parametrize("value", ["=cmd|'/c calc'!A1", "@SUM(A1)", "+cmd", "-cmd", "-1+cmd", " =1"])
def test_no_cell_of_csv_is_a_formula(value: str) -> None:
    text = render(pd.DataFrame({"noise": [value]}), "csv")
    assert next(iter(csv.DictReader(io.StringIO(text))))["noise"].startswith("'")


@pytest.mark.parametrize("value", ["+0.50", "-0.50/+0.001", "-1", "gauss25", "- / -", "a=b"])
def test_numbers_and_names_stay_as_they_are_in_csv(value: str) -> None:
    assert escape.csv(value) == value


@pytest.mark.parametrize("form", ["terminal", "md", "csv", "html"])
def test_messages_are_bounded(form: str) -> None:
    assert len(render(pd.DataFrame({"noise": ["x" * 10**6]}), form)) < 100_000
