"""External weights, scored as any others, and ours for elsewhere; nothing in a file is trusted."""

import hashlib
import re
import warnings
from collections.abc import Callable, Collection
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile

import safetensors.torch
import torch
from msgspec import structs, to_builtins
from torch import Tensor, nn

from ..compute.step import build
from ..datasets import files
from ..datasets.errors import InputError, few, one_line, unknown
from ..methods.networks.official_names import OURS, official
from ..protocol import plan, suite_files, suites
from ..protocol.plan import Cell, Plan
from ..protocol.request import ExternalWeights, Request
from ..protocol.units import Fit
from ..store.record import Record
from ..store.store import Store
from ..store.tensors import read_tensors, write_tensors
from . import execution

SUFFIXES = (".safetensors", ".pth")  # of files that are written
LIMIT = 1 << 30  # bytes of a file and of the tensors that it announces; the networks here have up to 26 MB
# Keys under which checkpoints keep the state dict, and what DataParallel, compile and wrappers put before its names.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "params_ema", "params")
PREFIXES = ("module.", "_orig_mod.", "net.", "model.", "network.")
ZIP = b"PK\x03\x04"


def read(path: Path, expected: Collection[str] = ()) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or a saved state dict under our names, floats as float32.

    Prefixes of wrappers are removed until a name is one of the `expected` ones.

    InputError: no such file, another content, code in it, too large, values that are not finite.
    """
    if not path.is_file():
        raise InputError(f"--weights {path}: no such file")
    if path.stat().st_size > LIMIT:
        raise InputError(f"--weights {path}: {path.stat().st_size:,} bytes; allowed: up to {LIMIT:,}")
    try:
        loaded = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
        return _plain(loaded, expected)
    except InputError as error:
        raise InputError(f"--weights {path}: {error}") from None
    except UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it asks for {_said(asked[1])}, which could run code" if asked else "there is more in it than tensors"
        fix = "expected what torch.save(net.state_dict(), FILE) writes"
        raise InputError(f"--weights {path}: refused: {why}; {fix}") from None
    except Exception as error:  # a damaged or hostile file may raise anything
        fix = "expected .safetensors, or what torch.save(net.state_dict(), FILE) writes"
        raise InputError(f"--weights {path}: not a file of weights; {fix} ({_said(one_line(error))})") from None


def _unpickled(path: Path) -> Any:
    """What `torch.load` makes of a file without running code from it, in no more memory than the file has bytes."""
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    if zipped:
        with ZipFile(path) as archive:
            announced = sum(info.file_size for info in archive.infolist())
        if announced > LIMIT:  # compressed: torch.save never does
            raise InputError(f"unpacks to {announced:,} bytes; allowed: up to {LIMIT:,}")
    with warnings.catch_warnings(action="ignore"):  # of odd pickles, which end well or in an error
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)  # mmap: no tensor beyond the file


def _plain(loaded: Any, expected: Collection[str]) -> dict[str, Tensor]:
    """A state dict under our names, freed of wrappers and prefixes, its tensors checked and copied."""
    loaded = _unwrapped(loaded)
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(name, str) for name in loaded):
        raise InputError(f"holds a {type(loaded).__name__}; expected a dictionary of names and tensors")
    for name, value in loaded.items():
        if not _is_plain(value):
            raise InputError(f"{_said(name)} is no plain tensor but a {type(value).__name__}; expected plain ones")
    announced = sum(value.numel() * value.element_size() for value in loaded.values())
    if announced > LIMIT:
        raise InputError(f"announces tensors of {announced:,} bytes; allowed: up to {LIMIT:,}")
    ours = {OURS.get(name, name): _copy(value) for name, value in _bare(loaded, expected).items()}
    if len(ours) < len(loaded):
        raise InputError("names the same layer twice, by our name and by the authors'")
    if infinite := [_said(name) for name, value in ours.items() if not value.isfinite().all()]:
        raise InputError(f"values that are not finite in {few(infinite)}")
    return ours


def _unwrapped(loaded: Any) -> Any:
    """The state dict inside a checkpoint; InputError if there are several and none has a usual name."""
    for _ in range(3):  # such as {"model": {"state_dict": ...}}; a hostile file may nest without end
        if not isinstance(loaded, dict) or _has_tensors(loaded):
            break
        known = [key for key in WRAPPERS if isinstance(loaded.get(key), dict)]
        others = [key for key, value in loaded.items() if _has_tensors(value)]
        if not known and len(others) > 1:
            named = few([_said(str(key)) for key in others])
            raise InputError(f"holds several networks, {named}; expected one of them in a file of its own")
        if not known and not others:
            break
        loaded = loaded[(known or others)[0]]
    return loaded


def _has_tensors(value: Any) -> bool:
    """Whether it is a state dict; an optimiser's state has numbers for names."""
    return isinstance(value, dict) and any(isinstance(one, Tensor) for name, one in value.items() if type(name) is str)


