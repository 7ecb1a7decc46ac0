"""The readers of foreign files, each with whole files to damage; runs in a child process, which a decoder may crash."""

import hashlib
import json
import math
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import msgspec
import numpy as np
import tifffile
import torch
from PIL import Image as Pillow
from scipy.io import savemat
from torch import Tensor

from bench.compute.machine import Machine
from bench.datasets.errors import InputError
from bench.datasets.formats import image_format, raster
from bench.datasets.formats.mat import read_mat
from bench.datasets.formats.pack import Pack, Writer
from bench.datasets.own.own_file import OwnFile
from bench.datasets.sets.archives import extract
from bench.methods import plugins
from bench.protocol.request import Request
from bench.protocol.suite_files import load
from bench.protocol.units import digest
from bench.report import figure_entries
from bench.store.checkpoint import State
from bench.store.last_runs import Last
from bench.store.record import Record, read_record, read_rows, summary
from bench.store.rows import Row
from bench.store.store import Store
from bench.tools import regression as regress
from support import ruined
from support.cli import suite_text
from support.matlab import mosaic, save73


class Reader(NamedTuple):
    """How a kind of file is made, read, and ruined by hand."""

    file: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    ruined: Callable[[bytes], list[bytes]] = lambda whole: []


def see_figures(path: Path) -> None:
    figure_entries.decode(path.read_bytes(), "figures.toml")


def set_image(mode: str = "RGB", **options: Any) -> Callable[[Any], None]:
    """Writes a small image."""
    grain = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Pillow.fromarray(grain).convert(mode)
    return lambda path: image.save(path, **options)


def see(path: Path) -> None:
    """Reads an image as the sets do."""
    pixels = image_format.read(path)
    assert pixels.dtype == np.uint8
    assert pixels.size
    assert pixels.shape[2] in (1, 3)
    assert image_format.size(path) == pixels.shape[1::-1]
    assert raster.read_rgb(path).shape[2] == 3


def deep(path: Path) -> None:
    """A stack of 16 bits, or such a picture, or array."""
    grain = np.random.default_rng(0).integers(0, 4096, (3, 12, 16)).astype(np.uint16)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(grain.reshape(12, 16, 3)))
    elif path.suffix == ".npy":
        np.save(path, grain[0])
    else:
        options: dict[str, Any] = {"compression": "zlib"} if path.stem == "packed" else {"imagej": True}
        tifffile.imwrite(path, grain, metadata={"axes": "ZYX"}, photometric="minisblack", **options)


def see_own(path: Path) -> None:
    """Reads an image of a user as `bench denoise` does, and writes it back."""
    own = OwnFile(path, path.name)
    own.range = (0.0, 4095.0)
    assert own.survey().size
    if np.prod(own.shape) < 2**16:
        own.write(path.with_name("back.tif"), (own.frame(i) for i in range(own.count)), "float32", overwrite=True)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("set/a.png", b"pixels" * 40)
        file.writestr("set/b.txt", b"words")


def unpack(path: Path) -> None:
    """Unpacks next to the archive; nothing may appear elsewhere."""
    try:
        for file in extract(path, path.parent / "out"):
            assert file.resolve().is_relative_to(path.parent / "out")
    finally:
        shutil.rmtree(path.parent / "out", ignore_errors=True)


def save5(path: Path) -> None:
    savemat(path, {"x": mosaic(6, 8), "names": np.array(["a"], object), "y": 1j}, appendmat=False)


def save7(path: Path) -> None:
    savemat(path, {"y": "text", "x": mosaic(6, 8)}, appendmat=False, do_compression=True)


def see_mat(path: Path) -> None:
    values = read_mat(path, "x", 2)
    assert values.dtype in (np.float32, np.float64)
    assert np.isfinite(values).all()


def packed(path: Path) -> None:
    """A pack beside `path`, which is one of its files."""
    with Writer(path.parent, "|u1") as writer:
        for name in ("a", "b"):
            writer.append(name, np.full((3, 4, 1), 7, np.uint8))
        writer.finish("test")


def see_pack(path: Path) -> None:
    pack = Pack(path.parent)
    pack.verify()
    assert sum(image.size for image in pack) == 24


def see_index(path: Path) -> None:
    """A pack whose header vouches for whatever the index says: made by hand, not damaged."""
    header = json.loads((path.parent / "pack.json").read_bytes())
    header["digest"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "pack.json").write_text(json.dumps(header), encoding="utf-8")
    pack = Pack(path.parent)
    pack.verify()
    for image in pack:
        assert image.nbytes


ROWS = [Row(name, 0, 25.0, "mean", {"psnr": 30.0, "ssim": 0.9}) for name in "abc"]
IDENTITY = {"method": "n2c", "noise": "gauss25", "steps": 6}


def pieces(path: Path) -> None:
    """The scores of three images."""
    path.write_bytes(b"\n".join(msgspec.json.encode(row.flat) for row in ROWS) + b"\n")


def made(**known: Any) -> Record:
    label = {"suite": "synthetic", "preset": "mini", "method": "n2c"}
    return Record(key=digest(IDENTITY), state="done", title="n2c", label=label, identity=IDENTITY, **known)


def record(path: Path) -> None:
    found = made(kind="fit", result={"weights": "ab", "quality": [[1, 20.5]]}, environment={"torch": "2"})
    path.write_bytes(msgspec.json.encode(found))


