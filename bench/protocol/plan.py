"""Suite x methods x noises x seeds -> the cells of a request with their units of work."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..datasets.errors import InputError, unknown
from ..datasets.noise.captured import NONE, Captured
from ..datasets.noise.conditions import EightBit
from ..datasets.noise.model import Noise, parse
from ..datasets.sets.digests import SetDigests
from ..datasets.sets.find import find
from ..datasets.sets.own_folder import usable
from ..methods import registry
from ..methods.base import Method
from ..methods.networks import registry as networks
from . import suite_files, suites
from .request import ExternalWeights, Request
from .scoring import rescored
from .settings import parse as parse_settings
from .settings import with_settings
from .states import State
from .suites import Preset, Suite, View, merged
from .units import Fit, Score, Unit

OWN = "Own methods: --plugin FILE.py; list: python -m bench methods."


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


def make(request: Request, digests: SetDigests | None = None) -> Plan:
    """The plan of a request; InputError for any name or value that does not fit.

    `digests` are those of the image sets; by default they are computed from the images as they are now.
    """
    digests = digests or SetDigests()
    settings = [setting for text in request.settings for setting in parse_settings(text)]
    if request.net and any(setting.field.partition(".")[0] == "net" for setting in settings):
        raise InputError(
            "--net and --set METHOD.net exclude each other; networks can be set, too: --set METHOD.net=A,B"
        )
    suite = with_settings(suite_files.load(request.suite), request.settings)
    _check_rows(suite)
    preset = _overridden(suites.preset(suite, request.preset), request)
    noises = noises_of(request, suite, preset)
    tested = list(dict.fromkeys(parse(name) for name in request.tested))
    names = list(dict.fromkeys((*BASELINES, *request.methods, *(setting.name for setting in settings))))
    cells = [
        _cell(suite, preset, name, noise, seed, train, tested, digests, request.net)
        for name in names
        for noise in noises
        for seed in (preset.seeds if _resolve(suite, name)[0].learns() else (0,))
        for train in suites.training_sets(preset)
    ]
    external = [one for one in request.weights if parse(one.noise) in noises]
    cells += [_external(suite, preset, one, tested, digests, request.net) for one in external]
    return Plan(request, suite, preset, tuple(cell for cell in cells if cell.tests), digests)


def noises_of(request: Request, suite: Suite, preset: Preset) -> list[Noise]:
    """The noises asked for, else the preset's, else the suite's."""
    return list(dict.fromkeys(parse(name) for name in request.noises or preset.noises or suite.noises))


def _overridden(preset: Preset, request: Request) -> Preset:
    changes: dict[str, Any] = {}
    for name in ("train", "tests", "seeds", "steps", "crop"):
        if value := getattr(request, name):
            changes[name] = tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
    if isinstance(preset.train, dict) and "train" not in changes:
        for name in changes.get("tests", ()):
            if name not in preset.train:
                raise unknown("test set of this preset", name, preset.train, "Or say what to train on: --train SET.")
    for name in (request.train, *changes.get("tests", ())):
        if name:
            find(name)
    if request.steps:  # asked for in so many words: for all methods
        budgets = {name: msgspec.structs.replace(budget, steps=0) for name, budget in preset.budgets.items()}
        changes["budgets"] = budgets
    if request.net:
        networks.find(request.net)
    if request.repeats:
        changes["repeats"] = dict.fromkeys(changes.get("tests", preset.tests), request.repeats)
    if request.scoring:
        changes["scoring"] = rescored(preset.scoring, request.scoring)
    preset = msgspec.structs.replace(preset, **changes)
    return _usable(preset) if request.skip_unusable else preset


def _usable(preset: Preset) -> Preset:
    """The preset with those images of each folder that can be used."""
    train = preset.train
    return msgspec.structs.replace(
        preset,
        train=usable(train) if isinstance(train, str) else {usable(test): usable(name) for test, name in train.items()},
        tests=tuple(map(usable, preset.tests)),
        repeats={usable(name): repeats for name, repeats in preset.repeats.items()},
    )


def _check_rows(suite: Suite) -> None:
    """InputError for a row that shows an output that its method does not have."""
    for row in suite.rows:
        if row.method in methods_of(suite) and row.output not in ("", "best"):
            outputs = [output.name for output in _resolve(suite, row.method)[0].outputs]
            if row.output not in outputs:
                raise unknown(f"output in row {row.label!r} of suite {suite.name!r}", row.output, [*outputs, "best"])


def methods_of(suite: Suite) -> list[str]:
    """What a suite can run: registered methods and its configurations."""
    return [*registry.methods(), *suite.configurations]


def _resolve(suite: Suite, name: str) -> tuple[type[Method], suites.Configuration]:
    configuration = suite.configurations.get(name)
    if configuration is None and name not in registry.methods():
        raise unknown("method", name, methods_of(suite), OWN)
    configuration = configuration or suites.Configuration(method=name)
    return registry.find(configuration.method), configuration


def _cell(
    suite: Suite,
    preset: Preset,
    name: str,
    noise: Noise,
    seed: int,
    train: str,
    tested: Sequence[Noise],
    digests: SetDigests,
    net: str,
) -> Cell:
    fit, centre_crop = _fit(suite, preset, name, noise, seed, train, digests, net)
    tests = tuple(t for t in preset.tests if isinstance(preset.train, str) or preset.train[t] == train)
    excluded = _excluded(fit, tests)
    scores = () if excluded else _scores(suite, fit, preset, centre_crop, tests, tested)
    return Cell(name, noise, seed, tests, fit, scores, excluded)


def _external(
    suite: Suite, preset: Preset, one: ExternalWeights, tested: Sequence[Noise], digests: SetDigests, net: str
) -> Cell:
    """The cell of external weights; nothing is known of how and on what they were trained."""
    fit, centre_crop = _fit(suite, preset, one.method, parse(one.noise), 0, "", digests, net)
    fit = msgspec.structs.replace(fit, name=one.name, weights=one.digest)
    excluded = _excluded(fit, preset.tests)
    scores = () if excluded else _scores(suite, fit, preset, centre_crop, preset.tests, tested)
    return Cell(one.name, fit.noise, fit.seed, preset.tests, fit, scores, excluded)


def _fit(
    suite: Suite, preset: Preset, name: str, noise: Noise, seed: int, train: str, digests: SetDigests, net: str
) -> tuple[Fit, int]:
    """A fit, and the centre_crop of the test images that its budget leaves."""
    method_class, configuration = _resolve(suite, name)
    fields = merged(suites.fields(suite, preset, noise.name, configuration.method), configuration.fields)
    if net and registry.accepts_network(method_class):
        fields["net"] = net
    try:
        method = registry.configured(method_class, fields)
    except (msgspec.ValidationError, InputError) as error:
        near = suite_files.nearest_key(str(error), method_class.__struct_fields__)
        raise InputError(f"suite {suite.name!r}, method {name!r}: {error}{near}") from None
    view = configuration.view or preset.view
    budget = preset.budgets.get(name) or preset.budgets.get(configuration.method) or suites.Budget()
    if view != "plain" and (suite.channels != 1 or budget.centre_crop):
        raise InputError(
            f"suite {suite.name!r}, method {name!r}: view {view} with channels = {suite.channels} and centre_crop = "
            f"{budget.centre_crop}; allowed: channels = 1, and centre_crop = 0, as it would cut through Bayer quads"
        )
    fit = Fit(
        name=name,
        method=method,
        noise=noise,
        seed=seed,
        channels=suite.channels,
        view=view,
        train=train,
        train_noise=preset.train_noise,
        crop=preset.crop * configuration.crop_factor,
        batch=budget.batch or preset.batch,
        steps=budget.steps or preset.steps,
        epochs=preset.epochs,
        recipe=suite.recipes[budget.recipe or configuration.recipe or preset.recipe],
        digests=digests,
    )
    return fit, budget.centre_crop


def _excluded(fit: Fit, tests: Sequence[str]) -> State | None:
    """Why a fit cannot be trained and scored on these test sets; None if it can."""
    if why := fit.method.applies(fit.noise, fit.planes):
        return State("not defined", why)
    why = _unaligned(fit.view, tests) or ("" if fit.weights else _untrainable(fit, tests))
    return State("not possible", why) if why else None


def _untrainable(fit: Fit, tests: Sequence[str]) -> str:
    """What the training set of a fit lacks, or would leak of the test sets; empty if nothing."""
    method, train = fit.method, fit.train
    seen = any(find(train).overlaps(find(test)) for test in tests)
    if seen and method.supervision == "clean":
        return f"{train} overlaps the test set, so supervised training would leak the ground truth"
    if seen and method.supervision == "pair" and isinstance(fit.noise.family, Captured):
        return f"{train} overlaps the test set, so a second frame of a test scene would leak its ground truth"
    if method.has_weights() and (wrong := _unfit_crop(fit)):
        return wrong
    if fit.noise != NONE:
        return ""
    if not method.has_weights():
        return "the images have no clean versions, so there is nothing to score"
    needs = {"clean": "clean images", "pair": "two noisy frames of each scene"}.get(method.supervision)
    return f"the method needs {needs}, but the training set has one noisy image of each scene" if needs else ""


def _unfit_crop(fit: Fit) -> str:
    """Why the method cannot train on crops of this size; empty if it can."""
    multiple = fit.method.crop_multiple * (1 if fit.view == "plain" else 2)  # a packed mosaic has half the sides
    return f"crops of {fit.crop} pixels; allowed: multiples of {multiple}" if fit.crop % multiple else ""


def _unaligned(view: View, tests: Sequence[str]) -> str:
    """Which test sets cannot be aligned to one Bayer pattern; empty if none."""
    unknown_patterns = [test for test in tests if not find(test).patterns_known]
    if view != "bayer-aligned" or not unknown_patterns:
        return ""
    return f"the Bayer patterns of the images of {', '.join(unknown_patterns)} are unknown"


def _scores(
    suite: Suite, fit: Fit, preset: Preset, centre_crop: int, tests: Sequence[str], tested: Sequence[Noise]
) -> tuple[Score, ...]:
    if fit.noise == NONE:
        return ()  # no clean images: there is nothing to score against
    own = fit.noise.under(EightBit()) if preset.scoring.noisy == "8bit" else fit.noise
    return tuple(
        Score(
            fit=fit,
            test=test,
            noise=noise,
            repeats=_repeats(fit.noise, preset, test),
            centre_crop=centre_crop,
            padding=preset.padding,
            scoring=preset.scoring,
            metrics=tuple(sorted(suite.metrics)),
        )
        for noise in dict.fromkeys((own, *tested))
        for test in tests
    )


def _repeats(noise: Noise, preset: Preset, test: str) -> int:
    """Noise draws per image, or the real frames of it."""
    return preset.repeats.get(test, find(test).frames if isinstance(noise.family, Captured) else 1)
