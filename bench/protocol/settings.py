"""Ablations: the setting `b2u.lambda_f=2` of a request is b2u with one other field, in a row of its own."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, structs

from ..datasets.errors import InputError
from .suites import Configuration, Suite, merged

_FORM = re.compile(r"([\w-]+)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*){0,4})=(.+)", re.ASCII)
_WORD = re.compile(r"[\w./:-]+", re.ASCII)  # no comma and no plus, which separate values
LONGEST = 200  # characters


class Setting(Struct, frozen=True):
    """A method, or a configuration, with another value of one field."""

    method: str
    field: str  # such as lambda_f, or net.width
    value: bool | int | float | str

    def __str__(self) -> str:
        """Such as `b2u.lambda_f=2`; equal values have equal texts."""
        return f"{self.method}.{self.field}={_text(self.value)}"

    @property
    def name(self) -> str:
        """What its configuration and its row are called, such as `b2u, lambda_f=2`."""
        return f"{self.method}, {self.field}={_text(self.value)}"

    def fields(self) -> dict[str, Any]:
        """The fields that it changes."""
        value: Any = self.value
        for name in reversed(self.field.split(".")):
            value = {name: value}
        return dict(value)


def parse(text: str) -> list[Setting]:
    """The settings of `METHOD.FIELD=V1,V2`, one for each value; InputError for another form."""
    match = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise InputError(f"--set {text}: expected METHOD.FIELD=V1,V2, such as b2u.lambda_f=2,40 or b2u.net.width=8")
    return [Setting(match[1], match[2], _value(text, value.strip())) for value in match[3].split(",")]


def parse_all(texts: Iterable[str]) -> list[Setting]:
    """Every setting of these texts once."""
    return list({str(setting): setting for text in texts for setting in parse(text)}.values())


def canonical(texts: Iterable[str]) -> tuple[str, ...]:
    """Every setting of these texts once, as a text with a single value."""
    return tuple(map(str, parse_all(texts)))


def with_settings(suite: Suite, settings: Iterable[Setting]) -> Suite:
    """The suite with a configuration for each setting, with the budgets of the method that it changes."""
    configurations, presets = dict(suite.configurations), dict(suite.presets)
    for one in settings:
        base = suite.configurations.get(one.method) or Configuration(method=one.method)
        configurations[one.name] = structs.replace(base, fields=merged(base.fields, one.fields()))
        for name, preset in presets.items():
            if one.method in preset.budgets:
                budgets = preset.budgets | {one.name: preset.budgets[one.method]}
                presets[name] = structs.replace(preset, budgets=budgets)
    return structs.replace(suite, configurations=configurations, presets=presets)


def _value(text: str, value: str) -> bool | int | float | str:
    """A JSON scalar, or a word without quotes."""
    try:
        found: object = msgspec.json.decode(value)
    except msgspec.DecodeError:
        found = value
    if isinstance(found, bool | int | float) or (isinstance(found, str) and _WORD.fullmatch(found)):
        return found
    raise InputError(f"--set {text}: the value {value!r}; allowed: a number, true, false, or one word")


def _text(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return value
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return msgspec.json.encode(int(value) if whole else value).decode()
