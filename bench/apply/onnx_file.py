"""A plain function as an ONNX file, and the file run by onnxruntime; needs the extra `onnx`."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..datasets.errors import AbsentError, InputError, one_line
from .cholesky import OPERATORS
from .plain_function import Batch

INPUT, OUTPUT = "noisy", "denoised"
OPSET = 18  # what torch writes without a conversion, and what older runtimes read


def required(extra: str, *packages: str) -> None:
    """AbsentError with the command that installs what is missing."""
    for package in packages:
        try:
            import_module(package)
        except ImportError:
            raise AbsentError(f"--out: needs {package} (pip install 'blind2unblind-bench[{extra}]')") from None


def write(function: nn.Module, noisy: Batch, multiple: int, path: Path) -> None:
    """The function of [B, C, H, W] as a file, for every B and for sides that are multiples of `multiple`.

    InputError: it does what ONNX cannot express.
    """
    batch, height, width = (torch.export.Dim(name) for name in ("batch", "height", "width"))
    axes = {0: batch, 2: multiple * height, 3: multiple * width}
    with torch.no_grad(), _silent():
        try:
            program = torch.export.export(function, (torch.from_numpy(noisy),), dynamic_shapes=(axes,))
            if any(node.target in OPERATORS for node in program.graph.nodes):
                program = program.run_decompositions(OPERATORS)
            torch.onnx.export(
                program,
                (),
                path,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises whatever it meets
            raise InputError(f"it does what ONNX cannot express ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    """The first line of what an exception was raised for first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)[:200]


@contextmanager
def _silent() -> Iterator[None]:
    """Hides torch's messages about missing packages and about its own deprecated functions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def run(path: Path, noisy: Batch) -> Batch:
    """What onnxruntime makes of [B, C, H, W] with the file."""
    runtime: Any = import_module("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    denoised: Batch = session.run([OUTPUT], {INPUT: noisy})[0]
    return denoised
