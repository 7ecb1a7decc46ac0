"""Tables: the paper's numbers, what a store adds to them, marks, states, formats, several suites on one store."""

import io
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from support.cli import bench, file_of, line, lines, refused
from support.planted import plant

from bench.methods import registry
from bench.protocol.suite_files import load, suites
from bench.report.page.tables import VERDICTS
from bench.report.published import published, suite_of

# Cells of the paper's tables, and some of their numbers, read from the paper.
CELLS = {1: 135, 2: 27, 3: 24, 4: 30, 5: 8, 6: 16, 7: 16, 8: 16}
PRINTED: Mapping[int, str] = {
    1: """gauss25 n2c kodak 32.43/0.884, gauss25 b2u:visible set14 31.27/0.864, gauss25 noisier2noise bsd300 29.32/0.833
        gauss5_50 laine19:pme kodak 32.40/0.870, gauss5_50 self2self set14 29.97/0.849, gauss5_50 r2r bsd300 30.56/0.855
        poisson30 anscombe bsd300 29.18/0.842, poisson30 dbsn kodak 30.07/0.827, poisson30 n2n set14 30.56/0.857
        poisson5_50 laine19:pme set14 28.65/0.785, poisson5_50 nbr2nbr kodak 30.86/0.855
        poisson5_50 b2u:visible bsd300 29.92/0.852""",
    2: """gauss15 n2c bsd68 31.58/0.889, gauss15 r2r urban100 31.89/0.915, gauss15 b2u:visible set12 32.46/0.897
        gauss25 n2c urban100 29.01/0.861, gauss25 r2r set12 30.06/0.851, gauss25 b2u:visible bsd68 28.99/0.820
        gauss25 r2r bsd68 28.99/0.818, gauss50 n2c set12 26.88/0.777, gauss50 r2r bsd68 26.02/0.705
        gauss50 b2u:visible urban100 25.57/0.868""",
    3: """captured n2c sidd_benchmark 50.60/0.991, captured n2n sidd_val 51.21/0.991, captured bm3d sidd_val 48.92/0.986
        captured n2v sidd_benchmark 48.01/0.983, captured laine19-gauss:mu sidd_val 50.44/0.990
        captured laine19-gauss:pme sidd_benchmark 42.17/0.935, captured laine19-poisson:pme sidd_val 48.98/0.985
        captured dbsn-poisson sidd_benchmark 49.56/0.987, captured r2r sidd_val 47.20/0.980
        captured nbr2nbr sidd_benchmark 50.47/0.990, captured b2u:weighted sidd_val 51.36/0.992""",
    4: """captured n2c fmdd_fish 32.79/0.905, captured n2n fmdd_mice 38.37/0.965
        captured bm3d fmdd_two_photon 33.83/0.924, captured n2v fmdd_fish 32.08/0.886
        captured laine19-gauss:mu fmdd_mice 37.54/0.959, captured laine19-gauss:pme fmdd_two_photon 25.87/0.418
        captured laine19-poisson:mu fmdd_fish 31.59/0.854, captured laine19-poisson:pme fmdd_mice 37.82/0.959
        captured nbr2nbr fmdd_two_photon 33.40/0.921, captured b2u:visible fmdd_two_photon 34.03/0.916""",
    5: """gauss25 b2u:visible kodak 32.27/0.880, gauss25 b2u-loss-b:visible kodak 31.37/0.873
        gauss5_50 b2u:visible kodak 32.34/0.872, gauss5_50 b2u-loss-b:visible kodak 30.85/0.851
        poisson30 b2u:visible kodak 31.64/0.871, poisson30 b2u-loss-b:visible kodak 30.95/0.863
        poisson5_50 b2u:visible kodak 31.07/0.857, poisson5_50 b2u-loss-b:visible kodak 30.01/0.840""",
    6: """gauss25 b2u-rm:blind kodak 30.32/0.831, gauss25 b2u-gm:blind kodak 30.56/0.839
        gauss25 b2u-rmv:visible kodak -, gauss5_50 b2u-rm:blind kodak 30.23/0.822
        gauss5_50 b2u-gm:blind kodak 30.46/0.831
        poisson30 b2u-rm:blind kodak 29.89/0.821, poisson30 b2u-gm:blind kodak 30.11/0.830
        poisson30 b2u:visible kodak 31.64/0.871, poisson5_50 b2u-rm:blind kodak 29.26/0.796
        poisson5_50 b2u-gm:blind kodak 29.67/0.817, poisson5_50 b2u-rmv:visible kodak -""",
    7: """gauss25 b2u-lambda2:visible kodak 32.11/0.879, gauss25 b2u-lambda40:visible kodak 32.27/0.879
        gauss25 b2u-lambda100:visible kodak 32.26/0.879, gauss5_50 b2u-lambda2:visible kodak 32.00/0.871
        gauss5_50 b2u-lambda100:visible kodak 32.35/0.873, poisson30 b2u-lambda2:visible kodak 31.47/0.869
        poisson30 b2u-lambda40:visible kodak 31.52/0.869, poisson5_50 b2u-lambda2:visible kodak 30.94/0.854
        poisson5_50 b2u:visible kodak 31.07/0.857, poisson5_50 b2u-lambda100:visible kodak 31.01/0.854""",
    8: """gauss25 b2u-eta0:visible kodak 32.19/0.877, gauss25 b2u-eta2:visible kodak 32.32/0.881
        gauss25 b2u-eta3:visible kodak 32.21/0.878, gauss5_50 b2u-eta0:visible kodak 32.21/0.870
        gauss5_50 b2u-eta2:visible kodak 32.31/0.872, poisson30 b2u-eta0:visible kodak 31.54/0.869
        poisson30 b2u-eta3:visible kodak 31.52/0.869, poisson5_50 b2u-eta0:visible kodak 31.03/0.856
        poisson5_50 b2u:visible kodak 31.07/0.857, poisson5_50 b2u-eta3:visible kodak 31.04/0.857""",
}
BLUR = dict.fromkeys(("0.5", "0.75", "1", "1.25", "1.5", "2", "2.5"), 20.5)
B2U = {"visible": 31.0, "blind": 32.0, "weighted": 33.0}
SIGMA25 = {"noises": ("gauss25",)}
KODAK = SIGMA25 | {"tests": ("kodak",)}  # 24 images, enough for a test to tell rows apart
ON_KODAK = ("--noise", "gauss25", "--test-sets", "kodak")