def _bare(tensors: dict[str, Any], expected: Collection[str]) -> dict[str, Any]:
    """The tensors by their names without the prefixes of wrappers."""
    while not any(OURS.get(name, name) in expected for name in tensors):
        prefix = next((one for one in PREFIXES if all(name.startswith(one) for name in tensors)), "")
        if not prefix:
            break
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _is_plain(value: Any) -> bool:
    if type(value) not in (Tensor, nn.Parameter) or value.device.type != "cpu" or value.layout != torch.strided:
        return False
    return not (value.is_nested or value.is_quantized or value.is_complex())


def _copy(value: Tensor) -> Tensor:
    return value.detach().to(torch.float32 if value.is_floating_point() else value.dtype, copy=True).contiguous()


def _said(text: str) -> str:
    """Words from a file, in one line that is not too long."""
    shown = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values."""
    sha = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        sha.update(f"{name} {value.dtype} {list(value.shape)}\n".encode(errors="backslashreplace"))
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def plan_external(store: Store, request: Request, method: str, path: Path, note: Callable[[str], None]) -> Plan:
    """The plan that scores a file's weights as a method's; puts them into the store as a fit that is done.

    InputError: a bad file, another network's weights, another file of this name before, nothing to score.
    """
    suite = suite_files.load(request.suite)
    noises = plan.noises_of(request, suite, suites.preset(suite, request.preset))
    digests = store.last.known().digests
    trial = structs.replace(request, weights=(ExternalWeights(method, path.name, noises[0].name, "unknown"),))
    fit = next(cell.fit for cell in plan.make(trial, digests).cells if cell.name == trial.weights[0].name)
    if not fit.method.has_weights():
        raise InputError(f"--method {method}: it has no weights that serve a whole set; see python -m bench methods")
    tensors = read(path, build(fit.method, fit.planes, 1.0, 0).state_dict())
    asked = {noise.name: ExternalWeights(method, _said(path.name), noise.name, digest(tensors)) for noise in noises}
    planned = plan.make(structs.replace(request, weights=tuple(asked.values())), digests)
    cells = [cell for cell in planned.cells if cell.fit.weights]
    if not any(cell.scores for cell in cells):
        raise InputError(f"--method {method}: {cells[0].excluded or 'without clean images there is nothing to score'}")
    for cell in cells:
        if wrong := _unfit(cell.fit, tensors):
            raise InputError(f"--weights {path}: not {method}'s network for {cell.fit.planes} channels: {wrong}")
    for other in filter(None, (record.external for record in store.find(""))):
        mine = asked.get(other.noise)
        if mine is not None and other.name == mine.name and other.digest != mine.digest:
            raise InputError(f"--weights {path}: {store.root} has other weights of this name for {mine.noise}; rename")
    store.open()
    for cell in cells:
        if wrong := store.quarantine(cell.fit):
            note(wrong)
    weights = [_put(store, planned, cell, asked[cell.noise.name], tensors) for cell in cells if cell.scores]
    return plan.make(structs.replace(request, weights=tuple(weights)), planned.digests)


def fitting(fit: Fit, path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file for the network of a fit, and their digest; InputError for another network's."""
    if not fit.method.has_weights():
        raise InputError(f"--method {fit.name}: it has no weights that serve all images; leave out --weights")
    tensors = read(path, build(fit.method, fit.planes, 1.0, 0).state_dict())
    if wrong := _unfit(fit, tensors):
        raise InputError(f"--weights {path}: not {fit.name}'s network for {fit.planes} channels: {wrong}")
    return tensors, digest(tensors)


