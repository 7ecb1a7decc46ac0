"""External weights are scored as any others, ours leave under the authors' names; no file is trusted."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.cli import Result, bench, line, lines, photos, record, refused, rows, snapshot
from support.tiny import HEAD, SHORT
from torch import Tensor

from bench.compute.machine import Machine
from bench.datasets.errors import InputError
from bench.methods.networks.official_names import official
from bench.methods.networks.unet import UNetConfig
from bench.protocol.plan import make
from bench.runner import external_weights as weights
from bench.runner.display import Display
from bench.runner.execution import Sets
from bench.runner.external_weights import digest, read
from bench.runner.run import Run
from bench.store.store import Store

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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path)


@pytest.fixture
def state() -> dict[str, Tensor]:
    """Weights that fit the tiny suite's b2u, under the authors' names."""
    torch.manual_seed(0)
    net = UNetConfig(width=4).build(3)
    return {official(net.state_dict())[name]: value.clone() for name, value in net.state_dict().items()}


# ---- the authors' names


SHAPES = {
    "b2u": {
        "head.0.block.0.weight": [48, 3, 3, 3], "down_path.4.block.0.bias": [48],
        "up_path.0.conv_1.block.0.weight": [96, 96, 3, 3], "up_path.4.conv_1.block.0.weight": [96, 99, 3, 3],
        "last.1.block.0.weight": [96, 96, 1, 1], "last.2.weight": [3, 96, 1, 1],
    },
    "nbr": {
        "enc_conv0.weight": [48, 3, 3, 3], "enc_conv6.bias": [48], "up5.deconv.weight": [48, 48, 2, 2],
        "up1.deconv.weight": [96, 96, 2, 2], "dec_conv5a.weight": [96, 96, 3, 3], "dec_conv4a.weight": [96, 144, 3, 3],
        "dec_conv1a.weight": [96, 99, 3, 3], "nin_a.weight": [96, 96, 1, 1], "nin_c.bias": [3],
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), [("b2u", 40), ("nbr", 50)])
def test_a_network_of_the_authors_has_their_names(name: str, count: int) -> None:
    """Names and shapes as the released codes' own networks have them (tests/golden has them all)."""
    net = UNetConfig(upsample="nearest" if name == "b2u" else "transposed").build(3).state_dict()
    named = {theirs: list(net[ours].shape) for ours, theirs in official(net).items()}
    assert len(named) == count == len(net)
    assert {layer: named[layer] for layer in SHAPES[name]} == SHAPES[name]


def test_any_other_network_keeps_our_names() -> None:
    assert official(["head.0.weight", "other.bias"]) == {"head.0.weight": "head.0.weight", "other.bias": "other.bias"}


# ---- there and back


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("method", "theirs"), [("b2u", "last.2.weight"), ("nbr2nbr-official", "nin_c.weight")])
def test_exported_weights_score_the_same_to_the_last_byte(method: str, theirs: str, suffix: str, place: Place) -> None:
    place.train()
    file = place.export(f"{method} gauss25 seed 0", f"mine{suffix}")
    plain = safetensors.torch.load_file(file) if suffix == ".safetensors" else torch.load(file, weights_only=True)
    assert theirs in plain
    assert type(plain) is dict
    result = place.score(file, method)
    assert result.code == 0, result.err
    name = f"{method} (mine{suffix})"
    assert name in result.out
    assert rows(place.store, f"{name} gauss25 on") == rows(place.store, f"{method} gauss25 seed 0 on")
    again = place.export(f"{name} gauss25", f"again{suffix}")
    assert again.read_bytes() == file.read_bytes()


def test_the_record_says_where_the_weights_came_from_and_nothing_of_a_training(place: Place, state: Any) -> None:
    place.score(place.saved(state))
    found = record(place.store, "fit", "b2u (mine.pth) gauss25")
    assert found["result"]["external"]["file"] == "mine.pth"
    assert not {"history", "seconds", "quality"} & found["result"].keys()
    assert not {"seed", "train", "steps", "recipe"} & found["identity"].keys()
    assert found["environment"] == {}
    assert not [path for path in place.store.rglob("*") if path.is_file() and b"secret-place" in path.read_bytes()]