# ---- suites and the paper


@pytest.mark.parametrize("name", suites())
def test_every_row_has_a_method_that_has_its_output(name: str) -> None:
    suite = load(name)
    for row in suite.rows:
        configuration = suite.configurations.get(row.method)
        method = registry.find(configuration.method if configuration else row.method)
        assert not row.output or row.output in ("best", *(output.name for output in method.outputs)), row.label


@pytest.mark.parametrize("number", CELLS)
def test_every_printed_cell_is_a_row_a_noise_and_a_test_set_of_its_suite(number: int) -> None:
    suite = load(suite_of(number))
    rows = {(row.method, row.output) for row in suite.rows if not row.tables or number in row.tables}
    found = published(number)
    assert len(found) == CELLS[number]
    assert {(method, output) for _, method, output, _ in found} <= rows
    assert {noise for noise, *_ in found} == set(suite.noises)
    tests = set(suite.presets["paper"].tests) | {"sidd_benchmark"}  # which only the server can score
    assert {test for *_, test in found} <= tests


@pytest.mark.parametrize("number", PRINTED)
def test_numbers_are_the_paper_s(number: int) -> None:
    found = published(number)
    for text in re.split(r"[,\n]\s*", PRINTED[number]):
        noise, method, test, quality = text.split()
        name, _, output = method.partition(":")
        expected = {} if quality == "-" else dict(zip(("psnr", "ssim"), map(float, quality.split("/")), strict=True))
        assert found[noise, name, output, test] == expected, text


