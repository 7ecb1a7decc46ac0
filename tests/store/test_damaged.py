"""Damaged and foreign records: named by whoever reads, never averaged, set aside by a run that does them again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, lines, record, refused
from support.tiny import Tiny, contents

from bench.protocol.units import digest
from bench.store.store import Store

Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The store of a run with two seeds."""
    place = Tiny(tmp_path_factory.mktemp("filled"))
    place.run("--seeds", "0,1")
    return place


@pytest.fixture
def place(filled: Tiny, tmp_path: Path) -> Tiny:
    """The same with a copy of the store."""
    copy = Tiny.__new__(Tiny)
    copy.__dict__ |= filled.__dict__ | {"store": shutil.copytree(filled.store, tmp_path / "store")}
    return copy


def changed(**values: Any) -> Spoil:
    """The record with other values."""

    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_bytes()) | values), encoding="utf-8")

    return change


def other_identity(path: Path) -> None:
    found = json.loads(path.read_bytes())
    changed(identity=found["identity"] | {"noise": "gauss50"})(path)


def other_outputs(path: Path) -> None:
    found = json.loads(path.read_bytes())
    outputs = {name: mean | {"psnr": mean["psnr"] + 1} for name, mean in found["result"]["outputs"].items()}
    changed(result=found["result"] | {"outputs": outputs})(path)


def wrong_key(path: Path) -> None:
    """A whole record, of another unit."""
    identity = {"noise": "gauss25"}
    changed(identity=identity, key=digest(identity))(path)


BOTH: dict[str, tuple[Spoil, str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "damaged"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "damaged"),
    "an empty object": (lambda path: path.write_bytes(b"{}"), "damaged"),
    "a list": (lambda path: path.write_bytes(b"[]"), "damaged"),
    "of another type": (changed(key=1), "damaged"),
    "nested": (lambda path: path.write_bytes(b'{"label": ' * 10**5), "damaged"),
    "a large number": (lambda path: path.write_bytes(path.read_bytes().replace(b'"gauss25"', b"9" * 30)), "damaged"),
    "of another unit": (wrong_key, "damaged"),
    "of another identity": (other_identity, "damaged"),
    "without a label": (changed(label={}), "damaged"),
    "without a result": (changed(result={}), "damaged"),
    "of another device": (changed(environment={"device": 1}), "damaged"),
    "of a later schema": (changed(schema=2), "foreign"),
    "of a later schema, otherwise built": (lambda path: path.write_bytes(b'{"schema": 7, "units": []}'), "foreign"),
}  # fmt: skip
KINDS = {f"{kind}, {name}": (kind, ".json", *how) for name, how in BOTH.items() for kind in ("fit", "score")} | {
    "score, other means": ("score", ".json", other_outputs, "damaged"),
    "score, no rows": ("score", ".rows.jsonl", lambda path: path.unlink(), "damaged"),
    "score, half a row": ("score", ".rows.jsonl", lambda path: path.write_bytes(path.read_bytes()[:70]), "damaged"),
    "score, fewer rows": (
        "score", ".rows.jsonl", lambda path: path.write_bytes(path.read_bytes().partition(b"\n")[0]), "damaged"
    ),
    "score, exchanged rows": (
        "score", ".rows.jsonl", lambda path: path.write_bytes(b"\n".join(path.read_bytes().split()[::-1])), "damaged"
    ),
}  # fmt: skip


