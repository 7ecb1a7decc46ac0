"""Two stores side by side: differences, holes, and what must not be compared."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from bench.datasets.errors import InputError
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.states import State
from bench.report.compare import compare, evaluation_protocols
from bench.report.significance import p_value
from bench.report.table_lines import Line, Table

PLAN = make(Request())


def line(psnr: float | None = 30.0, **changes: Any) -> Line:
    known: dict[str, Any] = {
        "table": 1, "suite": "synthetic", "version": 1, "preset": "mini", "noise": "gauss25", "tested": "gauss25",
        "label": "NBR2NBR", "method": "nbr2nbr", "output": "denoised", "test": "kodak",
        "state": State("not run" if psnr is None else "done"),
        "metrics": {} if psnr is None else {"psnr": psnr, "ssim": 0.85},
        "environment": {"precision": "float32", "device": "cpu"},
    }  # fmt: skip
    if "noise" in changes:
        known["tested"] = changes["noise"]
    return Line(**(known | changes))


def table(*lines: Line, images: Sequence[float] = ()) -> list[Table]:
    """A table of these lines; every measured one has these images."""
    scores = {f"image{i}": value for i, value in enumerate(images)}
    return [Table(1, PLAN, list(lines), [], {one.place: scores for one in lines if one.metrics})]


def only(frame: pd.DataFrame) -> dict[str, str]:
    """The only row."""
    assert len(frame) == 1
    return {str(name): value for name, value in frame.iloc[0].items()}


def test_both_and_their_difference() -> None:
    found = compare(table(line(30.0)), table(line(metrics={"psnr": 29.5, "ssim": 0.852})), ("cpu", "gpu"))
    assert only(found) == {
        "table": "1", "noise": "gauss25", "method": "NBR2NBR", "test": "kodak", "cpu": "30.00/0.850",
        "gpu": "29.50/0.852", "difference": "-0.50/+0.002", "p": "", "environment": "",
    }  # fmt: skip


def test_equal_stores_differ_by_nothing() -> None:
    assert only(compare(table(line(math.inf)), table(line(math.inf))))["difference"] == "+0.00/+0.000"


def test_holes_show_their_state() -> None:
    found = only(compare(table(line()), table(line(None, state=State("failed", "out of memory")))))
    assert (found["A"], found["B"], found["difference"]) == ("30.00/0.850", "failed: out of memory", "")


def test_lines_go_by_noise_label_and_test() -> None:
    a = table(line(30.0), line(20.0, noise="poisson30"), line(25.0, label="N2C"), line(22.0, test="set14"))
    b = table(line(23.0, test="set14"), line(26.0, label="N2C"), line(31.0), line(21.0, noise="poisson30"))
    found = compare(a, b)
    assert list(found["difference"]) == ["+1.00/+0.000"] * 4
    assert list(found["A"].str[:2]) == ["30", "20", "25", "22"]


def test_another_noise_in_the_test_is_another_line() -> None:
    other = {"noise": "gauss25", "tested": "gauss50"}
    found = compare(table(line(30.0), line(20.0, **other)), table(line(20.5, **other), line(30.0)))
    assert list(found["noise"]) == ["gauss25", "gauss25, tested on gauss50"]
    assert list(found["difference"]) == ["+0.00/+0.000", "+0.50/+0.000"]


def test_the_same_row_of_another_table_is_another_line() -> None:
    five, eight = line(31.0, table=5, suite="ablations"), line(31.0, table=8, suite="ablations")
    tables = [Table(5, PLAN, [five], [], {}), Table(8, PLAN, [eight], [], {})]
    assert list(compare(tables, tables[:1])["table"]) == ["5", "8"]
    assert list(compare(tables, tables[:1])["B"]) == ["31.00/0.850", "not run"]


def test_a_row_of_one_store_only_is_not_run_in_the_other() -> None:
    found = compare(table(line()), table(line(), line(25.0, label="mine")))
    assert list(found["method"]) == ["NBR2NBR", "mine"]
    assert list(found["A"]) == ["30.00/0.850", "not run"]
    assert list(found["difference"]) == ["+0.00/+0.000", ""]


def test_what_neither_store_has_is_left_out() -> None:
    printed = line(None, test="bsd300", published={"psnr": 30.79, "ssim": 0.873})
    unprinted = line(None, label="RM+V", published={})  # - / -
    planned = line(None, test="set14")
    both = table(line(), printed, unprinted, planned)
    found = compare(both, both)
    assert list(found["test"]) == ["kodak"]
    assert list(found["B"]) == ["30.00/0.850"]


@pytest.mark.parametrize(
    ("change", "word"), [({"preset": "reduced"}, "train"), ({"steps": 2}, "steps"), ({"seeds": (1,)}, "seeds")]
)
def test_protocols_are_never_mixed(change: dict[str, Any], word: str) -> None:
    request = Request(**change)
    other = Table(1, make(request), [line(preset=request.label)], [], {})
    with pytest.raises(InputError, match=rf"cannot be compared: .*{word}"):
        compare(table(line()), [other])


@pytest.mark.parametrize("change", [{"version": 2}, {"suite": "raw"}])
def test_suites_are_never_mixed(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        compare(table(line()), table(line(**change)))


def test_equal_names_are_refused() -> None:
    with pytest.raises(InputError, match="both stores are called 'runs'"):
        compare(table(line()), table(line()), ("runs", "runs"))


def test_other_environments_are_named() -> None:
    other = {"precision": "float32", "device": "cuda", "processor": "Two", "commit": "b"}
    found = compare(table(line()), table(line(environment=other)), ("here", "there"))
    said = only(found)["environment"]
    assert all(word in said for word in ("device: cpu (here), cuda (there)", "processor", "Two (there)", "commit"))
    assert "precision" not in said


@pytest.mark.parametrize("other", [line(environment={}), line(None)])
def test_a_hole_and_what_has_no_environment_differ_by_none(other: Line) -> None:
    assert only(compare(table(line()), table(other)))["environment"] == ""


def test_a_default_that_was_typed_is_the_default() -> None:
    typed = Table(1, make(Request(seeds=(0,), noises=("gauss25",))), [line(preset="mini, seeds=0")], [], {})
    assert only(compare(table(line()), [typed]))["difference"] == "+0.00/+0.000"


# ---- p


def test_p_is_the_paired_test_over_the_images() -> None:
    a, b = (30.0, 25.0, 20.0, 35.0, 28.0, 22.0, 27.0), (30.1, 25.2, 20.3, 35.4, 28.5, 22.6, 26.3)
    expected = p_value(*({f"image{i}": value for i, value in enumerate(values)} for values in (a, b)))
    assert 0.001 < expected < 1.0
    assert only(compare(table(line(), images=a), table(line(), images=b)))["p"] == f"{expected:.3f}"


def test_a_tiny_p_is_bounded() -> None:
    a, b = table(line(), images=range(20, 34)), table(line(), images=[value + 0.1 for value in range(20, 34)])
    assert only(compare(a, b))["p"] == "<0.001"


def test_no_p_without_images_or_without_a_number() -> None:
    assert only(compare(table(line(), images=[30.0]), table(line())))["p"] == ""
    (diverged,) = table(line(10.0), images=[30.0])  # its images have scores, and its line no mean
    diverged.lines[0].metrics, diverged.lines[0].state = {}, State("diverged")
    assert only(compare([diverged], table(line(), images=[30.0])))["p"] == ""


def test_p_of_other_images_is_refused() -> None:
    with pytest.raises(InputError, match="image1"):
        compare(table(line(), images=[30.0, 31.0]), table(line(), images=[30.0]))


# ---- evaluation protocols


def test_conventions_stand_beside_the_first_with_their_differences() -> None:
    other = line(metrics={"psnr": 30.25, "ssim": 0.86}, tested="gauss25:8bit")
    found = only(evaluation_protocols({"official": table(line()), "clipped-input": table(other)}))
    assert found == {
        "noise": "gauss25", "method": "NBR2NBR", "test": "kodak", "official": "30.00/0.850",
        "clipped-input": "30.25/0.860", "clipped-input (diff.)": "+0.25/+0.010",
    }  # fmt: skip


def test_a_line_without_another_convention_is_left_out() -> None:
    hole, kept = line(None), line(20.0, label="BM3D")
    found = evaluation_protocols({"official": table(line(), kept), "float": table(hole), "luma": table(hole, kept)})
    assert only(found)["method"] == "BM3D"
    assert only(found)["float"] == ""
