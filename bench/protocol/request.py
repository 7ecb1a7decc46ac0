"""What a user asked for: a suite, a preset, and what overrides it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from .limits import check_limits
from .settings import canonical


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
    crop: int = 0  # side of training crops [pixels]
    skip_unusable: bool = False  # go on without the images of a folder that cannot be used
    repeats: int = 0
    settings: tuple[str, ...] = ()  # such as b2u.lambda_f=2: rows of a method with one other field
    tested: tuple[str, ...] = ()  # noises that a method was not trained for
    net: str = ""  # a registered network, for every method that accepts one
    scoring: str = ""  # an evaluation protocol of scorings.toml
    weights: tuple[ExternalWeights, ...] = ()  # rows beside the methods'

    def __post_init__(self) -> None:
        """InputError for a number outside its range."""
        check_limits(self)

    @property
    def label(self) -> str:
        """The preset and every override, such as `mini, steps=20`."""
        lists = {"noise": self.noises, "test-sets": self.tests, "seeds": self.seeds}
        lists |= {"set": canonical(self.settings), "tested": self.tested}
        changed: dict[str, object] = {"train": self.train, "steps": self.steps, "repeats": self.repeats}
        changed |= {"crop": self.crop, "skip-unusable": "yes" if self.skip_unusable else ""}
        changed |= {"net": self.net, "scoring": self.scoring}
        changed |= {name: "+".join(map(str, values)) for name, values in lists.items()}
        return ", ".join([self.preset, *(f"{name}={value}" for name, value in changed.items() if value)])

    @property
    def command(self) -> str:
        """The command line that asks for this in a shell; with an evaluation protocol, the one that scores so."""
        external = self.weights[:1]
        words = ["python", "-m", "bench", "rescore" if self.scoring else "score" if external else "run"]
        values: dict[str, object] = {"suite": self.suite, "preset": self.preset}
        if external and not self.scoring:
            values |= {"weights": external[0].file, "method": external[0].method}
        elif not self.scoring:
            values["methods"] = ",".join(self.methods)
        values |= {"scoring": self.scoring, "noise": ",".join(self.noises), "train": self.train}
        values |= {"test-sets": ",".join(self.tests), "seeds": ",".join(map(str, self.seeds)), "steps": self.steps}
        values |= {"repeats": self.repeats, "tested": ",".join(self.tested)}
        words += [word for name, value in values.items() if value for word in (f"--{name}", str(value))]
        return shlex.join(words)

    def command_of(self, name: str, noise: str, plugins: Sequence[Path] = ()) -> str:
        """The command line that makes the numbers of a method, or of external weights, on one noise again."""
        weights = tuple(one for one in self.weights if one.name == name)
        one = structs.replace(self, methods=() if weights else (name,), weights=weights, noises=(noise,))
        return shlex.join([*shlex.split(one.command), *(word for path in plugins for word in ("--plugin", str(path)))])
