"""Zip and tar files from elsewhere, unpacked without trusting them."""

import errno
import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO, NamedTuple

from msgspec import Struct

from ..errors import DamagedError, InputError, one_line

# the last two are zipfile's for an unknown compression and for encryption
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
ONE_READ = 2**24  # bytes


class Limits(Struct, frozen=True):
    """What an archive of images may hold; more of it is taken for an attack."""

    count: int = 200_000  # entries of any kind
    member: int = 2**30  # bytes of one entry
    total: int = 2**36  # bytes of all entries, wanted or not
    ratio: int = 200  # bytes of all entries for each one of the archive; photographs hardly compress


class Member(NamedTuple):
    """One entry of an archive."""

    name: str
    size: int  # bytes, as announced; the readers of both formats stop there
    folder: bool
    regular: bool
    open: Callable[[], IO[bytes] | None]


USUAL = Limits()


def extract(archive: Path, folder: Path, members: str, limits: Limits = USUAL) -> list[Path]:
    """Unpacks the regular files whose path matches `members` (`*` spans folders) and returns where they lie.

    DamagedError for what is no archive, InputError for what is unsafe; `folder` may then hold some of the files.
    """
    with _whole(archive):
        wanted = (member for member in _bounded(archive, limits) if fnmatchcase(member.name, members))
        unpacked = [_unpack(archive, member, folder) for member in wanted if not member.folder]
    if not unpacked:
        raise InputError(f"{archive}: expected files like {members!r} in it, found none")
    return unpacked


def inspect(archive: Path, limits: Limits = USUAL) -> None:
    """InputError unless a file is a zip or tar file that can be listed to its end and keeps within the limits."""
    with _whole(archive):
        for _ in _bounded(archive, limits):
            pass


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        found = f"{archive.stat().st_size} bytes that start with {_start(archive)!r}"
        raise DamagedError(f"{archive}: expected a whole zip or tar file, found {found} ({one_line(error)})") from None


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _bounded(archive: Path, limits: Limits) -> Iterator[Member]:
    total, most = 0, min(limits.total, limits.ratio * archive.stat().st_size)
    for count, member in enumerate(_members(archive), 1):
        total += member.size
        if count > limits.count:
            raise InputError(f"{archive}: expected at most {limits.count} entries, found more")
        if not 0 <= member.size <= limits.member:
            raise InputError(f"{archive}: expected 0..{limits.member} bytes a file, {member.name!r} has {member.size}")
        if total > most:
            raise InputError(f"{archive}: expected at most {most} bytes unpacked, found more")
        yield member


def _members(archive: Path) -> Iterator[Member]:
    if _start(archive).startswith(b"PK"):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if info.header_offset < 0:  # seeking there would be an OSError
                    raise zipfile.BadZipFile(f"{info.filename!r} begins before the file")
                regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)  # 0: not made on Unix
                yield Member(
                    info.filename, info.file_size, info.filename.endswith("/"), regular, partial(packed.open, info)
                )
    else:
        with _tar(archive) as tar:
            for entry in tar:
                yield Member(entry.name, entry.size, entry.isdir(), entry.isreg(), partial(tar.extractfile, entry))


@contextmanager
def _tar(archive: Path) -> Iterator[tarfile.TarFile]:
    zipped = _start(archive).startswith(b"\x1f\x8b")
    with _Careful(archive) if zipped else archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        yield tar


class _Careful(gzip.GzipFile):
    """A gzip file that is never read in one piece: a name announced in a tar file may be of any length."""

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; InputError if they are too many."""
        if size is None or not 0 <= size <= ONE_READ:
            raise InputError(f"{self.name}: expected names of files, found one of {size} bytes")
        return super().read(size)


def _unpack(archive: Path, member: Member, folder: Path) -> Path:
    path = PureWindowsPath(member.name)  # splits at / and \ and knows drives: the stricter of the two systems
    if path.drive or path.root or ".." in path.parts or "\0" in member.name:
        raise InputError(f"{archive}: expected paths inside a folder, {member.name!r} leads out of it")
    source = member.open() if member.regular else None
    if source is None:
        raise InputError(f"{archive}: expected regular files, {member.name!r} is a link or a device")
    target = folder.joinpath(*path.parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("xb") as file:  # x: never through a link, never over a file
            shutil.copyfileobj(source, file)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{archive}: expected each path once, {member.name!r} is there already") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a full disk is not the archive's fault
            raise
        raise InputError(f"{archive}: expected names that a disk can hold, {member.name!r} is too long") from None
    return target
