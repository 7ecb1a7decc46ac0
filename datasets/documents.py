"""Reads JSON and TOML that others wrote as typed data; whatever is wrong raises msgspec.DecodeError."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import InputError, one_line

T = TypeVar("T")
LARGEST_TOML, LONGEST_LINE = 2**20, 2000  # bytes; the memory of tomllib grows with the square of the dots of a key
LARGEST = 2**28  # bytes, more than the index of a million packed images has; parsing needs a few times as much memory
DEEPEST = 64  # levels of lists and tables, of which ours have seven; many more would exhaust the stack


def content(path: Path) -> bytes:
    """The bytes of a text file; InputError for more than LARGEST bytes, OSError if it cannot be opened."""
    if (size := path.stat().st_size) > LARGEST:
        raise InputError(f"{path}: {size} bytes, expected a text of at most {LARGEST}; is it another file?")
    return path.read_bytes()


def from_json(text: bytes, kind: type[T]) -> T:
    """A JSON text as `kind`; DecodeError for any other text."""
    return _typed(msgspec.json.decode, text, kind)


def from_toml(text: bytes, kind: type[T]) -> T:
    """A TOML text as `kind`; DecodeError for any other text, a ValidationError if it is TOML."""
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
