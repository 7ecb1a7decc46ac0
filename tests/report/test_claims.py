"""The checker of claimed numbers: every kind of flag is planted, and what is printed passes or is explained."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.cli import CHECKOUT, bench, refused

from bench.report.claims import evidence
from bench.report.claims.report import Report, check_claims
from bench.report.published import published

PAPER = CHECKOUT / "results" / "paper"
SETS = ("kodak", "bsd300", "set14")


def table(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """A file of claims."""
    rows = list(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def claimed(method: str, psnr: float | str, ssim: float | str = "", **more: Any) -> dict[str, Any]:
    """A claim, on Kodak at sigma 25 unless more is said."""
    return {"method": method, "set": "kodak", "noise": "gauss25", "psnr": psnr, "ssim": ssim} | more


def printed(
    method: str, output: str = "", noise: str = "gauss25", add: float = 0.0, **more: Any
) -> list[dict[str, Any]]:
    """The printed row of a method, its PSNR raised."""
    return [
        claimed(method, f"{cell['psnr'] + add:.2f}", cell["ssim"], set=test, noise=noise, **more)
        for test in SETS
        if (cell := published(1)[noise, method, output, test])
    ]


def flags(folder: Path, rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Kind -> severities of the flags of some claims."""
    found: dict[str, list[str]] = {}
    for flag in check_claims(table(folder / "claims.csv", rows)).flags:
        found.setdefault(flag.kind, []).append(flag.severity)
    return found


# ---- printed tables


@pytest.mark.parametrize("name", [f"table{n}" for n in range(1, 9)] + ["others"])
def test_printed_tables_pass_and_their_oddities_are_explained(name: str) -> None:
    report = check_claims(PAPER / f"{name}.csv")
    assert [flag for flag in report.flags if flag.severity != "note"] == []
    assert not report.failed


def test_centre_crops_are_no_evidence_of_whole_images() -> None:
    (noise,) = {
        fact.psnr for fact in evidence.facts() if (fact.kind, fact.set, fact.noise) == ("noise", "set12", "gauss25")
    }
    assert noise == pytest.approx(20.33, abs=0.005)  # the centre squares of results/measured/zeroshot-sets have 20.43


def test_short_trainings_are_no_evidence_against_a_print() -> None:
    assert {fact.row.split()[0] for fact in evidence.facts() if fact.kind == "score"} == {"bm3d", "anscombe"}


def oddities(report: Report) -> list[tuple[str, tuple[int, ...]]]:
    return [(flag.kind, flag.lines) for flag in report.flags if "Known of the printed table" in flag.reason]


def test_the_explained_oddities_are_those_of_the_paper() -> None:
    found = oddities(check_claims(PAPER / "table1.csv"))
    anscombe = [("unlike our records", (line,)) for line in (77, 79)]
    r2r = [("SSIM", (line,)) for line in (95, 96, 97, 128, 129, 130)]
    assert found == [("SSIM", (49,)), ("SSIM", (82,)), *r2r, ("Set14 of 12", (10,)), *anscombe]
    assert oddities(check_claims(PAPER / "table2.csv")) == [("SSIM", (28,))]


def test_an_oddity_explains_no_other_digits(tmp_path: Path) -> None:
    misprint = claimed("b2u", "25.57", 0.868, set="urban100", noise="gauss50")
    assert flags(tmp_path, [misprint])["SSIM"] == ["note"]
    assert flags(tmp_path, [misprint | {"ssim": 0.867}])["SSIM"] == ["error"]
    assert "SSIM" not in flags(tmp_path, [misprint | {"ssim": 0.768}])


# ---- equal digits


def test_a_row_that_repeats_that_of_another_level(tmp_path: Path) -> None:
    """As in the table of Noise2Score, whose Kodak row at sigma 50 repeats the one at sigma 25."""
    row = {"BM3D": "31.68", "N2V": "30.02", "N2S": "30.53", "SURE": "30.75", "Noise2Score": "31.89", "N2N": "32.20"}
    rows = [claimed(name, psnr, noise=noise) for noise in ("gauss25", "gauss50") for name, psnr in row.items()]
    report = check_claims(table(tmp_path / "claims.csv", rows))
    (flag,) = [flag for flag in report.flags if flag.kind == "equal digits"]
    assert (flag.severity, len(flag.lines)) == ("error", 12)
    assert all(name in flag.reason for name in row)
    rows[-1]["psnr"], rows[-2]["psnr"] = "29.10", "28.95"
    (flag,) = [flag for flag in check_claims(table(tmp_path / "claims.csv", rows)).flags if flag.kind == "equal digits"]
    assert len(flag.lines) == 8


