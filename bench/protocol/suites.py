"""The protocol as typed data: suites, presets, recipes, rows. Unknown keys and names are errors."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.documents import content, from_toml
from ..datasets.errors import InputError, unknown
from ..datasets.noise.model import parse
from ..datasets.sets.catalogue import catalogue
from ..methods import registry


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How every network is trained: Adam, a learning-rate shape over t = step / steps, the initial weights' gain."""

    schedule: Literal["constant", "halving", "cycle"]
    lr: float
    beta2: float
    weight_decay: float
    beta1: float = 0.9
    gain: float = 1.0  # the initial weights are multiplied by it
    warmup: float = 0.3  # share of the steps in which a cycle's rate rises


class Scoring(Struct, frozen=True, forbid_unknown_fields=True):
    """How an output becomes a number; the default is the official sRGB evaluation."""

    quantise: Literal["uint8", "float"] = "uint8"
    data_range: float = 255.0
    colour: Literal["rgb", "luma"] = "rgb"  # luma: Y of BT.601 in 16..235, not rounded again
    window: Literal["gauss11", "uniform7"] = "gauss11"  # of SSIM; uniform7: scikit-image's defaults
    noisy: Literal["drawn", "8bit"] = "drawn"  # 8bit: what is denoised was clipped and rounded, as a stored image is

    def __post_init__(self) -> None:
        """InputError for a pair of units that do not fit."""
        if self.quantise == "uint8" and self.data_range != 255.0:
            raise InputError(f"scoring: data_range {self.data_range:g} with quantise uint8; allowed: 255")

    @property
    def identity(self) -> dict[str, Any]:
        """What determines a score; what the official evaluations agree on is left out."""
        known = msgspec.to_builtins(self)
        return {n: v for n, v in known.items() if n in ("quantise", "data_range") or v != getattr(Scoring(), n)}


View = Literal["plain", "bayer", "bayer-aligned"]  # what a method sees; bayer: four planes, pattern and phase ignored


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the table."""

    label: str
    method: str
    output: str = ""
    optional: bool = False  # shown only where it was run
    tables: tuple[int, ...] = ()  # of the suite's tables; none named: all


class Configuration(Struct, frozen=True, forbid_unknown_fields=True):
    """A registered method with other fields, crop or recipe, under a name of its own."""

    method: str
    fields: dict[str, Any] = {}
    crop_factor: int = 1
    recipe: str = ""
    view: View | None = None


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """What a preset gives a method that is too dear, or trains otherwise, than the preset's other rows."""

    steps: int = 0
    batch: int = 0
    recipe: str = ""
    centre_crop: int = 0  # side of the centre square of each test image that is denoised and scored; 0: the whole image

    def __post_init__(self) -> None:
        """InputError for sizes that mean nothing."""
        for name in ("steps", "batch", "centre_crop"):
            if getattr(self, name) < 0:
                raise InputError(f"budgets: {name} = {getattr(self, name)}; allowed: 0 (as the preset) and more")
        if 0 < self.centre_crop < 11:
            raise InputError(f"budgets: centre_crop = {self.centre_crop}; allowed: 11 and more (SSIM's window), or 0")


class Preset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
    test_noise: Literal["named", "official"] = "named"
    padding: Literal["square", "next"] = "next"  # to a multiple of 32: a square, or each side
    repeats: dict[str, int] = {}  # noise draws per image, 1 where a set is not named
    seeds: tuple[int, ...] = (0,)
    scoring: Scoring = Scoring()
    fields: dict[str, dict[str, Any]] = {}  # method -> fields of its configuration
    budgets: dict[str, Budget] = {}  # method or configuration -> other steps, batch, recipe, centre_crop


