"""Methods without a network: BM3D with Chen's noise level, Anscombe's transform, the Gaussian blur."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter
from support.cli import SHARED, Result, bench, file_of, needs_shared_data, photo, photos, rows

from bench.compute.inference import denoise
from bench.compute.machine import Machine
from bench.datasets.noise.model import parse
from bench.methods import registry
from bench.methods.classical import bm3d, vst
from bench.methods.classical.anscombe import algebraic, exact, expected, forward
from bench.methods.classical.blur import WIDTHS, blurred
from bench.methods.classical.chen import noise_level

Floats = NDArray[np.float64]
SIGMA = 25.0 / 255.0

needs_bm3d = pytest.mark.skipif(bm3d.missing() is not None, reason="the package bm3d does not load here")


def noisy(name: str = "astronaut", height: int = 48, width: int = 64, sigma: float = SIGMA, seed: int = 0) -> Floats:
    """A crop of a photograph with noise, [H, W, 3]."""
    clean = photo(name, height, width) / 255.0
    return clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)


def filtered(y: Floats, noise: str = "gauss25", method: str = "bm3d", threads: int = 1) -> dict[str, Any]:
    """All outputs for one image, by the harness."""
    machine, made = Machine("cpu", "float32", threads), registry.find(method)()
    return denoise(made, None, [y.astype(np.float32)], parse(noise), [parse(noise).low], machine, "next", [()])[0]


def decibels(a: Floats, b: Floats) -> float:
    return float(-10.0 * np.log10(np.mean((np.clip(a, 0.0, 1.0) - b) ** 2)))


def kodak(number: int) -> Pillow.Image:
    return Pillow.open(SHARED / "kodak" / f"kodim{number:02d}.png")


@pytest.fixture(autouse=True)
def threads_of_torch() -> Any:
    """A run with --threads changes them for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# ---- BM3D


@pytest.mark.slow
@needs_bm3d
@needs_shared_data
@pytest.mark.parametrize(("mode", "expected_decibels"), [("RGB", 29.778), ("L", 27.425)])
def test_bm3d_reproduces_measured_numbers(mode: str, expected_decibels: float) -> None:
    """A Kodak crop; its colour noise is drawn first, then the gray one."""
    rng, fields = np.random.default_rng(0), {}
    for each in ("RGB", "L"):
        pixels = np.asarray(kodak(5).convert(each))[100:356, 100:356].reshape(256, 256, -1) / 255.0
        fields[each] = pixels, pixels + SIGMA * rng.standard_normal(pixels.shape)
    clean, y = fields[mode]
    assert decibels(bm3d.collaborative(y, SIGMA), clean) == pytest.approx(expected_decibels, abs=0.02)


@needs_bm3d
def test_bm3d_repeats_itself_and_denoises() -> None:
    """Gray; colour is repeated in two threads below."""
    clean, y = photo("astronaut", 64, 64)[..., :1] / 255.0, noisy(height=64, width=64)[..., :1]
    first, second = (filtered(y)["denoised"] for _ in range(2))
    np.testing.assert_array_equal(first, second, strict=True)
    assert first.shape == y.shape
    assert decibels(first, clean) > decibels(y, clean) + 2.0


@pytest.mark.slow
@needs_bm3d
def test_other_numbers_of_channels_are_filtered_plane_by_plane() -> None:
    y = noisy()[..., :2]
    planes = [filtered(y[..., i : i + 1])["denoised"] for i in range(2)]
    np.testing.assert_array_equal(filtered(y)["denoised"], np.concatenate(planes, axis=2))


@needs_bm3d
def test_colour_goes_to_cbm3d_in_the_opponent_space_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import bm3d as package

    told: list[tuple[Any, ...]] = []

    def spy(y: Floats, sigma: float, profile: Any, space: str) -> Floats:
        told.append((sigma, profile.num_threads, space))
        return y

    monkeypatch.setattr(package, "bm3d_rgb", spy)
    y = noisy().astype(np.float32)
    np.testing.assert_array_equal(filtered(y)["denoised"], y)
    assert told == [(noise_level(y), 1, "opp")]


@needs_bm3d
@pytest.mark.parametrize(
    ("channels", "sigma"),
    [(1, 0.0), pytest.param(1, SIGMA, marks=pytest.mark.slow), pytest.param(3, 0.0, marks=pytest.mark.slow)],
)
def test_bm3d_leaves_a_constant_image_alone(channels: int, sigma: float) -> None:
    image = np.full((32, 40, channels), 0.6)
    np.testing.assert_allclose(bm3d.collaborative(image, sigma), image, atol=1e-2)


@needs_bm3d
def test_gray_stored_as_colour_is_filtered_as_gray() -> None:
    """The package divides by an opponent channel's range, which is zero here."""
    gray = noisy(height=32, width=40)[..., :1]
    made = bm3d.collaborative(gray.repeat(3, axis=2), SIGMA)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made, bm3d.collaborative(gray, SIGMA).repeat(3, axis=2))


