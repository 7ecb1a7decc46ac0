"""Suite x methods x noises x seeds -> the cells of a request with their units of work."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct, structs

from ..datasets.errors import InputError, unknown
from ..datasets.noise.captured import NONE, Captured
from ..datasets.noise.conditions import EightBit
from ..datasets.noise.model import Noise, parse
from ..datasets.sets.digests import SetDigests
from ..datasets.sets.find import find
from ..methods import registry
from ..methods.base import Method
from . import exclusions, suite_files, suites
from .overrides import overridden
from .request import ExternalWeights, Request
from .settings import parse_all, with_settings
from .states import State
from .suites import Budget, Configuration, Preset, Recipe, Suite, merged
from .units import Fit, Score, Unit

BASELINES = ("noisy", "blur")  # in every table


class Cell(Struct, frozen=True):
    """One method on one noise with one seed and training set: its units of work, or why there are none."""

    name: str
    noise: Noise
    seed: int
    tests: tuple[str, ...]
    fit: Fit
    scores: tuple[Score, ...]
    excluded: State | None = None  # why there are none: not defined or not possible
    undefined: dict[str, State] = {}  # noises of the test that the method is not defined for

    @property
    def trains(self) -> bool:
        """Whether there is something to train."""
        return self.excluded is None and self.fit.method.has_weights() and not self.fit.weights

    def units(self) -> "list[Unit]":
        """The units of work, the fit first."""
        units: list[Unit] = [self.fit] if self.trains else []
        return [*units, *self.scores]


class Plan(Struct, frozen=True):
    """All cells of a request."""

    request: Request
    suite: Suite
    preset: Preset
    cells: tuple[Cell, ...]
    digests: SetDigests  # of the image sets that its units use

    def units(self) -> dict[str, Unit]:
        """Every unit of work by its key, each once, a fit before its scores."""
        return {unit.key: unit for cell in self.cells for unit in cell.units()}

    @property
    def warnings(self) -> list[str]:
        """Noises whose levels are probably a mistake, and what to write instead."""
        noises = [noise for cell in self.cells for noise in (cell.noise, *(score.noise for score in cell.scores))]
        return [*dict.fromkeys(noise.warning for noise in noises if noise.warning)]


def make(request: Request, digests: SetDigests | None = None) -> Plan:
    """The plan of a request; InputError for any name or value that does not fit.

    `digests` are those of the image sets; by default they are computed from the images as they are now.
    """
    suite = suite_files.load(request.suite)
    request = request.normalised(suite)
    settings = parse_all(request.settings)
    if request.net and any(setting.field.partition(".")[0] == "net" for setting in settings):
        raise InputError("--net and --set METHOD.net exclude each other; give networks as --set METHOD.net=A,B")
    suite = with_settings(suite, settings)
    _check_rows(suite)
    preset = overridden(suite, request)
    tested = tuple(map(parse, request.tested))
    if NONE in tested:
        raise InputError("--tested none: without noise of known clean images there is nothing to score")
    planner = _Planner(suite, preset, tested, request.net, digests or SetDigests())
    noises = noises_of(request, suite, preset)
    cells = [
        planner.cell(name, noise, seed, train)
        for name in dict.fromkeys((*BASELINES, *request.methods, *(setting.name for setting in settings)))
        for noise in noises
        for seed in (preset.seeds if _resolve(suite, name)[0].learns() else (0,))
        for train in suites.training_sets(preset)
    ]
    cells += [planner.external(one) for one in request.weights if parse(one.noise) in noises]
    return Plan(request, suite, preset, tuple(cell for cell in cells if cell.tests), planner.digests)


def single_fit(suite: Suite, preset: Preset, name: str, noise: Noise, seed: int, digests: SetDigests) -> Fit:
    """A fit outside of a plan, such as one on a user's own images: the preset's budget, recipe and fields."""
    return _Planner(suite, preset, (), "", digests)._fit(name, noise, seed, suites.training_sets(preset)[0])


def with_steps(fit: Fit, steps: int, recipes: Mapping[str, Recipe]) -> Fit:
    """The same training with so many steps, and with the recipe for as many."""
    recipe = fit.recipe
    while 0 < recipe.max_steps < steps:
        recipe = recipes[recipe.longer]
    return structs.replace(fit, steps=steps, recipe=recipe)


def noises_of(request: Request, suite: Suite, preset: Preset) -> list[Noise]:
    """The noises asked for, else the preset's, else the suite's."""
    return list(dict.fromkeys(parse(name) for name in request.noises or preset.noises or suite.noises))


def methods_of(suite: Suite) -> list[str]:
    """What a suite can run: registered methods and its configurations."""
    return [*registry.methods(), *suite.configurations]


def _check_rows(suite: Suite) -> None:
    """InputError for a row that shows an output that its method does not have."""
    for row in suite.rows:
        if row.method in methods_of(suite) and row.output not in ("", "best"):
            outputs = [output.name for output in _resolve(suite, row.method)[0].outputs]
            if row.output not in outputs:
                raise unknown(f"output in row {row.label!r} of suite {suite.name!r}", row.output, [*outputs, "best"])


def _resolve(suite: Suite, name: str) -> tuple[type[Method], Configuration]:
    """The method's class and the configuration of a name."""
    configuration = suite.configurations.get(name)
    if configuration is None and name not in registry.methods():
        raise registry.unknown_method(name, methods_of(suite))
    configuration = configuration or Configuration(method=name)
    return registry.find(configuration.method), configuration


