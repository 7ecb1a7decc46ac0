"""What the functions of this package are given: requests, and what computes them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from msgspec import structs

from ..compute.machine import Machine, choose
from ..datasets import files
from ..datasets.errors import InputError, unknown
from ..datasets.own.collection import Channels
from ..datasets.sets.own_folder import absolute
from ..methods import plugins, registry
from ..protocol import plan, suite_files
from ..protocol.request import Request
from ..protocol.settings import canonical
from ..report.published import suite_of, with_tables
from ..runner.engines import cores
from ..store.store import Store, default, existing

PathLike = str | os.PathLike[str]


class Asked(TypedDict, total=False):
    """What is asked for besides methods, suite and preset; what is left out is as in the preset."""

    noises: Sequence[str]  # such as gauss25
    train: str  # a training set, or folder:PATH
    tests: Sequence[str]  # test sets
    seeds: Sequence[int]
    steps: int
    crop: int  # side of training crops [pixels]
    skip_unusable: bool  # goes on without unreadable or too small images of a folder
    net: str  # a registered network, for every method that accepts one
    repeats: int  # noise draws per test image
    settings: Sequence[str]  # rows for other values of fields, such as b2u.lambda_f=2,40
    tested: Sequence[str]  # noises that a method was not trained for


class Computed(TypedDict, total=False):
    """What computes, on which images, into which store; by default this machine's best device and `results/runs`."""

    data: PathLike | None  # the folder of image sets
    store: PathLike | None
    device: str  # auto, cpu, cuda, cuda:N
    precision: str  # auto, bf16, float32
    threads: int
    compile: bool | None
    deterministic: bool
    plugins: Sequence[PathLike]
    quiet: bool  # shows no progress


class Options(Asked, Computed, total=False):
    """What is asked for, and what computes it."""


class RunOptions(Options, total=False):
    """What a run can be given."""

    force: bool  # computes again what is done
    jobs: int  # workers
    engine: str  # what starts them: local, dask, slurm
    scheduler: str  # the address of Dask's
    slurm: Mapping[str, int | str]  # parameters of submitit


class Images(TypedDict, total=False):
    """How files of images are understood."""

    axes: str  # letters of TZCYXS, for arrays with as many axes
    value_range: tuple[float, float] | None  # the values that stand for 0 and 1
    channels: Channels
    recursive: bool  # sub-folders, too


def images_of(options: Mapping[str, Any]) -> Images:
    """The options of a command that say how files of images are understood."""
    return {name: options[name] for name in Images.__annotations__ if name in options}  # type: ignore[return-value]


def request(suite: str, methods: Sequence[str], preset: str = "mini", **asked: Unpack[Asked]) -> Request:
    """What is asked of one suite; the paths of its file and of folders mean the same from everywhere."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
    values["settings"] = canonical(tuple(asked.get("settings", ())))
    values["train"], values["tests"] = absolute(asked.get("train", "")), tuple(map(absolute, asked.get("tests", ())))
    name = str(Path(suite).resolve()) if suite.endswith(".toml") else suite
    return Request(suite=name, preset=preset, methods=tuple(methods), **values)  # type: ignore[arg-type]


def requests(methods: Sequence[str], suite: str, preset: str, **asked: Unpack[Asked]) -> list[Request]:
    """What is asked of each suite, with those of the methods that it can run; InputError for an unknown one."""
    if isinstance(methods, str):
        raise InputError(f"methods = {methods!r}: expected a list of names, such as [{methods!r}]")
    if not methods and not asked.get("settings"):
        raise InputError("--methods A,B is missing; python -m bench methods lists them")
    names = with_tables() if suite == "all" else [suite]
    known = {name: plan.methods_of(suite_files.load(name)) for name in names}
    everywhere = ["all", *dict.fromkeys(one for inside in known.values() for one in inside)]
    for method in methods:
        if method not in everywhere:
            raise registry.unknown_method(method, everywhere)
    found = [request(name, _chosen(methods, name, known[name]), preset, **asked) for name in names]
    if suite != "all":
        return found
    found = [structs.replace(one, settings=_settings(one, known[one.suite])) for one in found]
    return [one for one in found if one.methods or one.settings]  # those that have something to do


def _chosen(methods: Sequence[str], suite: str, known: Sequence[str]) -> list[str]:
    """Those of the methods that a suite can run; `all` are its rows."""
    rows = [row.method for row in suite_files.load(suite).rows if not row.optional]
    asked = dict.fromkeys(name for method in methods for name in (rows if method == "all" else [method]))
    return [name for name in asked if name in known]


def _settings(asked: Request, known: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in asked.settings if text.partition(".")[0] in known)


def table_requests(store: Store, suite: str, preset: str, table: int | None, **asked: Unpack[Asked]) -> list[Request]:
    """What is asked of each suite; if none is named, of those that the store has records of."""
    if table is not None:
        suites = [suite_of(table) if suite in ("", "all") else suite]
        if str(table) not in (known := suite_files.load(suites[0]).tables):
            raise unknown(f"table of suite {suites[0]}", str(table), known)
    elif suite not in ("", "all"):
        suites = [suite]
    elif suite == "all":
        suites = with_tables()
    else:
        suites = _recorded(store) or ["synthetic"]
    return [request(name, (), preset or "mini", **asked) for name in suites]


def _recorded(store: Store) -> list[str]:
    """The suites that a store has records of: the paper's, our other ones, then files that are still there."""
    last = store.last.known().requests.keys()
    recorded = {record.label["suite"] for record in store.find("")} | last
    files = (name for name in last if name.endswith(".toml") and Path(name).is_file())
    return [name for name in dict.fromkeys([*with_tables(), *suite_files.suites(), *files]) if name in recorded]


def load_plugins(paths: Sequence[PathLike]) -> None:
    """Registers installed plug-ins and what these files register."""
    plugins.load_entry_points()
    for path in paths:
        plugins.load(Path(path))


def asked_in(options: Options) -> Asked:
    """The part of the options that says what is asked for; InputError for an option that there is not."""
    for name in options:
        if name not in RunOptions.__annotations__:
            raise unknown("option", name, RunOptions.__annotations__)
    return {name: value for name, value in options.items() if name in Asked.__annotations__}  # type: ignore[return-value]


def path_of(path: PathLike | None) -> Path | None:
    """A path as such."""
    return None if path is None else Path(path)


def check_folder(out: Path) -> None:
    """InputError for a place of outputs that is something else than a folder, such as a file or a link to nowhere."""
    if os.path.lexists(out) and not files.is_folder(out):
        raise InputError(f"--out {out}: not a folder; expected a folder, which is made if it is not there")


def store_of(path: PathLike | None, must_exist: bool = True) -> Store:
    """The store of a folder, by default this machine's; InputError if one was named that must exist and does not."""
    return existing(path_of(path)) if must_exist else Store(path_of(path) or default())


def machine_of(options: Computed, jobs: int = 1) -> tuple[Machine, list[str]]:
    """The machine of this process, or of each of several; and a line for each thing that it cannot do."""
    threads = options.get("threads", 0) or (max(1, cores() // jobs) if jobs > 1 else 0)
    names = ("device", "precision", "compile", "deterministic")
    known = {name: options[name] for name in names if name in options}  # type: ignore[literal-required]
    return choose(threads=threads, **known)