def last(path: Path) -> None:
    asked = {"synthetic": Request(methods=("n2c",), seeds=(0, 1))}
    path.write_bytes(msgspec.json.encode(Last({"folder:photos": "ab"}, asked)))


def see_last(path: Path) -> None:
    """Reads it as every command does, which names the file if it is damaged."""
    _, wrong = Store(path.parent).look()
    for error in wrong:
        raise error


def references(path: Path) -> None:
    one = regress.Numbers(
        commit="c", torch="2", processor="p", threads=1, seeds=(0,), losses=(1.0,), psnr={"x": (3.0,)}
    )
    path.write_bytes(msgspec.json.encode({"synthetic/n2c/gauss25/losses": one}))


def see_references(path: Path) -> None:
    regress.NUMBERS = path
    assert all(isinstance(one, regress.Numbers) for one in regress.references().values())


def see_cases(path: Path) -> None:
    regress.CASES = path
    regress.cases()


def see_rows(path: Path) -> None:
    for row in read_rows(path, made(kind="score", result={"outputs": summary(ROWS)})):
        assert math.isfinite(row.value("ssim"))


class Layer:
    """What a checkpoint holds of a training of one small layer."""

    chunk = 4

    def __init__(self) -> None:
        self.net = torch.nn.Linear(3, 2)

    def state(self) -> dict[str, Tensor]:
        return {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.net.load_state_dict({name.removeprefix("net."): tensor for name, tensor in tensors.items()})


def state() -> State:
    return State("key", Machine().setting(1), Layer())


def checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    saved = state()
    saved.step, saved.seconds, saved.warnings = 3, 1.5, ["step 1: a: b"]
    saved.history, saved.quality = [(1, 0.5)], [(1, 20.0)]
    saved.save(path)


def continue_at(path: Path) -> None:
    """A checkpoint that does not fit is no error: a sentence says that the training begins again."""
    fresh = state()
    if said := fresh.load(path):
        raise InputError(said)
    assert isinstance(fresh.step, int)
    assert fresh.said() <= {"a"}
    assert all(math.isfinite(loss) and step > 0 for step, loss in [*fresh.history, *fresh.quality])


FIGURES = Path(figure_entries.__file__).with_name("figures.toml")
READERS = {
    "png": Reader("a.png", set_image(), see, ruined.no_images),
    "png, palette": Reader("a.png", set_image(mode="P", transparency=0), see),
    "jpeg": Reader("a.jpg", set_image(quality=90), see),
    "tiff": Reader("a.tif", set_image(), see),
    "tiff, deflated": Reader("a.tif", set_image(compression="tiff_adobe_deflate"), see),
    "bmp": Reader("a.bmp", set_image(), see),
    "own png": Reader("a.png", deep, see_own, ruined.no_images),
    "own tiff": Reader("a.tif", deep, see_own),
    "own tiff, deflated": Reader("packed.tif", deep, see_own),
    "npy": Reader("a.npy", deep, see_own, ruined.arrays),
    "zip": Reader("a.zip", zipped, unpack, ruined.zips),
    "mat v5": Reader("a.mat", save5, see_mat, lambda whole: [ruined.crasher()]),
    "mat v7": Reader("a.mat", save7, see_mat, ruined.recompressed),
    "mat v7.3": Reader("a.mat", lambda path: save73(path, x=mosaic(6, 8)), see_mat),
    "pack header": Reader("pack.json", packed, see_pack, ruined.nested),
    "pack index": Reader("index.jsonl", packed, see_index, ruined.nested),
    "pack pixels": Reader("pixels.bin", packed, see_pack),
    "suite": Reader(
        "a.toml", lambda path: path.write_text(suite_text(), "utf-8"), lambda p: load(str(p)), ruined.nested_toml
    ),
    "figures": Reader("a.toml", lambda path: shutil.copy(FIGURES, path), see_figures, ruined.nested_toml),
    "record": Reader(f"fits/n2c/gauss25/seed0-{digest(IDENTITY)[:8]}.json", record, read_record, ruined.nested),
    "rows": Reader("scores/a.rows.jsonl", pieces, see_rows, ruined.nested),
    "last run": Reader("last.json", last, see_last, ruined.nested),
    "references": Reader("references.json", references, see_references, ruined.nested),
    "cases": Reader("cases.toml", lambda path: shutil.copy(regress.CASES, path), see_cases, ruined.nested_toml),
    "checkpoint": Reader("a.checkpoint", checkpoint, continue_at, ruined.safetensors),
    "plug-in": Reader("mine.py", lambda path: path.write_text(ruined.PLUGIN, "utf-8"), plugins.load, ruined.plugins),
}


def whole(name: str, folder: Path) -> bytes:
    """An undamaged file of a reader, which it reads."""
    reader = READERS[name]
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    reader.make(path)
    reader.read(path)
    return path.read_bytes()


def outcome(name: str, folder: Path, content: bytes) -> str:
    """What a reader makes of a file: "" if it reads it, or the line with which it refuses it."""
    reader = READERS[name]
    (folder / reader.file).write_bytes(content)
    try:
        reader.read(folder / reader.file)
    except InputError as error:
        return str(error)
    return ""


def peak() -> int:
    """The memory that this process ever occupied [bytes]; getrusage's also knows that of the process it came from."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line[:6] == "VmHWM:") * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
