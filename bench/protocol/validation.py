"""What a suite must keep to that its types cannot say: every name in it means something."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ..datasets.errors import InputError, unknown
from ..datasets.noise.model import parse
from ..datasets.sets.find import find
from ..methods import registry
from .metrics.registry import metrics
from .suites import Suite, training_sets


def check_suite(suite: Suite, source: str) -> None:
    """Every name in a suite means something: a typo must not run another protocol."""
    listed = {row.method for row in suite.rows} | {*registry.methods(), *suite.configurations}
    for number in suite.tables:
        if not number.isdecimal():
            raise InputError(f"{source}: table {number!r}; allowed: a number of the paper's tables")
    for metric in suite.metrics:
        _known("metric", metric, metrics(), source)
    _known("primary metric", suite.primary, suite.metrics, source)
    if len(set(suite.metrics)) < len(suite.metrics):
        raise InputError(f"{source}: metrics = {', '.join(suite.metrics)}; expected each of them once")
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
            try:
                find(image_set)
            except InputError as error:
                raise InputError(f"{source}: {error}") from None
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
