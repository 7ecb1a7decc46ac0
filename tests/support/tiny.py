"""A suite that is trained in a second, its images, and a store: what the tests of stores need."""

import shutil
from pathlib import Path

from support.cli import Result, bench, narrow_networks, photos

HEAD = """
name = "tiny"
version = 1
title = "A tiny suite"
channels = 3
"""
# A recipe, and the head of a preset, for suites that are trained in a second on TRAIN and tested on TEST.
SHORT = """[recipes.one]
schedule = "cycle"
lr = 1e-3
beta2 = 0.95
weight_decay = 0.0
[presets.mini]
train = "folder:TRAIN"
tests = ["folder:TEST"]
crop = 64
"""

SUITE = (
    HEAD
    + """noises = ["gauss25"]
[[rows]]
label = "N2C"
method = "n2c"
"""
    + SHORT
    + """batch = 1
steps = 1
epochs = 1
recipe = "one"
[presets.mini.fields.n2c]
net = { width = 4 }
[presets.mini.fields.n2n]
net = { width = 4 }
[presets.mini.fields.nbr2nbr]
net = { width = 4 }
"""
)


class Tiny:
    """A suite in a folder, its images beside it, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.suite = folder, folder / "store", folder / "tiny.toml"
        text = SUITE.replace("TRAIN", (folder / "train").as_posix()).replace("TEST", (folder / "test").as_posix())
        self.suite.write_text(text, encoding="utf-8")
        photos(folder / "train", "coffee", height=64, width=64)
        photos(folder / "test", "chelsea", "astronaut")

    def copied(self, folder: Path) -> "Tiny":
        """The same with a copy of the store, in a folder that has none."""
        copy = Tiny.__new__(Tiny)
        copy.__dict__ |= self.__dict__ | {"store": shutil.copytree(self.store, folder / "store")}
        return copy

    def command(self, *argv: object, methods: str = "n2c", store: Path | None = None) -> tuple[object, ...]:
        """A run of some methods on one noise."""
        noise = () if "--noise" in argv else ("--noise", "gauss25")
        how = ("--precision", "float32", "--threads", 1, "--suite", self.suite, "--store", store or self.store)
        return ("run", "--methods", methods, *noise, *how, *argv)

    def run(self, *argv: object, methods: str = "n2c", store: Path | None = None) -> Result:
        """The run in this process; it must end well."""
        result = bench(*self.command(*argv, methods=methods, store=store))
        assert result.code == 0, result.err
        return result

    def tables(self, store: Path | None = None) -> Result:
        """The tables of a store."""
        return bench("tables", "--suite", self.suite, "--store", store or self.store)


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store but locks and times."""
    paths = [path for path in store.rglob("*") if path.is_file() and path.suffix not in (".lock", ".seconds")]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in paths}


def settled(store: Path) -> dict[str, bytes]:
    """The files of a store that are the same in every run, whoever was killed and however many processes there were."""
    found = {name: content for name, content in contents(store).items() if not name.startswith(("claims/", "slurm"))}
    return {name: content for name, content in found.items() if not name.endswith(".tmp")}


def check_same(found: dict[str, bytes], whole: dict[str, bytes], told: object) -> None:
    """Every file, byte for byte; names first, as the bytes are many."""
    assert found.keys() == whole.keys(), told
    assert [name for name in whole if found[name] != whole[name]] == [], told


def finished(folder: Path) -> Tiny:
    """A tiny suite that was run once, with narrow networks."""
    with narrow_networks():
        made = Tiny(folder)
        made.run()
    return made
