"""Suite x methods x noises x seeds -> units of work with their keys: what to fit, what to score."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.errors import InputError, unknown
from ..datasets.noise.model import Noise, parse
from ..datasets.sets.catalogue import entry, overlap, set_digest
from ..methods import registry
from ..methods.base import Method
from . import suites as protocol
from .suites import Preset, Recipe, Scoring, Suite, View

OWN = "Own methods: --plugin FILE.py; list: python -m bench methods."
BASELINES = ("noisy", "blur")  # in every table
LOOP_REVISION = 1  # raise it when training, patches, noise or scoring give other numbers


class ExternalWeights(Struct, frozen=True):
    """External weights, scored as a method's for one noise."""

    method: str  # or configuration
    file: str  # its name, without the path
    noise: str  # what the method is told, and what its test images have
    digest: str  # SHA-256 of the tensors

    @property
    def name(self) -> str:
        """What its row is called."""
        return f"{self.method} ({self.file})"


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a user asked for: a suite, a preset, and what overrides it."""

    suite: str = "synthetic"
    preset: str = "mini"
    methods: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    train: str = ""
    tests: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    steps: int = 0
    repeats: int = 0
    tested: tuple[str, ...] = ()  # noises that a method was not trained for
    scoring: str = ""  # a evaluation protocol of scorings.toml
    weights: tuple[ExternalWeights, ...] = ()  # rows beside the methods'

    @property
    def label(self) -> str:
        """The preset and every override, such as `mini, steps=20`."""
        lists = {"noise": self.noises, "test-sets": self.tests, "seeds": self.seeds, "tested": self.tested}
        changed: dict[str, object] = {"train": self.train, "steps": self.steps, "repeats": self.repeats}
        changed |= {"scoring": self.scoring}
        changed |= {name: "+".join(map(str, values)) for name, values in lists.items()}
        return ", ".join([self.preset, *(f"{name}={value}" for name, value in changed.items() if value)])


class Fit(Struct, frozen=True, dict=True, kw_only=True):
    """Train one method on one noise with one seed, or take its external weights."""

    name: str  # of the method or configuration
    method: Method
    noise: Noise
    seed: int
    channels: int  # of the images
    view: View = "plain"
    train: str
    train_noise: Literal["fresh", "fixed"]
    crop: int
    batch: int
    steps: int
    epochs: int
    recipe: Recipe
    weights: str = ""  # digest of tensors from elsewhere: nothing is trained

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the weights, and nothing else."""
        registered = registry.find(registered_name(self.method))
        known: dict[str, Any] = {
            "method": registered_name(self.method),
            "fields": changed_fields(self.method),
            "revision": [registered.revision, LOOP_REVISION],
            "noise": self.noise.name,
        } | ({"view": self.view} if self.view != "plain" else {})
        if source := registry.plugin_source(registered):
            known["source"] = source  # a plug-in's author may forget to raise the revision
        if self.method.trains_on == "nothing":
            return known
        if self.weights:
            return known | {"weights": self.weights}
        known["seed"] = self.seed
        if self.method.trains_on == "dataset":
            known["train"] = set_digest(self.train, self.channels)
            known |= {"train_noise": self.train_noise, "crop": self.crop}
        return known | {
            "batch": self.batch,
            "steps": self.steps,
            "epochs": self.epochs,
            "recipe": msgspec.to_builtins(self.recipe),
        }

    @cached_property
    def key(self) -> str:
        """FitKey: the digest of the identity."""
        return digest(self.identity)

    @property
    def planes(self) -> int:
        """The channels that the method sees."""
        return self.channels if self.view == "plain" else 4

    @property
    def title(self) -> str:
        """How messages call it, such as `b2u gauss25 seed 0`."""
        if self.weights:
            return f"{self.name} {self.noise.name}"
        own = self.noise.family == "captured" and self.method.trains_on == "dataset"  # the noise is the training set's
        return f"{self.name} {self.noise.name} seed {self.seed}" + (f" from {self.train}" if own else "")