def test_rows_that_are_copies(tmp_path: Path) -> None:
    copies = [*printed("n2v"), *(row | {"method": "Ours"} for row in printed("n2v"))]
    assert flags(tmp_path, copies)["equal digits"] == ["error"]
    sets = [claimed("Ours", "31.02", 0.861), claimed("Ours", "31.02", 0.861, set="bsd300")]
    assert flags(tmp_path, sets)["equal digits"] == ["error"]
    one = [claimed("Ours", "31.02", 0.861), claimed("Theirs", "31.02", 0.861)]
    assert flags(tmp_path, one)["equal digits"] == ["note"]
    few = [claimed("Ours", "31.0"), claimed("Ours", "31.0", noise="gauss5_50")]
    assert "equal digits" not in flags(tmp_path, few)  # one decimal says little


def test_two_numbers_for_one_cell(tmp_path: Path) -> None:
    assert flags(tmp_path, [claimed("Ours", "31.02"), claimed("Ours", "31.20")])["two numbers"] == ["error"]
    assert "two numbers" not in flags(tmp_path, [claimed("Ours", "31.02"), claimed("Ours", "31.02")])


# ---- the supervised row


@pytest.mark.parametrize(
    ("networks", "psnr", "severity"),
    [
        (("U-Net", "u-net"), "32.90", "error"),
        (("U-Net", "u-net"), "32.50", "note"),
        (("U-Net", "Restormer"), "32.90", "note"),
        (("", ""), "32.90", "note"),
        (("U-Net", "Restormer"), "37.00", "error"),
    ],
)
def test_above_the_supervised_row(tmp_path: Path, networks: tuple[str, str], psnr: str, severity: str) -> None:
    rows = [claimed("N2C", "32.43", network=networks[0]), claimed("Ours", psnr, network=networks[1])]
    assert flags(tmp_path, rows)["above supervised"] == [severity]


def test_the_printed_supervised_row_is_anothers(tmp_path: Path) -> None:
    report = check_claims(table(tmp_path / "claims.csv", [claimed("Ours", "32.90")]))
    (flag,) = [flag for flag in report.flags if flag.kind == "above supervised"]
    assert (flag.severity, "printed elsewhere" in flag.reason) == ("note", True)
    assert "above supervised" not in flags(tmp_path, [claimed("Ours", "32.40")])


# ---- evaluation protocol


@pytest.mark.parametrize(
    ("psnr", "ssim", "window", "severity"),
    [
        ("32.27", 0.880, "", []),
        ("32.27", 0.880, "gauss11", []),
        ("32.27", 0.915, "", ["warning"]),  # another window
        ("32.27", 0.970, "", ["error"]),  # another data range: more than a blurred clean image has
        ("32.27", 0.700, "", ["error"]),  # less than a noisy one has
        ("32.27", "", "", []),
    ],
)
def test_an_ssim_that_does_not_fit_its_psnr(
    tmp_path: Path, psnr: str, ssim: object, window: str, severity: list[str]
) -> None:
    found = flags(tmp_path, [claimed("Ours", psnr, str(ssim), window=window)])
    assert found.get("SSIM", []) == severity


def test_another_window(tmp_path: Path) -> None:
    (gain,) = {round(fact.ssim, 3) for fact in evidence.facts_of("window")}
    as_printed = claimed("b2u", "32.27", 0.880)
    assert flags(tmp_path, [as_printed | {"ssim": 0.880 + gain}])["SSIM window"] == ["note"]
    assert flags(tmp_path, [as_printed | {"window": "uniform7"}])["SSIM window"] == ["warning"]
    assert "SSIM window" not in flags(tmp_path, [as_printed])