@pytest.mark.parametrize("number", CELLS)
def test_an_empty_store_shows_all_that_the_paper_printed(number: int, tmp_path: Path) -> None:
    found = lines("--table", number, "--store", tmp_path)
    shown = {(one["noise"], one["method"], one["test"]): one for one in found if one["published"] is not None}
    assert {one["state"] for one in found} <= {"not run", "not defined", "not possible"}
    printed = published(number)
    assert len([one for one in found if one["published"] is not None]) == CELLS[number]
    for (noise, method, output, test), quality in printed.items():
        if output in ("", shown[noise, method, test]["output"]):
            one = shown[noise, method, test]
            assert one["published"] == quality
    text = bench("tables", "--table", number, "--format", "md", "--store", tmp_path).out
    assert "not run" in text
    for quality in printed.values():
        assert (f"{quality['psnr']:.2f}/{quality['ssim']:.3f}" if quality else "- / -") in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "labels"),
    [
        (5, ["L_A, Eq. 6", "L_B, Eq. 7"]),
        (6, ["RM", "GM", "RM+V", "GM+V"]),
        (7, ["lambda_f = 2", "lambda_f = 20", "lambda_f = 40", "lambda_f = 100"]),
        (8, ["eta = 0", "eta = 1", "eta = 2", "eta = 3"]),
    ],
)
def test_an_ablation_has_its_own_rows_and_the_baselines(number: int, labels: list[str], tmp_path: Path) -> None:
    found = lines("--table", number, "--preset", "reduced", "--store", tmp_path)
    rows = list(dict.fromkeys(one["label"] for one in found))
    assert rows == ["Noisy input", "Gaussian blur, oracle width", *labels]


def test_ablations_have_noises_in_their_columns(tmp_path: Path) -> None:
    argv = ("--table", 5, "--preset", "reduced", "--format", "csv", "--store", tmp_path)
    table = pd.read_csv(io.StringIO(bench("tables", *argv).out), dtype=str).set_index(["set", "method"])
    row = table.loc[("kodak", "L_B, Eq. 7")]
    noises = ("gauss25", "gauss5_50", "poisson30", "poisson5_50")
    assert [row[f"{noise} (paper)"] for noise in noises] == ["31.37/0.873", "30.85/0.851", "30.95/0.863", "30.01/0.840"]


def test_noise_narrows_what_the_paper_printed_too(tmp_path: Path) -> None:
    assert {one["noise"] for one in lines("--table", 6, "--noise", "gauss25", "--store", tmp_path)} == {"gauss25"}


def test_a_printed_set_is_not_impossible_where_another_is_tested(tmp_path: Path) -> None:
    found = lines("--table", 4, "--store", tmp_path)
    assert line(found, method="n2c", test="fmdd_fish4")["state"] == "not possible"
    assert line(found, method="n2c", test="fmdd_fish")["state"] == "not run"


# ---- diverged


def test_worse_than_the_noisy_input_is_diverged_in_the_ablations(tmp_path: Path) -> None:
    worse = dict.fromkeys(B2U, 10.0)
    store = plant(tmp_path, {"noisy": {"noisy": 20.0}, "b2u-rmv": worse, "b2u": B2U}, suite="ablations", **SIGMA25)
    found = lines("--table", 6, "--store", store.root)
    one = line(found, label="RM+V", test="embedded_test", noise="gauss25")
    assert one["state"] == "diverged"
    assert {"10.00", "20.00", "dB,"} <= set(one["reason"].split())
    assert line(found, label="GM+V", test="embedded_test", noise="gauss25")["state"] == "done"
    text = bench("tables", "--table", 6, "--format", "md", "--store", store.root).out
    assert f"diverged: {one['reason']}" in text


def test_a_diverged_cell_has_no_difference(tmp_path: Path) -> None:
    changes = {"suite": "ablations", "preset": "reduced"}
    plant(tmp_path, {"noisy": {"noisy": 20.0}, "b2u-loss-b": dict.fromkeys(B2U, 10.0), "b2u": B2U}, **changes)
    argv = ("--table", 5, "--preset", "reduced", "--format", "csv", "--store", tmp_path)
    table = pd.read_csv(io.StringIO(bench("tables", *argv).out), dtype=str).set_index("method")["gauss25 (diff.)"]
    assert table["L_A, Eq. 6"] == "-1.27"
    assert pd.isna(table["L_B, Eq. 7"])


