"""What looks after a store: export, merge, verify, what can be removed, weights for elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from ..apply import network_files
from ..apply.network_files import Checked
from ..datasets.errors import InputError, unknown
from ..runner import external_weights, verification
from ..runner.display import Display
from ..runner.execution import Sets
from ..runner.verification import Verification
from ..store import clean, exchange
from ..store.clean import Found
from ..store.exchange import Merged
from .options import Computed, PathLike, load_plugins, machine_of, path_of, store_of


def export(
    file: PathLike, words: str = "", weights: bool = False, *, store: PathLike | None = None
) -> tuple[int, list[str]]:
    """Writes records, and weights if asked, as one zip file; how many, and which could not be read."""
    return exchange.export(store_of(store), Path(file), words, weights)


def merge(source: PathLike, *, store: PathLike | None = None) -> Merged:
    """Takes what a file of `export` or another store has and this store has not."""
    return exchange.merge(Path(source), store_of(store, must_exist=False))


def verify(words: str = "", **options: Unpack[Computed]) -> list[Verification]:
    """Scores again what is stored; how far the numbers of today are from the records. InputError for unknown words."""
    load_plugins(options.get("plugins", ()))
    machine, _ = machine_of(options)  # nothing is trained
    machine.apply()
    store, found = store_of(options.get("store")), list[Verification]()
    with Display(options.get("quiet", False)) as display:
        for one in verification.verify(store, words, machine, Sets(path_of(options.get("data")))):
            display.work_begins()
            display.note(f"{one.title}: {one}")
            found.append(one)
        if not found:
            titles = [record.title for record in store.find("") if record.kind == "score"]
            raise unknown("score", words, titles, f"Store: {store.root}.")
    return found


def removable(kinds: Sequence[str] = (), *, store: PathLike | None = None) -> list[tuple[str, Found]]:
    """The files that a store can do without, by kind; all kinds if none is named."""
    place = store_of(store)
    for kind in kinds:
        if kind not in clean.KINDS:
            raise unknown("kind of file", kind, clean.KINDS)
    return [(kind, one) for kind in clean.KINDS if kind in kinds or not kinds for one in clean.find(place, kind)]


def remove(found: Sequence[Found], *, store: PathLike | None = None) -> list[Path]:
    """Removes files that are still as they were listed and whose unit nobody works on; the files that stayed."""
    return clean.remove(store_of(store), found)


class Exported(NamedTuple):
    """What was written, and how it was checked; no file is there if the check failed."""

    title: str  # of the training
    checked: Checked | None  # None for weights alone


def export_weights(cell: str, out: PathLike, *, store: PathLike | None = None) -> Exported:
    """Writes one training as weights (.safetensors, .pth), as ONNX (.onnx) or as a model of bioimage.io (.zip)."""
    path, place = Path(out), store_of(store, must_exist=False)
    if path.suffix not in (*external_weights.SUFFIXES, *network_files.SUFFIXES):
        allowed = ", ".join((*external_weights.SUFFIXES, *network_files.SUFFIXES))
        raise InputError(f"--out {path}: expected a name that ends in one of {allowed}")
    record, weights = external_weights.trained(place, cell)
    if path.suffix in external_weights.SUFFIXES:
        external_weights.export(weights, path)
        return Exported(record.title, None)
    machine, _ = machine_of({"device": "cpu", "precision": "float32"})
    machine.apply()
    return Exported(record.title, network_files.write(place, record, weights, path, machine))