class Score(Struct, frozen=True, dict=True, kw_only=True):
    """Score one fit on one test set."""

    fit: Fit
    test: str
    noise: Noise  # the fit's, unless the method meets another one than it was trained for
    repeats: int
    stream: Literal["named", "official"]
    centre_crop: int = 0  # centre square that is scored; 0: whole images
    before: tuple[tuple[str, int], ...]  # sets and repeats that the official stream passes through first
    padding: Literal["square", "next"]
    scoring: Scoring

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The fit, the test images, their noise, and the scoring."""
        channels = self.fit.channels
        before = [[set_digest(name, channels), repeats] for name, repeats in self.before]
        return (
            {
                "fit": self.fit.key,
                "test": set_digest(self.test, channels),
                "noise": self.noise.name,
                "repeats": self.repeats,
                "stream": self.stream,
                "padding": self.padding,
                "scoring": self.scoring.identity,
            }
            | ({"before": before} if self.stream == "official" else {})
            | ({"window": self.centre_crop} if self.centre_crop else {})
        )

    @cached_property
    def key(self) -> str:
        """ScoreKey: the digest of the identity."""
        return digest(self.identity)

    @cached_property
    def images_key(self) -> str:
        """What determines the denoised images: the identity without the scoring."""
        return digest({name: value for name, value in self.identity.items() if name != "scoring"})

    @property
    def title(self) -> str:
        """How messages call it, such as `b2u gauss25 seed 0 on kodak`."""
        met = "" if self.noise == self.fit.noise else f" with {self.noise.name}"
        return f"{self.fit.title} on {self.test}{met}"


Unit = Fit | Score


class Cell(Struct, frozen=True):
    """One method on one noise with one seed and training set: its units of work, or why there are none."""

    name: str
    noise: Noise
    seed: int
    tests: tuple[str, ...]
    fit: Fit
    scores: tuple[Score, ...]
    reason: str = ""  # "not defined: ..." or "not possible: ..."

    @property
    def trains(self) -> bool:
        """Whether there is something to train."""
        return not self.reason and self.fit.method.trains_on == "dataset" and not self.fit.weights

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


def make(request: Request) -> Plan:
    """The plan of a request; InputError for any name or value that does not fit."""
    suite = protocol.load(request.suite)
    preset = _overridden(protocol.preset(suite, request.preset), request)
    noises = noises_of(request, suite, preset)
    tested = list(dict.fromkeys(parse(name) for name in request.tested))
    names = list(dict.fromkeys((*BASELINES, *request.methods)))
    cells = [
        _cell(suite, preset, name, noise, seed, train, tested)
        for name in names
        for noise in noises
        for seed in (preset.seeds if _resolve(suite, name)[0].trains_on != "nothing" else (0,))
        for train in protocol.training_sets(preset)
    ]
    cells += [_external(suite, preset, one, tested) for one in request.weights if parse(one.noise) in noises]
    return Plan(request, suite, preset, tuple(cell for cell in cells if cell.tests))


def noises_of(request: Request, suite: Suite, preset: Preset) -> list[Noise]:
    """The noises asked for, else the preset's, else the suite's."""
    return list(dict.fromkeys(parse(name) for name in request.noises or preset.noises or suite.noises))


def registered_name(method: Method) -> str:
    """The name under which a method's class is registered."""
    return next(name for name, cls in registry.methods().items() if cls is type(method))


def changed_fields(method: Method) -> dict[str, Any]:
    """The fields that differ from their defaults: a new field with a default keeps every key as it was."""
    fields = {field.name: getattr(method, field.name) for field in msgspec.structs.fields(method)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(method)}
    return {name: msgspec.to_builtins(value) for name, value in fields.items() if value != defaults[name]}


def digest(identity: dict[str, Any]) -> str:
    """The first 24 hexadecimal digits of SHA-256 of the sorted JSON."""
    return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:24]


def _overridden(preset: Preset, request: Request) -> Preset:
    changes: dict[str, Any] = {}
    if request.steps < 0 or request.repeats < 0:
        raise InputError("--steps and --repeats must be positive")
    for name in ("train", "tests", "seeds", "steps"):
        if value := getattr(request, name):
            changes[name] = tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
    if isinstance(preset.train, dict) and "train" not in changes:
        for name in changes.get("tests", ()):
            if name not in preset.train:
                raise unknown("test set of this preset", name, preset.train, "Or say what to train on: --train SET.")
    for name in (request.train, *changes.get("tests", ())):
        if name and not name.startswith("folder:"):
            entry(name)
    if request.steps:  # asked for in so many words: for all methods
        budgets = {name: msgspec.structs.replace(budget, steps=0) for name, budget in preset.budgets.items()}
        changes["budgets"] = budgets
    if request.repeats:
        changes["repeats"] = dict.fromkeys(changes.get("tests", preset.tests), request.repeats)
    if request.scoring:
        changes["scoring"] = protocol.rescored(preset.scoring, request.scoring)
    return msgspec.structs.replace(preset, **changes)


def methods_of(suite: Suite) -> list[str]:
    """What a suite can run: registered methods and its configurations."""
    return [*registry.methods(), *suite.configurations]


def _resolve(suite: Suite, name: str) -> tuple[type[Method], protocol.Configuration]:
    configuration = suite.configurations.get(name)
    if configuration is None and name not in registry.methods():
        raise unknown("method", name, methods_of(suite), OWN)
    configuration = configuration or protocol.Configuration(method=name)
    return registry.find(configuration.method), configuration