def test_the_bounds_of_an_ssim_are_measured_and_ordered() -> None:
    for test in ("kodak", "bsd300", "set14", "bsd68", "set12", "urban100"):
        for psnr in range(26, 34):
            limits = evidence.bounds(test, psnr)
            assert limits is not None
            assert 0.5 < limits[0] < limits[1] < 1
        assert evidence.bounds(test, 60.0) is None
    assert evidence.bounds("fmdd_fish", 30.0) is None


def test_set14_of_twelve_images(tmp_path: Path) -> None:
    for images, severity in ((240, ["error"]), (12, ["error"]), (280, []), (14, [])):
        row = claimed("Ours", "31.02", 0.860, set="set14", images=images)
        assert flags(tmp_path, [row]).get("Set14 of 12", []) == severity
    bm3d = {fact.set: fact.psnr for fact in evidence.facts_of("score", noise="gauss25") if fact.row == "bm3d denoised"}
    for name, severity in (("set14_12", ["warning"]), ("set14", [])):
        row = claimed("CBM3D", f"{bm3d[name]:.2f}", set="set14")
        assert flags(tmp_path, [row]).get("Set14 of 12", []) == severity


def test_bsd68_in_colour(tmp_path: Path) -> None:
    gray = {"set": "bsd68"}
    assert flags(tmp_path, [claimed("Ours", "29.00", **gray, colour="rgb")])["colour"] == ["error"]
    assert flags(tmp_path, [claimed("Ours", "31.15", **gray)])["colour"] == ["error"]  # N2C has 29.02 in gray
    assert "colour" not in flags(tmp_path, [claimed("Ours", "29.10", **gray, colour="gray")])
    assert flags(tmp_path, [claimed("Ours", "29.00", colour="gray")])["colour"] == ["error"]


def test_psnr_of_luma(tmp_path: Path) -> None:
    assert flags(tmp_path, [claimed("Ours", "32.00", colour="luma")])["luma"] == ["error"]
    assert flags(tmp_path, printed("b2u", "visible", add=2.0))["luma"] == ["error"]
    assert "luma" not in flags(tmp_path, printed("b2u", "visible"))
    one_set = [*printed("b2u", "visible", add=2.0)[:1], *printed("b2u", "visible")[1:]]
    assert "luma" not in flags(tmp_path, one_set)


@pytest.mark.parametrize(("add", "severity"), [(6.02, ["error"]), (48.13, ["error"]), (-6.02, ["error"]), (0.5, [])])
def test_a_wrong_data_range_shifts_the_psnr(tmp_path: Path, add: float, severity: list[str]) -> None:
    rows = printed("b2u", "visible", add=add)[:1]
    assert flags(tmp_path, rows).get("data range", []) == severity


def test_a_stated_data_range(tmp_path: Path) -> None:
    for value, severity in ((2, ["error"]), (254.0, ["error"]), (1, []), (255, [])):
        assert flags(tmp_path, [claimed("Ours", "32.00", data_range=value)]).get("data range", []) == severity


def test_a_noisy_input_of_another_protocol(tmp_path: Path) -> None:
    (noisy,) = evidence.facts_of("noise", "set14", "gauss25")
    right, luma = (claimed("Noisy input", f"{noisy.psnr + add:.2f}", set="set14") for add in (0.02, 4.73))
    assert flags(tmp_path, [right]) == {}
    assert flags(tmp_path, [luma]) == {"noisy input": ["error"], "luma": ["error"]}


# ---- what is known of a method


@pytest.mark.parametrize(
    ("method", "knowledge", "severity"),
    [("R2R", "", "note"), ("R2R", "blind", "error"), ("r2r", "level", "note"), ("Ours", "level", "note")],
)
def test_a_method_that_is_told_the_level(tmp_path: Path, method: str, knowledge: str, severity: str) -> None:
    assert flags(tmp_path, [claimed(method, "32.25", knowledge=knowledge)])["told the level"] == [severity]


def test_blind_methods_are_not_told(tmp_path: Path) -> None:
    rows = [claimed("b2u", "32.27", knowledge="blind"), claimed("Ours", "32.00"), claimed("Prompt-SID", "32.41")]
    assert "told the level" not in flags(tmp_path, rows)
    assert flags(tmp_path, [claimed("IDR", "32.22")])["told the level"] == ["note"]  # needs the noise model


