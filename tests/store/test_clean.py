"""bench clean: lists what can go, removes the kinds that are named and nothing that anybody works on."""

import errno
import io
import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from support.cli import bench, file_of, record, refused
from support.plugins import KEEPER
from support.tiny import Tiny, contents

from bench.methods import registry
from bench.protocol.units import digest
from bench.store import clean
from bench.store.store import Store


def old(path: Path, text: bytes = b"1234") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    hours = time.time() - 7200
    os.utime(path, (hours, hours))
    return path


@pytest.fixture
def dirty(filled: Tiny, tmp_path: Path) -> dict[str, list[Path]]:
    """A copy of the store with something of every kind; the files that each kind may remove."""
    store = shutil.copytree(filled.store, tmp_path / "store")
    fit, stale = (file_of(store, kind, "n2c gauss25 seed 0") for kind in ("fit", "score"))
    score = record(store, "score", "n2c gauss25 seed 0")
    stale.write_text(stale.read_text().replace(score["result"]["weights"], "0" * 64), encoding="utf-8")
    for path in (
        fit.parent / "seed9-aaaaaaaa.checkpoint",  # of a training that is not done
        store / "notes.txt",
        store / "images" / ("b" * 24) / "chelsea-0.safetensors",
        fit.with_suffix(".failed.tmp"),  # status reads it
    ):
        old(path)
    (stale.parent / "x-cccccccc.json.12345678.tmp").write_bytes(b"being written now")
    return {
        "temporary": [
            old(fit.with_suffix(".safetensors.12345678.tmp")),
            old(store / "merge1234.tmp" / "fits" / "x.json"),
            old(store / "last.json.12345678.tmp"),
        ],
        "checkpoints": [old(fit.with_suffix(suffix)) for suffix in (".checkpoint", ".before")],
        "quarantined": [old(stale.with_suffix(f".json{end}")) for end in (".quarantined", ".1.quarantined")],
        "stale": [stale, stale.with_suffix(".rows.jsonl")],
    }


def store_of(dirty: dict[str, list[Path]]) -> Path:
    return dirty["stale"][0].parents[3]


