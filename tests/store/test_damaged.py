"""Damaged and foreign records: readers name them and average nothing; a run quarantines and computes them again."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, file_of, lines, record, refused
from support.tiny import Tiny, contents

from bench.datasets import documents
from bench.protocol.units import digest
from bench.store.store import Store

Spoil = Callable[[Path], object]


@pytest.fixture
def place(filled: Tiny, tmp_path: Path) -> Tiny:
    """The same with a copy of the store."""
    return filled.copied(tmp_path)


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


def huge_scores(path: Path) -> None:
    """Scores that agree with their record, and that no image has."""
    rows = path.with_suffix(".rows.jsonl")
    made = [json.loads(line) | {"psnr": 1e308} for line in rows.read_bytes().splitlines()]
    rewritten(path, rows, made, {"denoised": {"psnr": 1e308, "ssim": made[0]["ssim"], "images": 2}})


def other_names(path: Path) -> None:
    """Scores of an output that the method does not have."""
    found, rows = json.loads(path.read_bytes()), path.with_suffix(".rows.jsonl")
    made = [json.loads(line) | {"output": "mine"} for line in rows.read_bytes().splitlines()]
    rewritten(path, rows, made, {"mine": found["result"]["outputs"]["denoised"]})


def twice_the_same(path: Path) -> None:
    """One image scored as if it had two noisy versions, and another one missing."""
    rows = path.with_suffix(".rows.jsonl")
    first = json.loads(rows.read_bytes().splitlines()[0])
    mean = {"psnr": first["psnr"], "ssim": first["ssim"], "images": 2}
    rewritten(path, rows, [first, first | {"repeat": 1}], {"denoised": mean})


def rewritten(path: Path, rows: Path, made: list[dict[str, Any]], outputs: dict[str, Any]) -> None:
    text = b"".join(json.dumps(row).encode() + b"\n" for row in made)
    rows.write_bytes(text)
    found = json.loads(path.read_bytes())
    changed(result=found["result"] | {"outputs": outputs, "rows": hashlib.sha256(text).hexdigest()})(path)


def large(path: Path) -> None:
    """A file that nobody reads whole."""
    os.truncate(path, documents.LARGEST + 1)


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
    "too large": (large, "damaged"),
    "without a label": (changed(label={}), "damaged"),
    "without a result": (changed(result={}), "damaged"),
    "of another device": (changed(environment={"device": 1}), "damaged"),
    "of a later schema": (changed(schema=2), "foreign"),
    "of a later schema, otherwise built": (lambda path: path.write_bytes(b'{"schema": 7, "units": []}'), "foreign"),
}  # fmt: skip
READ_EARLY = [f"{kind}, {name}" for name in BOTH for kind in ("fit", "score")]  # others with what is made of the rows
KINDS = {f"{kind}, {name}": (kind, ".json", *how) for name, how in BOTH.items() for kind in ("fit", "score")} | {
    "score, other means": ("score", ".json", other_outputs, "damaged"),
    "score, of no possible value": ("score", ".json", huge_scores, "damaged"),
    "score, of another output": ("score", ".json", other_names, "damaged"),
    "score, one image twice": ("score", ".json", twice_the_same, "damaged"),
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
    path = file_of(place.store, kind, "n2c gauss25 seed 0", suffix)
    ruin(path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_readers_name_it_and_average_nothing_and_a_run_does_it_again(name: str, place: Tiny) -> None:
    whole = contents(place.store)
    path, state = spoil(place, name), KINDS[name][3]
    spoilt = path.read_bytes() if path.exists() else b""
    before, place_of = contents(place.store), path.relative_to(place.store).as_posix().split("-")[0]
    result = place.tables()
    assert result.code == 0, result.err
    (shown,) = [one for one in lines("--suite", place.suite, "--store", place.store) if one["label"] == "N2C"]
    assert (shown["state"], shown["metrics"]) == (state, {})
    assert shown["reason"].startswith(place_of)
    if name in READ_EARLY:
        assert f"not read: {path}: {state} record: " in result.err
        assert f"{path}: {state} record: " in refused("show", path.stem[-8:], "--store", place.store)
    assert contents(place.store) == before

    result = place.run("--seeds", "0,1")
    assert [line for line in result.err.splitlines() if f"{state}: {place_of}" in line and ".quarantined" in line]
    found = contents(place.store)
    assert {name: text for name, text in found.items() if not name.endswith(".quarantined")} == whole
    if spoilt:
        assert found[f"{path.relative_to(place.store).as_posix()}.quarantined"] == spoilt


def test_nothing_that_was_quarantined_is_lost(place: Tiny) -> None:
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


def test_damaged_external_weights_are_given_again(place: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    assert bench("weights", "n2c gauss25 seed 0", "--out", file, "--store", place.store).code == 0
    command = ("score", "--weights", file, "--method", "n2c", "--suite", place.suite, "--store", place.store)
    assert bench(*command).code == 0
    whole = contents(place.store)
    path = file_of(place.store, "fit", "n2c (mine")
    path.write_bytes(b"{")
    result = place.tables()
    assert result.code == 0
    assert f"not read: {path}: damaged record: " in result.err
    result = bench(*command)
    assert (result.code, result.err.count(".quarantined")) == (0, 1)
    assert {name: text for name, text in contents(place.store).items() if not name.endswith(".quarantined")} == whole


def test_damaged_times_are_no_times(place: Tiny) -> None:
    for path in place.store.glob("fits/*/*/*.seconds"):
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


def test_a_record_without_a_digest_of_its_rows_is_compared_with_its_means(place: Tiny) -> None:
    """The first committed records are like that."""
    found = record(place.store, "score", "n2c gauss25 seed 0")
    path = file_of(place.store, "score", "n2c gauss25 seed 0")
    assert len(found["result"].pop("rows")) == 64
    path.write_text(json.dumps(found), encoding="utf-8")
    assert Store(place.store).look()[1] == []
    assert [one["seeds"] for one in lines("--suite", place.suite, "--store", place.store) if one["label"] == "N2C"] == [
        2
    ]
    rows = path.with_suffix(".rows.jsonl")
    rows.write_bytes(rows.read_bytes().replace(b'"psnr":2', b'"psnr":12', 1))
    assert "damaged" in place.tables().out
