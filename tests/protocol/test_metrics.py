"""The metric seam: the registry, the built-in ones, what a suite may name, and keys that metrics leave as they are."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs
from support.tiny import HEAD, SHORT

from bench.datasets.errors import AbsentError, InputError
from bench.protocol.metrics import lpips
from bench.protocol.metrics.metric import Metric
from bench.protocol.metrics.registry import DEFAULT, find_metric, measure, metrics, register_metric
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.protocol.suite_files import decode

BLACK, GRAY = np.zeros((16, 16, 3)), np.full((16, 16, 3), 51.0)
SUITE = f"""{HEAD}noises = ["gauss25"]
%s
{SHORT}batch = 1
steps = 1
epochs = 1
recipe = "one"
"""


def constant(output: Any, clean: Any, scoring: Scoring) -> float:
    return 1.0


# ---- values


def test_mae_is_in_units_of_0_to_255_whatever_the_data_range_is() -> None:
    assert find_metric("mae").function(BLACK, GRAY, Scoring()) == pytest.approx(51.0)
    one = Scoring(quantise="float", data_range=1.0)
    assert find_metric("mae").function(BLACK / 255, GRAY / 255, one) == pytest.approx(51.0)
    assert not find_metric("mae").higher_is_better


def test_psnr_of_equal_images_is_infinite() -> None:
    assert measure(("psnr", "mae"), GRAY, GRAY, Scoring()) == {"psnr": np.inf, "mae": 0.0}


@pytest.mark.parametrize("value", [float("nan"), -np.inf, None, "much"])
def test_what_no_record_can_hold_is_an_error(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(output: Any, clean: Any, scoring: Scoring) -> Any:
        return value

    monkeypatch.setattr(
        "bench.protocol.metrics.registry.METRICS.entries", metrics() | {"wrong": Metric("wrong", "", True, wrong)}
    )
    with pytest.raises(ValueError, match="'wrong' returned"):
        measure(("wrong",), BLACK, GRAY, Scoring())


# ---- LPIPS


def test_lpips_says_why_it_is_not_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    with pytest.raises(AbsentError, match=r"not available.*lpips.*pip install"):
        find_metric("lpips").check()
    monkeypatch.setattr(lpips, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(AbsentError, match=r"not available.*weights"):
        find_metric("lpips").check()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / lpips.WEIGHTS).touch()
    find_metric("lpips").check()


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_gets_three_channels_from_minus_one_to_one(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []

    def network(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        given.extend([a, b])
        return (a - b).abs().mean()

    fake = ModuleType("lpips")
    fake.LPIPS = lambda **kinds: SimpleNamespace(eval=lambda: network)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", fake)
    monkeypatch.setattr(lpips, "METRIC", structs.replace(lpips.METRIC, missing=str))
    lpips._network.cache_clear()
    try:
        white = np.full((8, 8, channels), 255.0)
        assert find_metric("lpips").function(white, np.zeros_like(white), Scoring()) == pytest.approx(2.0)
    finally:
        lpips._network.cache_clear()
    assert [(tuple(one.shape), one.unique().tolist()) for one in given] == [
        ((1, 3, 8, 8), [1.0]),
        ((1, 3, 8, 8), [-1.0]),
    ]


# ---- the registry


@pytest.mark.parametrize("name", ["", "Mine", "images", "level", "a b", "x" * 33])
def test_a_name_must_be_a_key_of_a_record(name: str) -> None:
    with pytest.raises(InputError, match="metric name"):
        register_metric(Metric(name, "", True, constant))


def test_a_plug_in_cannot_take_the_name_of_ours() -> None:
    with pytest.raises(InputError, match="'psnr' is registered twice"):
        register_metric(Metric("psnr", "dB", True, constant))


# ---- suites and keys


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('metrics = ["psnr", "sim"]', "Did you mean 'ssim'"),
        ('metrics = ["mae"]', "unknown primary metric"),
        ('metrics = ["psnr", "psnr"]', "each of them once"),
        ('primary = "mae"', "unknown primary metric"),
    ],
)
def test_a_suite_names_metrics_that_there_are(lines: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        decode((SUITE % lines).encode(), "tiny.toml")


def test_keys_know_metrics_only_where_they_are_not_the_usual_two() -> None:
    cell = make(Request()).cells[0]
    score = cell.scores[0]
    assert score.metrics == DEFAULT
    assert "metrics" not in score.identity
    more = structs.replace(score, metrics=("mae", *DEFAULT))
    assert more.identity == score.identity | {"metrics": {"mae": "", "psnr": "", "ssim": ""}}
    assert more.images_key == score.images_key