def everything(store: Path) -> set[Path]:
    return {path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_without_a_kind_all_are_listed_and_none_removed(dirty: dict[str, list[Path]]) -> None:
    store = store_of(dirty)
    before = everything(store)
    result = bench("clean", "--store", store, "--format", "json")
    assert result.code == 0
    found = [(one["kind"], store / one["file"]) for one in json.loads(result.out)]
    assert sorted(found) == sorted((kind, path) for kind, paths in dirty.items() for path in paths)
    assert {one["size"] for one in json.loads(result.out) if one["kind"] == "quarantined"} == {"4 B"}
    assert everything(store) == before


@pytest.mark.parametrize("kind", clean.KINDS)
def test_only_what_is_named_is_removed(kind: str, dirty: dict[str, list[Path]]) -> None:
    store = store_of(dirty)
    before = everything(store)
    result = bench("clean", kind, "--yes", "--store", store)
    assert result.code == 0
    assert before - everything(store) == set(dirty[kind])
    assert everything(store) <= before
    count = len(dirty[kind])
    assert result.err.startswith(f"{count} of {count} files")
    assert bench("clean", kind, "--store", store).err == "0 files, 0 B\n"


def test_all_kinds_together_leave_a_store_that_is_whole(filled: Tiny, dirty: dict[str, list[Path]]) -> None:
    store = store_of(dirty)
    assert bench("clean", *clean.KINDS, "--yes", "--store", store).code == 0
    assert [path for paths in dirty.values() for path in paths if path.exists()] == []
    filled.run("--seeds", "0,1", store=store)  # scores again what was stale
    whole = contents(filled.store)
    assert {name: text for name, text in contents(store).items() if name in whole} == whole


def test_nothing_of_a_unit_that_somebody_works_on_is_removed(dirty: dict[str, list[Path]]) -> None:
    store = store_of(dirty)
    keys = [record(store, kind, "n2c gauss25 seed 0")["key"] for kind in ("fit", "score")]
    with Store(store).claim(keys[0]) as one, Store(store).claim(keys[1]) as two:
        assert one
        assert two
        result = bench("clean", "checkpoints", "stale", "--yes", "--store", store)
    assert all(path.exists() for kind in ("checkpoints", "stale") for path in dirty[kind])
    assert result.err.count("stays") == 4


def test_images_that_are_computed_again_stay_while_somebody_works_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, keeper = Tiny(tmp_path), tmp_path / "keeper.py"
    keeper.write_text(KEEPER, encoding="utf-8")
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    place.run("--plugin", keeper, methods="keeper")
    (images,) = (place.store / "images").iterdir()
    made = old(images.with_name(f"{images.name}.tmp") / "chelsea-0.safetensors")
    with Store(place.store).claim(record(place.store, "score", "keeper")["key"]):
        assert "stays" in bench("clean", "temporary", "--yes", "--store", place.store).err
    assert made.exists()
    assert bench("clean", "temporary", "--yes", "--store", place.store).code == 0
    assert not made.exists()


def test_a_file_that_a_run_renames_meanwhile_is_no_crash(
    dirty: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(store_of(dirty).rglob("*"))
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: [*found, self / "gone.json.12345678.tmp"])
    assert sorted(one.path for one in clean.find(Store(store_of(dirty)), "temporary")) == sorted(dirty["temporary"])


def test_without_a_terminal_it_takes_a_yes(dirty: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(dirty)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    result = bench("clean", "quarantined", "--store", store)
    assert (result.code, result.err.strip()) == (
        2, "bench: error: clean: no terminal to ask on; say --yes to remove what is listed"
    )  # fmt: skip
    assert ".quarantined" in result.out
    assert all(path.exists() for path in dirty["quarantined"])


@pytest.mark.parametrize(
    ("answer", "gone"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_on_a_terminal_it_asks(
    answer: str, gone: bool, dirty: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    result = bench("clean", "quarantined", "--store", store_of(dirty))
    assert result.code == 0
    assert "Remove 2 files, 8 B? [y/N] " in result.err
    assert [not path.exists() for path in dirty["quarantined"]] == [gone, gone]


def test_what_changed_since_it_was_listed_stays(dirty: dict[str, list[Path]]) -> None:
    store = Store(store_of(dirty))
    found = clean.find(store, "stale")
    dirty["stale"][0].write_bytes(b"a run wrote it again")
    assert clean.remove(store, found) == [dirty["stale"][0]]


def test_nothing_behind_a_link_is_removed(dirty: dict[str, list[Path]], tmp_path: Path) -> None:
    store, outside = store_of(dirty), old(tmp_path / "outside" / "precious.quarantined")
    (store / "link").symlink_to(outside.parent, target_is_directory=True)
    (store / "scores" / "link.quarantined").symlink_to(outside)
    assert bench("clean", "quarantined", "--yes", "--store", store).code == 0
    assert outside.exists()
    away = (store / "fits").rename(tmp_path / "away")
    (store / "fits").symlink_to(away, target_is_directory=True)
    before = everything(away)
    assert "link" in refused("clean", "checkpoints", "--yes", "--store", store)
    assert everything(away) == before


def test_a_folder_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    precious = old(tmp_path / "precious.quarantined")
    assert "bench-store.json" in refused("clean", *clean.KINDS, "--yes", "--store", tmp_path)
    assert precious.exists()


def test_a_damaged_identity_is_no_obstacle(dirty: dict[str, list[Path]]) -> None:
    path = dirty["stale"][0]
    identity = {"noise": "gauss25"}
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"identity": identity, "key": digest(identity)}))
    path.rename(path.with_name(f"x-{digest(identity)[:8]}.json"))
    assert bench("clean", "--store", store_of(dirty)).code == 0


def test_a_store_that_cannot_be_written_says_so(dirty: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", unlink)
    result = bench("clean", "quarantined", "--yes", "--store", store_of(dirty))
    assert (result.code, result.err.count("Permission denied")) == (2, 1)


def test_wrong_kinds_and_stores_are_refused(dirty: dict[str, list[Path]], tmp_path: Path) -> None:
    assert "Did you mean 'stale'?" in refused("clean", "stal", "--store", store_of(dirty))
    assert "no such folder" in refused("clean", "--store", tmp_path / "none")
    assert "no such folder" in refused("clean", "--store", tmp_path / ("x" * 300))
