"""The page as a person uses it, in headless Chromium: keys, zoom, links, tables, hostile names, time to open."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.browser import Browser, browser, needs_chromium

from bench.report.page.model import Cell, Column, Page, Paired, Plot, Row, Series, Sheet
from bench.report.page.page import build
from bench.report.page.scene import scene

pytestmark = needs_chromium
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&<b>"
KEY = "0123456789ab"
GRAY = {"Noisy": 0.2, "A": 0.4, "B": 0.6, "Clean": 0.8}  # plain images, told apart by any pixel
SIDE = 64


def plain(value: float, channels: int = 3) -> np.ndarray:
    return np.full((SIDE, SIDE, channels), value)


def example() -> Page:
    """Two scenes of plain images, a table of three rows, plots and a record, with hostile names everywhere."""
    outputs = {"A": plain(GRAY["A"]), HOSTILE: plain(GRAY["B"])}
    scenes = scene("flat", plain(0.2), plain(0.8), outputs, bits=8, factor=255.0, keys={"A": KEY}, group="gauss25")
    ramp = np.linspace(0.0, 0.01, SIDE)[None, :, None] * np.ones((SIDE, 1, 1))  # all in the lowest 1 %
    scenes += scene(HOSTILE, ramp, None, {"A": ramp}, (0.0, 1.0), group=HOSTILE)
    names = ["method", "PSNR", "verdict", "paper"]
    cells = [("b", 31.5, "below"), ("a", 4.25, ""), (HOSTILE, 29.0, "best")]
    rows = [
        Row(
            [Cell(name), Cell(f"{value}", value, (KEY,)), Cell(said), Cell("")],
            {"method": name, "noise": f"n{number % 2}"},
            measured=name != "a",
        )
        for number, (name, value, said) in enumerate(cells)
    ]
    record = {
        "key": KEY, "kind": "score", "title": HOSTILE, "state": "done", "reason": "", "stores": [HOSTILE],
        "file": f"{HOSTILE}/x.json", "method": HOSTILE, "method_file": "methods/a.py", "command": f"run {HOSTILE}",
        "environment": {HOSTILE: HOSTILE}, "identity": {HOSTILE: 1}, "fit": "", "warnings": [HOSTILE],
        "outputs": [["output", "psnr"], [HOSTILE, 31.5]], "rows": {"columns": ["image"], "values": [[HOSTILE]]},
    }  # fmt: skip
    series = [Series(HOSTILE, one, [(1.0, 20.0), (10.0, 21.0 + one)], [KEY], line=True) for one in range(2)]
    sheet = Sheet(HOSTILE, [Column(name, name == "PSNR") for name in names], rows, [HOSTILE])
    return Page(
        title=HOSTILE, lead=[HOSTILE], sheets=[sheet], scenes=scenes, rule=[HOSTILE],
        plots=[Plot(HOSTILE, HOSTILE, "x", "y", series, log=True)],
        paired=[Paired("P", "p", "dB", ["i", "j", "k"], {"A": [1.0, 2.0, 4.0], HOSTILE: [1.0, 1.0, 1.0]}, 4.303)],
        records={KEY: record}, sources={"methods/a.py": f"# {HOSTILE}"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build(example()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture
def page(window: Browser, file: Path) -> Iterator[Browser]:
    """The page, freshly opened; whatever a test did, there was no error and no request."""
    window.open(file)
    yield window
    assert window.logs() == ([], [])


def shade(name: str) -> list[int]:
    return [round(255 * GRAY[name])] * 3


# ---- viewer


def test_keys_flip_the_methods_in_place(page: Browser) -> None:
    for key, name in (
        ("1", "A"),
        ("2", "B"),
        ("0", "Noisy"),
        ("c", "Clean"),
        ("x", "Noisy"),
        (".", "A"),
        (",", "Noisy"),
    ):
        page.press(key)
        assert page.pixel() == pytest.approx(shade(name), abs=1), key
    assert page.address()["method"] == "Noisy"


def test_all_panels_keep_one_place_and_zoom(page: Browser) -> None:
    page.press("a")
    assert page.js("return document.querySelectorAll('.stage canvas').length") == 4
    colours = [page.pixel(canvas=number) for number in range(4)]
    for colour, name in zip(colours, ("Noisy", "A", "B", "Clean"), strict=True):
        assert colour == pytest.approx(shade(name), abs=1)
    corners = [page.pixel(0.02, 0.02, canvas=number) for number in range(4)]
    page.press("+", "+", "+", "+")  # the image now fills every panel
    assert [page.pixel(0.02, 0.02, canvas=number) for number in range(4)] == colours
    assert len({tuple(one) for one in corners}) == 1  # beside the image, in all alike


def test_the_slider_shows_two_images(page: Browser) -> None:
    page.press("0", "1", "s")
    assert (page.pixel(0.45), page.pixel(0.55)) == (
        pytest.approx(shade("Noisy"), abs=1),
        pytest.approx(shade("A"), abs=1),
    )
    page.press("<", "<")
    assert page.pixel(0.45) == pytest.approx(shade("A"), abs=1)


def test_wheel_and_keys_zoom_up_to_32_times_without_smoothing(page: Browser) -> None:
    page.press("n")  # the ramp
    page.js("document.querySelector('.stage').scrollIntoView()")
    page.press(*"eeee" * 6)  # 64 times brighter
    wheel = "new WheelEvent('wheel', {deltaY: -100, bubbles: true, cancelable: true, clientX: 300, clientY: 300})"
    page.js(f"for (let i = 0; i < 40; i++) document.querySelector('.stage canvas').dispatchEvent({wheel})")
    page.settle()
    assert float(page.address()["zoom"]) == 32.0
    row = page.js(
        "const c = document.querySelector('.stage canvas');"
        "return [...c.getContext('2d').getImageData(0, c.height / 2, c.width, 1).data].filter((_, i) => i % 4 === 0)"
    )
    jumps = [i for i in range(1, len(row)) if row[i] != row[i - 1]]
    assert jumps
    assert set(np.diff(jumps)) == {32}  # every pixel is a square of 32 pixels of one colour
    page.press("z")
    assert float(page.address()["zoom"]) < 32.0


def point(page: Browser, *events: tuple[str, int, int]) -> None:
    """Pointers with a number at a column of the viewer."""
    page.js(
        "const s = document.querySelector('.stage'), c = s.querySelector('canvas'); s.setPointerCapture = () => {};"
        f"for (const [name, id, x] of {[list(event) for event in events]}) c.dispatchEvent("
        "new PointerEvent(name, {pointerId: id, bubbles: true, clientX: x, clientY: 300}));"
    )
    page.settle()


def test_dragging_and_arrow_keys_move(page: Browser) -> None:
    page.press("+", "+", "+", "+", "+")
    before = page.address()
    page.js("document.querySelector('.stage').focus()")
    page.press("\ue014")  # the right arrow
    assert float(page.address()["x"]) > float(before["x"])
    point(page, ("pointerdown", 1, 300), ("pointermove", 1, 420), ("pointerup", 1, 420))
    assert float(page.address()["x"]) < float(before["x"])


def test_two_fingers_zoom(page: Browser) -> None:
    page.press("1")
    before = float(page.address()["zoom"])
    point(page, ("pointerdown", 1, 200), ("pointerdown", 2, 300), ("pointermove", 2, 400))
    point(page, ("pointerup", 1, 200), ("pointerup", 2, 400))
    assert float(page.address()["zoom"]) == pytest.approx(2 * before)


def test_exposure_reaches_what_8_bits_would_have_lost(page: Browser) -> None:
    page.press("n")
    code = (
        "const c = document.querySelector('.stage canvas');"
        "const d = c.getContext('2d').getImageData(0, c.height / 2, c.width, 1).data;"
        "return new Set([...d].filter((_, i) => i % 4 === 0)).size"
    )
    dark = page.js(code)
    page.press(*"eeee" * 6)
    assert dark <= 5  # a ramp over 1 % of the range is 4 codes of 8 bits, and the stage
    assert page.js(code) >= SIDE  # every column has a code of its own


def test_differences_and_residuals_have_one_scale_and_one_sign(page: Browser) -> None:
    page.press("1", "d")  # 0.4 - 0.8 is below zero: blue
    red, _, blue = page.pixel()
    assert blue > red
    page.press("c")
    assert page.pixel() == [245, 245, 245]
    page.press("r")  # noisy less clean: blue, too
    assert page.pixel()[2] > page.pixel()[0]
    narrow = page.pixel()
    page.press(*"]" * 12)
    assert sum(page.pixel()) > sum(narrow)  # a wider scale is paler


def test_values_and_local_psnr_under_the_pointer(page: Browser) -> None:
    page.press("1")
    page.js(
        "const c = document.querySelector('.stage canvas'), b = c.getBoundingClientRect();"
        "const place = {clientX: b.left + b.width / 2, clientY: b.top + b.height / 2};"
        "c.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, ...place}))"
    )
    page.settle()
    told = page.js("return document.querySelector('.values').innerText").split("\n")
    assert told[told.index("row, column") + 1] == "32, 32"
    assert (told[told.index("A") + 1], told[told.index("Clean") + 1]) == ("102", "204")
    assert told[told.index("local PSNR") + 1] == "7.96 dB"  # 10 log10(1 / 0.4^2)


def test_an_address_names_a_spot(page: Browser, window: Browser, file: Path) -> None:
    page.press("2", "+", "r", "e")
    spot = page.js("return location.hash")
    pixels = page.pixel()
    window.open(file, spot)
    assert page.js("return location.hash") == spot
    assert page.pixel() == pixels
    assert page.address()["method"] == HOSTILE


def test_the_keys_are_listed(page: Browser) -> None:
    page.press("?")
    text = page.js("return document.getElementById('help').open && document.getElementById('help').innerText")
    assert "the clean image" in text


def test_buttons_do_without_a_keyboard(page: Browser) -> None:
    page.js("document.querySelectorAll('.methods button')[3].click()")
    page.settle()
    assert page.pixel() == pytest.approx(shade("Clean"), abs=1)
    assert page.js("return document.querySelectorAll('.methods [aria-pressed=true]').length") == 1


# ---- tables and records


def shown(page: Browser) -> list[str]:
    found: list[str] = page.js(
        "const rows = [...document.querySelectorAll('#tables tbody tr')].filter((row) => !row.hidden);"
        "return rows.map((row) => row.cells[0].textContent)"
    )
    return found


def test_the_table_sorts_by_any_column(page: Browser) -> None:
    page.js("document.getElementById('unmeasured').click()")
    page.js("document.querySelectorAll('#tables th button')[1].click()")
    assert shown(page) == ["b", HOSTILE, "a"]  # numbers begin with the largest
    page.js("document.querySelectorAll('#tables th button')[1].click()")
    assert shown(page) == ["a", HOSTILE, "b"]
    page.js("document.querySelectorAll('#tables th button')[2].click()")
    assert shown(page) == ["b", HOSTILE, "a"]  # without a verdict last
    assert page.js("return document.querySelectorAll('[aria-sort]').length") == 1


def test_the_table_is_filtered(page: Browser) -> None:
    assert shown(page) == ["b", HOSTILE]
    page.js(
        "const s = document.querySelector('[data-filter=method]'); s.value = 'b';"
        "s.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    assert shown(page) == ["b"]
    heads = page.js(
        "return [...document.querySelectorAll('#tables th')].filter((h) => !h.hidden).map((h) => h.textContent)"
    )
    assert heads == ["method", "PSNR", "verdict"]  # nothing was printed for it


@pytest.mark.parametrize("form", ["latex", "markdown", "csv"])
def test_rows_are_copied(form: str, page: Browser) -> None:
    page.js(f"document.querySelector('[data-copy={form}]').click()")
    page.settle()
    text = page.js("return document.documentElement.dataset.copied")
    assert "31.5" in text
    assert "4.25" not in text  # it is not shown
    assert {"latex": r"\toprule", "markdown": "| --- |", "csv": '""'}[form] in text
    if form == "markdown":
        assert "<b>" not in text


def test_one_click_leads_from_a_number_to_its_record_command_and_file(page: Browser) -> None:
    page.js("document.querySelector('#tables td a').click()")
    page.settle()
    text = page.js("return document.getElementById('record').innerText")
    for wanted in (KEY, f"run {HOSTILE}", "methods/a.py"):
        assert wanted in text
    assert page.address() == {"record": KEY}
    page.js("document.querySelector('#record details').open = true")  # the file itself
    assert f"# {HOSTILE}" in page.js("return document.getElementById('record').innerText")
    page.js("document.querySelector('#record ul a').click()")  # and its image
    page.settle()
    assert not page.js("return document.getElementById('record').open")
    assert page.address()["method"] == "A"


def test_hostile_names_stay_text(page: Browser) -> None:
    page.js("document.querySelector('#tables td a').click()")
    page.js("document.getElementById('plots').scrollIntoView()")
    page.settle()
    assert page.js("return document.querySelectorAll('img[src=x], img[onerror], body b').length") == 0
    assert page.js("return document.title") == HOSTILE
    assert page.js("return document.querySelectorAll('#plots svg').length") >= 2


def test_the_paired_plot_says_the_interval(page: Browser) -> None:
    page.js("document.getElementById('plots').scrollIntoView()")
    page.settle()
    text = page.js("return document.querySelector('#plots').innerText")
    # b - a of 1 2 4 and 1 1 1 is 0 -1 -3: mean -1.33, standard deviation 1.53, half 4.303 * 1.53 / sqrt 3 = 3.79
    assert re.search(r"mean -1\.33, 95 % interval -5\.13 to 2\.46; 3 images", text)


# ---- form


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(width: int, page: Browser, file: Path) -> None:
    page.open(file, width=width)
    for key in "fsa":
        page.press(key)
        assert page.js("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_both_schemes(dark: bool, file: Path) -> None:
    with browser(dark) as one:
        one.open(file)
        colours = one.js(
            "const of = (e, p) => getComputedStyle(e)[p].match(/[\\d.]+/g).slice(0, 3).map(Number);"
            "const body = document.body; const faint = document.querySelector('.notes');"
            "const link = document.querySelector('td a');"
            "return [of(body, 'backgroundColor'), of(body, 'color'), of(faint, 'color'), of(link, 'color')]"
        )
        paper, *inks = map(luminance, colours)
        assert (paper < 0.2) == dark
        for ink in inks:
            assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5  # WCAG AA


def luminance(rgb: list[float]) -> float:
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
def test_200_crops_open_in_under_a_second(window: Browser, tmp_path: Path) -> None:
    """The page's own work, which other processes do not slow down; the page is as large as its usual budget."""
    draws = np.random.default_rng(0)
    noise = [draws.integers(0, 32, (192, 192, 3)) / 255 for _ in range(10)]
    outputs = {f"method {number}": image for number, image in enumerate(noise[2:])}
    scenes = [
        one
        for number in range(20)
        for one in scene(f"image {number}", noise[0], noise[1], outputs, bits=8, reasons=["The worst."])
    ]
    assert sum(len(one.panels) for one in scenes) == 200
    path = tmp_path / "large.html"
    path.write_text(build(Page(title="Large", scenes=scenes)), encoding="utf-8")
    assert 18e6 < path.stat().st_size < 21e6
    assert opened(window, path) < 1.0


def opened(window: Browser, path: Path) -> float:
    """How long the page's thread computed until all was loaded [s]."""
    window.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    window.driver.get("about:blank")
    before = busy_seconds(window)
    window.driver.get(path.as_uri())
    return busy_seconds(window) - before


def busy_seconds(window: Browser) -> float:
    metrics = window.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))
