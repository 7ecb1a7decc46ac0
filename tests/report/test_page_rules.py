"""What a page is made of, without a browser: planes, the choice of parts, budget, policy, records, a site."""

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
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from PIL import Image as Pillow
from support.cli import Done, bench, file_of, narrow_networks, photos, refused
from support.tiny import Tiny, finished

from bench.datasets.errors import InputError
from bench.protocol.metrics.registry import find_metric
from bench.report.lines import Line
from bench.report.page import crops
from bench.report.page.charts import _ranked
from bench.report.page.crops import SIDE, STEP, Window
from bench.report.page.model import Cell, Column, Page, Row, Scene, Sheet
from bench.report.page.numbers import verdict
from bench.report.page.page import MEGABYTE, build, within
from bench.report.page.planes import planes
from bench.report.page.records import described, method_file
from bench.report.page.scene import scene
from bench.store.store import Store

HOSTILE = "</script><script>alert(1)</script><!--\u2028\x1b[31m"


def decoded(found: list[bytes], low: float, high: float) -> np.ndarray:
    """The values that the page's scripts read out of planes."""
    codes = [np.asarray(Pillow.open(io.BytesIO(one)), np.float64) for one in found]
    largest = 255 if len(codes) == 1 else 65535
    code = codes[0] if len(codes) == 1 else codes[0] * 256 + codes[1]
    return low + (high - low) * code / largest


def drawn(seed: int = 0, side: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side, channels))