def test_ensembles(tmp_path: Path) -> None:
    assert flags(tmp_path, [claimed("Ours", "32.00", ensemble="x8 flips")])["ensemble"] == ["warning"]
    assert flags(tmp_path, [claimed("R2R", "32.25")])["ensemble"] == ["note"]
    assert flags(tmp_path, [claimed("R2R", "32.25", ensemble="none")])["ensemble"] == ["error"]
    assert "ensemble" not in flags(tmp_path, [claimed("b2u", "32.27", ensemble="1")])


def test_a_gain_as_of_a_hidden_ensemble(tmp_path: Path) -> None:
    assert flags(tmp_path, printed("n2v", add=0.09))["hidden ensemble"] == ["warning"]
    assert "hidden ensemble" not in flags(tmp_path, printed("n2v"))
    assert "hidden ensemble" not in flags(tmp_path, printed("n2v", add=0.09, ensemble="8"))


def test_numbers_that_are_not_those_of_the_print(tmp_path: Path) -> None:
    rows = [claimed("NBR2NBR", "31.40"), claimed("N2V", "30.32")]
    report = check_claims(table(tmp_path / "claims.csv", rows))
    (flag,) = [flag for flag in report.flags if flag.kind == "unlike the print"]
    assert (flag.severity, flag.lines) == ("warning", (2,))
    assert "-0.68 dB from the printed 32.08" in flag.reason
    assert "baseline below its print" in flag.reason


def test_numbers_that_are_not_those_of_our_records(tmp_path: Path) -> None:
    assert flags(tmp_path, [claimed("CBM3D", "31.60")])["unlike our records"] == ["warning"]
    assert "unlike our records" not in flags(tmp_path, [claimed("CBM3D", "31.87")])


def test_a_second_hand_number_is_said_to_be_one(tmp_path: Path) -> None:
    report = check_claims(table(tmp_path / "claims.csv", [claimed("Prompt-SID", "32.00", 0.878)]))
    (flag,) = [flag for flag in report.flags if flag.kind == "unlike the print"]
    assert "image of its source's table" in flag.reason
    assert report.numbers()[0]["printed"] == "32.41/0.883 [image]"


def test_differences_within_the_noise(tmp_path: Path) -> None:
    assert flags(tmp_path, [claimed("Ours", "32.30"), claimed("b2u", "32.27")])["within the noise"] == ["note"]
    assert "within the noise" not in flags(tmp_path, [claimed("Ours", "32.40"), claimed("n2v", "30.32")])
    wide = [claimed("Ours", "32.40", spread=0.3), claimed("nbr2nbr", "32.08")]
    assert flags(tmp_path, wide)["within the noise"] == ["note"]
    assert "within the noise" not in flags(tmp_path, [row | {"spread": 0.01} for row in wide])


# ---- the command


def test_exit_codes(tmp_path: Path) -> None:
    assert bench("claim", PAPER / "table2.csv").code == 0
    copied = [claimed("Ours", "31.02"), claimed("Ours", "31.02", noise="gauss50")]
    assert bench("claim", table(tmp_path / "claims.csv", copied)).code == 1


def test_every_flag_names_its_reason_and_the_measurement(tmp_path: Path) -> None:
    path = table(tmp_path / "claims.csv", [*printed("r2r"), claimed("Ours", "37.00", 0.99)])
    found = json.loads(bench("claim", path, "--format", "json").out)
    assert {flag["kind"] for flag in found["flags"]} >= {"told the level", "above supervised", "SSIM"}
    for flag in found["flags"]:
        assert flag["lines"]
        assert flag["reason"]
        assert flag["settle"].startswith("python -m bench ")
    assert [number["line"] for number in found["numbers"]] == ["2", "3", "4", "5"]


