"""The protocol as typed data: suites, presets, recipes, rows. Unknown keys and names are errors."""

from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.errors import unknown
from .limits import Limited
from .metrics.registry import DEFAULT
from .scoring import Scoring


class Recipe(Limited, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How every network is trained: optimiser, learning rate over t = step / steps, gain of the initial weights."""

    schedule: Literal["constant", "halving", "cycle"]
    lr: float
    beta2: float
    weight_decay: float
    beta1: float = 0.9
    gain: float = 1.0  # the initial weights are multiplied by it
    warmup: float = 0.3  # share of the steps in which a cycle's rate rises
    # muon moves the kernels of convolutions, muon-hidden those that do not read the noisy image; Adam moves the rest.
    optimiser: Literal["adam", "muon", "muon-hidden"] = "adam"
    kernel_lr: float = 0.02  # Muon's rate; the fields below are Muon's, too
    kernel_decay: float = 0.0  # every step multiplies a kernel by 1 - rate * decay
    momentum: float = 0.9
    max_steps: int = 0  # a longer training takes the recipe named `longer` instead; 0: no limit
    longer: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Its fields in a key; the limit and those of an optimiser that is not used are not in it."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        absent = ["max_steps", "longer"]
        absent += ["optimiser", "kernel_lr", "kernel_decay", "momentum"] if self.optimiser == "adam" else []
        return {name: value for name, value in fields.items() if name not in absent}


View = Literal["plain", "bayer", "bayer-aligned"]  # what a method sees; bayer: four planes, pattern and phase ignored


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the table."""

    label: str
    method: str
    output: str = ""
    optional: bool = False  # shown only where it was run
    tables: tuple[int, ...] = ()  # of the suite's tables; none named: all


class Configuration(Limited, frozen=True, forbid_unknown_fields=True):
    """A registered method with other fields, crop or recipe, under a name of its own."""

    method: str
    fields: dict[str, Any] = {}
    crop_factor: int = 1
    recipe: str = ""
    view: View | None = None


class Budget(Limited, frozen=True, forbid_unknown_fields=True):
    """What a preset gives a method that is too dear, or trains otherwise, than the preset's other rows."""

    steps: int = 0
    batch: int = 0
    recipe: str = ""
    centre_crop: int = 0


class Preset(Limited, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The size of a run."""

    train: str | dict[str, str]  # a set, or a set of its own for every test set
    tests: tuple[str, ...]
    noises: tuple[str, ...] = ()  # where they are not the suite's
    view: View = "plain"
    crop: int
    batch: int
    steps: int
    epochs: int  # virtual ones in short runs
    recipe: str
    train_noise: Literal["fresh", "fixed"] = "fresh"
    centre_crop: int = 0  # side of the centre square of each test image that is denoised and scored; 0: the whole image
    padding: Literal["square", "next"] = "next"  # to the method's multiple: a square, or each side
    repeats: dict[str, int] = {}  # noise draws per image, 1 where a set is not named
    seeds: tuple[int, ...] = (0,)
    scoring: Scoring = Scoring()
    fields: dict[str, dict[str, Any]] = {}  # method -> fields of its configuration
    budgets: dict[str, Budget] = {}  # method or configuration -> other steps, batch, recipe, centre_crop


class Suite(Limited, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One experiment of the paper, and the tables that show it."""

    name: str
    version: int
    title: str
    tables: dict[str, str] = {}  # number in the paper -> what it shows
    across: Literal["tests", "noises"] = "tests"  # what a table's columns are
    metrics: tuple[str, ...] = DEFAULT  # in the order of the table
    primary: str = DEFAULT[0]  # what rows are compared by
    diverged: Literal["", "below noisy"] = ""  # also a result that is worse than the noisy input
    channels: int
    noises: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    configurations: dict[str, Configuration] = {}
    overrides: dict[str, dict[str, dict[str, Any]]] = {}  # noise, or pattern of noises -> method -> fields
    recipes: dict[str, Recipe] = {}
    presets: dict[str, Preset]


def fields(suite: Suite, preset: Preset, noise: str, method: str) -> dict[str, Any]:
    """The fields that a preset gives a method, changed by the overrides whose pattern matches the noise."""
    given = dict(preset.fields.get(method, {}))
    for pattern, override in suite.overrides.items():
        if fnmatchcase(noise, pattern):
            given |= override.get(method, {})
    return given


def merged(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The fields with these changes; of a nested field, such as the network, only what is named changes."""
    found = dict(fields)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if nested else value
    return found


def training_sets(preset: Preset) -> tuple[str, ...]:
    """The sets that a preset trains on, in the order of its test sets."""
    if isinstance(preset.train, str):
        return (preset.train,)
    return tuple(dict.fromkeys(preset.train.values()))


def preset(suite: Suite, name: str) -> Preset:
    """A preset of a suite; InputError with the nearest name."""
    if name not in suite.presets:
        raise unknown("preset", name, suite.presets, f"These are the presets of suite {suite.name!r}.")
    return suite.presets[name]