# ---- BM3D in a run


RUN = ("run", "--methods", "bm3d", "--noise", "gauss25")
TITLE = "bm3d gauss25"


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """Two small photographs."""
    return photos(tmp_path / "tests", "astronaut", "coffee", height=32, width=40)


@pytest.fixture
def run(tests: Path, tmp_path: Path) -> Callable[..., Result]:
    """Runs BM3D on the photographs."""

    def made(*argv: object, store: str = "store") -> Result:
        return bench(*RUN, "--test-sets", f"folder:{tests}", "--store", tmp_path / store, *argv)

    return made


@pytest.mark.slow
@needs_bm3d
def test_two_threads_give_the_rows_of_one(run: Callable[..., Result], tmp_path: Path) -> None:
    for threads in (1, 2):
        result = run("--threads", threads, store=f"store{threads}")
        assert result.code == 0, result.err
    one, two = (rows(tmp_path / f"store{threads}", TITLE) for threads in (1, 2))
    assert one == two
    assert one.count(b"\n") == 2


def test_a_missing_package_is_told_and_the_other_methods_go_on(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bm3d, "missing", lambda: "no binary for this toaster")
    result = run()
    assert result.code == 2
    assert "no binary for this toaster" in result.err
    result = run("--methods", "bm3d,self2self", "--steps", "1")
    assert result.code == 2, result.err
    assert "skipped: no binary for this toaster" in " ".join(result.out.split())
    assert not [path for path in (tmp_path / "store" / "scores").rglob("*.json") if TITLE in path.read_text("utf-8")]
    assert rows(tmp_path / "store", "self2self gauss25").count(b"\n") == 2


def refuse(*argv: object, **fields: object) -> Any:
    raise AssertionError("BM3D was called")


def forget(store: Path) -> bytes:
    """Deletes the scores of BM3D; returns its rows."""
    before, path = rows(store, TITLE), file_of(store, "score", TITLE)
    path.with_suffix(".rows.jsonl").unlink()
    path.unlink()
    return before


def test_kept_images_are_scored_again_without_filtering(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the image stands for the filtered one, to save time."""
    monkeypatch.setattr(bm3d, "missing", lambda: None)
    monkeypatch.setattr(bm3d, "collaborative", lambda y, sigma: y / 2.0)
    assert run().code == 0
    store = tmp_path / "store"
    before = forget(store)
    monkeypatch.setattr(bm3d, "collaborative", refuse)
    assert run().code == 0
    assert rows(store, TITLE) == before
    forget(store)
    kept = sorted((store / "images").glob("*/*"))
    assert len(kept) == 2
    kept[1].unlink()
    assert run().code == 1, "an image that is not kept needs BM3D"
    kept[0].write_bytes(b"damaged")
    monkeypatch.setattr(bm3d, "collaborative", lambda y, sigma: y / 2.0)
    assert run().code == 0
    assert rows(store, TITLE) == before


# ---- Chen's noise level


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("a", "b"), [(255.0, 0.0), (-2.0, 3.0), (0.1, -5.0)])
def test_noise_level_scales_with_the_image(a: float, b: float, channels: int) -> None:
    y = noisy(height=64, width=80)[..., :channels]
    assert noise_level(a * y + b) == pytest.approx(abs(a) * noise_level(y), rel=1e-9)


def test_noise_level_does_not_depend_on_the_order_of_axes() -> None:
    y = noisy(height=64, width=81)
    for other in (y.transpose(1, 0, 2), y[..., ::-1], y[..., [1, 2, 0]]):
        assert noise_level(other) == pytest.approx(noise_level(y), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_image_has_no_noise(channels: int, value: float) -> None:
    assert noise_level(np.full((40, 30, channels), value)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("shape", [(7, 40, 3), (40, 7, 1), (1, 1, 3)])
def test_an_image_smaller_than_a_patch_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{shape[1]}x{shape[0]} is smaller than a patch of 8x8"):
        noise_level(np.zeros(shape))


@pytest.mark.parametrize(("channels", "tolerance"), [(1, 0.015), (3, 0.05)])
def test_pure_noise(channels: int, tolerance: float) -> None:
    """Colour is under-estimated by 3.6 %: the eigenvalues of 7000 patches in 192 dimensions spread unevenly."""
    y = 128.0 + 25.0 * np.random.default_rng(1).standard_normal((256, 256, channels))
    assert noise_level(y) == pytest.approx(25.0, rel=tolerance)


@pytest.mark.slow
@needs_shared_data
@pytest.mark.parametrize("sigma", [5.0, 25.0, 50.0])
def test_noise_level_of_kodak(sigma: float) -> None:
    """In gray levels, as the paper's method is used on colour."""
    errors = []
    for number in range(1, 25):
        clean = np.asarray(kodak(number).convert("RGB"), np.float64)
        noise = np.random.default_rng(number).standard_normal(clean.shape)
        errors.append(noise_level(clean + sigma * noise) - sigma)
    assert abs(np.mean(errors)) < 0.1
    assert np.abs(errors).max() < 0.35


# ---- Anscombe's transform


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0, 30.0])
def test_exact_inverse_is_unbiased(mean: float) -> None:
    """A million counts: their mean transform, five standard errors either way, encloses the mean count."""
    d = forward(np.random.default_rng(7).poisson(mean, 1_000_000).astype(np.float64))
    error = 5.0 * d.std() / np.sqrt(len(d))
    low, high = exact(np.array([d.mean() - error, d.mean() + error]))
    assert low <= mean <= high
    assert not low <= algebraic(np.array(d.mean())) <= high