def test_worse_than_the_noisy_input_is_a_result_elsewhere(tmp_path: Path) -> None:
    plant(tmp_path, {"noisy": {"noisy": 20.0}, "nbr2nbr": {"denoised": 10.0}}, **SIGMA25)
    found = lines("--table", 1, "--store", tmp_path)
    assert line(found, method="nbr2nbr", noise="gauss25", test="embedded_test")["state"] == "done"


# ---- seeds


@pytest.mark.parametrize("missing", [0, 1])
def test_a_row_of_which_a_seed_is_missing_says_so_everywhere(missing: int, tmp_path: Path) -> None:
    plant(tmp_path / "store", {"noisy": {"noisy": 20.0}, "nbr2nbr": {"denoised": 30.0}}, seeds=(0, 1), **SIGMA25)
    file_of(tmp_path / "store", "score", f"nbr2nbr gauss25 seed {missing} on embedded_test").unlink()
    last = {"requests": {"synthetic": {"seeds": [0, 1], "noises": ["gauss25"]}}}
    (tmp_path / "store" / "last.json").write_text(json.dumps(last), encoding="utf-8")
    argv = ("--table", 1, "--seeds", "0,1", "--noise", "gauss25", "--store", tmp_path / "store")
    one = line(lines(*argv), method="nbr2nbr", test="embedded_test")
    assert (one["state"], len(one["keys"]), one["metrics"], one["images"]) == ("partly run", 1, {}, None)
    assert re.search(rf"NBR2NBR.*: partly run: .* 2 seeds; not run: {missing}", bench("tables", *argv).out)
    assert bench("report", tmp_path / "store", "--out", tmp_path / "a.html").code == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert f'<a href="#record={one["keys"][0]}">partly run</a>' in page
    assert "in no table" not in page


# ---- marks

RIVALS = {
    "noisy": {"noisy": 20.0}, "blur": dict.fromkeys(BLUR, 40.0), "n2c": {"denoised": 41.0}, "b2u": B2U,
    "nbr2nbr": {"denoised": 30.0}, "n2v": {"denoised": 29.0}, "self2self": {"denoised": 42.0},
}  # fmt: skip


def test_marks_are_for_self_supervised_headline_rows_of_whole_images(tmp_path: Path) -> None:
    plant(tmp_path, RIVALS, **KODAK)
    found = [one for one in lines("--table", 1, *ON_KODAK, "--store", tmp_path) if one["mark"]]
    assert [(one["label"], one["mark"]) for one in found] == [
        ("NBR2NBR", "second"),
        ("Blind2Unblind (visible)", "best"),
    ]
    text = bench("tables", "--table", 1, *ON_KODAK, "--format", "md", "--store", tmp_path).out
    assert "**31.00/0.850**" in text
    assert "_30.00/0.850_" in text
    assert "Best (**)" in text


def test_what_trains_nothing_may_be_best_and_the_legend_says_so(tmp_path: Path) -> None:
    plant(tmp_path, RIVALS | {"bm3d": {"denoised": 32.0}}, **KODAK)
    argv = ("--table", 1, *ON_KODAK, "--store", tmp_path)
    assert {one["mark"]: one["label"] for one in lines(*argv)}["best"] == "CBM3D"
    assert "train nothing" in bench("tables", *argv, "--format", "md").out
    assert ("self-supervised" in VERDICTS, "train nothing" in VERDICTS) == (False, True)


def test_three_images_mark_nothing_and_the_table_says_why(tmp_path: Path) -> None:
    plant(tmp_path, RIVALS, **SIGMA25)
    assert {one["mark"] for one in lines("--table", 1, "--store", tmp_path)} == {""}
    text = bench("tables", "--table", 1, "--format", "md", "--store", tmp_path).out
    assert re.search("gauss25, embedded_test: no best is marked: .* at least 7 images, and there are 3", text)
    assert "Best (**)" not in text


def test_the_best_blur_is_named_as_a_choice_in_oracle(tmp_path: Path) -> None:
    plant(tmp_path, {"noisy": {"noisy": 20.0}, "blur": {**BLUR, "1.25": 27.0}}, **SIGMA25)
    one = line(lines("--table", 1, "--store", tmp_path), method="blur", noise="gauss25", test="embedded_test")
    assert (one["output"], one["oracle"], one["metrics"]["psnr"]) == ("1.25", True, 27.0)
    text = bench("tables", "--table", 1, "--format", "md", "--store", tmp_path).out
    assert re.search(r"gauss25, Gaussian blur, oracle width: .*1\.25 \(embedded_test\)", text)


