"""Noise in the test that a method was not trained for: one training, more scores, the level that it was trained for."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.cli import Result, bench, line, lines, photos

import bench as package
from bench.datasets.errors import InputError
from bench.datasets.noise.conditions import correlate
from bench.datasets.noise.model import parse
from bench.datasets.noise.named import named
from bench.methods import registry
from bench.protocol.plan import make
from bench.protocol.request import Request

# It may use the noise level, and notes it.
SPY = """
import os
from pathlib import Path
from torch import nn
from bench import Method, register

@register("spy")
class Spy(Method, frozen=True):
    knowledge = "level"
    multiple = 1

    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        yield ((net(batch.noisy) - batch.noisy) ** 2).mean()

    def denoise(self, net, noisy, ctx):
        with Path(os.environ["SPY_LOG"]).open("a") as log:
            log.write(f"{ctx.level.item():.6g}\\n")
        return {"denoised": net(noisy)}
"""
TESTED = ("gauss15", "gauss50", "gauss25:8bit", "gauss25:correlated")
GRAY = np.full((256, 256, 3), 0.5, np.float32)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A run of the spy on the noise it is trained for and on four others; its store is `tmp_path / "store"`."""
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    monkeypatch.setenv("SPY_LOG", str(tmp_path / "log"))
    plugin = tmp_path / "spy_method.py"
    plugin.write_text(SPY, encoding="utf-8")
    train, test = photos(tmp_path / "train", "coffee", height=96, width=96), photos(tmp_path / "test", "chelsea")
    asked = ("--noise", "gauss25", "--steps", 1, "--train", f"folder:{train}", "--test-sets", f"folder:{test}")
    argv = ("--tested", ",".join(TESTED), "--plugin", plugin, "--store", tmp_path / "store")
    result = bench("run", "--methods", "spy", *asked, *argv)
    assert result.code == 0, result.err
    return result


def test_one_training_serves_every_noise_of_the_test(run: Result, tmp_path: Path) -> None:
    test, store = f"folder:{tmp_path / 'test'}", tmp_path / "store"
    assert len(list((store / "fits").rglob("*.json"))) == 1
    assert len(list((store / "scores").rglob("*.json"))) == 3 * (1 + len(TESTED))  # noisy, blur, spy
    assert f"spy gauss25 seed 0 on {test} with gauss50" in run.err
    levels = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len(levels) >= 1 + len(TESTED)  # a training may look at a crop, too
    assert set(levels) == {"25"}  # the one that it was trained for

    found = lines("--store", store)
    groups = {(one["noise"], one["tested"]) for one in found if one["noise"] == "gauss25"}
    assert groups == {("gauss25", noise) for noise in ("gauss25", *TESTED)}
    assert not [one for one in found if one["noise"] != one["tested"] and one["published"]]
    noisy = {
        one: line(found, method="noisy", noise="gauss25", tested=one, test=test)["metrics"]["psnr"]
        for one in ("gauss25", *TESTED)
    }
    assert noisy["gauss15"] > noisy["gauss25"] + 3.0
    assert noisy["gauss50"] < noisy["gauss25"] - 3.0
    assert noisy["gauss25:8bit"] == noisy["gauss25"]  # the same draw, clipped and rounded before instead of after
    text = bench("tables", "--noise", "gauss25", "--format", "md", "--store", store).out
    for noise in TESTED:
        rows = [row for row in text.splitlines() if row.startswith(f"| gauss25, tested on {noise} ")]
        assert [row for row in rows if "| spy" in row], noise
        assert not [row for row in rows if "32.27/0.880" in row]


def test_keys_are_what_they_were() -> None:
    """Those of the committed records; `--tested` adds scores and changes none."""
    methods = ("n2c", "b2u", "nbr2nbr")
    keys = [cell.scores[0].key for cell in make(Request(methods=methods)).cells]
    tested = [cell.scores[0].key for cell in make(Request(methods=methods, tested=TESTED)).cells]
    assert tested == keys
    committed = Path(package.__file__).parent.parent / "results" / "measured" / "mini" / "scores"
    if not committed.is_dir():
        pytest.skip("results/measured is not installed")
    recorded = {path.stem[-8:] for path in committed.rglob("*.json")}
    assert len([key for key in keys if key[:8] in recorded]) >= 8


# ---- the noises


def draw(
    noise: str, image: NDArray[np.float32] = GRAY, digest: str = "an image", repeat: int = 0
) -> NDArray[np.float32]:
    return named(parse(noise), image, digest, repeat)[0]


def neighbours(noise: NDArray[np.float32], axis: int) -> float:
    """The correlation of each pixel with its next one."""
    one, next_ = np.delete(noise, -1, axis), np.delete(noise, 0, axis)
    return float(np.corrcoef(one.ravel(), next_.ravel())[0, 1])


def test_8bit_noise_is_stored_values() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], (256, 256, 3))
    plain, stored = draw("gauss25", ramp), draw("gauss25:8bit", ramp)
    assert plain.min() < 0.0
    assert plain.max() > 1.0
    assert stored.dtype == np.float32
    assert np.isin(stored, np.arange(256, dtype=np.float32) / np.float32(255.0)).all()
    assert np.abs(stored - plain.clip(0, 1)).max() <= 0.5 / 255.0 + 1e-6


def test_correlated_noise_has_the_same_variance_and_correlated_neighbours() -> None:
    plain, correlated = draw("gauss25") - GRAY, draw("gauss25:correlated") - GRAY
    assert correlated.var() == pytest.approx((25 / 255) ** 2, rel=0.02)
    for axis in (0, 1):
        assert neighbours(correlated, axis) > 0.2
        assert abs(neighbours(plain, axis)) < 0.02
    assert abs(np.corrcoef(correlated[..., 0].ravel(), correlated[..., 1].ravel())[0, 1]) < 0.05  # channels are not


def test_correlation_keeps_the_variance_of_any_field() -> None:
    z = np.random.default_rng(0).standard_normal((512, 512, 1))
    assert correlate(z).var() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("noise", TESTED)
def test_a_draw_is_a_function_of_pixels_name_and_repeat_alone(noise: str) -> None:
    first = draw(noise)
    assert np.array_equal(draw(noise), first)
    assert not np.array_equal(draw(noise, repeat=1), first)
    assert not np.array_equal(draw(noise, digest="another image"), first)
    assert not np.array_equal(draw("gauss26"), first)


@pytest.mark.parametrize("name", ["gauss25:8bits", "poisson30:correlated", "captured:8bit", "gauss25:"])
def test_a_condition_that_means_nothing_is_refused(name: str, tmp_path: Path) -> None:
    result = bench("run", "--methods", "noisy", "--tested", name, "--dry-run", "--store", tmp_path)
    assert result.code == 2
    assert name in result.err


def test_a_slip_in_a_condition_is_named() -> None:
    with pytest.raises(InputError, match=r"condition in 'gauss25:corelated': 'corelated'. Did you mean 'correlated'"):
        parse("gauss25:corelated")