def _unfit(fit: Fit, tensors: dict[str, Tensor]) -> str:
    """What is missing, not of the fit's network, or of another shape; empty if all fits."""
    expected = build(fit.method, fit.planes, 1.0, 0).state_dict()
    wrong = {
        "missing": [name for name in expected if name not in tensors],
        "not of it": [_said(name) for name in tensors if name not in expected],
        "of another shape or type": [
            f"{name} {_shape(tensors[name])} instead of {_shape(value)}"
            for name, value in expected.items()
            if name in tensors and _shape(tensors[name]) != _shape(value)
        ],
    }
    found = "; ".join(f"{what}: {few(names)}" for what, names in wrong.items() if names)
    return found and f"{found}. Expected its {len(expected)} tensors, named as ours or the authors', and no others"


def _shape(value: Tensor) -> str:
    return str(list(value.shape)) if value.is_floating_point() else f"{list(value.shape)} {value.dtype}"


def _put(store: Store, planned: Plan, cell: Cell, one: ExternalWeights, tensors: dict[str, Tensor]) -> ExternalWeights:
    """Writes weights and record, unless the store has these weights; what it has them as."""
    fit, suite = cell.fit, planned.suite
    record = store.whole(fit)
    if record is not None and record.external and store.weights(record):
        return record.external
    path = store.path(fit, ".safetensors")
    with store.writing():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"key": fit.key, "identity": fit.identity})
    label = {"suite": suite.name, "version": suite.version, "preset": planned.request.label, "method": fit.name}
    label |= {"noise": one.noise, "seed": fit.seed, "knowledge": fit.method.knowledge}
    label["command"] = planned.request.command(fit.name, one.noise)
    result = {
        "parameters": execution.parameters(build(fit.method, fit.planes, 1.0, 0)),
        "weights": hashlib.sha256(path.read_bytes()).hexdigest(),
        "external": to_builtins(one),
    }
    known: dict[str, Any] = {"title": fit.title, "label": label, "identity": fit.identity, "result": result}
    store.write(fit, Record(key=fit.key, kind="fit", state="done", **known))
    return one


def trained(store: Store, words: str) -> tuple[Record, Path]:
    """The one fit that words name, and its weights.

    InputError: words that name no fit or several, weights that are not in the store.
    """
    fits = [record for record in store.find("") if record.kind == "fit"]
    found = [record for record in store.find(words) if record.kind == "fit"]
    if not found:
        raise unknown("fit", words, [record.title for record in fits], f"Store: {store.root}.")
    if len(found) > 1:
        each = few([f"{record.key} ({record.title}, {record.label['preset']})" for record in found])
        raise InputError(f"{words!r} names {len(found)} fits; give the start of a key: {each}")
    weights = store.weights(found[0])
    if weights is None:
        raise InputError(f"{found[0].title}: its weights are not in the store {store.root}")
    return found[0], weights


def export(weights: Path, out: Path) -> None:
    """Writes the weights of a fit under the authors' names, where they have this network; InputError if it cannot."""
    tensors, _ = read_tensors(weights)
    names = official(tensors)
    _write(out, {names[name]: value for name, value in tensors.items()})


def _write(out: Path, tensors: dict[str, Tensor]) -> None:
    if out.suffix == ".pth":
        torch.save(tensors, buffer := BytesIO())
        content = buffer.getvalue()
    else:
        content = safetensors.torch.save(tensors)
    with files.output(out):
        files.write(out, lambda temporary: temporary.write_bytes(content))
