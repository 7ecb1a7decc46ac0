"""The file that the SIDD benchmark scores: a method's output for all blocks in raw-RGB or sRGB."""

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
from ..compute.noisy_images import Noisy
from ..compute.zero_shot import restore
from ..datasets import files
from ..datasets.errors import InputError, unknown
from ..datasets.formats.mat import BYTES, FLOATS, layout
from ..datasets.images import SetImage
from ..datasets.noise.captured import Captured
from ..datasets.sets import sidd
from ..protocol.plan import BASELINES, Plan
from ..protocol.units import Score
from ..runner.execution import load
from ..store.store import Store

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
    """Denoises BenchmarkNoisyBlocksRaw.mat (of colour suites: Srgb) of a folder with the plan's only method.

    Writes and returns SubmitRaw.csv, or `target`. InputError: no such file, no trained weights, or no such output.
    """
    score = _score(plan)
    method = score.fit.method
    names = [one.name for one in method.outputs]
    if output not in names:
        raise unknown(f"output of {score.fit.name}", output, names)
    if method.has_weights() and store.weights(score.fit) is None:
        raise InputError(f"no weights of {score.fit.title} in {store.root}; train it first with python -m bench run")
    space = "Srgb" if score.fit.channels == 3 else "Raw"
    path = folder / f"BenchmarkNoisyBlocks{space}.mat"
    if not path.is_file():
        raise InputError(f"{path}: no such file; get it from the SIDD benchmark's page")
    shape, dtype = layout(path, path.stem, BYTES if space == "Srgb" else FLOATS)
    target = target or Path(f"Submit{space}.csv")
    if target.suffix not in SUFFIXES:
        raise InputError(f"{target}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: no folder {target.parent}")
    (net, _), denoised = load(score.fit, store, machine), np.empty(shape, np.float32)
    blocks = denoised.reshape(-1, *shape[2:4], score.fit.channels)
    began = time.perf_counter()
    for number, (name, image, _) in enumerate(sidd.blocks(path, None)):
        noisy = Noisy(SetImage.decoded(name, path, image, image.shape[-1]), 0, image, 0.0)
        blocks[number] = restore(score, net, noisy, machine, _quiet, _never, None)[output]
        report(number + 1, len(blocks), "blocks")
    megapixels = blocks[..., 0].size / 1024**2
    write_submission(target, denoised, shape, dtype, (time.perf_counter() - began) / megapixels, about)
    return target


def _score(plan: Plan) -> Score:
    cells = [cell for cell in plan.cells if cell.name not in BASELINES]
    if len(cells) != 1 or not isinstance(cells[0].noise.family, Captured):
        raise InputError(
            f"submit: {len(cells)} cells; expected one method of suite raw on real frames "
            f"(--preset paper or reduced), with one seed"
        )
    if cells[0].excluded:
        raise InputError(f"submit: {cells[0].name}: {cells[0].excluded}")
    return cells[0].scores[0]


def _quiet(report: object) -> None:
    """Progress is counted in blocks."""


def _never() -> bool:
    return False


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
    try:
        if path.suffix == ".csv":
            files.write(path, lambda temporary: _write_csv(temporary, blocks))
        else:
            more = {"OptionalData": about._asdict()}
            files.write(path, lambda temporary: savemat(temporary, content | more, appendmat=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


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
