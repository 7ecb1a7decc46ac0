"""What a user asked for: a suite, a preset, and what overrides it."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ..datasets.noise.model import parse
from ..datasets.sets.find import find
from . import suites
from .limits import Limited
from .scoring import rescored
from .settings import canonical, parse_all
from .suites import Suite


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


class Request(Limited, frozen=True, kw_only=True, omit_defaults=True):
    """What a user asked for: a suite, a preset, and what overrides it."""

    suite: str = "synthetic"
    preset: str = "mini"
    methods: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    train: str = ""
    tests: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    steps: int = 0
    crop: int = 0  # side of training crops [pixels]
    skip_unusable: bool = False  # go on without the images of a folder that cannot be used
    repeats: int = 0
    settings: tuple[str, ...] = ()  # such as b2u.lambda_f=2: rows of a method with one other field
    tested: tuple[str, ...] = ()  # noises that a method was not trained for
    net: str = ""  # a registered network, for every method that accepts one
    scoring: str = ""  # an evaluation protocol of scorings.toml
    weights: tuple[ExternalWeights, ...] = ()  # rows beside the methods'

    def normalised(self, suite: Suite) -> "Request":
        """The same request without what the suite's preset says anyway, so that equal requests have one label."""
        preset = suites.preset(suite, self.preset)
        given: dict[str, Any] = {name: tuple(dict.fromkeys(getattr(self, name))) for name in ("tests", "seeds")}
        given |= {name: _noises(getattr(self, name)) for name in ("noises", "tested")}
        one = structs.replace(self, settings=canonical(self.settings), **given)
        own: dict[str, object] = {
            "noises": _noises(preset.noises or suite.noises), "train": preset.train, "tests": preset.tests,
            "seeds": preset.seeds, "crop": preset.crop,
        }  # fmt: skip
        if all(budget.steps in (0, preset.steps) for budget in preset.budgets.values()):
            own["steps"] = preset.steps
        tests = one.tests or preset.tests
        if all(find(test).frames == 1 and preset.repeats.get(test, 1) == one.repeats for test in tests):
            own["repeats"] = one.repeats
        if one.scoring and rescored(preset.scoring, one.scoring) == preset.scoring:
            own["scoring"] = one.scoring
        plain = Request()
        return structs.replace(
            one, **{name: getattr(plain, name) for name, value in own.items() if getattr(one, name) == value}
        )

    def over(self, last: "Request") -> "Request":
        """The request of the last run with the fields that this one sets; the suite and preset of the last run stay."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("suite", "preset")}
        return structs.replace(last, **{name: value for name, value in given.items() if value})

    @property
    def label(self) -> str:
        """The preset and every override, such as `mini, steps=20`."""
        lists = {"noise": self.noises, "test-sets": self.tests, "seeds": self.seeds}
        lists |= {"set": canonical(self.settings), "tested": self.tested}
        changed: dict[str, object] = {"train": quoted(self.train), "steps": self.steps, "repeats": self.repeats}
        changed |= {"crop": self.crop, "skip-unusable": "yes" if self.skip_unusable else ""}
        changed |= {"net": self.net, "scoring": self.scoring}
        changed |= {name: "+".join(map(quoted, values)) for name, values in lists.items()}
        return ", ".join([self.preset, *(f"{name}={value}" for name, value in changed.items() if value)])

    def command(self, name: str, noise: str, plugins: Sequence[Path] = ()) -> str:
        """What to type in a shell for the numbers of one method, setting or external weights on one noise."""
        external = next((one for one in self.weights if one.name == name), None)
        setting = next((one for one in parse_all(self.settings) if one.name == name), None)
        tests = {"noise": noise, "test-sets": ",".join(self.tests), "net": self.net, "repeats": self.repeats}
        tests |= {"tested": ",".join(self.tested)}
        values: dict[str, object] = {"suite": self.suite, "preset": self.preset}
        if external:
            values |= {"method": external.method, "weights": external.file} | tests
        else:
            values |= {"set": setting} if setting else {"methods": name}
            values |= tests | {"train": self.train, "seeds": ",".join(map(str, self.seeds)), "steps": self.steps}
            values |= {"crop": self.crop}
        words = ["python", "-m", "bench", "score" if external else "run"]
        words += [word for option, value in values.items() if value for word in (f"--{option}", str(value))]
        words += ["--skip-unusable"] * self.skip_unusable
        words += [word for path in plugins for word in ("--plugin", str(path))]
        if not self.scoring:
            return shlex.join(words)
        again = ["python", "-m", "bench", "rescore", "--suite", self.suite, "--scoring", self.scoring]
        return f"{shlex.join(words)} && {shlex.join(again)}"


def quoted(value: object) -> str:
    """A value in a label: in quotes where it has what separates values there."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search('[+"]|, ', text) else text


def _noises(names: Iterable[str]) -> tuple[str, ...]:
    """Each noise once, under the name that equal noises have."""
    return tuple(dict.fromkeys(parse(name).name for name in names))