def test_tables_and_rescore_show_them_later(place: Place, state: Any) -> None:
    place.train()
    place.score(place.saved(state), "b2u", "--noise", "gauss25,gauss50")
    name = "b2u (mine.pth)"
    found = lines(*place.asked)
    assert [one["state"] for one in found if one["label"] == name] == ["done", "done"]
    mine = line(found, label=name, noise="gauss25")
    assert (mine["supervision"], mine["mark"], mine["seconds"]) == ("", "", None)
    assert f"{name}: external weights" in bench("tables", *place.asked).out
    result = bench("rescore", "--scoring", "official,float", "--format", "csv", *place.asked)
    assert [row.split(",")[:2] for row in result.out.splitlines()[1:] if name in row] == [
        ["gauss25", name],
        ["gauss50", name],
    ]


def test_a_score_does_not_take_the_place_of_the_last_run(place: Place, state: Any) -> None:
    place.train()
    last = Store(place.store).last.known().requests
    assert place.score(place.saved(state), "b2u", "--noise", "gauss50").code == 0
    assert Store(place.store).last.known().requests == last


def test_only_tables_that_have_a_score_of_them_show_them(place: Place, state: Any) -> None:
    place.score(place.saved(state))
    assert "mine.pth" in bench("tables", *place.asked).out
    assert "mine.pth" not in bench("tables", "--repeats", 2, *place.asked).out
    place.train("--repeats", 2)
    assert "mine.pth" not in bench("tables", *place.asked).out


def test_one_row_may_have_another_file_for_each_noise(place: Place, state: Any) -> None:
    """The authors' files have the same name in a folder for each noise."""
    assert place.score(place.saved(state)).code == 0
    other = {name: value + 0.01 for name, value in state.items()}
    assert "has other weights of this name for gauss25" in place.refused(place.saved(other))
    assert place.score(place.saved(other), "b2u", "--noise", "gauss50").code == 0
    found = [one for one in lines(*place.asked, "--noise", "gauss25,gauss50") if one["label"] == "b2u (mine.pth)"]
    assert [(one["noise"], one["state"]) for one in found] == [("gauss25", "done"), ("gauss50", "done")]


def test_the_same_weights_in_another_file_are_the_same_row(place: Place, state: Any) -> None:
    place.score(place.saved(state))
    before = snapshot(place.store)
    parallel = {"epoch": 3, "state_dict": {f"module.{name}": value.double() for name, value in state.items()}}
    result = place.score(place.saved(parallel, "other.ckpt"))
    assert result.code == 0, result.err
    assert "other.ckpt holds the weights of mine.pth" in result.err
    assert snapshot(place.store) == before


FORMS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "authors' names": lambda state, path: torch.save(state, path),
    "ours": lambda state, path: torch.save(ours(state), path),
    "DataParallel": lambda state, path: torch.save({f"module.{name}": value for name, value in state.items()}, path),
    "checkpoint": lambda state, path: torch.save({"epoch": 1, "model": state, "optimizer": {"state": {}}}, path),
    "another key": lambda state, path: torch.save({"epoch": 1, "model_state_dict": state}, path),
    "an own key": lambda state, path: torch.save({"epoch": 1, "denoiser": state}, path),
    "averaged": lambda state, path: torch.save({"params": state, "params_ema": state}, path),
    "nested": lambda state, path: torch.save({"network": {"state_dict": state}}, path),
    "prefixes": lambda state, path: torch.save({f"_orig_mod.net.{n}": v for n, v in state.items()}, path),
    "parameters": lambda state, path: torch.save({n: torch.nn.Parameter(v) for n, v in state.items()}, path),
    "old format": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "double precision": lambda state, path: torch.save({n: v.double() for n, v in state.items()}, path),
    "another layout in memory": lambda state, path: torch.save({n: v.T.contiguous().T for n, v in state.items()}, path),
}  # fmt: skip


