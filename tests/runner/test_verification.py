"""bench verify: stored weights and images give the recorded numbers again, or it says by how much not."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import Result, bench, file_of, record, refused
from support.plugins import KEEPER
from support.tiny import Tiny, contents

from bench.datasets.errors import AbsentError
from bench.methods import registry
from bench.runner import verification
from bench.store.tensors import read_tensors, write_tensors


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    place = Tiny(tmp_path_factory.mktemp("filled"))
    place.run()
    return place


@pytest.fixture
def place(filled: Tiny, tmp_path: Path) -> Tiny:
    return filled.copied(tmp_path)


def verify(place: Tiny, *argv: object) -> tuple[Result, dict[str, dict[str, Any]]]:
    """The command, and what it says of each method; it must leave the store as it is."""
    before = contents(place.store)
    result = bench("verify", *argv, "--store", place.store, "--threads", 1, "--format", "json")
    assert contents(place.store) == before
    return result, {one["score"].split()[0]: one for one in json.loads(result.out)}


def test_a_fresh_store_is_verified(place: Tiny) -> None:
    result, found = verify(place)
    assert result.code == 0, result.err
    assert {name: one["result"] for name, one in found.items()} == {
        "n2c": "same", "noisy": "recomputed", "blur": "recomputed"
    }  # fmt: skip
    assert {(one["difference"], one["SSIM difference"]) for one in found.values()} == {("0.00", "0.0000")}
    assert all(one["recorded"] == one["now"] for one in found.values())


def test_words_choose_what_is_verified(place: Tiny) -> None:
    assert set(verify(place, "n2c", "gauss25")[1]) == {"n2c"}
    assert "unknown score" in refused("verify", "n2c", "gaus25", "--store", place.store)


def rewrite(place: Tiny, kind: str, **result: object) -> None:
    found = record(place.store, kind, "n2c")
    path = file_of(place.store, kind, found["title"])
    path.write_text(json.dumps(found | {"result": found["result"] | result}), encoding="utf-8")


def replace_weights(place: Tiny, factor: float) -> str:
    """Other weights under the same name; their SHA-256."""
    path = file_of(place.store, "fit", "n2c", ".safetensors")
    tensors, about = read_tensors(path)
    write_tensors(path, {name: factor * value for name, value in tensors.items()}, about)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_replaced_weights_are_noticed(place: Tiny) -> None:
    digest = replace_weights(place, 1.01)
    result, found = verify(place)
    assert (result.code, found["n2c"]["result"]) == (1, "wrong: other weights than the record of its fit has")
    rewrite(place, "fit", weights=digest)
    result, found = verify(place)
    assert (result.code, found["n2c"]["result"]) == (1, "wrong: scored with other weights than its fit has now")


def test_forged_records_are_wrong(place: Tiny) -> None:
    digest = replace_weights(place, 1.5)
    rewrite(place, "fit", weights=digest)
    rewrite(place, "score", weights=digest)
    result, found = verify(place)
    assert (result.code, found["n2c"]["result"]) == (1, "differs")
    assert float(found["n2c"]["difference"]) > 0.01
    assert found["n2c"]["recorded"] != found["n2c"]["now"]
    assert found["noisy"]["result"] == "recomputed"


def test_weights_of_another_network_are_no_crash(place: Tiny) -> None:
    path = file_of(place.store, "fit", "n2c", ".safetensors")
    tensors, about = read_tensors(path)
    write_tensors(path, {f"other.{name}": value for name, value in tensors.items()}, about)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(place, "fit", weights=digest)
    rewrite(place, "score", weights=digest)
    result, found = verify(place, "n2c")
    assert result.code == 1
    assert found["n2c"]["result"].startswith("wrong: RuntimeError: ")


def test_what_cannot_be_scored_again_is_left_out(place: Tiny) -> None:
    for path in place.store.glob("fits/*/*/*.safetensors"):
        path.unlink()
    result, found = verify(place)
    assert (result.code, found["n2c"]["result"]) == (0, "left out: no weights in the store")


def test_images_that_are_not_here_are_left_out(place: Tiny, filled: Tiny) -> None:
    away = (filled.folder / "test").rename(filled.folder / "away")
    try:
        result, found = verify(place)
    finally:
        away.rename(filled.folder / "test")
    assert (result.code, "nothing was verified" in result.err) == (1, True)
    assert "no such folder" in found["n2c"]["result"]


def test_a_metric_that_this_machine_lacks_is_left_out(place: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise AbsentError("metric 'lpips' is not available: its package is not installed")

    monkeypatch.setattr(verification, "evaluate", absent)
    result, found = verify(place)
    assert (result.code, "nothing was verified" in result.err) == (1, True)
    assert found["n2c"]["result"].startswith("left out: metric 'lpips'")


def test_damaged_records_and_rows_are_wrong(place: Tiny) -> None:
    path = file_of(place.store, "score", "n2c", ".rows.jsonl")
    path.write_bytes(path.read_bytes()[:50])
    (path.parent / "kodak-00000000.json").write_bytes(b"{")
    result, found = verify(place)
    assert result.code == 1
    assert "damaged" in found["n2c"]["result"]
    assert "damaged" in found["kodak-00000000.json"]["result"]
    assert verify(place, "noisy")[0].code == 0
    assert "blur" in refused("verify", "blurr", "--store", place.store)


def test_stored_images_are_what_is_verified(place: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    (tmp_path / "keeper.py").write_text(KEEPER)
    place.run("--plugin", tmp_path / "keeper.py", methods="keeper")
    images = sorted(place.store.glob("images/*/*.safetensors"))
    assert len(images) == 2
    assert verify(place, "keeper")[1]["keeper"]["result"] == "same"
    tensors, about = read_tensors(images[0])
    write_tensors(images[0], {name: value + 0.1 for name, value in tensors.items()}, about)
    result, found = verify(place, "keeper")
    assert (result.code, found["keeper"]["result"]) == (1, "differs")
    images[0].write_bytes(b"{")
    assert "not a whole file of tensors" in verify(place, "keeper")[1]["keeper"]["result"]
    images[0].unlink()
    assert verify(place, "keeper")[1]["keeper"]["result"] == "recomputed"
