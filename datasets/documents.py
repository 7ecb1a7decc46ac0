"""JSON and TOML from elsewhere as typed data, or one kind of error: msgspec.DecodeError."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import InputError, one_line

T = TypeVar("T")
LARGEST_TOML, LONGEST_LINE = 2**20, 2000  # bytes; tomllib needs memory in the square of the dots of a key
LARGEST = 2**28  # bytes; the index of a pack of a million images has fewer, and parsing needs some times as many
DEEPEST = 64  # levels of lists and tables, ours have seven; whatever walks them later must not run out of stack


def content(path: Path) -> bytes:
    """The bytes of a text file; InputError, before they are read, for more than LARGEST of them; OSError as `open`."""
    if (size := path.stat().st_size) > LARGEST:
        raise InputError(f"{path}: {size} bytes, expected a text of at most {LARGEST}; is it another file?")
    return path.read_bytes()


def from_json(text: bytes, kind: type[T]) -> T:
    """A JSON text as `kind`; DecodeError."""
    return _typed(msgspec.json.decode, text, kind)


def from_toml(text: bytes, kind: type[T]) -> T:
    """A TOML text as `kind`; DecodeError, a ValidationError if it is TOML, but not `kind`."""
    longest = max(map(len, text.splitlines()), default=0)
    if len(text) > LARGEST_TOML or longest > LONGEST_LINE:
        found = f"{len(text)} bytes, the longest line {longest}"
        raise msgspec.DecodeError(f"{found}; allowed: {LARGEST_TOML:,} bytes in lines of {LONGEST_LINE:,}")
    return _typed(lambda text: tomllib.loads(text.decode()), text, kind)


def _typed(parse: Callable[[bytes], Any], text: bytes, kind: type[T]) -> T:
    try:
        found = parse(text)
        levels = _levels(found)
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and whole numbers of 5000 digits
        raise msgspec.DecodeError(one_line(error)) from None
    if levels > DEEPEST:
        raise msgspec.DecodeError(f"{levels} levels of nesting, expected at most {DEEPEST}")
    return msgspec.convert(found, kind)


def _levels(value: Any) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return 1 + max(map(_levels, value), default=0)
