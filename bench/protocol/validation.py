"""Every name in a suite means something: a typo must not run another protocol."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from ..datasets.errors import InputError, unknown
from ..datasets.noise.model import parse
from ..datasets.sets.find import find
from ..methods import registry
from .metrics.registry import metrics
from .suites import Preset, Recipe, Suite, training_sets


def check_suite(suite: Suite, source: str) -> None:
    """InputError with the nearest name for a name that means nothing; methods of rows may be plug-ins to come."""
    try:
        _check(suite)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _check(suite: Suite) -> None:
    for number in suite.tables:
        if not number.isdecimal():
            raise InputError(f"table {number!r}; allowed: the number of a table")
    _check_names("metric", suite.metrics, metrics())
    _check_names("primary metric", [suite.primary], suite.metrics)
    if len(set(suite.metrics)) < len(suite.metrics):
        raise InputError(f"metrics = {', '.join(suite.metrics)}; expected each of them once")
    for row in suite.rows:
        _check_names(f"table of row {row.label!r}", map(str, row.tables), suite.tables)
    for noise in suite.noises:
        parse(noise)
    for pattern in suite.overrides:
        if not any(fnmatchcase(noise, pattern) for noise in suite.noises):
            raise unknown("noise in overrides", pattern, suite.noises)
    methods = {*registry.methods(), *suite.configurations, *(row.method for row in suite.rows)}
    _check_names("method", (one.method for one in suite.configurations.values()), methods)
    _check_names("recipe", (one.recipe for one in suite.configurations.values() if one.recipe), suite.recipes)
    _check_recipes(suite.recipes)
    _check_names("method", (name for override in suite.overrides.values() for name in override), methods)
    for preset in suite.presets.values():
        _check_preset(preset, suite, methods)


def _check_recipes(recipes: Mapping[str, Recipe]) -> None:
    """InputError where the recipes for longer and longer trainings do not end with one that has no limit."""
    for name, one in recipes.items():
        if one.max_steps:
            _check_names(f"longer in recipe {name!r}", [one.longer], recipes)
            if 0 < recipes[one.longer].max_steps <= one.max_steps:
                raise InputError(f"recipe {name!r}: longer = {one.longer!r}, whose max_steps is not more")


def _check_preset(preset: Preset, suite: Suite, methods: Iterable[str]) -> None:
    for noise in preset.noises:
        parse(noise)
    for image_set in (*training_sets(preset), *preset.tests):
        find(image_set)
    if isinstance(preset.train, dict):
        _check_names("test set in train", preset.tests, preset.train)
    _check_names("test set in repeats", preset.repeats, preset.tests)
    recipes = (preset.recipe, *(budget.recipe for budget in preset.budgets.values() if budget.recipe))
    _check_names("recipe", recipes, suite.recipes)
    _check_names("method", (*preset.fields, *preset.budgets), methods)


def _check_names(what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    for name in names:
        if name not in allowed:
            raise unknown(what, name, allowed)
