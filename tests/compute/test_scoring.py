"""Scoring in batches and threads gives what one image at a time gives, in the same order, in bounded memory."""

import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

from bench.compute import noisy_images
from bench.compute.inference import denoise, pad, padded
from bench.compute.machine import Machine
from bench.compute.scoring import _batches, evaluate
from bench.compute.training import Stopped
from bench.datasets.images import SetImage
from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.base import Context, Method
from bench.methods.classical.blur import Blur
from bench.methods.classical.bm3d import BM3D
from bench.methods.n2c import N2C
from bench.methods.networks.unet import UNetConfig
from bench.methods.r2r import R2R
from bench.protocol.metrics.builtin import ssim
from bench.protocol.scoring import Scoring
from bench.protocol.units import Fit, Score

GAUSS = parse("gauss5_50")
SIZES = [
    (40, 64),
    (64, 40),
    (64, 64),
    (48, 50),
    (70, 33),
    (33, 70),
    (20, 96),
]  # padded to squares of 64, 64, 64, 64, 96


@pytest.fixture
def set_images() -> list[SetImage]:
    random = np.random.default_rng(0)
    shapes = [(*size, 3) for size in SIZES]
    return [
        SetImage.decoded(str(i), Path(str(i)), random.integers(0, 256, shape, np.uint8), 3)
        for i, shape in enumerate(shapes)
    ]


@pytest.fixture
def score(work: Callable[..., Fit]) -> Callable[..., Score]:
    def made(method: Method, **changes: Any) -> Score:
        fit = work(method, "gauss5_50")
        known = {"test": "embedded_test", "noise": fit.noise, "repeats": 2, "padding": "square", "scoring": Scoring()}
        return Score(fit=fit, **known | changes)

    return made


def small(method: Method) -> nn.Module:
    torch.manual_seed(0)
    net = method.build(3)
    assert net is not None
    return net.eval()


def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "chunk", lambda self, height, width: 1)


NET = UNetConfig(width=4)


# ---- batches


