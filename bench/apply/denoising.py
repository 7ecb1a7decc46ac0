"""A user's files denoised by a method that was trained on them or on others, and a record of how it was made."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from .. import __version__
from ..compute.machine import Machine, environment
from ..compute.step import Stopped, never
from ..compute.training import Report
from ..datasets import files
from ..datasets.documents import content, from_json
from ..datasets.errors import DamagedError, InputError, one_line
from ..datasets.images import SetImage
from ..datasets.noise.model import Image, Noise
from ..datasets.own.collection import Collection
from ..datasets.own.own_file import Kind, OwnFile
from ..protocol import suite_files
from ..protocol.plan import with_steps
from ..protocol.units import Fit
from ..store.folder import encoded
from ..store.tensors import read_tensors
from .fitting import Fitted, as_images, fit, plan, steps_within, weights_file, with_weights
from .tiles import margin_of, strips

RECORD, WEIGHTS = "bench-denoise.json", "bench-denoise"  # beside the outputs: how they were made, and the training
TRAINED = 2**26  # values of all training images that are held, 256 MiB in float32
PIECE = 1024  # side of the pieces that larger images are trained on


class Made(Struct, kw_only=True):
    """How one output was made."""

    input: str
    sha256: str  # of the input
    key: str  # of the method, its training and its weights
    range: tuple[float, float]  # the stored values that stand for 0 and 1
    axes: str
    dtype: str  # of the output


class Record(Struct, kw_only=True):
    """What stands beside the outputs."""

    bench: str = __version__
    command: str
    method: str
    why: str  # it was chosen
    identity: dict[str, Any]  # of its training
    noise: str  # of the images, where it is known
    training_seconds: float
    weights: str  # their file, where there is one
    environment: dict[str, Any]
    warnings: list[str]
    outputs: dict[str, Made]  # by the name of the file


class Asked(Struct, kw_only=True):
    """What to do."""

    method: str
    why: str = "asked for"
    noise: Noise | None = None  # of the images in 0..1, where it is known
    preset: str = "mini"
    steps: int = 0  # 0: the preset's
    minutes: float = 0.0  # above 0: as many steps as fit into so many minutes
    seed: int = 0
    weights: Path | None = None  # trained before: nothing is trained
    dtype: Kind = "keep"
    overwrite: bool = False
    command: str = ""


class Watch(Struct):
    """Who follows the work, and whether it should stop."""

    begins: Callable[[Sequence[str], bool], None] = lambda names, trains: None  # with these files, with a training
    training: Callable[[Report], None] = lambda report: None
    file: Callable[[str, float], None] = lambda name, share: None  # so much of an output is made
    note: Callable[[str], None] = lambda text: None
    stop: Callable[[], bool] = never


class Denoised(Struct):
    """What came of it."""

    written: list[Path]
    kept: list[Path]  # were there already, made in the same way
    failed: list[str]  # "path: reason"


def denoise(
    collection: Collection, images: Sequence[SetImage], out: Path, asked: Asked, machine: Machine, watch: Watch
) -> Denoised:
    """Writes the denoised version of every file into `out`; one that is there already, made in this way, is kept.

    `images` are trained on, scaled as the files are.

    InputError: a method that cannot be used, outputs that would replace something. Stopped: `watch` said so; the same
    call then continues with what was trained and written.
    """
    planned, images, left_out = _planned(images, asked, machine, out / WEIGHTS)
    fitted = with_weights(planned, asked.weights, machine) if asked.weights else None
    key = (fitted.work if fitted else planned).key
    known = _known(out)
    kept = [own for own in collection.files if _is_made(own, out, key, asked.dtype, known)]
    rest = Collection([own for own in collection.files if own not in kept], [], 0)
    paths = rest.outputs(out, asked.dtype, asked.overwrite)  # refuses before anything is trained
    result = Denoised([], [out / own.output(asked.dtype) for own in kept], [])
    if not rest.files:
        return result
    trained = fitted or not planned.method.has_weights() or weights_file(out / WEIGHTS, planned).is_file()
    watch.begins([own.name for own in rest.files], not trained)
    for line in left_out:
        watch.note(line)
    if fitted is None:
        scale = {"range": rest.files[0].range}
        fitted = fit(planned, images, machine, out / WEIGHTS, watch.training, watch.stop, scale)
    about = _about(fitted, asked, known, left_out)
    for own, path in zip(rest.files, paths, strict=True):
        try:
            _write(fitted, own, path, asked, watch)
        except (InputError, RuntimeError, ValueError, MemoryError) as error:  # the other files go on
            result.failed.append(f"{own.path}: {error if isinstance(error, InputError) else one_line(error)}")
        else:
            result.written.append(path)
            about.outputs[str(path.relative_to(out))] = _made(own, key, asked.dtype)
            files.write(out / RECORD, lambda temporary: temporary.write_bytes(msgspec.json.format(encoded(about))))
    return result


def _scenes(collection: Collection) -> list[list[OwnFile]]:
    """The repeated frames of each scene, then the files of no scene one by one."""
    repeated = [own for scene in collection.scenes for own in scene]
    return [*collection.scenes, *([own] for own in collection.files if own not in repeated)]


def check_channels(files: Sequence[OwnFile]) -> None:
    """InputError for files of different numbers of channels: one network cannot serve them."""
    first = files[0]
    for own in files:
        if own.channels != first.channels:
            each = "--channels each denoises every channel alone, or denoise them in separate commands"
            raise InputError(f"{first.path}: {first.channels} channels, but {own.path}: {own.channels}; {each}")


def rescale(collection: Collection, value_range: tuple[float, float], origin: str) -> None:
    """Lets these stored values stand for 0 and 1 in all files."""
    for own in collection.files:
        own.range, own.origin = value_range, origin


def trained_range(weights: Path | None) -> tuple[float, float] | None:
    """The stored values that stood for 0 and 1 in a training of ours; None where the file does not say."""
    try:
        found = read_tensors(weights)[1].get("range") if weights else None
    except DamagedError:  # weights of others
        return None
    return (float(found[0]), float(found[1])) if found else None


def training_images(collection: Collection) -> list[SetImage]:
    """The frames to train on in 0..1, those of one scene together; of many large ones evenly spaced pieces.

    InputError for files of different numbers of channels.
    """
    check_channels(collection.files)
    pieces = [
        (group, i, rows, columns)
        for group in _scenes(collection)
        for i in range(group[0].count)
        for rows in _parts(group[0].sides[0])
        for columns in _parts(group[0].sides[1])
    ]
    values = sum(own.count * own.sides[0] * own.sides[1] * own.channels for own in collection.files)
    chosen = pieces[:: max(1, -(-values // TRAINED))]
    scenes = [[np.array(own.frame(i, rows)[:, columns]) for own in group] for group, i, rows, columns in chosen]
    names = [f"{group[0].name} frame {i} row {rows.start} column {columns.start}" for group, i, rows, columns in chosen]
    return as_images(scenes, names=names)


def _parts(side: int) -> list[slice]:
    """The rows or columns of pieces that are as equal as can be."""
    number = max(1, side // PIECE)
    return [slice(side * k // number, side * (k + 1) // number) for k in range(number)]


def _planned(
    images: Sequence[SetImage], asked: Asked, machine: Machine, folder: Path
) -> tuple[Fit, list[SetImage], list[str]]:
    """The training that is asked for, of as many steps as fit into the minutes; its images, and why others are not."""
    trains = asked.weights is None
    planned, images, left_out = plan(asked.method, images, asked.noise, asked.preset, asked.steps, asked.seed, trains)
    if trains and planned.trains and asked.minutes:
        steps = _steps(planned, images, asked, machine, folder)
        planned = with_steps(planned, steps, suite_files.shared("recipes"))
    return planned, images, left_out


def _steps(planned: Fit, images: Sequence[SetImage], asked: Asked, machine: Machine, folder: Path) -> int:
    """The steps that fit into the minutes, as measured when this was first asked for: a training that continues."""
    note = folder / f"{weights_file(folder, planned).stem}-{asked.minutes:g}-minutes.steps"
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        number = steps_within(60.0 * asked.minutes, planned, images, machine)
        files.write(note, lambda temporary: temporary.write_text(str(number)))
    return int(note.read_text())


def _write(fitted: Fitted, own: OwnFile, path: Path, asked: Asked, watch: Watch) -> None:
    """Denoises all frames of a file, strip after strip, into its output."""
    height, width = own.sides
    with own.writing(path, asked.dtype, asked.overwrite) as output:
        for i in range(own.count):

            def report(share: float, i: int = i) -> None:
                if watch.stop():
                    raise Stopped
                watch.file(own.name, (i + share) / own.count)

            def read(rows: slice, columns: slice, i: int = i) -> Image:
                return np.ascontiguousarray(own.frame(i, rows)[:, columns])

            top = 0
            for strip in strips(fitted, read, height, width, partial(margin_of, fitted), report):
                output.put(i, top, strip)
                top += len(strip)


def _about(fitted: Fitted, asked: Asked, known: Record | None, left_out: Sequence[str]) -> Record:
    """The record of this method, with the outputs that were there before."""
    work = fitted.work
    return Record(
        command=asked.command,
        method=asked.method,
        why=asked.why,
        identity=work.identity,
        noise=asked.noise.name if asked.noise else "",
        training_seconds=round(fitted.seconds, 1),
        weights=str(asked.weights or (weights_file(Path(WEIGHTS), work) if fitted.net else "")),
        environment=environment(fitted.machine),
        warnings=[*fitted.warnings, *left_out],
        outputs=known.outputs if known else {},
    )


def _known(out: Path) -> Record | None:
    """The record of earlier outputs; None if there is none, or one that cannot be read."""
    path = out / RECORD
    try:
        return from_json(content(path), Record) if path.is_file() else None
    except msgspec.DecodeError:
        return None


def _made(own: OwnFile, key: str, dtype: Kind) -> Made:
    kind = own.dtype.name if dtype == "keep" else dtype
    made = Made(input=str(own.path), sha256="", key=key, range=own.range, axes=own.axes, dtype=kind)
    made.sha256 = files.sha256(own.path) if own.path.is_file() else ""
    return made


def _is_made(own: OwnFile, out: Path, key: str, dtype: Kind, known: Record | None) -> bool:
    """Whether the output of a file is there, made in the same way of the same content."""
    name = own.output(dtype)
    before = known.outputs.get(name) if known else None
    return before is not None and (out / name).is_file() and before == _made(own, key, dtype)