def ours(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {weights.OURS[name]: value for name, value in state.items()}


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("form", FORMS)
def test_all_usual_forms_are_the_same_weights(form: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    FORMS[form](state, tmp_path / "mine.pth")
    found = read(tmp_path / "mine.pth")
    assert digest(found) == digest(ours(state))
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    assert digest(read(tmp_path / "mine.safetensors")) == digest(found)


def test_a_prefix_that_the_network_has_itself_is_kept(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({f"module.net.{name}": value for name, value in state.items()}, tmp_path / "mine.pth")
    expected = {f"net.{name}" for name in state}
    assert read(tmp_path / "mine.pth", expected).keys() == expected


def test_several_networks_in_a_file_are_refused_by_name(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"G": state, "D": state}, tmp_path / "mine.pth")
    with pytest.raises(InputError, match="G, D"):
        read(tmp_path / "mine.pth")


def test_weights_that_were_lost_are_missing_until_they_are_given_again(place: Place, state: Any) -> None:
    file, store = place.saved(state), Store(place.store)
    place.score(file)
    for path in [*place.store.glob("fits/*/*/*.safetensors"), *place.store.glob("scores/*/*/*")]:
        path.unlink()
    asked = store.last.known().requests.get(str(place.suite))
    assert asked is not None
    outcome = Run(make(asked), store, Machine("cpu", "float32", 1), Sets(None), Display(quiet=True)).carry_out()
    assert outcome.states == {"done": 2, "missing": 1}  # the baselines; nothing is trained
    assert place.score(file).code == 0
    assert line(lines(*place.asked), label="b2u (mine.pth)")["state"] == "done"


# ---- files that nobody should trust


class Code:
    """Unpickled by a loader that runs code, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("how", ["pickle", "zip", "inside a state dict", "old format"])
def test_a_pickle_that_runs_code_is_refused_and_runs_none(how: str, place: Place, state: Any) -> None:
    made, file = place.folder / "made", place.files / "mine.pth"
    if how == "pickle":
        file.write_bytes(pickle.dumps(Code(made), protocol=2))
    else:
        content = {**state, "extra": Code(made)} if how == "inside a state dict" else Code(made)
        torch.save(content, file, _use_new_zipfile_serialization=how != "old format")
    error = place.refused(file)
    assert "could run code" in error
    assert f"{os.mkdir.__module__}.mkdir" in error
    assert not made.exists()
    if how != "pickle":  # it would have
        torch.load(file, weights_only=False)
        assert made.exists()


def changed(state: dict[str, Tensor], **values: Any) -> dict[str, Any]:
    """The state dict with another tensor for the last layer's weight."""
    return state | {"last.2.weight": values["last"]}


HUGE, PLAIN = 1 << 40, "last.2.weight is no plain tensor"
CONTENTS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "a tensor": (lambda s: torch.zeros(3), "holds a Tensor; expected a dictionary"),
    "a list": (lambda s: list(s.values()), "holds a list"),
    "nothing": (lambda s: {}, "holds a dict"),
    "numbers for names": (lambda s: dict(enumerate(s.values())), "holds a dict"),
    "a number for a tensor": (lambda s: changed(s, last=3), PLAIN),
    "not a number": (lambda s: changed(s, last=torch.full((3, 8, 1, 1), torch.nan)), "not finite in last.weight"),
    "infinite as float32": (
        lambda s: changed(s, last=torch.full((3, 8, 1, 1), 1e300, dtype=torch.float64)), "not finite in last.weight"
    ),
    "complex": (lambda s: changed(s, last=torch.ones(3, 8, 1, 1, dtype=torch.complex64)), PLAIN),
    "sparse": (lambda s: changed(s, last=torch.ones(3, 8, 1, 1).to_sparse()), PLAIN),
    "without memory": (lambda s: changed(s, last=torch.ones(3, 8, 1, 1, device="meta")), PLAIN),
    "terabytes": (lambda s: changed(s, last=torch.ones(1).expand(HUGE)), "announces tensors of"),
    "both evaluation protocols": (lambda s: s | {"last.weight": s["last.2.weight"]}, "the same layer twice"),
    "missing": (lambda s: {n: v for n, v in s.items() if "head" not in n}, "missing: head.0.weight, head.0.bias, "),
    "extra": (lambda s: s | {"more": torch.ones(1)}, "not of it: more"),
    "of another number of channels": (
        lambda s: changed(s, last=torch.ones(1, 8, 1, 1)), "last.weight [1, 8, 1, 1] instead of [3, 8, 1, 1]"
    ),
    "integers": (
        lambda s: changed(s, last=torch.ones(3, 8, 1, 1, dtype=torch.int64)), "torch.int64 instead of [3, 8, 1, 1]"
    ),
    "names of many lines": (
        lambda s: s | {"x\n\033[2J\ud800" + "y" * 999: torch.ones(1)}, "not of it: x ?[2J?y"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_no_state_dict_of_the_network_is_refused(what: str, place: Place, state: Any) -> None:
    content, said = CONTENTS[what]
    error = place.refused(place.saved(content(state)))
    assert said in error
    assert len(error) < 700


def test_the_other_network_of_a_method_is_refused(place: Place) -> None:
    place.train()
    file = place.export("nbr2nbr-official", "nbr.pth")
    assert "not b2u's network for 3 channels: not of it: up." in place.refused(file)


def announced(path: Path, state: dict[str, Tensor]) -> None:
    """A header of terabytes."""
    header = json.dumps({"last.weight": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def packed(path: Path, state: dict[str, Tensor]) -> None:
    """A saved state dict, its entries compressed: a gigabyte in a megabyte, had this one not been shortened."""
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content + bytes(1 << 20) if name.endswith("data.pkl") else content)


def beyond(path: Path, state: dict[str, Tensor]) -> None:
    """A tensor larger than its entry and than the file: it would show what lies behind in memory."""
    torch.save({"last.2.weight": torch.ones(1 << 20)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:4] if name.endswith("data/0") else content)


FILES: dict[str, tuple[str, Callable[[Path, dict[str, Tensor]], object], str]] = {
    "nothing": ("x.pth", lambda path, s: path.write_bytes(b""), "not a file of weights"),
    "text": ("x.pth", lambda path, s: path.write_text("weights"), "refused"),
    "half a state dict": ("x.pth", lambda path, s: cut(path, lambda: torch.save(s, path)), "not a file of weights"),
    "half an old one": (
        "x.pth", lambda path, s: cut(path, lambda: torch.save(s, path, _use_new_zipfile_serialization=False)), "x.pth"
    ),
    "half of safetensors": (
        "x.safetensors", lambda path, s: cut(path, lambda: safetensors.torch.save_file(s, path)), "not a file"
    ),
    "a header of terabytes": ("x.safetensors", announced, "not a file of weights"),
    "a long header": ("x.safetensors", lambda path, s: path.write_bytes(struct.pack("<Q", HUGE) + b"{}"), "weights"),
    "another suffix": ("x.safetensors", lambda path, s: torch.save(s, path), "not a file of weights"),
    "a folder": ("x.pth", lambda path, s: path.mkdir(), "no such file"),
    "a bomb": ("x.pth", packed, "unpacks to"),
    "a tensor beyond the file": ("x.pth", beyond, "not a file of weights"),
}  # fmt: skip


def cut(path: Path, save: Callable[[], object]) -> None:
    save()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_not_what_it_claims_is_refused(
    what: str, place: Place, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make_file, said = FILES[what]
    make_file(place.files / name, state)
    if what == "a bomb":
        monkeypatch.setattr(weights, "LIMIT", 1 << 20)
    assert said in place.refused(place.files / name)


def test_a_file_of_absurd_size_is_not_read(place: Place) -> None:
    with (place.files / "x.pth").open("wb") as file:
        file.truncate(HUGE)  # sparse
    assert f"{HUGE:,} bytes; allowed: up to {weights.LIMIT:,}" in place.refused(place.files / "x.pth")


@pytest.mark.parametrize("name", ["x.pth", "old.pth", "x.safetensors"])
def test_damaged_bytes_are_other_weights_or_wrong_input(name: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    """200 files with a few bytes changed in their first and last kilobytes, where their structure is."""
    path, random = tmp_path / name, np.random.default_rng(0)
    small = {name: value[:1] for name, value in state.items()}
    if name == "x.safetensors":
        safetensors.torch.save_file(small, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=name == "x.pth")
    whole, refusals = np.frombuffer(path.read_bytes(), np.uint8), list[str]()
    for _ in range(200):
        damaged = whole.copy()
        where = random.integers(-4096, 4096, size=random.integers(1, 6)).clip(-len(whole), len(whole) - 1)
        damaged[where] = random.integers(0, 256, size=len(where))
        path.write_bytes(damaged.tobytes())
        try:
            assert all(value.isfinite().all() for value in read(path).values())
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert all(len(error.splitlines()) == 1 for error in refusals)


# ---- what cannot be asked for


def test_what_weights_cannot_be_scored_as(place: Place, state: Any) -> None:
    file = place.saved(state)
    assert "has no weights that serve a whole set" in place.refused(file, "blur")
    assert "Did you mean 'b2u'?" in place.refused(file, "b2")
    assert "there is nothing to score" in place.refused(file, "b2u", "--noise", "none")
    assert "no such file" in place.refused(place.files / "other.pth")


def test_what_cannot_be_exported(place: Place) -> None:
    place.train()
    export = ("--store", place.store, "--out")
    assert "ends in .safetensors or .pth" in refused("weights", "b2u gauss25", *export, place.files / "mine.zip")
    assert "Did you mean 'b2u gauss25 seed 0'?" in refused("weights", "b2u gauss25 seed 1", *export, "x.pth")
    assert "names 2 fits; give the start of a key: " in refused("weights", "gauss25", *export, "x.pth")
    assert "cannot write" in refused("weights", "b2u gauss25", *export, place.files / "no" / "x.pth")
    for path in place.store.glob("fits/*/*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "its weights are not in the store" in refused("weights", "b2u gauss25", *export, place.files / "x.pth")
    assert list(place.files.iterdir()) == []
