"""Whole evaluations with the probe network: noise, padding, outputs, rounding, scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.compute.noisy_images import noisy_images
from bench.compute.scoring import compare, evaluate, quantise
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.captured import NONE
from bench.datasets.noise.model import parse
from bench.methods.b2u import B2U
from bench.methods.base import Method
from bench.methods.nbr2nbr import NBR2NBR
from bench.protocol.metrics.builtin import psnr, ssim
from bench.protocol.scoring import Scoring
from bench.protocol.suite_files import load
from bench.protocol.units import Fit, Score

from .conftest import Array, golden, matching
from .official import OfficialNoise, Probe

ARRAYS = golden("evaluation")
B2U_STYLES = [name.removesuffix("_scores") for name in matching("evaluation", "b2u_") if name.endswith("_scores")]
NBR_STYLES = [name.removesuffix("_scores") for name in matching("evaluation", "nbr_") if name.endswith("_scores")]
IMAGES = [ARRAYS[f"img{i}"] for i in sorted(int(i) for i in matching("evaluation", "img"))]
OUTPUTS = {"dn": "blind", "exp": "visible", "mid": "weighted"}  # official name -> ours
COLUMNS = [name.split("_") for name in ARRAYS["scores_columns"].tolist()]  # (psnr or ssim, official output)
METHOD = B2U(s=4, lambda_f=float(ARRAYS["beta"]))


@pytest.fixture(scope="module")
def set_images(tmp_path_factory: pytest.TempPathFactory) -> list[SetImage]:
    """The images as files, because an evaluation reads files."""
    folder: Path = tmp_path_factory.mktemp("images")
    found = []
    for i, pixels in enumerate(IMAGES):
        path = folder / f"{i}.png"
        Image.fromarray(pixels).save(path)
        found.append(SetImage(str(i), path, pixels.shape[-1]))
    return found


@pytest.fixture(autouse=True)
def _official_test_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation begins the official stream anew."""
    official = OfficialNoise()
    monkeypatch.setattr("bench.compute.noisy_images.named", lambda noise, clean, digest, repeat: official(noise, clean))


def work(method: Method, style: str, rows: int) -> Score:
    """Official test noise, padding and scoring; nothing here is trained."""
    suite = load("synthetic")
    paper = suite.presets["paper"]
    fit = Fit(
        name="probe", method=method, noise=parse(style), seed=0, channels=IMAGES[0].shape[-1], train="",
        train_noise="fresh", crop=32, batch=1, steps=0, epochs=1, recipe=suite.recipes["paper"],
    )  # fmt: skip
    return Score(
        fit=fit, test="", noise=fit.noise, repeats=rows // len(IMAGES), padding=paper.padding, scoring=paper.scoring,
    )  # fmt: skip


def outputs(noisy: Array) -> dict[str, Array]:
    """The three outputs for one image, by their official names."""
    images = denoise(METHOD, Probe(), [noisy], NONE, [0.0], Machine(), "square", [()])[0]
    return {official: images[ours] for official, ours in OUTPUTS.items()}


def check_scores(mine: dict[str, dict[str, float]], expected: Array) -> None:
    """One row of six scores, at the tolerances of whole evaluations."""
    for (metric, output), value in zip(COLUMNS, expected.tolist(), strict=True):
        tolerance = 1e-4 if metric == "psnr" else 1e-5
        assert mine[output][metric] == pytest.approx(value, rel=0, abs=tolerance), (metric, output)