# ---- formats


class Rows(HTMLParser):
    """The cells of every row of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.inside = tag in ("td", "th") or (self.inside and tag not in ("table", "caption", "p"))

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with marks, states and a choice by an oracle."""
    return plant(tmp_path_factory.mktemp("full"), RIVALS, **KODAK).root


@pytest.mark.parametrize("long", [(), ("--long",)])
def test_every_format_says_the_same(long: tuple[str, ...], full: Path) -> None:
    argv = ("--table", 1, *ON_KODAK, *long, "--all", "--store", full)
    text = {form: bench("tables", *argv, "--format", form).out for form in ("terminal", "md", "latex", "csv", "html")}
    table = pd.read_csv(io.StringIO(text["csv"]), dtype=str, keep_default_na=False)
    assert not table.apply(lambda column: column.str.contains(r"\*\*|^_", regex=True)).any(axis=None)
    md = [row.strip("|").split("|") for row in text["md"].splitlines() if row.startswith("|")]
    assert set(table.pop("table")) == {"1"}  # of csv alone, which has no captions
    table = table.drop(columns=[name for name in table if name == "command" or "(record)" in name])
    if not long:
        assert set(table.pop("preset")) == {"mini, noise=gauss25, test-sets=kodak"}
    plain = [[re.sub(r"^(\*\*|_)(.*)\1$", r"\2", cell.strip()) for cell in row] for row in (md[0], *md[2:])]
    assert plain == [list(table.columns), *table.to_numpy().tolist()]
    page = Rows(text["html"]).rows
    assert page[0] == list(table.columns)
    assert len(page) == len(table) + 1
    assert text["latex"].count(r"\begin{longtable}") == text["latex"].count(r"\bottomrule") == 1
    assert text["terminal"].count("│\n") == len(table) + 1
    for form in ("terminal", "md", "latex", "html"):
        assert ("31.00" if long else "31.00/0.850") in text[form], form
        assert "Table 1" in text[form], form


def test_json_has_every_property_of_a_number(full: Path) -> None:
    found = lines("--table", 1, *ON_KODAK, "--store", full)
    one = line(found, label="Blind2Unblind (visible)", noise="gauss25", test="kodak")
    assert one["metrics"] == {"psnr": pytest.approx(31.0), "ssim": pytest.approx(0.85)}
    assert (one["images"], one["seeds"], one["mark"]) == (24, 1, "best")
    assert one["low"] < 31.0 < one["high"]
    assert (one["knowledge"], one["supervision"], one["passes"]) == ("blind", "noisy", 1)


def test_long_has_one_line_per_number(full: Path) -> None:
    argv = ("--table", 1, *ON_KODAK, "--long", "--format", "csv", "--store", full)
    table = pd.read_csv(io.StringIO(bench("tables", *argv).out), dtype=str, keep_default_na=False)
    assert list(table.columns) == [
        "noise", "method", "set", "state", "PSNR (dB)", "SSIM", "95 % interval", "paper", "diff.", "n", "seeds",
        "noise knowledge", "passes", "parameters", "train s", "preset", "record", "command", "table",
    ]  # fmt: skip
    b2u = table[(table["method"] == "Blind2Unblind (visible)")].set_index("set")
    shown = b2u.loc["kodak", ["state", "PSNR (dB)", "SSIM", "n", "seeds", "noise knowledge"]]
    assert list(shown) == ["done", "31.00", "0.850", "24", "1", "blind"]
    assert list(b2u.loc["kodak", ["paper", "diff."]]) == ["32.27/0.880", "-1.27"]
    assert list(b2u.loc["bsd300", ["state", "PSNR (dB)", "paper"]]) == ["not run", "", "30.87/0.872"]
    low, high = map(float, b2u.loc["kodak", "95 % interval"].split(".."))
    assert (low + high) / 2 == pytest.approx(31.0, abs=0.01)


