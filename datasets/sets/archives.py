"""Zip files from elsewhere, unpacked without trusting them."""

import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from msgspec import Struct

from ..errors import DamagedError, InputError, one_line

# the last two are zipfile's for an unknown compression and for encryption
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Limits(Struct, frozen=True):
    """What an archive may hold; more of it is taken for an attack."""

    count: int = 200_000  # entries of any kind
    member: int = 2**30  # bytes of one entry
    total: int = 2**36  # bytes of all entries
    ratio: int = 200  # bytes of all entries for each one of the archive


USUAL = Limits()


def extract(archive: Path, folder: Path, limits: Limits = USUAL) -> list[Path]:
    """Unpacks the regular files of an archive, at least one, and returns where they lie.

    DamagedError for what is no archive, InputError for what is unsafe; `folder` may then hold some of the files.
    """
    with _whole(archive), zipfile.ZipFile(archive) as packed:
        members = list(_bounded(archive, packed, limits))
        unpacked = [_unpack(archive, packed, member, folder) for member in members if not member.filename.endswith("/")]
    if not unpacked:
        raise InputError(f"{archive}: expected files in it, found none")
    return unpacked


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        with archive.open("rb") as file:
            start = file.read(16)
        found = f"{archive.stat().st_size} bytes that start with {start!r}"
        raise DamagedError(f"{archive}: expected a whole zip file, found {found} ({one_line(error)})") from None


def _bounded(archive: Path, packed: zipfile.ZipFile, limits: Limits) -> Iterator[zipfile.ZipInfo]:
    """The entries; InputError for too many, or for too large a size announced, beyond which zipfile reads nothing."""
    total, most = 0, min(limits.total, limits.ratio * archive.stat().st_size)
    for count, member in enumerate(packed.infolist(), 1):
        total += member.file_size
        if count > limits.count:
            raise InputError(f"{archive}: expected at most {limits.count} entries, found more")
        if member.file_size > limits.member:
            raise InputError(
                f"{archive}: expected 0..{limits.member} bytes a file, {member.filename!r} has {member.file_size}"
            )
        if total > most:
            raise InputError(f"{archive}: expected at most {most} bytes unpacked, found more")
        if member.header_offset < 0:  # seeking there would be an OSError
            raise zipfile.BadZipFile(f"{member.filename!r} begins before the file")
        yield member


def _unpack(archive: Path, packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    name = member.filename
    path = PureWindowsPath(name)  # splits at / and \ and knows drives: the stricter of the two systems
    if path.drive or path.root or ".." in path.parts or "\0" in name:
        raise InputError(f"{archive}: expected paths inside a folder, {name!r} leads out of it")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):  # 0: not made on Unix
        raise InputError(f"{archive}: expected regular files, {name!r} is a link or a device")
    target = folder.joinpath(*path.parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(member) as source, target.open("xb") as file:  # x: never through a link, never over a file
            shutil.copyfileobj(source, file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{archive}: expected each path once, {name!r} is there already") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a full disk is not the archive's fault
            raise
        raise InputError(f"{archive}: expected names that a disk can hold, {name!r} is too long") from None
    return target