class _Planner(Struct, frozen=True):
    """Makes the cells of one request."""

    suite: Suite
    preset: Preset
    tested: tuple[Noise, ...]  # noises that methods meet beside those that they were trained for
    net: str
    digests: SetDigests

    def cell(self, name: str, noise: Noise, seed: int, train: str) -> Cell:
        """A method that is trained here, on one training set."""
        sets = self.preset.train
        tests = tuple(test for test in self.preset.tests if isinstance(sets, str) or sets[test] == train)
        return self._scored(self._fit(name, noise, seed, train), tests, self._centre_crop(name))

    def external(self, one: ExternalWeights) -> Cell:
        """External weights; how and on what they were trained is not known."""
        fit = self._fit(one.method, parse(one.noise), 0, "")
        fit = structs.replace(fit, name=one.name, weights=one.digest)
        return self._scored(fit, self.preset.tests, self._centre_crop(one.method))

    def _fit(self, name: str, noise: Noise, seed: int, train: str) -> Fit:
        suite, preset, budget = self.suite, self.preset, self._budget(name)
        configuration = _resolve(suite, name)[1]
        view, centre_crop = configuration.view or preset.view, self._centre_crop(name)
        if view != "plain" and (suite.channels != 1 or centre_crop):
            raise InputError(
                f"suite {suite.name!r}, method {name!r}: view {view} with channels = {suite.channels} and centre_crop "
                f"= {centre_crop}; allowed: channels = 1, centre_crop = 0, as it would cut through Bayer quads"
            )
        fit = Fit(
            name=name,
            method=self._method(name, noise),
            noise=noise,
            seed=seed,
            channels=suite.channels,
            view=view,
            train=train,
            train_noise=preset.train_noise,
            crop=preset.crop * configuration.crop_factor,
            batch=budget.batch or preset.batch,
            steps=preset.steps,
            epochs=preset.epochs,
            recipe=suite.recipes[budget.recipe or configuration.recipe or preset.recipe],
            digests=self.digests,
        )
        return with_steps(fit, budget.steps or preset.steps, suite.recipes)

    def _budget(self, name: str) -> Budget:
        """Of the configuration, else of its method."""
        budgets = self.preset.budgets
        return budgets.get(name) or budgets.get(_resolve(self.suite, name)[1].method) or Budget()

    def _centre_crop(self, name: str) -> int:
        """The budget's, else the preset's."""
        return self._budget(name).centre_crop or self.preset.centre_crop

    def _method(self, name: str, noise: Noise) -> Method:
        """The method with its fields: the preset's, the configuration's, and the network that was asked for."""
        method, configuration = _resolve(self.suite, name)
        fields = merged(suites.fields(self.suite, self.preset, noise.name, configuration.method), configuration.fields)
        if self.net and registry.accepts_network(method):
            fields["net"] = self.net
        try:
            return registry.configured(method, fields)
        except (msgspec.ValidationError, InputError) as error:
            why = suite_files.explained(error, method.__struct_fields__)
            raise InputError(f"suite {self.suite.name!r}, method {name!r}: {why}") from None

    def _scored(self, fit: Fit, tests: tuple[str, ...], centre_crop: int) -> Cell:
        """The cell of a fit: its scores on all test sets and noises for which the method is defined."""
        if (state := exclusions.of_fit(fit, tests)) or fit.noise == NONE:  # no clean images: nothing to score against
            return Cell(fit.name, fit.noise, fit.seed, tests, fit, (), state)
        own = fit.noise.under(EightBit()) if self.preset.scoring.noisy == "8bit" else fit.noise
        others = {noise: exclusions.of_noise(fit, noise) for noise in self.tested if noise != own}
        met = [own, *(noise for noise, state in others.items() if state is None)]
        scores = tuple(self._score(fit, test, noise, centre_crop) for noise in met for test in tests)
        not_met = {noise.name: state for noise, state in others.items() if state is not None}
        return Cell(fit.name, fit.noise, fit.seed, tests, fit, scores, undefined=not_met)

    def _score(self, fit: Fit, test: str, noise: Noise, centre_crop: int) -> Score:
        frames = find(test).frames if isinstance(fit.noise.family, Captured) else 1
        return Score(
            fit=fit,
            test=test,
            noise=noise,
            repeats=self.preset.repeats.get(test, frames),
            centre_crop=centre_crop,
            padding=self.preset.padding,
            scoring=self.preset.scoring,
            metrics=tuple(sorted(self.suite.metrics)),
        )
