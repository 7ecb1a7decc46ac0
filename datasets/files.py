"""Files that are whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4


def write(path: Path, make: Callable[[Path], object]) -> None:
    """Has `make` write a file under a temporary name, then renames it; after an OSError nothing is left behind."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")  # no two machines have the same
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        make(temporary)
        if temporary.stat().st_mode != mode:  # some libraries write for their user only, whatever the umask says
            temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a name must never be on the disk before what it stands for
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_folder(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a folder beside `path`, then replaces what is there by it; an interruption leaves the old or no folder."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        make(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256(path: Path) -> str:
    """SHA-256 of a stored file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: Path) -> bool:
    """Whether there is a file, as far as this user can see; `Path.is_file` raises for a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether there is a folder, as far as this user can see; `Path.is_dir` raises for a name that is too long."""
    return os.path.isdir(path)  # noqa: PTH112
