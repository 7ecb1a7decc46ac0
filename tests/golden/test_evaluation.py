"""Whole evaluations with the probe network: noise, padding, outputs, rounding, scores."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.io import loadmat

from bench.apply.submission import About, write_submission
from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.compute.noisy_images import noisy_images
from bench.compute.scoring import compare, evaluate, quantise
from bench.compute.zero_shot import restore_batch
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.captured import NONE
from bench.datasets.noise.model import parse
from bench.methods.b2u import B2U
from bench.methods.base import Method
from bench.methods.nbr2nbr import NBR2NBR
from bench.methods.networks.dncnn import DnCNN
from bench.protocol.scoring import Scoring
from bench.protocol.suite_files import load
from bench.protocol.units import Fit, Score
from bench.store.rows import Row

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


def work(method: Method, style: str, repeats: int = 1, name: str = "synthetic") -> Score:
    """Official test noise, padding and scoring of a suite; nothing here is trained."""
    suite = load(name)
    paper = suite.presets["paper"]
    fit = Fit(
        name="probe", method=method, noise=parse(style), seed=0, channels=suite.channels, view=paper.view, train="",
        train_noise="fresh", crop=32, batch=1, steps=0, epochs=1, recipe=suite.recipes[paper.recipe],
    )  # fmt: skip
    return Score(
        fit=fit, test="", noise=fit.noise, repeats=repeats, padding=paper.padding, scoring=paper.scoring,
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


def check_rows(rows: list[Row], expected: Array) -> None:
    """All outputs of every image in turn."""
    assert len(rows) == len(expected) * len(OUTPUTS)
    for number, scores in enumerate(expected):
        group = rows[number * len(OUTPUTS) : (number + 1) * len(OUTPUTS)]
        images = len({row.image for row in rows})
        assert {(row.repeat, row.image) for row in group} == {(number // images, str(number % images))}
        by_name = {row.output: {name: row.value(name) for name in row.metrics} for row in group}
        check_scores({official: by_name[ours] for official, ours in OUTPUTS.items()}, scores)


def check_pixels(mine: Array, expected: Array) -> None:
    """8-bit outputs: float32 sums in another order may tip a pixel in a thousand by one level."""
    difference = np.abs(quantise(mine).astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


@pytest.mark.parametrize("style", B2U_STYLES)
def test_b2u_scores(style: str, set_images: list[SetImage]) -> None:
    """Every repeat, image and output."""
    expected = ARRAYS[f"b2u_{style}_scores"]
    score = work(METHOD, style, len(expected) // len(IMAGES))
    check_rows(evaluate(score, Probe(), set_images, Machine()), expected)


@pytest.mark.parametrize("style", B2U_STYLES)
def test_b2u_pixels(style: str, set_images: list[SetImage]) -> None:
    """The images of repeat 0."""
    score = work(METHOD, style)
    for set_image, _, noisy, _ in noisy_images(score, set_images):
        for name, image in outputs(noisy).items():
            check_pixels(image, ARRAYS[f"b2u_{style}_img{set_image.name}_{name}"])


@pytest.mark.parametrize("style", NBR_STYLES)
def test_nbr_scores(style: str, set_images: list[SetImage]) -> None:
    """Every repeat and image."""
    expected = ARRAYS[f"nbr_{style}_scores"]
    rows = evaluate(work(NBR2NBR(), style, len(expected) // len(IMAGES)), Probe(), set_images, Machine())
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


# The official code does not pad SIDD's blocks; DnCNN takes sides of any length, so that only the cells' s = 4 is left.
RAW = structs.replace(work(structs.replace(METHOD, net=DnCNN()), "captured", name="raw"), padding="next")
GT, NOISY, SUBMITTED = (  # [block, H, W], image by image
    ARRAYS[f"sidd_{name}"].reshape(-1, *ARRAYS["sidd_gt"].shape[2:]) for name in ("gt", "noisy", "submit_blocks")
)
BLOCKS = [
    SetImage.decoded(
        str(number), Path("gt.mat"), clean[..., None], 1,
        frames=(SetImage.decoded(str(number), Path("noisy.mat"), noisy[..., None], 1),),
    )
    for number, (clean, noisy) in enumerate(zip(GT, NOISY, strict=True))
]  # fmt: skip


def submitted(output: str, path: Path) -> Array:
    """An output for all blocks [block, H, W], as a submission stores it."""
    batch = list(noisy_images(RAW, BLOCKS))
    images = np.stack([found[output][..., 0] for found in restore_batch(RAW, Probe(), batch, Machine())])[None]
    write_submission(path, images, images.shape, images.dtype, 0.0, About("", "", "", ""))
    stored: Array = loadmat(path)["DenoisedBlocksRaw"][0]
    return stored


def test_sidd_scores() -> None:
    """Of packed mosaics, as floats: PSNR in 0..1, SSIM in 0..255."""
    check_rows(evaluate(RAW, Probe(), BLOCKS, Machine()), ARRAYS["sidd_scores"])


def test_sidd_pixels(tmp_path: Path) -> None:
    """A corner of block 0, all outputs."""
    (suffix,) = matching("evaluation", "sidd_pred_dn_exp_mid_block0")
    expected = ARRAYS[f"sidd_pred_dn_exp_mid_block0{suffix}"]
    height, width = expected.shape[1:]
    mine = np.stack([submitted(output, tmp_path / "s.mat")[0, :height, :width] for output in OUTPUTS.values()])
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


def test_sidd_submission(tmp_path: Path) -> None:
    """What would be submitted is the weighted output."""
    mine = submitted("weighted", tmp_path / "s.mat")
    np.testing.assert_allclose(mine, SUBMITTED, rtol=0, atol=1e-5)
