"""Pages of stores: what they show, what they say of the rest, and the site."""

import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import Done, bench, file_of, narrow_networks, photos, refused
from support.pages import data_of
from support.plugins import KEEPER
from support.tiny import Tiny, finished

from bench.methods import registry
from bench.protocol.metrics.registry import find_metric
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.states import State
from bench.report.page.charts import _ranked, looks, plots
from bench.report.page.crops import Part
from bench.report.page.records import _apart, described, method_file
from bench.report.page.tables import verdict
from bench.report.table_lines import Line, Table
from bench.store.store import Store

HOSTILE = "</script><script>alert(1)</script><!--\u2028\x1b[31m"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A finished run of a tiny suite."""
    return finished(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with weights on two small photographs."""
    folder = tmp_path_factory.mktemp("store")
    tests = photos(folder / "tests", "astronaut", "coffee")
    argv = ("run", "--methods", "n2c", "--noise", "gauss25", "--steps", "2", "--test-sets", f"folder:{tests}")
    with narrow_networks():
        result = bench(*argv, "--precision", "float32", "--store", folder / "store")
    assert result.code == 0, result.err
    return Done(folder / "store", tests, argv, result)


def report(store: Path, *argv: object) -> tuple[str, dict[str, Any]]:
    with narrow_networks():
        out = store.parent / "report.html"
        result = bench("report", store, "--out", out, *argv)
    assert result.code == 0, result.err
    assert result.out.strip() == str(out)
    text = out.read_text(encoding="utf-8")
    return text, data_of(text)


def test_a_store_with_weights_shows_every_method_and_every_record(done: Done) -> None:
    text, data = report(done.store)
    panels = [panel["name"] for panel in data["scenes"][0]["panels"]]
    assert panels == ["Noisy", "Gaussian blur, oracle width", "Baseline, N2C", "Clean"]
    records = {record["title"]: record for record in data["records"].values()}
    one = next(record for title, record in records.items() if title.startswith("n2c") and record["kind"] == "score")
    assert one["key"] in text
    assert one["command"].startswith("python -m bench run")
    assert one["method_file"] == "methods/n2c.py"
    assert "class N2C" in data["sources"]["methods/n2c.py"]
    assert [row[0] for row in one["rows"]["values"]] == ["astronaut", "coffee"]
    assert data["records"][one["fit"]]["kind"] == "fit"
    assert str(done.store.parent) not in json.dumps(data["records"][one["fit"]]["file"])
    shown = {panel["key"] for panel in data["scenes"][0]["panels"]} - {""}
    assert shown <= data["records"].keys()


def test_the_numbers_below_the_images_are_those_of_the_shown_pixels(done: Done) -> None:
    """Both photographs are smaller than a part, so that the PSNR of what is shown is the one that was recorded."""
    text, data = report(done.store)
    sources = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]*)"', text)
    first = data["scenes"][0]["panels"]
    images = [np.asarray(Pillow.open(io.BytesIO(base64.b64decode(one))), np.float64) for one in sources[: len(first)]]
    mse = ((images[2] - images[-1]) ** 2).mean()
    assert f"{10 * np.log10(255**2 / mse):.2f} dB" == first[2]["note"]


def test_without_weights_only_what_needs_none_is_shown_and_said(done: Done, tmp_path: Path) -> None:
    store = shutil.copytree(done.store, tmp_path / "store")
    for path in store.rglob("*.safetensors"):
        path.unlink()
    _, data = report(store)
    assert [panel["name"] for panel in data["scenes"][0]["panels"]] == ["Noisy", "Gaussian blur, oracle width", "Clean"]
    assert data["scenes"][0]["absent"] == ["neither weights nor images in the store: Baseline, N2C"]


def test_a_method_that_was_scored_on_centre_crops_chooses_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    place, plugin = Tiny(tmp_path), tmp_path / "keeper.py"
    place.suite.write_text(
        place.suite.read_text("utf-8") + "[presets.mini.budgets.keeper]\ncentre_crop = 32\n", "utf-8"
    )
    plugin.write_text(KEEPER, encoding="utf-8")
    place.run("--plugin", plugin, methods="n2c,keeper")
    _, data = report(place.store, "--plugin", plugin)
    reasons = " ".join(reason for scene in data["scenes"] for reason in scene["reasons"])
    assert ("The worst image of N2C" in reasons, "keeper" in reasons) == (True, False)
    assert all(scene["absent"] == ["only the centre 32x32 was denoised: keeper"] for scene in data["scenes"])


