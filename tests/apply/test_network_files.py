"""Networks as ONNX files and as models of bioimage.io give our own outputs when they are run back."""

import importlib.util
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from msgspec import structs
from support.cli import bench, refused
from support.external import Place
from torch import nn

from bench.apply import cholesky, network_files, onnx_file
from bench.apply.bioimageio_package import Model
from bench.apply.network_files import TOLERANCE
from bench.apply.plain_function import Batch, Denoiser, examples, least_side, ours, plain_function
from bench.compute.machine import Machine
from bench.compute.step import build
from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.methods.networks.registry import read
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import Fit
from bench.store.record import Record

MACHINE = Machine("cpu", "float32", 1)
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript or onnxruntime is not installed (pip install 'blind2unblind-bench[onnx]')",
)
needs_bioimageio = pytest.mark.skipif(
    importlib.util.find_spec("bioimageio") is None,
    reason="bioimageio.core is not installed (pip install 'blind2unblind-bench[bioimageio]')",
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def fit_of(name: str, noise: str = "gauss25", suite: str = "synthetic", **fields: Any) -> Fit:
    """The fit of a method with other fields; `net` by its name and fields."""
    planned = make(Request(suite=suite, methods=(name,), noises=(noise,)))
    fit = next(cell.fit for cell in planned.cells if cell.name == name)
    return structs.replace(fit, method=structs.replace(fit.method, **fields))


def network(fit: Fit) -> nn.Module:
    """Its network, with an output that is not zero."""
    made = build(fit.method, fit.planes, 1.0, 0).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith("last.bias"):
                weight += 0.5
    return made


def net(name: str = "unet", **fields: Any) -> Any:
    """A network by its name and fields."""
    return read({"name": name, **fields})


def traced(fit: Fit, made: nn.Module) -> tuple[nn.Module, Batch]:
    noisy = examples(fit, 2, 2 * least_side(fit), 3 * least_side(fit))
    return plain_function(fit, made, torch.from_numpy(noisy)), noisy


SHIPPED = {
    "U-Net": ("n2c", "gauss25", {"net": net(width=4)}),
    "U-Net, learned upsampling": ("nbr2nbr", "gauss25", {"net": net(width=4, upsample="transposed")}),
    "U-Net with blurred poolings": ("n2v2", "gauss25", {"net": net("unet-blurpool", width=4)}),
    "DnCNN": ("n2c", "gauss25", {"net": net("dncnn", width=8, depth=4)}),
    "blind-spot network": ("laine19-muonly", "gauss25", {"net": net(width=4)}),
    "blind-spot network, Gaussian posterior": ("laine19", "gauss25", {"net": net(width=4)}),
    "blind-spot network, Poisson posterior": ("laine19", "poisson30", {"net": net(width=4)}),
    "DBSN": ("dbsn", "gauss25", {"width": 16, "blocks": 1}),
    "masked passes": ("n2s", "gauss25", {"net": net(width=4), "s": 2}),
    "signal prior and noise model": ("pn2v", "gauss25", {"net": net(width=4), "K": 4}),
    "Tweedie's formula": ("noise2score", "gauss25", {"net": net(width=4)}),
}


@needs_onnx
@pytest.mark.slow
@pytest.mark.timeout(1500)  # torch traces a blind-spot network for half a minute, and longer where others work, too
@pytest.mark.parametrize("which", SHIPPED)
def test_every_network_gives_our_output_on_sides_that_were_not_traced(which: str, tmp_path: Path) -> None:
    name, noise, fields = SHIPPED[which]
    fit = fit_of(name, noise, **fields)
    made = network(fit)
    onnx_file.write(*traced(fit, made), fit.method.multiple, tmp_path / "a.onnx")
    for count, height, width in ((1, 3, 5), (2, 4, 2)):
        noisy = examples(fit, count, height * least_side(fit), width * least_side(fit))
        found, expected = onnx_file.run(tmp_path / "a.onnx", noisy), ours(fit, made, noisy, MACHINE)
        assert found.shape == noisy.shape == expected.shape
        assert expected.std() > 1e-4
        apart = 255.0 * float(np.abs(found - expected).max())
        print(f"{which} ({name}): {apart:.1e} grey levels on {noisy.shape}")
        assert apart <= TOLERANCE


# ---- what is a function of the image alone


def test_one_pass_of_the_network_is_written_as_it_is_and_anything_else_with_what_the_method_does() -> None:
    for name, plain in (("b2u", True), ("nbr2nbr", True), ("dbsn", False), ("n2s", False)):
        fields = {"width": 16, "blocks": 1} if name == "dbsn" else {"net": net(width=4)}
        fit = fit_of(name, **fields)
        assert isinstance(traced(fit, network(fit))[0], Denoiser) is not plain, name


@pytest.mark.parametrize("name", ["r2r", "noisier2noise"])
def test_random_draws_are_refused(name: str) -> None:
    fit = fit_of(name, net=net(width=4))
    with pytest.raises(InputError, match="random draws"):
        traced(fit, network(fit))


def test_a_level_is_part_of_the_function_where_there_is_one_and_refused_where_it_is_a_range() -> None:
    fit = fit_of("noise2score", net=net(width=4))
    function, noisy = traced(fit, network(fit))
    assert (
        np.abs(function(torch.from_numpy(noisy)).detach().numpy() - ours(fit, network(fit), noisy, MACHINE)).max()
        < 1e-6
    )
    fit = fit_of("noise2score", "gauss5_50", net=net(width=4))
    with pytest.raises(InputError, match="noise level of each image"):
        traced(fit, network(fit))
    fit = fit_of("sure", "gauss5_50", net=net(width=4))  # it is told the level in training alone
    assert not isinstance(traced(fit, network(fit))[0], Denoiser)


def test_examples_are_what_the_method_sees() -> None:
    fit = fit_of("n2c")
    noisy = examples(fit, 2, 64, 96)
    assert (noisy.shape, noisy.dtype) == ((2, 3, 64, 96), np.float32)
    assert 20.0 < 255.0 * float((noisy[:, :, :, 1:] - noisy[:, :, :, :-1]).std()) / 2**0.5 < 40.0
    raw = fit_of("n2c", suite="raw", noise="sensor1_120")
    assert examples(raw, 1, 32, 64).shape == (1, raw.planes, 32, 64) == (1, 4, 32, 64)


@pytest.mark.parametrize("n", [1, 3])
def test_the_products_are_those_of_torch(n: int) -> None:
    numbers = np.random.default_rng(0)
    u = torch.from_numpy(numbers.normal(size=(5, n, n)))
    a, b = u @ u.mT + torch.eye(n), torch.from_numpy(numbers.normal(size=(5, n, 2)))
    lower = torch.linalg.cholesky(a)
    assert torch.allclose(cholesky.factor(a)[0], lower, rtol=1e-12)
    assert torch.allclose(cholesky.solve(b, lower), torch.cholesky_solve(b, lower), rtol=1e-10)


# ---- the command


@needs_onnx
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "method", ["b2u", pytest.param("n2c", marks=pytest.mark.slow), pytest.param("nbr2nbr", marks=pytest.mark.slow)]
)
def test_a_training_becomes_a_file_that_was_run_back(method: str, place: Place) -> None:
    place.train("--methods", method)
    out = place.files / "mine.onnx"
    result = bench("weights", f"{method} gauss25 seed 0", "--out", out, "--store", place.store)
    assert result.code == 0, result.err
    assert "onnxruntime on 1x3x96x160 and 2x3x128x64" in result.err
    noisy = np.random.default_rng(0).random((1, 3, 32, 64), np.float32)
    assert onnx_file.run(out, noisy).shape == noisy.shape


