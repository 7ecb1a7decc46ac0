"""What a page is made of, without a browser: planes, the choice of parts, budget, policy, records, a site."""

import base64
import hashlib
import io
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from PIL import Image as Pillow
from support.pages import data_of

from bench.datasets.errors import InputError
from bench.report.page import crops
from bench.report.page.crops import SIDE, STEP
from bench.report.page.model import Cell, Column, Page, Row, Scene, Sheet
from bench.report.page.page import MEGABYTE, build, within
from bench.report.page.planes import planes
from bench.report.page.scene import scene

HOSTILE = "</script><script>alert(1)</script><!--\u2028\x1b[31m"


def decoded(found: list[bytes], low: float, high: float) -> np.ndarray:
    """The values that the page's scripts read out of planes."""
    codes = [np.asarray(Pillow.open(io.BytesIO(one)), np.float64) for one in found]
    largest = 255 if len(codes) == 1 else 65535
    code = codes[0] if len(codes) == 1 else codes[0] * 256 + codes[1]
    return low + (high - low) * code / largest


def drawn(seed: int = 0, side: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side, channels))


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


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both are wall-clock times
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
    window, mean = crops.largest_part(error)
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
    median = crops.median_part([error])
    assert sorted(means)[(len(means) - 1) // 2] == pytest.approx(means[places.index(median)])


def test_parts_lie_in_the_centre_crop_that_was_scored() -> None:
    error = np.full((300, 400), np.nan)
    error[37:257, 77:297] = 0.0
    error[38:138, 78:178] = 1.0
    window, mean = crops.largest_part(error)
    assert (window.left, window.top) == (78, 38)
    assert mean == pytest.approx(100**2 / (crops.SIDE**2))
    assert np.isfinite(crops.median_part([error, np.zeros((300, 400))]).of(error[..., None])).all()


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