def test_one_diverged_seed_leaves_no_mean(tmp_path: Path) -> None:
    """30, 30 and 6 dB are no 22 dB."""
    plant(tmp_path, {"noisy": {"noisy": 20.0}, "b2u": B2U}, suite="ablations", seeds=(0, 1, 2), **SIGMA25)
    (path,) = (p for p in (tmp_path / "scores").rglob("*.json") if '"title": "b2u gauss25 seed 2 on' in p.read_text())
    found, rows = json.loads(path.read_text()), path.with_suffix(".rows.jsonl")
    scores = [json.loads(row) | {"psnr": 6.0} for row in rows.read_text().splitlines()]
    rows.write_text("".join(f"{json.dumps(score)}\n" for score in scores))
    for quality in found["result"]["outputs"].values():
        quality["psnr"] = 6.0
    del found["result"]["rows"]
    path.write_text(json.dumps(found))
    argv = ("--suite", "ablations", "--table", 5, "--seeds", "0,1,2", "--store", tmp_path)
    one = line(lines(*argv), label="L_A, Eq. 6", noise="gauss25", test="embedded_test")
    assert (one["state"], one["metrics"], one["low"]) == ("diverged", {}, None)


def test_a_method_s_noise_knowledge_stands_beside_it_whatever_the_paper_tests(full: Path) -> None:
    text = bench("tables", "--table", 1, "--noise", "gauss25", "--format", "csv", "--store", full).out
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).set_index("method")
    knowledge = table["noise knowledge"]
    assert (knowledge["NBR2NBR"], knowledge["Laine19-mu (own network)"]) == ("blind", "family")
    assert "" not in set(knowledge)


def test_a_row_says_which_network_is_not_the_shared_one(full: Path) -> None:
    argv = ("--table", 1, "--noise", "gauss25", "--store", full)
    networks = {one["label"]: one["network"] for one in lines(*argv) if one["test"] == "embedded_test"}
    assert {networks[label] for label in ("Laine19-pme", "DBSN", "Self2Self")} == {"own network"}
    assert {networks[label] for label in ("Noisy input", "Baseline, N2C", "NBR2NBR")} == {""}
    assert "DBSN (own network, 32 of 96 features, 2 of 8 blocks)" in bench("tables", *argv, "--format", "md").out
    found = lines(*argv, "--net", "dncnn")
    other = {one["label"]: one["network"] for one in found if one["test"] == "embedded_test"}
    assert (other["NBR2NBR, DnCNN"], other["DBSN"]) == ("", "own network")


def test_a_table_without_numbers_says_where_there_are_some(full: Path) -> None:
    text = bench("tables", "--table", 1, "--preset", "reduced", "--steps", 7, "--store", full, "--format", "md").out
    assert "other options, which show them: [mini, noise=gauss25, test-sets=kodak]" in text
    assert "other options" not in bench("tables", "--table", 1, *ON_KODAK, "--store", full).out


def test_a_table_of_another_suite_is_refused(tmp_path: Path) -> None:
    assert "unknown table of suite gray '1'" in refused("tables", "--suite", "gray", "--table", 1, "--store", tmp_path)
    assert bench("tables", "--suite", "all", "--table", 2, "--store", tmp_path).code == 0
    assert "no such folder" in refused("tables", "--store", tmp_path / "none")


def test_the_only_row_of_a_method_competes_whatever_its_output(tmp_path: Path) -> None:
    """Table 6 shows RM by its blind output; Table 3 the weighted output, which the paper prints."""
    levels = {"b2u-rm": 31.0, "b2u-gm": 30.0, "b2u-rmv": 29.0, "b2u": 28.0}
    scores = {"noisy": {"noisy": 20.0}} | {name: dict.fromkeys(B2U, level) for name, level in levels.items()}
    plant(tmp_path, scores, suite="ablations", **KODAK)
    found = lines("--suite", "ablations", "--table", 6, *ON_KODAK, "--store", tmp_path)
    assert {one["label"]: one["mark"] for one in found if one["mark"]} == {"RM": "best", "GM": "second"}
    raw = lines("--suite", "raw", "--table", 3, "--preset", "mini", "--store", tmp_path)
    stands = {one["output"] for one in raw if one["method"] == "b2u" and one["primary"]}
    assert stands <= {"weighted"}
