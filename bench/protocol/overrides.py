"""The preset of a request: the suite's, with what the request says otherwise."""

from typing import Any

from msgspec import structs

from ..datasets.errors import unknown
from ..datasets.sets.find import find
from ..datasets.sets.own_folder import usable
from ..methods.networks import registry as networks
from . import suites
from .request import Request
from .scoring import rescored
from .suites import Preset, Suite


def overridden(suite: Suite, request: Request) -> Preset:
    """The preset that a request asks for; InputError with the nearest name for an unknown one."""
    preset = suites.preset(suite, request.preset)
    _check_names(preset, request)
    changes: dict[str, Any] = {}
    for name in ("train", "tests", "seeds", "steps", "crop"):
        if value := getattr(request, name):
            changes[name] = tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
    if request.steps:  # given explicitly, they hold for all methods
        changes["budgets"] = {name: structs.replace(budget, steps=0) for name, budget in preset.budgets.items()}
    if request.repeats:
        changes["repeats"] = dict.fromkeys(changes.get("tests", preset.tests), request.repeats)
    if request.scoring:
        changes["scoring"] = rescored(preset.scoring, request.scoring)
    preset = structs.replace(preset, **changes)
    return _usable(preset) if request.skip_unusable else preset


def _check_names(preset: Preset, request: Request) -> None:
    for name in filter(None, (request.train, *request.tests)):
        find(name)
    if isinstance(preset.train, dict) and not request.train:
        for name in request.tests:
            if name not in preset.train:
                raise unknown("test set of this preset", name, preset.train, "Or give a training set: --train SET.")
    if request.net:
        networks.find(request.net)


def _usable(preset: Preset) -> Preset:
    """The preset with those images of each folder that can be used."""
    train = preset.train
    return structs.replace(
        preset,
        train=usable(train) if isinstance(train, str) else {usable(test): usable(name) for test, name in train.items()},
        tests=tuple(map(usable, preset.tests)),
        repeats={usable(name): repeats for name, repeats in preset.repeats.items()},
    )
