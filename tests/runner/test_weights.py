"""External weights are scored as any others, ours leave under the authors' names; no file is trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.cli import bench, line, lines, record, refused, rows, snapshot
from support.external import Place
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
    assert "ends in one of .safetensors, .pth" in refused("weights", "b2u gauss25", *export, place.files / "mine.tar")
    assert "Did you mean 'b2u gauss25 seed 0'?" in refused("weights", "b2u gauss25 seed 1", *export, "x.pth")
    assert "names 2 fits; give the start of a key: " in refused("weights", "gauss25", *export, "x.pth")
    assert "cannot write" in refused("weights", "b2u gauss25", *export, place.files / "no" / "x.pth")
    for path in place.store.glob("fits/*/*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "its weights are not in the store" in refused("weights", "b2u gauss25", *export, place.files / "x.pth")
    assert list(place.files.iterdir()) == []
