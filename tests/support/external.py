"""A tiny suite, and files of weights from elsewhere."""

from pathlib import Path

import torch
from torch import Tensor

from bench.methods.networks.official_names import official
from bench.methods.networks.unet import UNetConfig
from support.cli import Result, bench, photos, refused, snapshot
from support.tiny import HEAD, SHORT

SUITE = (
    HEAD
    + """noises = ["gauss25", "gauss50"]
[[rows]]
label = "B2U"
method = "b2u"
[configurations.nbr2nbr-official]
method = "nbr2nbr"
[configurations.nbr2nbr-official.fields.net]
upsample = "transposed"
width = 4
"""
    + SHORT
    + """batch = 1
steps = 1
epochs = 1
recipe = "one"
[presets.mini.fields.b2u]
s = 2
net = { width = 4 }
"""
)


class Place:
    """A store, a tiny suite, and a folder of weights."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.suite = folder, folder / "store", folder / "tiny.toml"
        self.files = folder / "secret-place"
        self.files.mkdir()
        text = SUITE.replace("TRAIN", (folder / "train").as_posix()).replace("TEST", (folder / "test").as_posix())
        self.suite.write_text(text, encoding="utf-8")
        self.asked = ("--suite", self.suite, "--store", self.store)

    def photograph(self) -> None:
        """The images, which nothing needs that is refused."""
        photos(self.folder / "train", "coffee", height=64, width=64)
        photos(self.folder / "test", "chelsea", "astronaut")

    def train(self, *argv: object) -> None:
        """Trains b2u and the authors' Neighbor2Neighbor for one step."""
        self.photograph()
        result = bench("run", "--methods", "b2u,nbr2nbr-official", "--noise", "gauss25", *argv, *self.asked)
        assert result.code == 0, result.err

    def export(self, words: str, name: str) -> Path:
        """A file with the weights of a fit."""
        result = bench("weights", words, "--out", self.files / name, "--store", self.store)
        assert result.code == 0, result.err
        return self.files / name

    def score(self, file: Path, method: str = "b2u", *argv: object) -> Result:
        """The command on a file."""
        self.photograph()
        asked = ("--noise", "gauss25", *argv) if "--noise" not in argv else argv
        return bench("score", "--weights", file, "--method", method, *asked, *self.asked)

    def refused(self, file: Path, method: str = "b2u", *argv: object) -> str:
        """The error line of the command on a file that must not be scored; nothing of it stays in the store."""
        before = snapshot(self.store)
        asked = ("--noise", "gauss25", *argv) if "--noise" not in argv else argv
        how = ("--precision", "float32")  # some processors have nothing faster and say so first
        error = refused("score", "--weights", file, "--method", method, *asked, *self.asked, *how)
        assert snapshot(self.store) == before
        return error

    def saved(self, content: object, name: str = "mine.pth") -> Path:
        """A file as torch.save writes it."""
        torch.save(content, self.files / name)
        return self.files / name


def authors_state() -> dict[str, Tensor]:
    """Weights that fit the tiny suite's b2u, under the authors' names."""
    torch.manual_seed(0)
    net = UNetConfig(width=4).build(3)
    return {official(net.state_dict())[name]: value.clone() for name, value in net.state_dict().items()}