class Suite(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One experiment of the paper, and the tables that show it."""

    name: str
    version: int
    title: str
    tables: dict[str, str] = {}  # number in the paper -> what it shows
    across: Literal["tests", "noises"] = "tests"  # what a table's columns are
    diverged: Literal["", "below noisy"] = ""  # also a result that is worse than the noisy input
    channels: int
    noises: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    configurations: dict[str, Configuration] = {}
    overrides: dict[str, dict[str, dict[str, Any]]] = {}  # noise, or pattern of noises -> method -> fields
    recipes: dict[str, Recipe]
    presets: dict[str, Preset]


def fields(suite: Suite, preset: Preset, noise: str, method: str) -> dict[str, Any]:
    """The fields that a preset gives a method, changed by the overrides whose pattern matches the noise."""
    given = dict(preset.fields.get(method, {}))
    for pattern, override in suite.overrides.items():
        if fnmatchcase(noise, pattern):
            given |= override.get(method, {})
    return given


def suites() -> list[str]:
    """The names of the suites that ship with the package."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


@cache
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


def decode(text: bytes, source: str) -> Suite:
    """Checks everything that can be checked without data."""
    try:
        suite = from_toml(text, Suite)
    except msgspec.ValidationError as error:
        raise InputError(f"{source}: {error}{nearest_key(str(error), _fields_at(str(error)))}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: not a TOML file: {error}") from None
    _check_names(suite, source)
    return suite


def _check_names(suite: Suite, source: str) -> None:
    """Every name in a suite means something: a typo must not run another protocol."""
    listed = {row.method for row in suite.rows} | {*registry.methods(), *suite.configurations}
    for number in suite.tables:
        if not number.isdecimal():
            raise InputError(f"{source}: table {number!r}; allowed: a number of the paper's tables")
    for row in suite.rows:
        for table in row.tables:
            _known(f"table of row {row.label!r}", str(table), suite.tables, source)
    if suite.channels < 1:
        raise InputError(f"{source}: channels = {suite.channels}; allowed: 1 and more")
    for noise in (*suite.noises, *(noise for preset in suite.presets.values() for noise in preset.noises)):
        try:
            parse(noise)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
    for pattern in suite.overrides:
        if not any(fnmatchcase(noise, pattern) for noise in suite.noises):
            raise unknown(f"noise in overrides in {source}", pattern, suite.noises)
    for configuration in suite.configurations.values():
        _known("method", configuration.method, listed, source)
        if configuration.recipe:
            _known("recipe", configuration.recipe, suite.recipes, source)
    fields = [name for override in suite.overrides.values() for name in override]
    for preset in suite.presets.values():
        _known("recipe", preset.recipe, suite.recipes, source)
        for image_set in (*training_sets(preset), *preset.tests):
            if not image_set.startswith("folder:"):
                _known("image set", image_set, catalogue(), source)
        if isinstance(preset.train, dict):
            for image_set in preset.tests:
                _known("test set in train", image_set, preset.train, source)
        for image_set in preset.repeats:
            _known("test set in repeats", image_set, preset.tests, source)
        fields += [*preset.fields, *preset.budgets]
        for budget in preset.budgets.values():
            if budget.recipe:
                _known("recipe", budget.recipe, suite.recipes, source)
        sizes = {"crop": preset.crop, "batch": preset.batch, "steps": preset.steps, "epochs": preset.epochs}
        for name, value in (sizes | preset.repeats).items():
            if value < 1:
                raise InputError(f"{source}: {name} = {value}; allowed: 1 and more")
        packed = {preset.view, *(one.view for one in suite.configurations.values())} - {"plain", None}
        multiple = 64 if packed else 32
        if preset.crop % multiple:
            why = "the U-Net's five poolings" + (" of a packed mosaic" if packed else "")
            raise InputError(f"{source}: crop = {preset.crop}; allowed: multiples of {multiple}, for {why}")
        if packed and suite.channels != 1:
            raise InputError(f"{source}: channels = {suite.channels}; allowed with a Bayer view: 1")
        if packed and any(budget.centre_crop for budget in preset.budgets.values()):
            raise InputError(
                f"{source}: budgets with a centre_crop; allowed with a Bayer view: 0, as it cuts through quads"
            )
    for name in fields:
        _known("method", name, listed, source)


def _known(what: str, name: str, allowed: Iterable[str], source: str) -> None:
    if name not in allowed:
        raise unknown(f"{what} in {source}", name, allowed)


def training_sets(preset: Preset) -> tuple[str, ...]:
    """The sets that a preset trains on, in the order of its test sets."""
    if isinstance(preset.train, str):
        return (preset.train,)
    return tuple(dict.fromkeys(preset.train.values()))


def preset(suite: Suite, name: str) -> Preset:
    """A preset of a suite; InputError with the nearest name."""
    if name not in suite.presets:
        raise unknown(f"preset of suite {suite.name!r}", name, suite.presets)
    return suite.presets[name]


class EvaluationProtocol(Struct, frozen=True, forbid_unknown_fields=True):
    """A named way of scoring."""

    about: str
    scoring: dict[str, Any] = {}  # what it changes in the preset's


@cache
def scorings() -> dict[str, EvaluationProtocol]:
    """The evaluation protocols of scorings.toml by name."""
    text = (resources.files(__package__) / "scorings.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, EvaluationProtocol])


def rescored(scoring: Scoring, name: str) -> Scoring:
    """A preset's scoring under a evaluation protocol; InputError with the nearest name."""
    if name not in scorings():
        raise unknown("scoring", name, scorings())
    return msgspec.convert(msgspec.to_builtins(scoring) | scorings()[name].scoring, Scoring)


def _folder() -> Any:
    return resources.files(__package__) / "suites"


def nearest_key(message: str, allowed: Iterable[str]) -> str:
    """What to add to msgspec's message about an unknown key: the nearest one, and what is allowed."""
    match = re.search(r"unknown field `(.+?)`", message)
    return f". {unknown('key', match[1], allowed)}" if match else ""


def _fields_at(message: str) -> tuple[str, ...]:
    """The keys that are allowed at the place that msgspec's message names."""
    kinds: dict[str, type[Struct]] = {
        "scoring": Scoring, "budgets": Budget, "presets": Preset, "recipes": Recipe, "rows": Row,
        "configurations": Configuration,
    }  # fmt: skip
    where = message.partition(" - at ")[2]
    return next((kind for key, kind in kinds.items() if key in where), Suite).__struct_fields__