def check_pixels(mine: Array, expected: Array) -> None:
    """8-bit outputs: float32 sums in another order may tip a pixel in a thousand by one level."""
    difference = np.abs(quantise(mine).astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


@pytest.mark.parametrize("style", B2U_STYLES)
def test_b2u_scores(style: str, set_images: list[SetImage]) -> None:
    """Every repeat, image and output."""
    expected = ARRAYS[f"b2u_{style}_scores"]
    rows = evaluate(work(METHOD, style, len(expected)), Probe(), set_images, Machine())
    assert len(rows) == len(expected) * len(OUTPUTS)
    for number, scores in enumerate(expected):
        group = rows[number * len(OUTPUTS) : (number + 1) * len(OUTPUTS)]
        assert {(row.repeat, row.image) for row in group} == {(number // len(IMAGES), str(number % len(IMAGES)))}
        by_name = {row.output: {name: row.value(name) for name in row.metrics} for row in group}
        check_scores({official: by_name[ours] for official, ours in OUTPUTS.items()}, scores)


@pytest.mark.parametrize("style", B2U_STYLES)
def test_b2u_pixels(style: str, set_images: list[SetImage]) -> None:
    """The images of repeat 0."""
    score = work(METHOD, style, len(IMAGES))
    for set_image, _, noisy, _ in noisy_images(score, set_images):
        for name, image in outputs(noisy).items():
            check_pixels(image, ARRAYS[f"b2u_{style}_img{set_image.name}_{name}"])


@pytest.mark.parametrize("style", NBR_STYLES)
def test_nbr_scores(style: str, set_images: list[SetImage]) -> None:
    """Every repeat and image."""
    expected = ARRAYS[f"nbr_{style}_scores"]
    rows = evaluate(work(NBR2NBR(), style, len(expected)), Probe(), set_images, Machine())
    assert [row.metrics["psnr"] for row in rows] == pytest.approx(expected[:, 0].tolist(), rel=0, abs=1e-4)
    assert [row.metrics["ssim"] for row in rows] == pytest.approx(expected[:, 1].tolist(), rel=0, abs=1e-5)


def test_fmdd_pixels() -> None:
    """8-bit gray frames."""
    images = outputs(unit(ARRAYS["fmdd_noisy"]))
    for image, expected in zip(images.values(), ARRAYS["fmdd_pred_dn_exp_mid"], strict=True):
        check_pixels(image, expected)


def test_fmdd_scores() -> None:
    """Against the 8-bit average."""
    images = outputs(unit(ARRAYS["fmdd_noisy"]))
    scores = {name: compare(image, ARRAYS["fmdd_gt"], Scoring()) for name, image in images.items()}
    check_scores(scores, ARRAYS["fmdd_scores"][0])


def sidd_outputs(block: int) -> dict[str, Array]:
    """The mosaic packed into four channels, denoised, unpacked and clipped; the packing is the test's own for now."""
    mosaic = torch.from_numpy(ARRAYS["sidd_noisy"][0, block])[None, None]
    images = outputs(F.pixel_unshuffle(mosaic, 2)[0].permute(1, 2, 0).numpy())
    unpacked = {name: F.pixel_shuffle(torch.from_numpy(image).permute(2, 0, 1), 2)[0] for name, image in images.items()}
    return {name: image.clamp(0.0, 1.0).numpy() for name, image in unpacked.items()}


BLOCKS = range(ARRAYS["sidd_gt"].shape[1])


@pytest.mark.parametrize("block", BLOCKS)
def test_sidd_scores(block: int) -> None:
    """Floats: PSNR in 0..1, SSIM in 0..255."""
    clean = ARRAYS["sidd_gt"][0, block]
    scores = {
        name: {
            "psnr": psnr(image, clean, 1.0),
            "ssim": ssim(image * np.float32(255.0), clean * np.float32(255.0)),
        }
        for name, image in sidd_outputs(block).items()
    }
    check_scores(scores, ARRAYS["sidd_scores"][block])


def test_sidd_pixels() -> None:
    """A corner of block 0, all outputs."""
    expected = ARRAYS["sidd_pred_dn_exp_mid_block0_crop32"]
    height, width = expected.shape[1:]
    mine = np.stack([image[:height, :width] for image in sidd_outputs(0).values()])
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
def test_sidd_submission(block: int) -> None:
    """What would be submitted is the weighted output."""
    np.testing.assert_allclose(sidd_outputs(block)["mid"], ARRAYS["sidd_submit_blocks"][0, block], rtol=0, atol=1e-5)
