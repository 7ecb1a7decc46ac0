"""The same weights and stored images under other evaluation protocols: other numbers, and nothing is trained."""

import io
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from support.cli import Result, bench, photos, refused, snapshot

from bench.api.options import load_plugins
from bench.compute import training, zero_shot
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.model import parse
from bench.datasets.noise.named import named
from bench.datasets.sets.find import find
from bench.methods import registry
from bench.methods.classical.blur import blurred
from bench.protocol.metrics.builtin import psnr
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring, rescored, scorings
from bench.protocol.units import Score
from bench.store.store import Store

# One that trains, one whose images are kept, one that trains on each test image and keeps nothing.
PLUGIN = """
import os
from pathlib import Path
from torch import nn
from bench import Method, register

class Small(Method, frozen=True):
    multiple = 1

    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        yield ((net(batch.noisy) - batch.noisy) ** 2).mean()

@register("trained")
class Trained(Small, frozen=True):
    pass

@register("own")
class Own(Small, frozen=True):
    trains_on = "image"

@register("keeper")
class Keeper(Method, frozen=True):
    supervision = "none"
    trains_on = "nothing"
    keeps_images = True
    multiple = 1

    def build(self, channels):
        return None

    def denoise(self, net, noisy, ctx):
        if noisy.shape[-1] < 128:  # not the cost estimate
            with Path(os.environ["KEEPER_LOG"]).open("a") as log:
                log.write("computed\\n")
        return {"denoised": noisy}
"""
OTHERS = ("float", "luma", "ssim7", "clipped-input")


class Place:
    """A finished run of the three on two small photographs."""

    def __init__(self, folder: Path) -> None:
        self.store, self.log = folder / "store", folder / "log"
        self.plugin = folder / "three_methods.py"
        self.plugin.write_text(PLUGIN, encoding="utf-8")
        self.log.touch()
        train = photos(folder / "train", "coffee", height=96, width=96)
        self.test = f"folder:{photos(folder / 'test', 'chelsea', 'astronaut')}"
        asked = ("--noise", "gauss25", "--steps", 1, "--train", f"folder:{train}", "--test-sets", self.test)
        argv = ("run", "--methods", "trained,own,keeper", *asked, "--plugin", self.plugin, "--store", self.store)
        result = bench(*argv)
        assert result.code == 0, result.err

    def copied(self, folder: Path) -> "Place":
        """The same with a copy of the store, and a log of its own."""
        copy = Place.__new__(Place)
        store, log = shutil.copytree(self.store, folder / "store"), Path(shutil.copy(self.log, folder / "log"))
        copy.__dict__ |= self.__dict__ | {"store": store, "log": log}
        return copy

    def rescore(self, scoring: str = "all", *argv: object) -> Result:
        """The command, which may not train."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (training, zero_shot):
                patch.setattr(module, "train", never)
            asked = ("--scoring", scoring, "--noise", "gauss25", *argv)
            return bench("rescore", *asked, "--plugin", self.plugin, "--store", self.store)

    def table(self, scoring: str = "all") -> pd.DataFrame:
        """The command's table by method."""
        result = self.rescore(scoring, "--format", "csv")
        assert result.code == 0, result.err
        return pd.read_csv(io.StringIO(result.out), dtype=str, keep_default_na=False).set_index("method")

    def score(self, method: str, scoring: str = "") -> Score:
        """The unit of a method."""
        asked = Store(self.store).last.known().requests.get("synthetic")
        assert asked is not None
        changed: Request = msgspec.structs.replace(asked, scoring=scoring)
        return next(cell.scores[0] for cell in make(changed).cells if cell.name == method)

    def quality(self, method: str, scoring: str, output: str) -> dict[str, float]:
        """PSNR of each image."""
        rows = Store(self.store).rows(self.score(method, scoring))
        return {row.image: row.value("psnr") for row in rows if row.output == output}


def never(*arguments: Any, **named: Any) -> None:
    """Training, where there must be none; not an Exception, which would be a failed cell."""
    pytest.fail("something was trained")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.METHODS, "entries", registry.methods())
        patch.setenv("KEEPER_LOG", str(folder / "log"))
        return Place(folder)


@pytest.fixture
def place(filled: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("KEEPER_LOG", str(tmp_path / "log"))
    load_plugins([filled.plugin])
    return filled.copied(tmp_path)


def images(place: Place) -> dict[str, tuple[SetImage, NDArray[np.float32]]]:
    """The test photographs with the noise that they were scored with."""
    set_images = find(place.test).load(None, 3)
    return {p.name: (p, named(parse("gauss25"), unit(p.pixels), p.digest, 0)[0]) for p in set_images}


def test_all_conventions_are_scored_and_nothing_is_trained(place: Place) -> None:
    before, asked = snapshot(place.store), (place.store / "last.json").read_bytes()
    table = place.table()
    after = snapshot(place.store)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"scores"}
    assert (place.store / "last.json").read_bytes() == asked
    assert {"Noisy input", "trained", "keeper"} <= set(table.index)
    for name in OTHERS[:3]:
        assert table.loc["trained", f"{name} (diff.)"]
        assert table.loc["keeper", name]
    official = place.quality("noisy", "", "noisy")
    assert table.loc["Noisy input", "official"].startswith(f"{np.mean(list(official.values())):.2f}/")


