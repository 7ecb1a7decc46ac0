"""Two stores side by side: differences, holes, and what must not be compared."""

import math
from typing import Any

import pandas as pd
import pytest

from bench.compare import Key, compare, key
from bench.datasets.errors import InputError
from bench.evaluation import Row
from bench.significance import p_value
from bench.tables import Line


def line(psnr: float | None = 30.0, **changes: Any) -> Line:
    known: dict[str, Any] = {
        "table": 1, "suite": "synthetic", "version": 1, "preset": "mini", "noise": "gauss25", "label": "NBR2NBR",
        "method": "nbr2nbr", "output": "denoised", "test": "kodak", "state": "not run" if psnr is None else "done",
        "psnr": psnr, "ssim": None if psnr is None else 0.85, "precision": "float32", "device": "cpu",
    }  # fmt: skip
    return Line(**(known | changes))


def scored(*psnrs: float | None, output: str = "denoised", seeds: int = 1) -> dict[Key, list[list[Row]]]:
    """The rows of the only line: so many equal seeds."""
    return {key(line()): [[Row(f"image{i}", 0, 25.0, output, psnr, 0.9) for i, psnr in enumerate(psnrs)]] * seeds}


def only(frame: pd.DataFrame) -> dict[str, str]:
    """The only row."""
    assert len(frame) == 1
    return {str(name): value for name, value in frame.iloc[0].items()}


def test_both_and_their_difference() -> None:
    found = compare([line(30.0)], [line(29.5, ssim=0.852)], ("cpu", "gpu"))
    assert only(found) == {
        "noise": "gauss25", "method": "NBR2NBR", "test": "kodak", "cpu": "30.00/0.850", "gpu": "29.50/0.852",
        "difference": "-0.50/+0.002", "environment": "",
    }  # fmt: skip


def test_equal_stores_differ_by_nothing() -> None:
    assert only(compare([line(math.inf)], [line(math.inf)]))["difference"] == "+0.00/+0.000"


def test_holes_show_their_state() -> None:
    failed = line(None, state="failed: out of memory")
    found = only(compare([line()], [failed]))
    assert (found["A"], found["B"], found["difference"]) == ("30.00/0.850", "failed", "")


def test_lines_go_by_noise_label_and_test() -> None:
    a = [line(30.0), line(20.0, noise="poisson30"), line(25.0, label="N2C"), line(22.0, test="set14")]
    b = [line(23.0, test="set14"), line(26.0, label="N2C"), line(31.0), line(21.0, noise="poisson30")]
    found = compare(a, b)
    assert list(found["difference"]) == ["+1.00/+0.000"] * 4
    assert list(found["A"].str[:2]) == ["30", "20", "25", "22"]


def test_a_row_of_one_store_only_is_not_run_in_the_other() -> None:
    found = compare([line()], [line(), line(25.0, label="mine")])
    assert list(found["method"]) == ["NBR2NBR", "mine"]
    assert list(found["A"]) == ["30.00/0.850", "not run"]
    assert list(found["difference"]) == ["+0.00/+0.000", ""]


def test_sets_that_only_the_paper_tested_are_left_out() -> None:
    printed = line(None, test="bsd300", published_psnr=30.79, published_ssim=0.873)
    planned = line(None, test="set14")
    found = compare([line(), printed, planned], [line(), printed, planned])
    assert list(found["test"]) == ["kodak", "set14"]
    assert list(found["B"]) == ["30.00/0.850", "not run"]


@pytest.mark.parametrize(
    "change", [{"preset": "reduced"}, {"preset": "mini, steps=2"}, {"version": 2}, {"suite": "raw"}]
)
def test_protocols_are_never_mixed(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"synthetic v1 \[mini\] and .* cannot be compared"):
        compare([line()], [line(**change)])


def test_equal_names_are_refused() -> None:
    with pytest.raises(InputError, match="both stores are called 'runs'"):
        compare([line()], [line()], ("runs", "runs"))


def test_other_environments_are_named() -> None:
    found = compare([line()], [line(precision="bfloat16", device="cuda")], ("here", "there"))
    assert only(found)["environment"] == "here: float32 on cpu; there: bfloat16 on cuda"


@pytest.mark.parametrize("untrained", [line(precision="", device=""), line(None, precision="", device="")])
def test_what_was_not_trained_has_no_environment(untrained: Line) -> None:
    assert only(compare([line()], [untrained]))["environment"] == ""


# ---- p


def test_p_is_the_paired_test_over_the_images() -> None:
    a, b = (30.0, 25.0, 20.0, 35.0, 28.0, 22.0, 27.0), (30.1, 25.2, 20.3, 35.4, 28.5, 22.6, 26.3)
    expected = p_value(*({f"image{i}": value for i, value in enumerate(values)} for values in (a, b)))
    assert 0.001 < expected < 1.0
    assert only(compare([line()], [line()], rows_a=scored(*a), rows_b=scored(*b, seeds=2)))["p"] == f"{expected:.3f}"


def test_a_tiny_p_is_bounded() -> None:
    a, b = scored(*range(20, 34)), scored(*(value + 0.1 for value in range(20, 34)))
    assert only(compare([line()], [line()], rows_a=a, rows_b=b))["p"] == "<0.001"


def test_p_is_that_of_each_side_s_output() -> None:
    a, b = scored(20.0, 30.0, None, output="blur2"), scored(20.0, 30.0, None, output="blur3")
    assert only(compare([line(output="blur2")], [line(output="blur3")], rows_a=a, rows_b=b))["p"] == "1.000"


def test_no_p_without_rows_or_without_a_number() -> None:
    assert "p" not in compare([line()], [line()])
    assert "p" not in compare([line()], [line()], rows_a=scored(30.0))
    assert only(compare([line()], [line()], rows_a=scored(30.0), rows_b={}))["p"] == ""
    assert only(compare([line()], [line(None)], rows_a=scored(30.0), rows_b=scored(30.0)))["p"] == ""


def test_p_of_other_images_is_refused() -> None:
    with pytest.raises(InputError, match="image1"):
        compare([line()], [line()], rows_a=scored(30.0, 31.0), rows_b=scored(30.0))