def test_every_format_holds_the_flags(tmp_path: Path) -> None:
    path = table(tmp_path / "claims.csv", [claimed("R2R", "32.25", 0.880, knowledge="blind")])
    for form in ("terminal", "md", "csv", "json", "html", "latex"):
        result = bench("claim", path, "--format", form)
        assert result.code == 1, result.err
        assert "told the level" in result.out
        assert result.out.count("<!doctype html>") == (form == "html")
    rows = list(csv.DictReader(io.StringIO(bench("claim", path, "--format", "csv").out)))
    assert {"severity", "kind", "lines", "what", "reason", "settled by"} == set(rows[0])
    assert max(map(len, bench("claim", PAPER / "table1.csv").out.splitlines())) <= 80


@pytest.mark.parametrize(("form", "tag"), [("md", "&lt;img"), ("latex", r"\textless{}img"), ("html", "&lt;img")])
def test_a_remark_cannot_bring_a_tag_or_a_command_into_a_document(form: str, tag: str, tmp_path: Path) -> None:
    path = table(tmp_path / "claims.csv", [claimed("Ours", "31.00", set="<img src=x onerror=alert(1)>")])
    below = bench("claim", path, "--format", form).out.partition("1 claim: ")[2]
    assert (tag in below, "<img" in below) == (True, False)


def test_names_of_papers_mean_our_methods(tmp_path: Path) -> None:
    names = ["Blind2Unblind", "Neighbor2Neighbor", "Noise2Void", "CBM3D", "Laine19-pme", "Baseline, N2C", "Prompt-SID"]
    report = check_claims(table(tmp_path / "claims.csv", [claimed(name, "31.00") for name in names]))
    found = [(claim.method, claim.output) for claim in report.claims]
    expected = [("b2u", ""), ("nbr2nbr", ""), ("n2v", ""), ("bm3d", ""), ("laine19", "pme"), ("n2c", "")]
    assert found == [*expected, ("prompt-sid", "")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method,set,noise,psnr\nb2u,kodak,gauss25,32\n", "no column ssim"),
        ("method,set,noise,psnr,ssim,windw\nb2u,kodak,gauss25,32,0.8,x\n", "Did you mean 'window'?"),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gaus25,32,0.8\n", "line 2: "),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gauss25,thirty,0.8\n", "psnr 'thirty'; expected a number"),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gauss25,32,88.0\n", "ssim '88.0'; expected a number from -1 to 1"),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gauss25,nan,0.8\n", "psnr 'nan'"),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gauss25,32\n", "line 2: expected 5 cells"),
        ("method,set,noise,psnr,ssim\nb2u,kodak,gauss25,32,0.8,9\n", "line 2: expected 5 cells"),
        ("method,set,noise,psnr,ssim,knowledge\nb2u,kodak,gauss25,32,0.8,all\n", "unknown knowledge"),
        ("method,set,noise,psnr,ssim\n,kodak,gauss25,32,0.8\n", "without its method or set"),
        ("method,set,noise,psnr,ssim\n", "no numbers in it"),
        ('method,set,noise,psnr,ssim\n"b2u,kodak', "line 2: "),
        ("method,set,noise,psnr,ssim\n" + "b2u,kodak,gauss25,32,0.8\n" * 2001, "more than 2,000 claims"),
        ("method\0,set,noise,psnr,ssim\n", "claims.csv"),
        ("", "no column method, set, noise, psnr, ssim"),
        ("method,set,noise,psnr,ssim,ssim\nb2u,kodak,gauss25,32,0.8,0.8\n", "a column appears twice"),
    ],
)
def test_files_that_hold_no_claims(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "claims.csv").write_text(text)
    message = refused("claim", tmp_path / "claims.csv")
    assert says in message
    assert "claims.csv" in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in refused("claim", tmp_path / "none.csv")
    assert "cannot be read" in refused("claim", tmp_path)
    (tmp_path / "claims.csv").write_bytes(b"\xff\xfe\x00m")
    assert "not a text in UTF-8" in refused("claim", tmp_path / "claims.csv")


def test_a_band_names_every_set_that_it_is_known_from(tmp_path: Path) -> None:
    report = check_claims(table(tmp_path / "claims.csv", [claimed("b2u", "29.00", set="bsd68")]))
    (said,) = (remark for remark in report.remarks if remark.startswith("bands"))
    assert [one for one in {fact.set for fact in evidence.facts_of("seeds")} if one not in said] == []