def data_of(text: str) -> dict[str, Any]:
    """What a page's scripts are told."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


# ---- planes and scenes


@pytest.mark.parametrize(("bits", "step"), [(8, 1 / 255), (16, 1 / 65535)])
@pytest.mark.parametrize("channels", [1, 3])
def test_planes_are_exact_to_half_a_code(bits: int, step: float, channels: int) -> None:
    image = drawn(channels=channels)
    back = decoded(planes(image, 0.0, 1.0, bits), 0.0, 1.0).reshape(image.shape)
    assert np.abs(back - image).max() <= step / 2 + 1e-12


def test_eight_bit_images_come_back_as_they_were() -> None:
    codes = np.arange(256).repeat(3).reshape(16, 16, 3)
    assert (decoded(planes(codes / 255, 0.0, 1.0, 8), 0.0, 255.0).round() == codes).all()


def test_a_noisy_image_keeps_what_lies_outside_the_range() -> None:
    noisy = drawn() * 3 - 1
    (one,) = scene("a", noisy, drawn(1), {"m": drawn(2)}, bits=8)
    panel = one.panels[0]
    back = decoded(panel.planes, panel.low, panel.high)
    assert np.abs(back - noisy).max() < 1e-4
    assert [len(panel.planes) for panel in one.panels] == [2, 1, 1]
    assert [panel.role for panel in one.panels] == ["noisy", "output", "clean"]


def test_values_may_have_any_range() -> None:
    noisy = drawn() * 60_000
    (one,) = scene("a", noisy, None, {"m": noisy}, (0.0, 65_535.0))
    back = decoded(one.panels[1].planes, one.low, one.high)
    assert np.abs(back - noisy).max() <= 0.5
    assert [panel.role for panel in one.panels] == ["noisy", "output"]


def test_images_of_many_channels_have_a_scene_for_each() -> None:
    found = scene("a", drawn(channels=4), None, {"m": drawn(1, channels=4)})
    assert [one.image for one in found] == [f"a, channel {number}" for number in range(4)]
    assert len({one.id for one in found}) == 4


def test_a_method_may_be_called_like_a_role() -> None:
    (one,) = scene("a", drawn(0), drawn(1), {"noisy": drawn(2), "clean": drawn(3)})
    assert [panel.role for panel in one.panels] == ["noisy", "output", "output", "clean"]
    assert len({panel.planes[0] for panel in one.panels}) == 4


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"mine has the shape \(4, 24, 3\).*\(24, 24, 3\)"):
        scene("a", drawn(), None, {"mine": drawn()[:4]})


# ---- which parts


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=20))
def test_the_median_image_has_as_many_better_as_worse(values: list[float]) -> None:
    mine = {f"{number:02}": value for number, value in enumerate(values)}
    chosen = mine[crops.median_image({"m": mine})]
    assert sorted(values)[(len(values) - 1) // 2] == chosen
    assert mine[crops.worst_image(mine)] == min(values)


def test_images_are_ranked_by_the_mean_over_methods() -> None:
    values = {"a": {"x": 1.0, "y": 5.0, "z": 9.0}, "b": {"x": 20.0, "y": 5.0, "z": 9.0}}
    assert crops.median_image(values) == "z"  # means 10.5, 5, 9


def test_neighbours_follow_each_other_in_the_order_of_means() -> None:
    values = {"a": {"x": 1.0}, "b": {"x": 3.0}, "c": {"x": 2.0}}
    assert crops.neighbours(values) == [("b", "c"), ("c", "a")]


def test_the_largest_part_is_the_one_that_was_planted() -> None:
    error = np.zeros((400, 500))
    error[160:176, 320:336] = 1.0
    window, mean = crops.largest_window(error)
    assert window.of(error[..., None]).sum() == 256.0
    assert mean == pytest.approx(256.0 / SIDE**2)
    assert window.top % STEP == window.left % STEP == 0


@pytest.mark.parametrize("shape", [(400, 500), (100, 400), (20, 30)])
def test_every_part_lies_in_the_image_and_its_mean_is_right(shape: tuple[int, int]) -> None:
    error = np.random.default_rng(0).random(shape)
    places, means = crops._parts(error)
    for place, mean in zip(places, means, strict=True):
        part = error[place.top : place.top + place.height, place.left : place.left + place.width]
        assert part.shape == (min(SIDE, shape[0]), min(SIDE, shape[1]))
        assert part.mean() == pytest.approx(mean)
    median = crops.median_window([error])
    assert sorted(means)[(len(means) - 1) // 2] == pytest.approx(means[places.index(median)])


def test_what_is_not_known_is_no_difference() -> None:
    assert not crops.squared(np.full((2, 2, 1), np.nan), np.ones((2, 2, 1))).any()


# ---- the document


def hostile() -> Page:
    (one,) = scene(HOSTILE, drawn(), drawn(1), {HOSTILE: drawn(2)}, group=HOSTILE, reasons=[HOSTILE])
    cell = Cell(HOSTILE, 1.0, (HOSTILE,), hint=HOSTILE)
    sheet = Sheet(HOSTILE, [Column(HOSTILE)], [Row([cell], {"noise": HOSTILE}), Row([cell], {"noise": "b"})], [HOSTILE])
    return Page(title=HOSTILE, lead=[HOSTILE], sheets=[sheet], scenes=[one], rule=[HOSTILE], sources={HOSTILE: HOSTILE})


def test_hostile_names_are_text_everywhere() -> None:
    text = build(hostile())
    assert "<script>alert" not in text
    assert "</script><" not in text.replace("</script>\n<script>", "")
    assert "\x1b" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert data_of(text)["sources"] == {HOSTILE: HOSTILE}


def test_the_policy_forbids_every_request_and_names_the_only_script_and_style() -> None:
    text = build(hostile())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert rules.pop(name) == f"'sha256-{digest}'"
    assert set(rules.values()) == {"'none'"}
    outside = re.sub(r'(src|data-low)="data:[^"]*"', "", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", outside)


def test_scripts_never_read_text_as_html() -> None:
    text = build(Page(title="A"))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttp|WebSocket", text
    )


def test_the_same_page_has_the_same_bytes() -> None:
    assert build(hostile()) == build(hostile())


def many(count: int) -> list[Scene]:
    return [scene(f"{number}", drawn(number), None, {"m": drawn(number + 1)})[0] for number in range(count)]


@pytest.mark.parametrize("budget", [0.1, 0.15, 0.2, 0.4])
def test_a_page_stays_within_its_budget(budget: float) -> None:
    page = within(Page(title="A"), SCENES, budget)
    size = len(build(page).encode())
    assert size <= budget * MEGABYTE
    if len(page.scenes) < len(SCENES):
        assert "parts are left out" in page.rule[-1]
        more = structs.replace(page, scenes=SCENES[: len(page.scenes) + 1])
        assert len(build(more).encode()) > budget * MEGABYTE - 4_000  # no smaller than it must be


SCENES = many(30)


def test_a_budget_below_the_tables_is_refused_with_one_that_fits() -> None:
    with pytest.raises(InputError, match=r"--budget 0.01: tables and records alone need 0\.\d MB.*--budget 1"):
        within(Page(title="A"), [], 0.01)


# ---- stores


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
    assert data["scenes"][0]["absent"] == ["Baseline, N2C: neither weights nor images in the store"]


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
    assert Window(2, 1, 3, 4).of(image)[..., 0].tolist() == image[1:4, 2:6, 0].tolist()


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
