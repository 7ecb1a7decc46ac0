"""The file that the SIDD server scores: a method's output for all benchmark blocks."""

import time
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
from ..datasets.formats.mat import layout
from ..datasets.images import SetImage
from ..datasets.noise.captured import Captured
from ..datasets.sets import sidd
from ..protocol.plan import BASELINES, Plan
from ..protocol.units import Score
from ..runner.execution import load
from ..store.store import Store

BLOCKS = "BenchmarkNoisyBlocksRaw"  # the file, and its only variable


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
    target: Path,
    output: str,
    about: About,
    report: Callable[[int, int, str], None],
) -> None:
    """Denoises BenchmarkNoisyBlocksRaw.mat of a folder with the plan's only method and writes SubmitRaw.mat.

    InputError: no such file, no trained weights, or no such output.
    """
    score = _score(plan)
    method = score.fit.method
    names = [one.name for one in method.outputs]
    if output not in names:
        raise unknown(f"output of {score.fit.name}", output, names)
    if method.has_weights() and store.weights(score.fit) is None:
        raise InputError(f"no weights of {score.fit.title} in {store.root}; train it first with python -m bench run")
    path = folder / f"{BLOCKS}.mat"
    if not path.is_file():
        raise InputError(f"{path}: no such file; get it from the SIDD benchmark's page")
    shape, dtype = layout(path, BLOCKS)
    if not target.parent.is_dir():
        raise InputError(f"{target}: no folder {target.parent}")
    (net, _), denoised = load(score.fit, store, machine), np.empty(shape, np.float32)
    blocks = denoised.reshape(-1, *shape[2:])
    began = time.perf_counter()
    for number, (name, image, _) in enumerate(sidd.blocks(path, None)):
        noisy = Noisy(SetImage.decoded(name, path, image, 1), 0, image, 0.0)
        blocks[number] = restore(score, net, noisy, machine, _quiet, _never, None)[output][..., 0]
        report(number + 1, len(blocks), "blocks")
    megapixels = denoised.size / 1024**2
    write_submission(target, denoised, shape, dtype, (time.perf_counter() - began) / megapixels, about)


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
    """SubmitRaw.mat of denoised blocks [image, block, H, W], clamped to 0..1; InputError for another shape or NaN."""
    if denoised.shape != noisy_shape:
        raise InputError(f"denoised blocks of shape {denoised.shape}; expected {noisy_shape}, the noisy ones' shape")
    if np.isnan(denoised).any():
        raise InputError("denoised blocks with NaN; expected numbers, clamped to 0..1 here")
    content = {
        "DenoisedBlocksRaw": np.clip(denoised, 0, 1).astype(dtype, copy=False),
        "TimeMPRaw": seconds_per_megapixel,
        "OptionalData": about._asdict(),
    }
    try:
        files.write(path, lambda temporary: savemat(temporary, content, appendmat=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