def test_differences_are_those_of_the_formulas(place: Place) -> None:
    place.rescore()
    for name, (set_image, noisy) in images(place).items():
        clean, clipped = set_image.pixels.astype(np.float64), np.clip(noisy, 0.0, 1.0).astype(np.float64)
        stored = np.floor(clipped * 255.0 + 0.5)
        weights = np.array([65.481, 128.553, 24.966]) / 255.0
        expected = {
            "": 10 * np.log10(255.0**2 / np.mean((stored - clean) ** 2)),
            "float": 10 * np.log10(1.0 / np.mean((clipped - clean / 255.0) ** 2)),
            "luma": 10 * np.log10(255.0**2 / np.mean((stored @ weights - clean @ weights) ** 2)),
        }
        for scoring, decibels in expected.items():
            assert place.quality("noisy", scoring, "noisy")[name] == pytest.approx(decibels, abs=1e-4), scoring
        assert abs(expected["float"] - expected[""]) > 1e-4


def test_ssim7_is_scikit_image_s_default(place: Place) -> None:
    place.rescore("official,ssim7")
    found = {row.image: row.metrics["ssim"] for row in Store(place.store).rows(place.score("noisy", "ssim7"))}
    for name, (set_image, noisy) in images(place).items():
        stored = np.floor(np.clip(noisy, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        expected = structural_similarity(stored, set_image.pixels, channel_axis=2)  # type: ignore[no-untyped-call]
        assert found[name] == pytest.approx(expected, abs=1e-6)


def test_clipped_input_is_the_same_draw_stored_in_8_bits(place: Place) -> None:
    place.rescore("official,clipped-input")
    found = place.quality("blur", "clipped-input", "1")
    for name, (set_image, noisy) in images(place).items():
        stored = (np.floor(np.clip(noisy, 0.0, 1.0) * 255.0 + 0.5) / 255.0).astype(np.float32)
        output = blurred(torch.from_numpy(stored.transpose(2, 0, 1))[None], 1.0)[0].numpy().transpose(1, 2, 0)
        expected = psnr(np.floor(np.clip(output, 0.0, 1.0) * 255.0 + 0.5), set_image.pixels)
        assert found[name] == pytest.approx(expected, abs=0.002)
    assert place.quality("noisy", "clipped-input", "noisy") == place.quality("noisy", "", "noisy")


def test_one_protocol_alone_has_a_table(place: Place) -> None:
    table = place.table("luma")
    assert {"Noisy input", "trained", "keeper"} <= set(table.index)
    assert "luma" in table


def test_what_was_scored_on_a_clipped_input_is_not_called_unscored(place: Place) -> None:
    lines = place.rescore("official,clipped-input").err.splitlines()
    (said,) = (line for line in lines if "not scored" in line)
    assert "trained" not in said
    assert "keeper" in said  # its images of the clipped input are not in the store


def test_kept_images_are_not_computed_again(place: Place) -> None:
    assert len(place.log.read_text().splitlines()) == 2
    place.rescore("float,luma,ssim7")
    assert len(place.log.read_text().splitlines()) == 2
    assert place.quality("keeper", "luma", "denoised") == place.quality("noisy", "luma", "noisy")


@pytest.mark.parametrize("gone", ["one", "all"])
def test_kept_images_that_are_missing_are_not_scored(gone: str, place: Place) -> None:
    folder = Store(place.store).images(place.score("keeper"))
    for path in sorted(folder.iterdir())[: 1 if gone == "one" else None]:
        path.unlink()
    assert place.rescore("float").code == 0
    assert Store(place.store).read(place.score("keeper", "float")) is None
    assert Store(place.store).read(place.score("trained", "float")) is not None
    assert len(place.log.read_text().splitlines()) == 2


def test_clipped_input_has_no_kept_images(place: Place) -> None:
    table = place.table("official,clipped-input")
    assert Store(place.store).read(place.score("keeper", "clipped-input")) is None
    assert "keeper" not in table.index
    assert table.loc["trained", "clipped-input (diff.)"]


@pytest.mark.parametrize("method", ["own", "trained"])
def test_what_would_have_to_be_trained_is_left_out(method: str, place: Place) -> None:
    for path in (place.store / "fits").rglob("*.safetensors"):
        path.unlink()
    table = place.table("official,float")
    assert method not in table.index
    assert "Noisy input" in table.index


def test_other_noise_in_the_test_does_not_take_the_place_of_the_trained_one(place: Place) -> None:
    official = place.table("official,float").loc["trained", "official"]
    argv = ("--tested", "gauss50", "--scoring", "official,float", "--noise", "gauss25", "--format", "csv")
    table = bench("rescore", *argv, "--plugin", place.plugin, "--store", place.store).out
    assert f"gauss25,trained,{place.test},{official}," in table


def test_an_unknown_convention_is_refused_before_anything(place: Place) -> None:
    before = snapshot(place.store)
    assert "Did you mean 'luma'?" in refused("rescore", "--scoring", "float,lume", "--store", place.store)
    assert snapshot(place.store) == before


def test_conventions_say_what_they_are() -> None:
    assert list(scorings()) == ["preset", "official", *OTHERS]
    assert all(protocol.about for protocol in scorings().values())


def test_a_convention_changes_only_what_it_names() -> None:
    raw = Scoring(quantise="float", data_range=1.0)
    assert rescored(raw, "preset") == raw
    assert rescored(raw, "official") == Scoring()
    assert rescored(raw, "ssim7") == Scoring(quantise="float", data_range=1.0, window="uniform7")
    assert rescored(raw, "clipped-input") == Scoring(quantise="float", data_range=1.0, noisy="8bit")
    assert rescored(Scoring(), "float") == raw
