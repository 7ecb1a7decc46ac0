"""A key knows our own code by hand-raised revisions alone, so code that gives other numbers must raise its revision.

revisions.json lists, for training, scoring, each method and each network, its revision and its code's digest.
What is watched follows from the imports: every function, class and constant of datasets/, methods/,
bench/compute and bench/protocol/metrics that executing a unit of work can reach. After a change run

    python tests/protocol/test_revisions.py

which records new revisions; with --same-numbers also changed code that still gives the numbers of its revision,
which the regression cases of what has changed are run to check. It names what has no such case.
"""

import argparse
import ast
import pkgutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":  # a checkout need not be installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec
import pytest
from torch import Tensor

from bench import datasets
from bench.methods import registry
from bench.methods.base import Context
from bench.methods.classical.noisy import Noisy
from bench.methods.networks import registry as networks
from bench.methods.source_digest import digest, imports
from bench.protocol import units
from bench.protocol.metrics.registry import metrics
from bench.tools import regression

FILE = Path(__file__).with_name("revisions.json")
START = "bench.runner.execution"  # where every unit of work is executed; itself it makes no numbers
ROOMS = ("bench.datasets", "bench.methods", "bench.compute", "bench.protocol.metrics")
APART = (  # words and names: they make no numbers
    "bench.datasets.errors",
    "bench.datasets.registry",
    "bench.methods.plugins",
    "bench.methods.registry",
    "bench.methods.networks.registry",
)
TRAIN = ("bench.compute.training", "train")
COMMAND = "tests/protocol/test_revisions.py"
SHORT = {"training": "synthetic/n2c/gauss25/losses", "scoring": "synthetic/noisy/gauss25/psnr"}
Place = tuple[str, str]  # a module and a name that it defines


class Module:
    """The statements of a module that define each name, and where its other names come from."""

    def __init__(self, name: str, path: Path) -> None:
        code = ast.parse(path.read_bytes())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.imported = {one.local: (one.module, one.symbol) for one in imports(code, package)}
        self.defined: dict[str, list[ast.stmt]] = {}
        for statement in code.body:
            for one in self._names(statement):
                self.defined.setdefault(one, []).append(statement)

    @staticmethod
    def _names(statement: ast.stmt) -> set[str]:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            return {statement.name}
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            found = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            return {node.id for node in found if isinstance(node.ctx, ast.Store)}
        return set()

    def used(self, name: str) -> set[Place]:
        """What the definition of a name refers to, in this module ("") or in others."""
        found: set[Place] = set()
        for node in (node for statement in self.defined[name] for node in ast.walk(statement)):
            if isinstance(node, ast.Name) and node.id in self.defined:
                found.add(("", node.id))
            elif isinstance(node, ast.Name) and node.id in self.imported:
                found.add(self.imported[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):  # perhaps a module's
                home = ".".join(filter(None, self.imported.get(node.value.id, ())))
                found |= {(home, node.attr)} if home else set()
        return found


@cache
def module(name: str) -> Module | None:
    """A module of ours; None for others, and for a dotted name that is no module."""
    if not name.startswith("bench."):
        return None
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Module(name, Path(spec.origin)) if spec and spec.origin else None


@cache
def derived() -> dict[Place, list[Place]]:
    """Class -> its subclasses in datasets/: layouts and noise families are found by name, not by an import."""
    found: dict[Place, list[Place]] = {}
    for info in pkgutil.walk_packages(datasets.__path__, f"{datasets.__name__}."):
        home = module(info.name)
        assert home is not None
        classes = [one for statements in home.defined.values() for one in statements if isinstance(one, ast.ClassDef)]
        for one in classes:
            for base in one.bases:
                if isinstance(base, ast.Name):
                    place = home.imported.get(base.id, (info.name, base.id))
                    found.setdefault(place, []).append((info.name, one.name))
    return found


def reached(start: list[Place], without: Place | None = None) -> dict[str, list[ast.stmt]]:
    """All definitions in ROOMS that these need, by `module:name`."""
    found, todo, seen = dict[str, list[ast.stmt]](), list(start), set[Place]()
    while todo:
        place = todo.pop()
        home = module(place[0])
        if place in seen or home is None or place[0] in APART or place == without:
            continue
        seen.add(place)
        todo += derived().get(place, [])
        if place[1] in home.defined:
            if place[0].startswith(ROOMS):
                found[":".join(place)] = home.defined[place[1]]
            elif place[0] != START:
                continue
            todo += [(name or place[0], symbol) for name, symbol in home.used(place[1])]
        elif place[1] in home.imported:  # passed on
            todo.append(home.imported[place[1]])
    return found


@cache
def training() -> dict[str, list[ast.stmt]]:
    """What a training reaches."""
    return reached([TRAIN, (TRAIN[0], "source_of")])


@cache
def scoring() -> dict[str, list[ast.stmt]]:
    """What denoising and scoring reach, without the training of an image's own network; metrics are found by name."""
    start = module(START)
    assert start is not None
    measures = [(metric.function.__module__, metric.function.__name__) for metric in metrics().values()]
    return reached([*((START, name) for name in start.defined), *measures], without=TRAIN)


@cache
def current() -> dict[str, tuple[int, str]]:
    """Training, scoring, method or network -> its revision, and the digest of its code."""
    loop = training() | scoring()
    found = {"training": (units.TRAINING_REVISION, digest(training())[:16])}
    found["scoring"] = (units.SCORING_REVISION, digest(scoring())[:16])
    for name, cls in registry.methods().items():
        if cls.__module__.startswith("bench."):  # no plug-in
            code = reached([(cls.__module__, cls.__name__)])
            found[name] = (cls.revision, digest({key: code[key] for key in code.keys() - loop.keys()})[:16])
    for name, net in networks.networks().items():
        code = reached([(net.__module__, net.__name__)])
        own = {key: code[key] for key in code.keys() - loop.keys()}
        if own and net.__module__.startswith("bench."):  # the U-Net belongs to both
            found[f"network {name}"] = (net.revision, digest(own)[:16])
    return found


def recorded() -> dict[str, tuple[int, str]]:
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, tuple[int, str]])


