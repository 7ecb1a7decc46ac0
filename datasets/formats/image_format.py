"""Image formats by the suffix of a file's name: each is one class that registers itself."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, one_line
from ..registry import Registry

Stored = NDArray[Any]  # [H, W, 1 or 3], uint8 in 0..255 or float32 in 0..1


AXES = "TZCYXS"  # time, depth, channel, row, column, sample (of a colour)
TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


class ImageFile(NamedTuple):
    """Everything that a file holds, as it is stored."""

    array: NDArray[Any]  # integers or floats of any size, memory-mapped where the file allows it
    axes: str  # a letter of TZCYXS for each axis of the array; "" where the file does not say
    alpha: bool = False  # whether the last sample of axis S is opacity
    notes: tuple[str, ...] = ()  # what else is in the file and neither denoised nor written
    micrometres: Mapping[str, float] = MappingProxyType({})  # size of a pixel by axis, if no metadata can be copied


class ImageFormat:
    """How images are stored in one kind of file. A method may raise anything for a file that it cannot read."""

    suffixes: ClassVar[tuple[str, ...]]  # of file names, such as ".png"
    writes: ClassVar[tuple[str, ...]] = ()  # the types of values that `write` can store, such as "uint8"
    as_folder: ClassVar[bool] = False  # whether an image is stored as a folder

    def read(self, path: Path) -> Stored:
        """The pixels [H, W, 1 or 3] exactly as stored, uint8 in 0..255 or float32 in 0..1; InputError for others."""
        raise InputError(f"{path}: expected 8-bit gray or RGB")

    def open(self, path: Path) -> ImageFile:
        """Everything in the file as it is stored; a format of other types or axes has this instead of `read`."""
        return ImageFile(self.read(path), "YXS")

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height); a format that knows them from the header alone overrides this."""
        file = self.open(path)
        sides = dict(zip(file.axes, file.array.shape, strict=True))
        return sides["X"], sides["Y"]

    def write(self, path: Path, file: ImageFile, like: Path) -> None:
        """Writes an array, with those metadata of the file `like` that are still true."""
        raise InputError(f"{path}: files of this kind cannot be written, use .tif")


FORMATS: Registry[ImageFormat] = Registry("image format", __package__)  # by suffix
Format = TypeVar("Format", bound=type[ImageFormat])


def register_format(cls: Format) -> Format:
    """Makes a format known by its suffixes; InputError if it is no format, or if a suffix is taken."""
    made: object = cls()
    if not isinstance(made, ImageFormat) or not getattr(made, "suffixes", ()):
        raise InputError(f"{cls!r} is not a subclass of bench.ImageFormat with `suffixes`")
    for suffix in cls.suffixes:
        FORMATS.add(suffix.lower(), made, cls)
    return cls


def formats() -> dict[str, ImageFormat]:
    """All formats by suffix."""
    return FORMATS.all()


def read(path: Path) -> Stored:
    """The stored pixels [H, W, 1 or 3], uint8 or float32; InputError naming a file that cannot be used."""
    with readable(path):
        pixels = format_of(path).read(path)
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype not in (np.uint8, np.float32):
            raise InputError(f"{path}: {pixels.dtype} {pixels.shape}; expected uint8 or float32 [H, W, 1 or 3]")
        if not pixels.size or not np.isfinite(pixels).all():
            raise InputError(f"{path}: no pixels, or some that are not finite")
    return pixels


def size(path: Path) -> tuple[int, int]:
    """(width, height), from the file's header alone where the format allows it; InputError as `read`."""
    image_format = format_of(path)
    with readable(path, image_format.as_folder):
        return image_format.size(path)


def opened(path: Path) -> ImageFile:
    """Everything in a file as it is stored; InputError naming a file that cannot be used."""
    image_format = format_of(path)
    with readable(path, image_format.as_folder):
        file = image_format.open(path)
        kind = file.array.dtype
        if kind.kind not in "iuf":
            raise InputError(f"{path}: values of type {kind}; expected integers or real numbers")
        if not file.array.size:
            raise InputError(f"{path}: no pixels")
    return file


def digest(pixels: Stored) -> str:
    """SHA-256 of the pixels, row-major, channels last (the shape is kept beside it)."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@contextmanager
def readable(path: Path, folder: bool = False) -> Iterator[None]:
    """Turns any error while a file is read into an InputError that names it; refuses pipes and devices."""
    try:
        found = path.stat()
        if not (stat.S_ISDIR if folder else stat.S_ISREG)(found.st_mode):  # to open a named pipe would wait for ever
            other = "file" if folder else "folder"
            raise InputError(f"{path}: not a readable image, but a {other}, a pipe or a device")
        if found.st_size == 0 and not folder:
            raise InputError(f"{path}: an empty file")
        yield
    except InputError:
        raise
    except FileNotFoundError:
        link = f", the link leads to {path.readlink()}" if path.is_symlink() else ""
        raise InputError(f"{path}: no such file{link}") from None
    except OSError as error:
        raise InputError(f"{path}: not a readable image ({error.strerror or one_line(error)})") from None
    except Exception as error:  # decoders raise anything when a file is damaged
        raise InputError(f"{path}: not a readable image ({one_line(error)})") from None


def format_of(path: Path) -> ImageFormat:
    """The format of a file name; InputError where there is none."""
    found = formats().get(path.suffix.lower())
    if found is None:
        if not os.path.lexists(path):
            raise InputError(f"{path}: no such file or folder")
        raise InputError(f"{path}: expected a file name that ends in one of {', '.join(sorted(formats()))}")
    return found


def listing(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem, sorted; InputError if two files share a stem, or the folder cannot be read."""
    known, found = formats(), dict[str, Path]()
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder}: no such folder") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    for path in paths:
        if path.suffix.lower() in known and not path.name.startswith("."):
            stem = _printable(path.stem)
            if stem in found:
                raise InputError(f"{path}: the same image name as {found[stem].name}; keep one of them")
            found[stem] = path
    return found


def _printable(name: str) -> str:
    """The name, with bytes that are not valid UTF-8 as escapes, so that a record can hold it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