def test_a_store_whose_images_are_gone_shows_its_numbers(tiny: Tiny, tmp_path: Path) -> None:
    with narrow_networks():
        result = bench("report", tiny.store, "--out", tmp_path / "a.html")
    assert result.code == 0, result.err
    assert (tmp_path / "a.html").is_file()


def test_the_method_of_a_plug_in_is_named_without_its_folders(tmp_path: Path) -> None:
    assert method_file(str(tmp_path / "mine.py")) == "mine.py"


def test_a_site_has_a_leaderboard_and_a_page_for_each_method_and_set(done: Done, tmp_path: Path) -> None:
    with narrow_networks():
        result = bench("report", done.store, "--site", tmp_path / "site")
    assert result.code == 0, result.err
    names = sorted(path.name for path in (tmp_path / "site").iterdir())
    assert names[0] == "index.html"
    assert {"method-n2c.html", "method-noisy.html", "method-blur.html"} <= set(names)
    assert len([name for name in names if name.startswith("set-")]) == 1
    for name in names:
        text = (tmp_path / "site" / name).read_text(encoding="utf-8")
        for address in re.findall(r'href="([^"#]+)"', text):
            assert address in names, (name, address)
    index = data_of((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert all(record["stores"] == ["store"] for record in index["records"].values())
    assert "Provenance." in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_two_stores_with_the_same_records_count_them_once(done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.store, tmp_path / "other")
    with narrow_networks():
        result = bench("report", done.store, tmp_path / "other", "--site", tmp_path / "site")
    assert result.code == 0, result.err
    index = data_of((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert all(record["stores"] == ["store", "other"] for record in index["records"].values())


def test_a_store_without_records_is_refused(tmp_path: Path) -> None:
    assert "python -m bench run" in refused("report", tmp_path)
    assert "no such folder" in refused("report", tmp_path / "none")


@pytest.mark.parametrize("size", ["0", "-1", "x", "1e9"])
def test_a_size_that_no_page_can_have_is_refused(size: str) -> None:
    assert "MB" in refused("report", "--budget", size)


def test_a_window_cuts_what_it_says() -> None:
    image = np.arange(48).reshape(6, 8, 1)
    assert Part(2, 1, 3, 4).of(image)[..., 0].tolist() == image[1:4, 2:6, 0].tolist()


def test_plots_compare_all_that_have_numbers(done: Done) -> None:
    _, data = report(done.store)
    (paired,) = data["paired"]
    assert [*paired["values"]] == ["Noisy input", "Gaussian blur, oracle width", "Baseline, N2C"]
    records = {record["title"]: record for record in data["records"].values()}
    score = next(one for title, one in records.items() if title.startswith("n2c") and one["kind"] == "score")
    columns = score["rows"]["columns"]
    psnr = [row[columns.index("psnr")] for row in score["rows"]["values"]]
    assert paired["values"]["Baseline, N2C"] == pytest.approx(psnr)
    titles = {plot["title"].split(",")[0]: plot for plot in data["plots"]}
    assert titles["Training"]["series"][0]["keys"][0] in data["records"]


def test_ranks_are_shared_by_equal_values() -> None:
    assert _ranked({"a": 1.0, "b": 3.0, "c": 3.0}) == {"a": 3.0, "b": 1.5, "c": 1.5}


BLIND, TWO = "gauss5_50", ("gauss25", "gauss50")


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([("n2c", "gauss25", one) for one in TWO], {"N2C": [25.0, 50.0]}),
        ([("n2c", one, one) for one in TWO], {"N2C": [25.0, 50.0]}),
        (
            [("n2c", one, other) for one in (BLIND, *TWO) for other in TWO],
            {f"N2C, trained for {one}": [25.0, 50.0] for one in (BLIND, *TWO)},
        ),
        (
            [("n2c", BLIND, one) for one in TWO] + [("n2c", one, one) for one in TWO],
            {f"N2C, trained for {one}": [25.0, 50.0] for one in (BLIND, "each level")},
        ),
        ([("n2c", "poisson30", "gauss25"), ("n2c", "gauss50", "gauss50")], {}),
        ([("bm3d", one, other) for one in TWO for other in TWO], {"BM3D": [25.0, 50.0]}),
    ],
)
def test_a_line_over_levels_joins_no_trainings_that_differ_in_more(
    places: list[tuple[str, str, str]], expected: dict[str, list[float]]
) -> None:
    plan = make(Request(methods=("n2c", "bm3d"), noises=(BLIND, *TWO, "poisson30")))
    found = [
        Line(
            table=1, suite="s", version=1, preset="p", noise=noise, tested=tested, label=method.upper(), method=method,
            output="o", test="kodak", state=State("done"), metrics={"psnr": 30.0}, keys=(noise,),
        )
        for method, noise, tested in places
    ]  # fmt: skip
    tables = [Table(1, plan, found, [], {})]
    drawn = [one for one in plots(Store(Path("none")), tables, looks(tables))[0] if "level" in one.title]
    series = [one for plot in drawn for one in plot.series]
    assert {one.name: [x for x, _ in one.points] for one in series} == expected
    assert len({one.number for one in series}) == len(series)


@pytest.mark.parametrize(
    ("value", "printed", "mark", "said"),
    [
        (30.0, None, "best", "best"),
        (19.0, None, "", "below the noisy input"),
        (24.0, None, "", "below the blur"),
        (30.0, 30.05, "", "as the paper"),
        (30.0, 31.0, "second", "second; below the paper"),
        (30.0, 29.0, "", "above the paper"),
    ],
)
def test_the_verdict_follows_its_rule(value: float, printed: float | None, mark: str, said: str) -> None:
    line = Line(
        table=1, suite="s", version=1, preset="p", noise="n", tested="n", label="M", method="m", output="o", test="t",
        metrics={"psnr": value}, mark=mark, published=None if printed is None else {"psnr": printed},
    )  # fmt: skip
    floors = {("n", "n", "t", "noisy"): 20.0, ("n", "n", "t", "blur"): 25.0}
    assert verdict(line, find_metric("psnr"), floors) == said


def test_earlier_runs_that_asked_for_something_else_are_on_the_page_too(done: Done, tmp_path: Path) -> None:
    store = shutil.copytree(done.store, tmp_path / "store")
    with narrow_networks():
        again = [word if word != "gauss25" else "gauss50" for word in done.command]
        again[again.index("n2c")] = "blur"
        result = bench(*again, "--precision", "float32", "--store", store)
    assert result.code == 0, result.err
    text, data = report(store)
    linked = {key for keys in re.findall(r'<td[^>]*><a href="#record=([^"]*)"', text) for key in keys.split(",")}
    scores = {key for key, record in data["records"].items() if record["kind"] == "score"}
    assert linked == scores
    assert "in no table" not in text


def test_means_that_differ_between_stores_are_named_with_the_difference(done: Done, tmp_path: Path) -> None:
    title = "blur gauss25 seed 0 on"
    other = shutil.copytree(done.store, tmp_path / "other")
    rows = file_of(other, "score", title, ".rows.jsonl")
    lines = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    for line in lines:
        line["psnr"] += 0.5
    content = "\n".join(json.dumps(line) for line in lines) + "\n"
    rows.write_text(content, encoding="utf-8")
    path = file_of(other, "score", title)
    changed = json.loads(path.read_bytes())
    for means in changed["result"]["outputs"].values():
        means["psnr"] += 0.5
    changed["result"]["rows"] = hashlib.sha256(content.encode()).hexdigest()
    path.write_text(json.dumps(changed), encoding="utf-8")
    _, _, notes = described({"store": Store(done.store), "other": Store(other)})
    assert len(notes) == 1
    assert re.search(r"blur gauss25 seed 0 on .*: the means in store and other differ by up to 0\.5", notes[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "failed", "outputs": []}, "the states in a and b differ: done and failed"),
        ({"outputs": [["output", "psnr"], ["blind", 30.0]]}, "the means in a and b are those of other outputs"),
        ({"outputs": [["output", "psnr"], ["denoised", 30.5]]}, "the means in a and b differ by up to 0.5"),
    ],
)
def test_two_records_of_one_key_differ_in_what_is_said(changes: dict[str, Any], said: str) -> None:
    one = {"state": "done", "outputs": [["output", "psnr"], ["denoised", 30.0]]}
    assert _apart(one, one | changes, "a and b") == said