def test_exact_inverse_rises() -> None:
    made = exact(np.linspace(0.0, 100.0, 20_001))
    assert (np.diff(made) >= 0.0).all()
    np.testing.assert_allclose(exact(expected(np.array([0.0, 0.5, 20.0]))), [0.0, 0.5, 20.0], atol=1e-4)


@pytest.mark.parametrize(("field", "value"), [("space", "rgb"), ("gain", 0.0), ("gain", -1.0)])
def test_anscombe_refuses_other_spaces_and_gains(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        registry.configured(registry.find("anscombe"), {field: value})


@needs_bm3d
def test_anscombe_denoises_and_its_inverses_differ() -> None:
    clean = photo("astronaut", 64, 64) / 255.0
    y = np.random.default_rng(3).poisson(30.0 * clean) / 30.0
    images = filtered(y, "poisson30", "anscombe")
    assert set(images) == {"exact", "closed", "asymptotic", "algebraic"}
    assert decibels(images["exact"], clean) > decibels(y, clean) + 2.0
    for name, most in (("closed", 0.02), ("asymptotic", 0.26), ("algebraic", 0.38)):
        gap = 30.0 * np.abs(images[name] - images["exact"]).max()  # in counts
        assert 0.0 < gap < most, name
    above = images["asymptotic"] > 0.0  # elsewhere D < f(0)
    assert above.mean() > 0.9
    quarter = 30.0 * (images["asymptotic"] - images["algebraic"])[above]
    np.testing.assert_allclose(quarter, 0.25, atol=1e-4)


@needs_bm3d
@pytest.mark.parametrize("value", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_anscombe_of_a_constant_image_is_finite(value: float) -> None:
    for image in filtered(np.full((32, 40, 1), value), "poisson30", "anscombe").values():
        assert np.isfinite(image).all()


# ---- Gaussian blur


@pytest.mark.parametrize("width", WIDTHS)
def test_blur_is_scipys(width: float) -> None:
    image = np.random.default_rng(0).random((2, 3, 40, 33))
    wanted = gaussian_filter(image, (0.0, 0.0, width, width), mode="mirror", truncate=4.0)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        found = blurred(torch.from_numpy(image).to(dtype), width).numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(40, 33), (5, 7), (2, 2)])
@pytest.mark.parametrize("width", WIDTHS)
def test_blur_leaves_a_constant_image_alone(width: float, shape: tuple[int, int]) -> None:
    image = torch.full((1, 3, *shape), 0.7)
    torch.testing.assert_close(blurred(image, width), image, rtol=0.0, atol=1e-6)


def test_wider_blurs_are_smoother() -> None:
    images = filtered(noisy(), method="blur")
    rough = [float(np.abs(np.diff(images[f"{width:g}"], axis=1)).mean()) for width in WIDTHS]
    assert len(rough) == len(images) == len(WIDTHS)
    assert all(wider < narrower for narrower, wider in pairwise(rough))


# ---- stabilised variance


@pytest.mark.parametrize(("a", "b"), [(0.01, 1e-4), (0.0, 0.01), (0.002, 0.002)])
def test_the_estimated_variance_is_not_biased(a: float, b: float) -> None:
    """Over draws on a ramp, the variance at mid gray is right within 1 %."""
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 256)[None, :, None], (256, 256, 1))
    found = []
    for number in range(12):
        z = np.random.default_rng(number).standard_normal(ramp.shape)
        slope, floor = vst.noise_parameters(ramp + z * np.sqrt(a * ramp + b))
        found.append(0.5 * slope + floor)
    assert np.mean(found) == pytest.approx(0.5 * a + b, rel=0.01)


@needs_bm3d
@pytest.mark.parametrize(
    "slope", [-1e-3, *(pytest.param(slope, marks=pytest.mark.slow) for slope in (0.0, 1e-8)), 1e-7]
)
def test_noise_that_hardly_grows_is_taken_as_constant(slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = np.broadcast_to(np.linspace(0.2, 0.8, 64)[None, :, None], (64, 64, 1))
    noisy = clean + 0.05 * np.random.default_rng(0).standard_normal(clean.shape)
    monkeypatch.setattr(vst, "noise_parameters", lambda y: (slope, 0.0025))
    assert np.sqrt(np.mean((vst._restored(noisy) - clean) ** 2)) < 0.02
