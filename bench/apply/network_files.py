"""A trained network of the store as a file that other programs run: ONNX, or a model of bioimage.io. It is run back."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from ..compute.machine import Machine
from ..compute.step import build
from ..datasets import files
from ..datasets.errors import InputError, one_line
from ..methods.guard import MethodError, guarded
from ..protocol.units import Fit
from ..store.match import match
from ..store.record import Record
from ..store.store import Store
from ..store.tensors import read_tensors
from . import bioimageio_package, onnx_file
from .plain_function import Batch, examples, least_side, ours, plain_function

ONNX, PACKAGE = ".onnx", ".zip"
SUFFIXES = (ONNX, PACKAGE)
TOLERANCE = 0.01  # in 0..255 units; sums in another order differ by about a thousandth
TRACED = (2, 2, 3)  # images and their sides, in units of the shortest side that is promised
TRIED = ((1, 3, 5), (2, 4, 2))
SHOWN = (1, 8, 8)  # the example in a package


class Checked(Struct):
    """How far a file, run back, is from our own output."""

    runtime: str
    difference: float  # the largest, in 0..255 units
    shapes: list[str]  # B x C x H x W of what it was run on

    @property
    def agrees(self) -> bool:
        """Whether float32 explains the difference."""
        return self.difference <= TOLERANCE  # not so for what is not a number


def write(store: Store, record: Record, weights: Path, out: Path, machine: Machine) -> Checked:
    """Writes the primary output of a fit as a function of the noisy image, if the file gives that output.

    InputError: an extra that is missing, a method or an output that is no such function, a file that cannot be written.
    """
    onnx_file.required("onnx", "onnx", "onnxscript", "onnxruntime")
    if out.suffix == PACKAGE:
        onnx_file.required("bioimageio", "bioimageio.core")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: cannot write there: {out.parent} is no folder")
    fit = _fit(store, record)
    net = build(fit.method, fit.planes, 1.0, 0).eval()
    net.load_state_dict(read_tensors(weights)[0])
    with TemporaryDirectory() as folder:
        made = Path(folder) / "network.onnx"
        _write_onnx(fit, net, made)
        net = machine.place(net, precision="float32")
        checked = _checked("onnxruntime", fit, net, machine, lambda noisy: onnx_file.run(made, noisy))
        if out.suffix == PACKAGE and checked.agrees:
            made = _package(store, record, fit, net, machine, made)
            checked = _checked("bioimageio.core", fit, net, machine, lambda noisy: bioimageio_package.run(made, noisy))
        if checked.agrees:
            with files.output(out):
                files.write(out, lambda temporary: shutil.copyfile(made, temporary))
    return checked


def _fit(store: Store, record: Record) -> Fit:
    """The unit of a record; InputError if this version plans another one under its name."""
    last = store.last.known()
    unit = match(store.look()[0], last.requests.values(), last.digests)[record.key]
    if not isinstance(unit, Fit):
        raise InputError(f"{record.title}: {unit}; only its weights can be written: --out FILE.safetensors")
    return unit


def _write_onnx(fit: Fit, net: nn.Module, path: Path) -> None:
    noisy = _images(fit, TRACED)
    try:
        with guarded(InputError):
            function = plain_function(fit, net, torch.from_numpy(noisy))
        onnx_file.write(function, noisy, fit.method.multiple, path)
    except (InputError, MethodError) as error:
        fix = "its weights alone can be written: --out FILE.safetensors"
        raise InputError(f"{fit.title}: {error}; {fix}") from None


def _images(fit: Fit, units: tuple[int, int, int]) -> Batch:
    count, height, width = units
    return examples(fit, count, height * least_side(fit), width * least_side(fit))


def _checked(runtime: str, fit: Fit, net: nn.Module, machine: Machine, run: Callable[[Batch], Batch]) -> Checked:
    """The largest difference on images of other sizes, and in another number, than those that were traced."""
    tried, apart = [_images(fit, units) for units in TRIED], list[float]()
    for noisy in tried:
        try:
            found = run(noisy)
        except Exception as error:  # a runtime raises whatever it meets
            raise InputError(f"{fit.title}: {runtime} fails on {shown(noisy.shape)}: {one_line(error)[:200]}") from None
        apart.append(float(np.abs(found - ours(fit, net, noisy, machine)).max()))
    return Checked(runtime, 255.0 * float(np.max(apart)), [shown(noisy.shape) for noisy in tried])


def shown(shape: Sequence[int]) -> str:
    """A shape as 1x3x96x160."""
    return "x".join(map(str, shape))


def _package(store: Store, record: Record, fit: Fit, net: nn.Module, machine: Machine, onnx: Path) -> Path:
    """The package beside the ONNX file; InputError if the tests of bioimageio.core find fault with it."""
    scores = [one for one in store.find("") if one.kind == "score" and one.identity["fit"] == record.key]
    model = bioimageio_package.Model(fit, record, scores, TOLERANCE / 255.0)
    path, noisy = onnx.with_name("package.zip"), _images(fit, SHOWN)
    bioimageio_package.write(model, onnx, noisy, ours(fit, net, noisy, machine), path)
    if wrong := bioimageio_package.failures(path):
        raise InputError(f"{fit.title}: bioimageio.core refuses the package: {'; '.join(wrong)}")
    return path
