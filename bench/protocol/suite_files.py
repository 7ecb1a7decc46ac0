"""Suites as files: those that ship with the package, and .toml files of a user."""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ..datasets.documents import content, from_toml
from ..datasets.errors import InputError, unknown
from .scoring import Scoring
from .suites import Budget, Configuration, Preset, Recipe, Row, Suite
from .validation import check_suite


def suites() -> list[str]:
    """The names of the suites that ship with the package."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


@cache
def shared(kind: str) -> dict[str, Any]:
    """The recipes or configurations that every suite may name."""
    text = (resources.files(__package__) / f"{kind}.toml").read_bytes()
    types: dict[str, type[Struct]] = {"recipes": Recipe, "configurations": Configuration}
    named = _with_likes(from_toml(text, dict[str, Any]), kind)
    return {name: msgspec.convert(one, types[kind]) for name, one in named.items()}


def load(name: str) -> Suite:
    """The suite of a name, or of a .toml file; InputError that names the key and the file."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"--suite {name}: no such file")
        return decode(content(path), name)
    if name not in suites():
        raise unknown("suite", name, suites(), "A suite file of your own: --suite FILE.toml.")
    return decode((_folder() / f"{name}.toml").read_bytes(), f"{name}.toml")


@cache
def decode(text: bytes, source: str) -> Suite:
    """The suite of a TOML text, with the shared recipes and configurations; InputError that names the key."""
    try:
        document = from_toml(text, dict[str, Any])
        named = msgspec.structs.asdict(msgspec.convert(document, _Named))
        document |= {kind: _with_likes(named[kind], f"{source}: {kind}") for kind in document.keys() & named.keys()}
        suite = msgspec.convert(document, Suite)
    except msgspec.ValidationError as error:
        raise InputError(f"{source}: {explained(error, _fields_at(str(error)))}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: not a TOML file: {error}") from None
    suite = _with_shared(suite, source)
    check_suite(suite, source)
    return suite


class _Named(Struct):
    """What may be `like` an earlier one of its kind."""

    recipes: dict[str, dict[str, Any]] = {}
    presets: dict[str, dict[str, Any]] = {}


def _with_likes(named: dict[str, dict[str, Any]], place: str) -> dict[str, dict[str, Any]]:
    """Each with the keys that it does not have from the one that it is `like`; InputError for an unknown one."""
    found: dict[str, dict[str, Any]] = {}
    for name, own in named.items():
        like = str(own.pop("like", ""))
        if like and like not in found:
            raise InputError(f"{place}.{name}: like = {like!r}; expected an earlier one: {', '.join(found) or 'none'}")
        found[name] = found.get(like, {}) | own
    return found


def _with_shared(suite: Suite, source: str) -> Suite:
    """The suite with the shared recipes and configurations; InputError for a name that both define."""
    both: dict[str, Any] = {}
    for kind in ("recipes", "configurations"):
        own = getattr(suite, kind)
        for name in own.keys() & shared(kind).keys():
            raise InputError(f"{source}: {kind}.{name} is in bench/protocol/{kind}.toml already; use another name")
        both[kind] = shared(kind) | own
    return msgspec.structs.replace(suite, **both)


def _folder() -> Any:
    return resources.files(__package__) / "suites"


def explained(error: Exception, allowed: Iterable[str]) -> str:
    """What is wrong with a document, in our words where msgspec has its own: an unknown or a missing key."""
    message, _, place = str(error).partition(" - at ")
    where = f" (at {place})" if place else ""
    if match := re.search(r"unknown field `(.+?)`", message):
        return f"{unknown('key', match[1], allowed)}{where}"
    if match := re.search(r"missing required field `(.+?)`", message):
        return f"the key {match[1]!r} is missing{where}"
    return str(error)


def _fields_at(message: str) -> tuple[str, ...]:
    """The keys that are allowed at the place that msgspec's message names."""
    kinds: dict[str, type[Struct]] = {
        "scoring": Scoring, "budgets": Budget, "presets": Preset, "recipes": Recipe, "rows": Row,
        "configurations": Configuration,
    }  # fmt: skip
    where = message.partition(" - at ")[2]
    return next((kind for key, kind in kinds.items() if key in where), Suite).__struct_fields__
