"""What looks after image sets: list, show, fetch, verify, prepare."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..datasets.errors import InputError, unknown
from ..datasets.formats.pack import Pack
from ..datasets.sets import overview
from ..datasets.sets.catalogue import catalogue, data_root
from ..runner.display import Lines
from .options import PathLike, path_of


def data_list(*, data: PathLike | None = None) -> pd.DataFrame:
    """Every image set with what is found of it in the data folder."""
    return overview.listed(_to_read(data))


def data_show(name: str, *, data: PathLike | None = None) -> pd.DataFrame:
    """What a set is, where it comes from, its licence, where it lies and how to get it."""
    folder = _to_read(data)
    return overview.shown(_known([name])[0], folder)


def data_fetch(names: Sequence[str], mirrors: Sequence[str] = (), *, data: PathLike | None = None) -> pd.DataFrame:
    """Downloads what is missing of each set; the column `result` says `failed` where that was not possible."""
    return overview.fetched(_known(names), _to_write(data), mirrors, Lines())


def data_verify(names: Sequence[str], *, data: PathLike | None = None) -> tuple[pd.DataFrame, bool]:
    """What is wrong with each set, and which images of two sets show one photograph; whether all is right."""
    folder = _to_read(data)
    return overview.verified(_known(names), folder, Lines())


def data_prepare(name: str, source: PathLike, *, data: PathLike | None = None) -> Pack:
    """Selects, checks and packs a set that is too large to decode at every use."""
    folder = _to_write(data)
    return overview.prepared(_known([name])[0], Path(source), folder, Lines())


def _known(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in catalogue():
            raise unknown("image set", name, catalogue())
    if not names:
        raise InputError("data: name one or more image sets (python -m bench data list)")
    return names


def _to_read(data: PathLike | None) -> Path | None:
    folder = path_of(data)
    if folder and not folder.is_dir():
        raise InputError(f"--data {folder}: no such folder")
    return folder


def _to_write(data: PathLike | None) -> Path:
    folder = path_of(data) or data_root(None)
    if folder is None:
        raise InputError("where to? give --data DIR, or set BENCH_DATA")
    return folder
