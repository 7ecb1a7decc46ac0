"""Helpers of the end-to-end tests: the command line in this process or another, small photographs, snapshots."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image as Pillow

import bench as package
from bench.cli.main import main
from bench.datasets.sets.find import find
from bench.methods.networks.unet import UNet, UNetConfig
from bench.runner import estimates
from bench.store.tensors import read_tensors

ROOT = Path(package.__file__).parent.parent  # what PYTHONPATH needs: the checkout, or site-packages
CHECKOUT = Path(__file__).resolve().parents[2]
BESIDE = CHECKOUT.parent / "shared" / "data"
SHARED = BESIDE if BESIDE.is_dir() else Path(os.environ.get("BENCH_DATA", BESIDE))  # the full sets, where they are here
LIMIT = 240.0  # seconds that no command here should need, even on a very busy machine


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class Done(NamedTuple):
    """A finished run, to be looked at; what changes a store works on a copy."""

    store: Path
    tests: Path
    command: tuple[str, ...]  # without --store
    result: Result


@contextmanager
def narrow_networks() -> Iterator[None]:
    """U-Nets of four channels in this process, whatever is asked for: where the network is not what is tested."""

    def build(self: UNetConfig, channels: int, outputs: int | None = None, plain: Any = UNetConfig.build) -> UNet:
        net: UNet = plain(structs.replace(self, width=4), channels, outputs)
        return net

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UNetConfig, "build", build)
        _forget_sizes()
        yield
    _forget_sizes()  # of networks that are narrow here alone


def _forget_sizes() -> None:
    estimates.size_of.cache_clear()
    estimates.step_operations.cache_clear()


class Terminal(io.StringIO):
    """A terminal, whose width the variable COLUMNS says."""

    def isatty(self) -> bool:
        return True


def bench(*argv: object) -> Result:
    """Runs `python -m bench` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in argv])
    return Result(code, out.getvalue(), err.getvalue())


def start(
    *argv: object,
    cwd: Path | None = None,
    path: Sequence[Path] = (ROOT,),
    program: Sequence[str] = ("-m", "bench"),
    **variables: object,
) -> subprocess.Popen[str]:
    """Starts `python -m bench`, or another program, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    folders = [*path, CHECKOUT / "tests"] if program[1].startswith("support.") else path
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"}
    environment |= {name: str(value) for name, value in variables.items()}
    command = [sys.executable, *program, *map(str, argv)]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> Result:
    """Waits for a started process, at most `limit` seconds."""
    try:
        out, err = process.communicate(timeout=limit)
    finally:
        process.kill()
    return Result(process.returncode, out, err)


def refused(*argv: object) -> str:
    """The error line of a command that must be refused: exit code 2, this one line and nothing else."""
    result = bench(*argv)
    assert (result.code, result.out) == (2, ""), result
    assert result.err.startswith("bench: error: "), result.err
    assert result.err.endswith("\n"), result.err
    assert result.err.count("\n") == 1, result.err
    return result.err.strip()


def refused_run(store: Path, *argv: object, methods: str = "n2c") -> str:
    """The error of a run; float32, as on machines without bf16 a line says so."""
    asked = {"--noise": "gauss25", "--steps": "2", "--precision": "float32", "--store": store}
    asked |= {} if "--preset" in argv else {"--train": "folder:tests"}
    given = [item for pair in asked.items() if pair[0] not in argv for item in pair]
    return refused("run", "--methods", methods, *given, *argv)


def lines(*argv: object) -> list[dict[str, Any]]:
    """The numbers of `tables --format json`."""
    result = bench("tables", *argv, "--format", "json")
    assert result.code == 0, result.err
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


def line(found: list[dict[str, Any]], **wanted: object) -> dict[str, Any]:
    """The only number that has these properties."""
    (match,) = (one for one in found if all(one[name] == value for name, value in wanted.items()))
    return match


def photo(name: str, height: int, width: int) -> NDArray[np.uint8]:
    """A crop of one of scikit-image's packaged test photographs."""
    set_image = next(set_image for set_image in find("embedded_test").load(None, 3) if set_image.name == name)
    crop: NDArray[np.uint8] = set_image.pixels[100 : 100 + height, 120 : 120 + width]
    return crop


def photos(folder: Path, *names: str, height: int = 48, width: int = 64, gray: bool = False) -> Path:
    """A folder with a crop of each named photograph."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        image = Pillow.fromarray(photo(name, height, width))
        (image.convert("L") if gray else image).save(folder / f"{name}.png")
    return folder


def snapshot(store: Path) -> dict[str, tuple[int, bytes]]:
    """When each record, weight or score file was written, and its bytes."""
    files = [path for kind in ("fits", "scores") for path in sorted((store / kind).rglob("*")) if path.is_file()]
    return {str(path.relative_to(store)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def record(store: Path, kind: str, title: str) -> dict[str, Any]:
    """The only record of a kind whose title starts so."""
    found: dict[str, Any] = json.loads(file_of(store, kind, title).read_bytes())
    return found


def file_of(store: Path, kind: str, title: str, suffix: str = ".json") -> Path:
    """The only file with this suffix of a unit whose title starts so."""
    found = (store / f"{kind}s").rglob("*.json")
    (match,) = (path for path in found if json.loads(path.read_bytes())["title"].startswith(title))
    return match.with_name(match.name.removesuffix(".json") + suffix)


def rows(store: Path, title: str) -> bytes:
    """The bytes of the per-image scores whose record has this title."""
    return file_of(store, "score", title, ".rows.jsonl").read_bytes()


def weights(store: Path, title: str) -> dict[str, NDArray[Any]]:
    """The trained weights of a cell."""
    tensors, _ = read_tensors(file_of(store, "fit", title, ".safetensors"))
    return {name: tensor.numpy().copy() for name, tensor in tensors.items()}  # the file is memory-mapped


def same(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    """Whether two networks are equal to the last bit."""
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def suite_text() -> str:
    """The text of the suite `synthetic`, to be altered, its mini preset with 300 steps."""
    text = (Path(package.__file__).parent / "protocol" / "suites" / "synthetic.toml").read_text(encoding="utf-8")
    before, mini = text.split("[presets.mini]\n")
    return f"{before}[presets.mini]\n{re.sub('steps = [0-9]+', 'steps = 300', mini, count=1)}"


def altered_suite(folder: Path, old: str, new: str) -> Path:
    """The suite `synthetic` as a file, with one passage replaced."""
    text = suite_text()
    assert old in text, f"{old!r} is not in the suite any more"
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


needs_shared_data = pytest.mark.skipif(not (SHARED / "set14").is_dir(), reason="the image sets are not on this machine")
