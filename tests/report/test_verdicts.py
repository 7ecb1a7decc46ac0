"""Verdicts: the rule for a cell, rank correlations and inversions of a column, and the command."""

from pathlib import Path

import pytest
from support.cli import bench, refused

from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.states import State
from bench.protocol.suite_files import load
from bench.report.table_lines import Line, Table
from bench.report.verdicts import (
    Expected,
    Hypothesis,
    Order,
    Rule,
    cells,
    columns,
    expected,
    inversions,
    judge,
    merged,
    summary,
)

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured"
RULE = Rule(within=0.15, apart=0.15, concordant=0.8)
PRINTED = {"n2c": 32.43, "n2n": 32.41, "r2r": 32.25, "nbr2nbr": 32.08, "n2v": 30.32}  # Kodak, sigma 25


def line(method: str, psnr: float | None, **more: object) -> Line:
    known = {"state": State("done"), "metrics": {"psnr": psnr}, "seeds": 1} if psnr is not None else {}
    return Line(
        table=1, suite="synthetic", version=1, preset="reduced", noise="gauss25", tested="gauss25", label=method,
        method=method, output="denoised", test="kodak", primary=True, published={"psnr": PRINTED[method]},
        **(known | more),
    )  # fmt: skip


def table(measured: dict[str, float | None], **more: object) -> Table:
    plan = make(Request(suite="synthetic", preset="reduced"))
    return Table(1, plan, [line(method, psnr, **more) for method, psnr in measured.items()], [], {})


def verdicts(measured: dict[str, float | None], **more: object) -> dict[str, str]:
    (judged,) = judge([table(measured, **more)], RULE)
    found = cells(judged)
    return dict(zip(found["method"], found["kodak"], strict=True))


def test_rule_for_a_cell() -> None:
    found = verdicts({"n2c": 32.29, "n2n": 31.0, "r2r": 30.9, "nbr2nbr": 29.0, "n2v": 29.5})
    assert found["n2c"] == "reproduced (-0.14 dB)"
    assert found["n2n"] == "order reproduced (-1.41 dB, 3 of 3 pairs)"  # n2c is printed too near to count
    assert found["nbr2nbr"] == "not reproduced (-3.08 dB, 3 of 4 pairs)"  # fewer than 80 %
    assert found["n2v"] == "not reproduced (-0.82 dB, 3 of 4 pairs)"


def test_nothing_is_judged_without_a_number_of_whole_images() -> None:
    assert set(verdicts({"n2c": None, "n2n": None}).values()) == {"not run"}
    assert set(verdicts({"n2c": 32.4, "n2n": 32.4}, centre_crop=128).values()) == {"not run"}


def test_seeds_widen_the_interval() -> None:
    wide = {"seeds": 3, "std": {"psnr": 0.2}}  # 4.303 x 0.2 / sqrt(3) = 0.497
    assert verdicts({"n2c": 31.94}, **wide)["n2c"].startswith("reproduced")
    assert verdicts({"n2c": 31.92}, **wide)["n2c"].startswith("not reproduced")


def test_summary_counts_every_cell() -> None:
    measured = table({"n2c": 32.4, "n2n": 31.0, "r2r": 30.9, "nbr2nbr": None, "n2v": 20.0})
    (row,) = summary(judge([measured], RULE)).to_dict("records")
    counts = {name: int(row[name]) for name in ("reproduced", "order reproduced", "not reproduced", "not run")}
    assert counts == {"reproduced": 1, "order reproduced": 3, "not reproduced": 0, "not run": 1}


def known(*hypotheses: Hypothesis) -> Expected:
    order = Order("synthetic", "reduced", ("gauss25",), {"kodak": "kodak"}, ("n2c", "r2r", "nbr2nbr", "n2v"))
    return Expected(RULE, (order,), hypotheses)


def test_columns_are_correlated_with_both_orders() -> None:
    (row,) = columns([table({"n2c": 31.0, "r2r": 30.0, "nbr2nbr": 30.5, "n2v": 29.0})], known()).to_dict("records")
    assert row["measured order"] == "n2c > nbr2nbr > r2r > n2v"
    assert (row["Kendall, paper"], row["Spearman, paper"]) == ("0.67", "0.80")
    assert (row["Kendall, expected"], row["Spearman, expected"]) == ("0.67", "0.80")


def test_inversions_name_their_hypothesis() -> None:
    found = [table({"n2c": 31.0, "r2r": 30.0, "nbr2nbr": 30.5, "n2v": 29.0})]
    assert inversions([table({"n2c": 31.0, "r2r": 30.0, "n2v": 29.0})], known()).empty
    (row,) = inversions(found, known()).to_dict("records")
    assert (row["paper"], row["printed (dB)"], row["measured (dB)"]) == ("r2r > nbr2nbr", "+0.17", "-0.50")
    assert row["hypothesis"] == ""
    why = Hypothesis(("r2r",), ("nbr2nbr", "n2v"), "too few steps", "16,000 steps", "it holds", noises=("gauss25",))
    elsewhere = Hypothesis(("r2r",), ("nbr2nbr",), "other images", "other images", sets=("set14",))
    (row,) = inversions(found, known(elsewhere, why)).to_dict("records")
    assert (row["hypothesis"], row["test"], row["found"]) == ("too few steps", "16,000 steps", "it holds")


def test_three_seeds_are_taken_where_they_are() -> None:
    three, one = table({"n2c": 31.0, "r2r": None}, seeds=3), table({"n2c": 30.0, "r2r": 29.0})
    (found,) = merged([[three], [one]])
    assert [line.metrics["psnr"] for line in found.lines] == [31.0, 29.0]


def test_orders_name_rows_of_their_suites() -> None:
    for order in expected().orders:
        suite = load(order.suite)
        assert order.preset in suite.presets
        rows = {row.method for row in suite.rows} | {f"{row.method}/{row.output}" for row in suite.rows}
        assert not set(order.rows) - rows, order
        assert len(set(order.rows)) == len(order.rows)


@pytest.mark.parametrize("preset", ["reduced", "mini"])
def test_command(preset: str, tmp_path: object) -> None:
    done = bench("verdicts", "--suite", "synthetic", "--preset", preset, "--format", "md", "--store", tmp_path)
    assert done.code == 0
    assert "not run" in done.out
    assert f"Store: {tmp_path}" in done.err


def test_an_unknown_preset_is_refused(tmp_path: object) -> None:
    assert "reduced" in refused("verdicts", "--suite", "synthetic", "--preset", "redced", "--store", tmp_path)


def test_a_preset_without_records_names_those_that_have_some() -> None:
    done = bench("verdicts", "--preset", "paper", "--store", MEASURED / "reduced")
    assert (done.code, "has reduced (--preset)" in done.err) == (0, True)
    assert "no record" not in bench("verdicts", "--store", MEASURED / "reduced").err


def test_suites_that_cannot_be_judged_are_named(tmp_path: object) -> None:
    done = bench("verdicts", "--suite", "all", "--preset", "standard", "--format", "csv", "--store", tmp_path)
    assert (done.code, "not run" in done.out) == (0, True)
    assert "suite fluorescence is left out: " in done.err
    assert "suite synthetic" not in done.err
