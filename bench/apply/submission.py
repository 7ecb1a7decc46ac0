"""What a benchmark scores: a method's output for all blocks of SIDD in raw-RGB or sRGB, or for DND's boxes."""

import csv
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from ..compute.machine import Machine
from ..datasets import files
from ..datasets.errors import InputError, unknown
from ..datasets.formats.mat import BYTES, FLOATS, shape_and_dtype
from ..datasets.images import unit
from ..datasets.noise.model import Image
from ..datasets.sets import dnd, sidd
from ..protocol.plan import BASELINES, Plan
from ..protocol.units import Fit
from ..runner.execution import load
from ..store.store import Store
from .fitting import Fitted
from .submission_dnd import check_folder, submit_boxes

SUFFIXES = (".csv", ".mat")  # what the benchmark takes today, and what its server took before


class About(NamedTuple):
    """OptionalData of a submission, in the server's words."""

    MethodName: str
    Authors: str
    PaperTitle: str
    Venue: str


def submit(
    plan: Plan,
    store: Store,
    machine: Machine,
    folder: Path,
    target: Path | None,
    output: str,
    about: About,
    report: Callable[[int, int, str], None],
) -> Path:
    """Denoises what a benchmark scores with the plan's only method, and writes what it takes; its path.

    A folder has BenchmarkNoisyBlocksRaw.mat (of colour suites: Srgb) of SIDD, or info.mat and images_srgb/ of DND.
    InputError: no such file, no trained weights, or no such output.
    """
    fit = _fit(plan)
    names = [one.name for one in fit.method.outputs]
    if output not in names:
        raise unknown(f"output of {fit.name}", output, names)
    if fit.method.has_weights() and store.weights(fit) is None:
        raise InputError(f"no weights of {fit.title} in {store.root}; train it first with python -m bench run")
    space, boxes = "Srgb" if fit.channels == 3 else "Raw", (folder / dnd.INFO).is_file()
    path = folder / f"BenchmarkNoisyBlocks{space}.mat"
    if boxes and space == "Raw":
        raise InputError(f"{folder}: DND's colour images; expected a method of a suite of colour images: --suite srgb")
    if not (boxes or path.is_file()):
        raise InputError(f"{path}: no such file; get it from the SIDD benchmark's page")
    target = _target(target or Path("SubmitDND" if boxes else f"Submit{space}.csv"), boxes)
    fitted = Fitted(fit, load(fit, store, machine)[0], machine, frozenset())

    def denoise(noisy: Image) -> Image:
        return fitted.outputs(noisy)[output]

    if boxes:
        submit_boxes(folder, target, denoise, report)
    else:
        _submit_blocks(path, target, denoise, about, report)
    return target


def _fit(plan: Plan) -> Fit:
    cells = [cell for cell in plan.cells if cell.name not in BASELINES]
    if len(cells) != 1 or cells[0].noise.family.simulated:
        raise InputError(
            f"submit: {len(cells)} cells; expected one method of suite raw or srgb on real frames "
            f"(--preset paper or reduced), with one seed"
        )
    if cells[0].excluded:
        raise InputError(f"submit: {cells[0].name}: {cells[0].excluded}")
    return cells[0].fit


def _target(target: Path, boxes: bool) -> Path:
    """Where a submission goes, a folder for boxes; InputError for what cannot be written."""
    if not (boxes or target.suffix in SUFFIXES):
        raise InputError(f"{target}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: no folder {target.parent}")
    if boxes:
        check_folder(target)
    return target


def _submit_blocks(
    path: Path,
    target: Path,
    denoise: Callable[[Image], Image],
    about: About,
    report: Callable[[int, int, str], None],
) -> None:
    shape, dtype = shape_and_dtype(path, path.stem, BYTES if sidd.is_srgb(path) else FLOATS)
    denoised = np.empty((*shape[:4], 3 if sidd.is_srgb(path) else 1), np.float32)
    blocks = denoised.reshape(-1, *denoised.shape[2:])
    began = time.perf_counter()
    for number, (_, noisy, _) in enumerate(sidd.blocks(path, None)):
        blocks[number] = denoise(unit(noisy))
        report(number + 1, len(blocks), "blocks")
    megapixels = blocks[..., 0].size / 1024**2
    seconds = (time.perf_counter() - began) / megapixels
    write_submission(target, denoised.reshape(shape), shape, dtype, seconds, about)


def write_submission(
    path: Path,
    denoised: NDArray[Any],
    noisy_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    seconds_per_megapixel: float,
    about: About,
) -> None:
    """The CSV or .mat file of denoised blocks [image, block, H, W] or [..., 3], clamped to 0..1, in the noisy type.

    InputError for another shape or NaN.
    """
    if denoised.shape != noisy_shape:
        raise InputError(f"denoised blocks of shape {denoised.shape}; expected {noisy_shape}, the noisy ones' shape")
    if np.isnan(denoised).any():
        raise InputError("denoised blocks with NaN; expected numbers, clamped to 0..1 here")
    blocks, space = _stored(denoised, dtype), "Raw" if len(noisy_shape) == 4 else "Srgb"
    content = {f"DenoisedBlocks{space}": blocks, f"TimeMP{space}": seconds_per_megapixel}
    with files.output(path):
        if path.suffix == ".csv":
            files.write(path, lambda temporary: _write_csv(temporary, blocks))
        else:
            more = {"OptionalData": about._asdict()}
            files.write(path, lambda temporary: savemat(temporary, content | more, appendmat=False))


def _stored(denoised: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Clamped to 0..1, in the type of the noisy blocks: floats as such, bytes rounded."""
    clamped = np.clip(denoised, 0, 1)
    blocks: NDArray[Any] = clamped * 255 + 0.5 if dtype == np.uint8 else clamped
    return blocks.astype(dtype, copy=False)


def _write_csv(path: Path, blocks: NDArray[Any]) -> None:
    """Columns ID (image by image, block by block, from 0) and BLOCK, the base64 of the block's bytes in C order."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "BLOCK"))
        for number, block in enumerate(blocks.reshape(-1, *blocks.shape[2:])):
            writer.writerow((number, b64encode(block.tobytes()).decode()))