def spoil(place: Tiny, name: str) -> Path:
    kind, suffix, ruin, _ = KINDS[name]
    path = place.store / f"{kind}s" / f"{record(place.store, kind, 'n2c gauss25 seed 0')['key']}{suffix}"
    ruin(path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_readers_name_it_and_average_nothing(name: str, place: Tiny) -> None:
    path, state = spoil(place, name), KINDS[name][3]
    before = contents(place.store)
    result = place.tables()
    assert result.code == 0, result.err
    row = next(row for row in result.out.splitlines() if " N2C " in row)
    assert f" {state} " in row
    assert "dB" not in row
    (note,) = [row for row in result.out.splitlines() if path.name[:24] in row]
    assert note.startswith(f"gauss25, N2C: {state}: {path.parent.name}/{path.name[:24]}")
    (found,) = [one for one in lines("--suite", place.suite, "--store", place.store) if one["label"] == "N2C"]
    assert (found["psnr"], found["seeds"]) == (None, 0)
    if path.suffix == ".json" and name != "score, other means":  # rows are read with what is made of them
        assert f"not read: {path}: {state} record: " in result.err
        assert f"{path}: {state} record: " in refused("show", path.stem, "--store", place.store)
        assert bench("show", "noisy", "--store", place.store).code == 0
    assert contents(place.store) == before


@pytest.mark.parametrize("name", KINDS)
def test_a_run_sets_it_aside_and_does_it_again(name: str, place: Tiny) -> None:
    whole = contents(place.store)
    path, state = spoil(place, name), KINDS[name][3]
    spoilt = path.read_bytes() if path.exists() else b""
    result = place.run("--seeds", "0,1")
    (note,) = [row for row in result.err.splitlines() if "set aside" in row]
    assert f"{state}: {path.parent.name}/{path.name[:24]}" in note
    found = contents(place.store)
    assert {name: text for name, text in found.items() if not name.endswith(".quarantined")} == whole
    if spoilt:
        assert found[f"{path.parent.name}/{path.name}.quarantined"] == spoilt
    assert "set aside" not in place.run("--seeds", "0,1").err


def test_nothing_that_was_quarantine_is_lost(place: Tiny) -> None:
    for _ in range(3):
        path = spoil(place, "score, truncated")
        place.run("--seeds", "0,1")
    assert len(list(path.parent.glob(f"{path.name}*.quarantined"))) == 3


def test_other_cells_keep_their_numbers(place: Tiny) -> None:
    asked = ("--suite", place.suite, "--store", place.store)
    before = {one["label"]: one for one in lines(*asked)}
    spoil(place, "fit, truncated")
    after = {one["label"]: one for one in lines(*asked)}
    assert [label for label in before if before[label] != after[label]] == ["N2C"]
    assert len(after) > 1


def test_weights_external_weights_are_given_again(place: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    assert bench("weights", "n2c gauss25 seed 0", "--out", file, "--store", place.store).code == 0
    command = ("score", "--weights", file, "--method", "n2c", "--suite", place.suite, "--store", place.store)
    assert bench(*command).code == 0
    whole = contents(place.store)
    path = place.store / "fits" / f"{record(place.store, 'fit', 'n2c (mine')['key']}.json"
    path.write_bytes(b"{")
    result = place.tables()
    assert result.code == 0
    assert f"not read: {path}: damaged record: " in result.err
    result = bench(*command)
    assert (result.code, result.err.count("set aside")) == (0, 1)
    assert {name: text for name, text in contents(place.store).items() if not name.endswith(".quarantined")} == whole


def test_damaged_times_are_no_times(place: Tiny) -> None:
    for path in place.store.glob("fits/*.seconds"):
        path.write_bytes(b"\xff")
    assert place.tables().code == 0


def test_a_dry_run_changes_nothing(place: Tiny) -> None:
    spoil(place, "fit, truncated")
    before = contents(place.store)
    assert "n2c gauss25 seed 0" in bench(*place.command("--seeds", "0,1", "--dry-run")).out
    assert contents(place.store) == before


def test_conventions_go_on(place: Tiny) -> None:
    path = spoil(place, "score, truncated")
    result = bench("rescore", "--scoring", "official,float", "--suite", place.suite, "--store", place.store)
    assert result.code == 0, result.err
    assert "float" in result.out
    assert path.exists()


def test_old_records_and_new_ones_are_told_apart_by_their_rows(place: Tiny) -> None:
    """A record says whose rows it was made of; one of an earlier version does not, and its means tell."""
    found = record(place.store, "score", "n2c gauss25 seed 0")
    path = place.store / "scores" / f"{found['key']}.json"
    assert len(found["result"].pop("rows")) == 64
    path.write_text(json.dumps(found), encoding="utf-8")
    assert Store(place.store).look()[1] == []
    assert [one["seeds"] for one in lines("--suite", place.suite, "--store", place.store) if one["label"] == "N2C"] == [
        2
    ]
    rows = path.with_suffix(".rows.jsonl")
    rows.write_bytes(rows.read_bytes().replace(b'"psnr":', b'"psnr":1', 1))
    assert "damaged" in place.tables().out
