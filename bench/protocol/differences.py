"""Two identities compared ingredient by ingredient, in words."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

WORDS = {
    "fit": "its fit",
    "train": "training images",
    "test": "test images",
    "train_noise": "training noise",
    "source": "source of the plug-in",
    "noise_source": "source of the plug-in's noise",
}
PARTS = {"revision": ("of the method", "of the harness")}
LONGEST = 32  # characters of a value
NOTHING = "none"


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What an identity says instead of another, such as `steps 300 instead of 600`; empty if they are equal."""
    one, other = (dict(_flat(identity)) for identity in (found, expected))
    names = [name for name in {**other, **one} if one.get(name) != other.get(name)]
    return [f"{name} {_short(one.get(name))} instead of {_short(other.get(name))}" for name in names]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every plain value as JSON, under a name that says where it stands."""
    if isinstance(value, list):
        parts = PARTS.get(name, ())
        value = {(parts[i] if i < len(parts) else f"{i + 1}"): inner for i, inner in enumerate(value)}
    if not isinstance(value, dict):
        yield name, msgspec.json.encode(value).decode()
        return
    for key, inner in value.items():
        space = " " if name in PARTS else "."
        yield from _flat(inner, f"{name}{space}{key}" if name else str(WORDS.get(key, key)))


def _short(value: str | None) -> str:
    if value is None:
        return NOTHING
    text = value.strip('"')
    if re.fullmatch("[0-9a-f]{24,}", text):  # a digest
        return f"{text[:8]}.."
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}.."
