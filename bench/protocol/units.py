"""Units of work, a fit and a score, with the identities and keys that name their records."""

import hashlib
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..datasets.noise.captured import Captured
from ..datasets.noise.model import Noise
from ..datasets.sets.digests import SetDigests
from ..methods import plugins, registry
from ..methods.base import Method
from ..methods.networks import registry as networks
from .metrics.registry import DEFAULT, find_metric
from .scoring import Scoring
from .suites import Recipe, View

# Raise them when the same identity gives other numbers: trained weights, or outputs and scores.
TRAINING_REVISION, SCORING_REVISION = 2, 1


class Fit(Struct, frozen=True, dict=True, kw_only=True):
    """Train one method on one noise with one seed, or take its external weights."""

    name: str  # of the method or configuration
    method: Method
    noise: Noise
    seed: int
    channels: int  # of the images
    view: View = "plain"
    train: str
    train_noise: Literal["fresh", "fixed", "present"]  # present: the images have this noise already
    crop: int
    batch: int
    steps: int
    epochs: int
    recipe: Recipe
    weights: str = ""  # digest of tensors from elsewhere: nothing is trained
    digests: SetDigests = msgspec.field(default_factory=SetDigests)  # of the image sets

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the weights, and nothing else."""
        registered = registry.find(registered_name(self.method))
        known: dict[str, Any] = {
            "method": registered_name(self.method),
            "fields": changed_fields(self.method),
            "revision": [registered.revision, TRAINING_REVISION if self.trains else SCORING_REVISION],
            "noise": self.noise.name,
        } | ({"view": self.view} if self.view != "plain" else {})
        if source := plugins.source(registered):
            known["source"] = source  # a plug-in's author may forget to raise the revision
        known |= noise_source(self.noise)
        if others := networks_identity(self.method):
            known["networks"] = others
        if not self.method.learns():
            return known
        if self.weights:
            return known | {"weights": self.weights}
        known["seed"] = self.seed
        if self.method.has_weights():
            known["train"] = self.digests(self.train, self.channels, self.crop)
            known |= {"train_noise": self.train_noise, "crop": self.crop}
        return known | {
            "batch": self.batch,
            "steps": self.steps,
            "epochs": self.epochs,
            "recipe": self.recipe.identity,
        }

    @cached_property
    def key(self) -> str:
        """FitKey: the digest of the identity."""
        return digest(self.identity)

    @property
    def trains(self) -> bool:
        """Whether something is trained: not where the method has no network or its weights come from elsewhere."""
        return self.method.learns() and not self.weights

    @property
    def planes(self) -> int:
        """The channels that the method sees."""
        return self.channels if self.view == "plain" else 4

    @property
    def title(self) -> str:
        """How messages call it, such as `b2u gauss25 seed 0`."""
        if self.weights:
            return f"{self.name} {self.noise.name}"
        real = isinstance(self.noise.family, Captured)  # the noise is the training set's
        own = real and self.method.has_weights()
        return f"{self.name} {self.noise.name} seed {self.seed}" + (f" from {self.train}" if own else "")


class Score(Struct, frozen=True, dict=True, kw_only=True):
    """Score one fit on one test set."""

    fit: Fit
    test: str
    noise: Noise  # the fit's, unless the method meets another one than it was trained for
    repeats: int
    centre_crop: int = 0  # centre square that is scored; 0: whole images
    padding: Literal["square", "next"]
    scoring: Scoring
    metrics: tuple[str, ...] = DEFAULT  # sorted

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The fit, the test images, their noise, and the scoring."""
        known = {
            "fit": self.fit.key,
            "test": self.fit.digests(self.test, self.fit.channels),
            "noise": self.noise.name,
            "repeats": self.repeats,
            "stream": "named",  # how the test noise is drawn: there is one way
            "padding": self.padding,
            "scoring": self.scoring.identity,
        } | ({"window": self.centre_crop} if self.centre_crop else {})
        if SCORING_REVISION > 1:
            known["revision"] = SCORING_REVISION
        known |= noise_source(self.noise)
        if self.metrics == DEFAULT:
            return known
        return known | {"metrics": {name: find_metric(name).source for name in self.metrics}}

    @cached_property
    def key(self) -> str:
        """ScoreKey: the digest of the identity."""
        return digest(self.identity)

    @cached_property
    def images_key(self) -> str:
        """The key of the denoised images."""
        return images_key(self.identity)

    @property
    def title(self) -> str:
        """How messages call it, such as `b2u gauss25 seed 0 on kodak`."""
        met = "" if self.noise == self.fit.noise else f" with {self.noise.name}"
        return f"{self.fit.title} on {self.test}{met}"


Unit = Fit | Score


def noise_source(noise: Noise) -> dict[str, str]:
    """What identifies the code of a plug-in's noise; nothing for our own."""
    source = plugins.source(type(noise.family))
    return {"noise_source": source} if source else {}


def registered_name(method: Method) -> str:
    """The name under which a method's class is registered."""
    return next(name for name, cls in registry.methods().items() if cls is type(method))


def changed_fields(method: Method) -> dict[str, Any]:
    """The fields that differ from their defaults: a new field with a default keeps every key as it was."""
    fields = {field.name: getattr(method, field.name) for field in msgspec.structs.fields(method)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(method)}
    return {name: plain(value) for name, value in fields.items() if value != defaults[name]}


def plain(value: Any) -> Any:
    """A field's value as TOML or JSON has it."""
    return networks.written(value) if isinstance(value, networks.Network) else msgspec.to_builtins(value)


def networks_identity(method: Method) -> dict[str, list[Any]]:
    """Revision and, of a plug-in, source of every network but the U-Net, whose code belongs to the loop."""
    found: dict[str, list[Any]] = {}
    for field in method.__struct_fields__:
        value = getattr(method, field)
        if isinstance(value, networks.Network) and (name := networks.name_of(value)) != networks.UNTAGGED:
            found[name] = [value.revision, plugins.source(type(value))]
    return found


def digest(identity: dict[str, Any]) -> str:
    """The first 24 hexadecimal digits of SHA-256 of the sorted JSON."""
    return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:24]


def images_key(score: dict[str, Any]) -> str:
    """The key of the denoised images of a score: its identity without scoring and metrics."""
    return digest({name: value for name, value in score.items() if name not in ("scoring", "metrics")})