def test_code_that_changes_raises_its_revision() -> None:
    known = recorded()
    changed = [name for name, one in current().items() if known.get(name) != one]
    assert not changed, (
        f"the code of {', '.join(changed)} has changed. Where the numbers change, raise `revision` (of training "
        f"and scoring: in bench/protocol/units.py) and run `python {COMMAND}`; where they do not, add --same-numbers"
    )


@pytest.mark.parametrize("more", [[], ["--same-numbers"]])
def test_revisions_only_rise(more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    higher = {name: (one[0] + (name == "b2u"), one[1]) for name, one in current().items()}
    monkeypatch.setattr(sys.modules[__name__], "FILE", tmp_path / "revisions.json")
    (tmp_path / "revisions.json").write_bytes(before := msgspec.json.encode(higher))
    with pytest.raises(SystemExit, match=f"b2u .*revision {higher['b2u'][0]}"):
        main(more)
    assert (tmp_path / "revisions.json").read_bytes() == before


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_the_same_numbers_are_checked(shift: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denoise(self: Noisy, net: None, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        return {"noisy": noisy + shift}

    changed = current() | {"noisy": (current()["noisy"][0], "another digest")}
    monkeypatch.setattr(Noisy, "denoise", denoise)
    monkeypatch.setattr(sys.modules[__name__], "FILE", tmp_path / "revisions.json")
    (tmp_path / "revisions.json").write_bytes(before := msgspec.json.encode(changed))
    if shift:
        with pytest.raises(SystemExit, match="synthetic/noisy/gauss25/psnr"):
            main(["--same-numbers"])
        assert (tmp_path / "revisions.json").read_bytes() == before
    else:
        main(["--same-numbers"])
        assert recorded() == current()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("def f(x):\n    'Another docstring.'\n    return x + 1  # why", True),
        ("def f(x: int) -> int:\n\n    return (x + 1)", True),
        ("def f(x):\n    'Doc.'\n    return x + 2", False),
        ("def f(x):\n    'Doc.'\n    return x - 1", False),
        ("def f(x, y=0):\n    'Doc.'\n    return x + 1", False),
    ],
)
def test_only_meaning_changes_a_digest(change: str, same: bool) -> None:
    before = digest({"f": ast.parse("def f(x):\n    'Doc.'\n    return x + 1")})
    assert (digest({"f": ast.parse(change)}) == before) == same


def test_the_loop_reaches_what_numbers_go_through() -> None:
    watched = " ".join(training() | scoring())
    for name in (
        "images:unit",
        "images:gray",
        "bayer:pack",
        "machine:Machine",
        "builtin:ssim",
        "philox:philox",
        "seeds:frozen",
        "Sensor",
        "EightBit",
    ):
        assert name in watched, name
    assert "methods.registry" not in watched


def test_a_method_reaches_the_method_it_extends_and_its_network() -> None:
    names = " ".join(reached([("bench.methods.n2n", "N2N")]))
    assert "n2c:N2C" in names
    assert "unet:UNet" in names


def other_numbers(changed: list[str]) -> list[str]:
    """The regression cases of what has changed that are red: short trainings, or scores of what trains nothing."""
    every, names = regression.cases(), []
    for name in changed:
        mine = [case for case in every if case.method == name]
        names += [case.name for case in mine if case.subset.tier == "losses"] or [case.name for case in mine]
        names += [SHORT[name]] if name in SHORT else []
        if not mine and name not in SHORT:
            print(f"{name}: not compared, as no regression case has this name")
    return [one.case for one in regression.compared(names, report=print) if one.state == "failed"] if names else []


def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=f"Records the code of every revision in {FILE.name}.")
    options.add_argument("--same-numbers", action="store_true", help="changed code still gives its revision's numbers")
    same_numbers = options.parse_args(arguments).same_numbers
    try:
        known = recorded()
    except msgspec.DecodeError:
        sys.exit(f"{FILE.name} cannot be read; after a merge take one side first: git checkout --ours {FILE}")
    changed = []  # within their revisions
    for name, one in current().items():
        if name in known and known[name][0] > one[0]:
            sys.exit(f"{name} has revision {one[0]} after revision {known[name][0]}: a revision only rises")
        if name in known and known[name] != one and known[name][0] == one[0]:
            changed.append(name)
            if not same_numbers:
                sys.exit(f"{name} has changed within revision {one[0]}: raise it, or say --same-numbers")
    if red := other_numbers(changed):
        sys.exit(f"--same-numbers, but {', '.join(red)} gives others: raise the revision")
    for name, one in current().items():
        if known.get(name) != one:
            print(f"{name}, revision {one[0]}: {one[1]}")
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(current(), order="sorted"), indent=1) + b"\n")


if __name__ == "__main__":
    main()