@needs_onnx
@needs_bioimageio
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_training_becomes_a_model_of_bioimage_io_that_its_own_tests_accept(place: Place) -> None:
    from bioimageio.core import load_model_description, test_model

    place.train()
    out = place.files / "mine.zip"
    result = bench("weights", "b2u gauss25 seed 0", "--out", out, "--store", place.store)
    assert result.code == 0, result.err
    assert "bioimageio.core on 1x3x96x160 and 2x3x128x64" in result.err
    assert test_model(out).status == "passed"
    model = load_model_description(out)
    assert [axis.size.step for axis in model.inputs[0].axes if axis.type == "space"] == [32, 32]
    said = ZipFile(out).read("README.md").decode()
    assert "secret-place" not in said
    assert "| b2u" in said


@pytest.mark.parametrize(("noise", "says"), [("gauss25", "with this noise"), ("none", "without added noise")])
def test_a_package_says_whether_its_example_has_noise(noise: str, says: str) -> None:
    fit = structs.replace(fit_of("n2v"), noise=parse(noise))
    label = {"suite": "gray", "preset": "mini"}
    record = Record(key=fit.key, kind="fit", state="done", title=fit.title, label=label, identity=fit.identity)
    assert f"scikit-image {says}" in Model(fit, record, [], 0.01).readme()


def patched(monkeypatch: pytest.MonkeyPatch, apart: float) -> None:
    """Without the extras: a file is our own output, so many grey levels brighter."""
    monkeypatch.setattr(onnx_file, "required", lambda extra, *packages: None)
    written = dict[Path, nn.Module]()

    def write(function: nn.Module, noisy: Batch, multiple: int, path: Path) -> None:
        path.write_bytes(b"")
        written[path] = function

    def run(path: Path, noisy: Batch) -> Batch:
        with torch.no_grad():
            found: Batch = written[path](torch.from_numpy(noisy)).numpy()
        return found + np.float32(apart / 255.0)

    monkeypatch.setattr(onnx_file, "write", write)
    monkeypatch.setattr(onnx_file, "run", run)


@pytest.mark.parametrize(("apart", "code"), [(0.002, 0), (0.02, 1), (float("nan"), 1)])
def test_a_file_that_gives_another_output_is_not_kept(
    apart: float, code: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.train()
    patched(monkeypatch, apart)
    result = bench("weights", "b2u gauss25", "--out", place.files / "mine.onnx", "--store", place.store)
    assert result.code == code, result.err
    assert [path.name for path in place.files.iterdir()] == ([] if code else ["mine.onnx"])
    assert ("not written" in result.err) == bool(code)


def test_what_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.train()
    asked = ("weights", "b2u gauss25", "--store", place.store, "--out")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, object())
    assert "pip install 'blind2unblind-bench[onnx]'" in refused(*asked, place.files / "a.onnx")
    patched(monkeypatch, 0.0)
    assert "is no folder" in refused(*asked, place.files / "no" / "a.onnx")
    monkeypatch.setattr(network_files, "plain_function", lambda fit, net, noisy: nn.Linear(0, fit.none))
    assert "'Fit' object has no attribute 'none'; its weights" in refused(*asked, place.files / "a.onnx")
    monkeypatch.undo()
    patched(monkeypatch, 0.0)
    monkeypatch.setattr(onnx_file, "run", lambda path, noisy: noisy.reshape(2, 3, 64, 96))
    assert "onnxruntime fails on 1x3x96x160" in refused(*asked, place.files / "a.onnx")
    place.suite.unlink()
    assert "only its weights" in refused(*asked, place.files / "a.onnx")
    assert list(place.files.iterdir()) == []
