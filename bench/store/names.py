"""Names of a unit's files: a person can read them, and the first digits of the key at their end decide."""

import re
from pathlib import Path
from typing import Literal

from ..datasets.sets.own_folder import names_folder
from ..protocol.units import Fit, Unit
from .record import Record

LONGEST = 100  # characters of a name before its digits; file systems take 255 bytes
DIGITS = 8  # of the key
Kind = Literal["fit", "score"]


def kind(unit: Unit | Record) -> Kind:
    """The kind of a unit or record."""
    if isinstance(unit, Record):
        return unit.kind
    return "fit" if isinstance(unit, Fit) else "score"


def stem(unit: Unit | Record) -> str:
    """The path of a unit's files in a store, without their suffix: such as `scores/b2u/gauss25/kodak-6d6893e3`."""
    method, noise, parts = _facts(unit)
    name = "-".join(safe(part) for part in parts if part)[:LONGEST]
    return f"{kind(unit)}s/{safe(method)}/{safe(noise)}/{name}-{unit.key[:DIGITS]}"


def _facts(unit: Unit | Record) -> tuple[str, str, list[str]]:
    """The method, the noise that it is for, and what tells its units apart: from a unit, or from its record's label."""
    if isinstance(unit, Record):
        label, met = {"seed": 0, "noise": "", "train": "", "test": ""} | unit.label, unit.identity.get("noise")
        method, noise, seed, train, test = (label[name] for name in ("method", "noise", "seed", "train", "test"))
    else:
        fit = unit if isinstance(unit, Fit) else unit.fit
        method, noise, seed, train = fit.name, fit.noise.name, fit.seed, fit.train
        test, met = ("", noise) if isinstance(unit, Fit) else (unit.test, unit.noise.name)
    if kind(unit) == "fit":
        return str(method), str(noise), [f"seed{seed}", _last(train)]
    return str(method), str(noise), [_last(test), str(met) if met != noise else "", f"seed{seed}" if seed else ""]


def _last(image_set: object) -> str:
    """The name of an image set, of a folder the last part of its path."""
    name = str(image_set)
    return Path(name).name if names_folder(name) else name


def safe(name: str) -> str:
    """A name of letters, digits and ._+- that no file system objects to."""
    return re.sub("[^A-Za-z0-9._+-]+", "-", name)[:LONGEST].strip("-.") or "unnamed"
