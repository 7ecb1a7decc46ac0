"""Files of weights that nobody should trust: none runs code, each is weights of the network or refused in one line."""

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
from support.external import Place
from torch import Tensor

from bench.datasets.errors import InputError
from bench.runner import external_weights as weights
from bench.runner.external_weights import read


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