@pytest.mark.parametrize("method", [N2C(net=NET), R2R(net=NET, ensemble=2)])
def test_a_batch_gives_the_outputs_of_one_image_at_a_time(method: Method, machine: Machine) -> None:
    """Equal to 1e-6: a kernel may sum in another order for a batch. Random numbers and levels are each image's own."""
    random, net = np.random.default_rng(0), small(method)
    images = [random.random((*size, 3), np.float32) for size in SIZES[:4]]
    levels, names = [5.0, 20.0, 35.0, 50.0], [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    together = denoise(method, net, images, GAUSS, levels, machine, "square", names)
    for image, level, name, found in zip(images, levels, names, together, strict=True):
        (alone,) = denoise(method, net, [image], GAUSS, [level], machine, "square", [name])
        assert alone["denoised"].shape == image.shape
        np.testing.assert_allclose(found["denoised"], alone["denoised"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [N2C(net=NET), R2R(net=NET, ensemble=2), Blur()])
def test_rows_are_those_of_one_image_at_a_time_and_stand_in_its_order(
    method: Method, score: Callable[..., Score], set_images: list[SetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, net = score(method), small(method) if method.learns() else None
    found = evaluate(asked, net, set_images, Machine(threads=3))
    one_at_a_time(monkeypatch)
    expected = evaluate(asked, net, set_images, Machine())
    assert [(row.repeat, row.image, row.output) for row in found] == [
        (repeat, str(i), output.name) for repeat in (0, 1) for i in range(len(SIZES)) for output in method.outputs
    ]
    for row, other in zip(found, expected, strict=True):
        assert (row.image, row.repeat, row.level, row.output) == (other.image, other.repeat, other.level, other.output)
        assert row.metrics == pytest.approx(other.metrics, rel=0, abs=1e-4)


def test_images_of_one_padded_size_are_a_batch(
    score: Callable[..., Score], set_images: list[SetImage], machine: Machine
) -> None:
    batches = list(_batches(score(N2C(net=NET), repeats=1), set_images, machine))
    assert [[one.set_image.name for one in batch] for batch in batches] == [["0", "1", "2", "3"], ["4", "5", "6"]]
    alone = list(_batches(score(registry.find("self2self")(), repeats=1), set_images, machine))
    assert [len(batch) for batch in alone] == [1] * len(SIZES)


@pytest.mark.parametrize("padding", ["square", "next"])
def test_what_is_not_computed_is_not_read(padding: Literal["square", "next"], machine: Machine) -> None:
    """A batch of images of one padded size: the outputs are those of the whole network."""
    random, net = np.random.default_rng(0), small(N2C(net=NET))
    images = [random.random((*size, 3), np.float32) for size in [(40, 64), (64, 40), (48, 50)]]
    found = denoise(N2C(net=NET), net, images, GAUSS, [25.0] * 3, machine, padding, [(i,) for i in range(3)])
    for image, outputs in zip(images, found, strict=True):
        whole = torch.from_numpy(pad(image, *padded(images[0], 32, padding)).transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            expected = net.train()(whole)[0, :, : image.shape[0], : image.shape[1]].permute(1, 2, 0)
        np.testing.assert_allclose(outputs["denoised"], expected, rtol=0, atol=1e-6)
        net.eval()


def test_a_method_that_reads_the_padding_is_given_all_of_it(machine: Machine) -> None:
    class Mean(Method, frozen=True):
        def denoise(self, net: nn.Module, noisy: torch.Tensor, ctx: Context) -> dict[str, torch.Tensor]:
            return {"denoised": net(noisy).mean((2, 3), keepdim=True).expand_as(noisy)}

    image, net = np.random.default_rng(0).random((20, 64, 3), np.float32), small(N2C(net=NET))
    (found,) = denoise(Mean(), net, [image], GAUSS, [25.0], machine, "square", [()])
    whole = torch.from_numpy(pad(image, *padded(image, 32, "square")).transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        np.testing.assert_allclose(found["denoised"][0, 0], net(whole).mean((0, 2, 3)), rtol=0, atol=1e-6)


# ---- stops, and memory


def test_a_stop_ends_it_between_two_batches(
    score: Callable[..., Score], set_images: list[SetImage], machine: Machine
) -> None:
    said: list[float] = []
    with pytest.raises(Stopped):
        evaluate(score(N2C(net=NET)), small(N2C(net=NET)), set_images, machine, lambda done, _: said.append(done),
                 lambda: bool(said))  # fmt: skip
    assert said == sorted(said)
    assert 0 < len(said) < 2 * len(SIZES)


def test_a_stop_keeps_whole_images_alone(
    score: Callable[..., Score], set_images: list[SetImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept before it is read again, and no file is half-written."""
    calls, folder = list[int](), tmp_path / "images"

    def filtered(self: BM3D, net: nn.Module, noisy: torch.Tensor, ctx: Context) -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"denoised": noisy / 2}

    monkeypatch.setattr(BM3D, "denoise", filtered)
    asked = score(BM3D())
    with pytest.raises(Stopped):
        evaluate(asked, None, set_images, Machine(threads=2), stop=lambda: len(calls) >= 3, folder=folder)
    kept, before = sorted(folder.iterdir()), len(calls)
    assert 3 <= before < 2 * len(SIZES)
    assert [path.suffix for path in kept] == [".safetensors"] * before
    rows = evaluate(asked, None, set_images, Machine(threads=2), folder=folder)
    assert len(calls) == 2 * len(SIZES)
    assert rows == evaluate(asked, None, set_images, Machine())


def test_an_error_in_a_thread_ends_it(score: Callable[..., Score], set_images: list[SetImage]) -> None:
    class Empty(Blur, frozen=True):
        def denoise(self, net: nn.Module, noisy: torch.Tensor, ctx: Context) -> dict[str, torch.Tensor]:
            return {}

    with pytest.raises(ValueError, match="nothing"):
        evaluate(score(Empty()), None, set_images, Machine(threads=2))
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]


@pytest.mark.parametrize("method", [N2C(net=NET), Blur()])
def test_few_images_are_in_memory_at_a_time(
    method: Method, score: Callable[..., Score], set_images: list[SetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch, twice as many as there are threads that wait or are compared, and the next one."""
    alive, most, drawn = weakref.WeakSet[Any](), [0], noisy_images.noisy_images

    def counted(*asked: Any) -> Iterator[noisy_images.Noisy]:
        for noisy in drawn(*asked):
            held = noisy.image.view(Counted)
            alive.add(held)
            most[0] = max(most[0], len(alive))
            yield noisy._replace(image=held)
            del noisy, held

    monkeypatch.setattr("bench.compute.scoring.noisy_images", counted)
    net, threads = small(method) if method.learns() else None, 2
    rows = evaluate(score(method, repeats=10), net, set_images, Machine(threads=threads))
    assert len(rows) == 10 * len(SIZES) * len(method.outputs)
    assert most[0] <= 2 * threads + 2 * 4 + 1  # 4: the largest batch


class Counted(np.ndarray[Any, Any]):
    """An array that can be counted."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__  # type: ignore[assignment]


# ---- SSIM


@pytest.mark.parametrize("shape", [(11, 11, 3), (40, 57, 3), (33, 20, 1), (25, 31)])
@pytest.mark.parametrize("window", ["gauss11", "uniform7"])
def test_ssim_is_scikit_images(shape: tuple[int, ...], window: str) -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 256, shape).astype(np.float64)
    b = np.clip(a + random.normal(0, 20, shape), 0, 255)
    x, y = (image[..., 0] if shape[2:] == (1,) else image for image in (a, b))
    axis = 2 if x.ndim == 3 else None
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if window == "gauss11" else {}
    expected = structural_similarity(x, y, data_range=255.0, channel_axis=axis, **options)
    assert ssim(a, b, 255.0, window) == pytest.approx(expected, rel=0, abs=1e-9)
