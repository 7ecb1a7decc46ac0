"""Writes files and folders that are either whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from .errors import InputError


def write(path: Path, make: Callable[[Path], object]) -> None:
    """Lets `make` write a file under a temporary name, then renames it; an error leaves nothing behind."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")  # no two machines have the same
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        make(temporary)
        if temporary.stat().st_mode != mode:  # some libraries write for their user only, whatever the umask says
            temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the content must be on the disk before the name
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_folder(path: Path, make: Callable[[Path], object]) -> None:
    """Lets `make` make a folder, then moves it to `path`; an interruption leaves the old folder or none."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        make(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def output(place: Path, named: str = "--out") -> Iterator[None]:
    """InputError for what the system refuses to write to a place that a user gave as `named`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {place}: {error.strerror or error}; give another {named}") from None


def sha256(path: Path) -> str:
    """SHA-256 of a stored file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolved(path: Path) -> Path:
    """The absolute path behind all links; no error, unlike that of `Path.resolve`, for a link that leads to itself."""
    return Path(os.path.realpath(path))


def is_file(path: Path) -> bool:
    """Whether this user can see such a file; False, unlike `Path.is_file`, for a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether this user can see such a folder; False, unlike `Path.is_dir`, for a name that is too long."""
    return os.path.isdir(path)  # noqa: PTH112