def _cell(
    suite: Suite, preset: Preset, name: str, noise: Noise, seed: int, train: str, tested: Sequence[Noise]
) -> Cell:
    fit, centre_crop = _fit(suite, preset, name, noise, seed, train)
    undefined = fit.method.applies(noise, fit.planes)
    tests = tuple(t for t in preset.tests if isinstance(preset.train, str) or preset.train[t] == train)
    reason = f"not defined: {undefined}" if undefined else _impossible(fit.method, noise, fit.view, train, tests)
    scores = () if reason else _scores(fit, preset, centre_crop, tests, tested)
    return Cell(name, noise, seed, tests, fit, scores, reason)


def _external(suite: Suite, preset: Preset, one: ExternalWeights, tested: Sequence[Noise]) -> Cell:
    """The cell of external weights; nothing is known of how and on what they were trained."""
    fit, centre_crop = _fit(suite, preset, one.method, parse(one.noise), seed=0, train="")
    fit = msgspec.structs.replace(fit, name=one.name, weights=one.digest)
    undefined = fit.method.applies(fit.noise, fit.planes)
    reason = f"not defined: {undefined}" if undefined else _unaligned(fit.view, preset.tests)
    scores = () if reason else _scores(fit, preset, centre_crop, preset.tests, tested)
    return Cell(one.name, fit.noise, fit.seed, preset.tests, fit, scores, reason)


def _fit(suite: Suite, preset: Preset, name: str, noise: Noise, seed: int, train: str) -> tuple[Fit, int]:
    """A fit, and the centre_crop of the test images that its budget leaves."""
    method_class, configuration = _resolve(suite, name)
    fields = protocol.fields(suite, preset, noise.name, configuration.method) | configuration.fields
    try:
        method = msgspec.convert(fields, method_class)
    except msgspec.ValidationError as error:
        near = protocol.nearest_key(str(error), method_class.__struct_fields__)
        raise InputError(f"suite {suite.name!r}, method {name!r}: {error}{near}") from None
    budget = preset.budgets.get(name) or preset.budgets.get(configuration.method) or protocol.Budget()
    fit = Fit(
        name=name,
        method=method,
        noise=noise,
        seed=seed,
        channels=suite.channels,
        view=configuration.view or preset.view,
        train=train,
        train_noise=preset.train_noise,
        crop=preset.crop * configuration.crop_factor,
        batch=budget.batch or preset.batch,
        steps=budget.steps or preset.steps,
        epochs=preset.epochs,
        recipe=suite.recipes[budget.recipe or configuration.recipe or preset.recipe],
    )
    return fit, budget.centre_crop


def _impossible(method: Method, noise: Noise, view: View, train: str, tests: Sequence[str]) -> str:
    seen = any(overlap(train, test) for test in tests)
    if seen and method.supervision == "clean":
        return f"not possible: the clean images of {train} are the answers to its test"
    if seen and method.supervision == "pair" and noise.family == "captured":  # other frames of the very scene
        return f"not possible: the second frames of {train} are nearly the answers to its test"
    if noise.family != "none":
        return _unaligned(view, tests)
    if method.trains_on != "dataset":
        return "not possible: without clean images there is nothing to score"
    needs = {"clean": "clean images", "pair": "two frames of each scene"}.get(method.supervision)
    return f"not possible: needs {needs}, and the training set has single noisy images only" if needs else ""


def _unaligned(view: View, tests: Sequence[str]) -> str:
    told = [test for test in tests if not test.startswith("folder:") and entry(test).layout == "blocks"]
    needs = view == "bayer-aligned" and told
    return f"not possible: the Bayer patterns of {', '.join(told)} are not told with it" if needs else ""


def _scores(
    fit: Fit, preset: Preset, centre_crop: int, tests: Sequence[str], tested: Sequence[Noise]
) -> tuple[Score, ...]:
    if fit.noise.family == "none":
        return ()  # no clean images: there is nothing to score against
    order: Sequence[tuple[str, int]] = [(test, _repeats(fit.noise, preset, test)) for test in tests]
    condition = "8bit" if preset.scoring.noisy == "8bit" else fit.noise.condition
    own = msgspec.structs.replace(fit.noise, condition=condition)
    return tuple(
        Score(
            fit=fit,
            test=test,
            noise=noise,
            repeats=repeats,
            stream=preset.test_noise,
            centre_crop=centre_crop,
            before=tuple(order[:i]) if preset.test_noise == "official" else (),
            padding=preset.padding,
            scoring=preset.scoring,
        )
        for noise in dict.fromkeys((own, *tested))
        for i, (test, repeats) in enumerate(order)
    )


def _repeats(noise: Noise, preset: Preset, test: str) -> int:
    """Noise draws per image, or the real frames of it."""
    real = noise.family == "captured" and not test.startswith("folder:")
    frames = entry(test).frames if real else 1
    return preset.repeats.get(test, frames)
