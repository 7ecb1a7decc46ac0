"""Records exchanged between groups: what is taken, what is refused and why, and that no file is trusted."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import bench, file_of, photos, record, refused
from support.exchange import export, members, merge
from support.plugins import KEEPER
from support.tiny import Tiny, contents

from bench.methods import registry
from bench.protocol.request import Request
from bench.store import exchange
from bench.store.match import request_of_label
from bench.store.store import Store

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured" / "bm3d"


# ---- what is taken


def test_a_merge_into_an_empty_store_gives_the_same_tables(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    result = merge(archive, tmp_path / "new")
    assert (result.code, result.out, result.err) == (0, "6 records taken, 0 were here, 0 refused\n", "")
    assert contents(tmp_path / "new") == contents(filled.store)
    assert filled.tables(tmp_path / "new").out == filled.tables().out
    assert " 2 seeds" not in filled.tables().err
    again = merge(archive, tmp_path / "new")
    assert (again.code, again.out) == (0, "0 records taken, 6 were here, 0 refused\n")
    assert contents(tmp_path / "new") == contents(filled.store)
    assert "0 of" not in filled.run("--seeds", "0,1", store=tmp_path / "new").err  # nothing is left to do


def test_a_store_is_merged_as_a_file_is(filled: Tiny, tmp_path: Path) -> None:
    assert merge(filled.store, tmp_path / "new").code == 0
    assert contents(tmp_path / "new") == contents(filled.store)


def test_the_same_records_are_the_same_file(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    assert export(filled, tmp_path / "again.zip", "--weights").read_bytes() == archive.read_bytes()
    assert export(filled.copied(tmp_path), tmp_path / "copy.zip", "--weights").read_bytes() == archive.read_bytes()


def test_without_weights_none_are_exported_and_they_can_come_later(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    bare = export(filled, tmp_path / "bare.zip")
    assert not [name for name in members(bare) if name.endswith(".safetensors")]
    assert merge(bare, tmp_path / "new").code == 0
    assert not list((tmp_path / "new").glob("fits/*/*/*.safetensors"))
    assert merge(archive, tmp_path / "new").out == "0 records taken, 6 were here, 0 refused\n"
    assert contents(tmp_path / "new") == contents(filled.store)


def test_words_choose_scores_with_their_fits(filled: Tiny, tmp_path: Path) -> None:
    file = export(filled, tmp_path / "one.zip", "n2c", "seed", "1", "on")
    found = [name for name in members(file) if name.endswith(".json") and "/" in name]
    assert sorted(name.split("/")[0] for name in found) == ["fits", "scores"]
    assert "Did you mean" in refused("export", tmp_path / "no.zip", "n2c", "gaus25", "--store", filled.store)
    assert not (tmp_path / "no.zip").exists()


def test_what_cannot_be_read_is_not_exported(filled: Tiny, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    damaged = [file_of(store, "score", f"n2c gauss25 seed {seed}") for seed in (0, 1)]
    damaged[0].write_bytes(b"{")
    damaged[1].with_suffix(".rows.jsonl").unlink()
    result = bench("export", tmp_path / "some.zip", "--store", store)
    assert result.code == 1
    assert result.err.count("not exported: ") == 2
    assert not [name for name in members(tmp_path / "some.zip") if any(path.stem in name for path in damaged)]


def test_what_failed_here_is_taken(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    path = file_of(store, "score", "n2c gauss25 seed 0")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"state": "failed", "reason": "no memory"}))
    assert merge(archive, store).out == "1 records taken, 5 were here, 0 refused\n"
    assert contents(store) == contents(filled.store)


def test_what_failed_there_is_not_taken(filled: Tiny, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    path = file_of(store, "score", "n2c gauss25 seed 0")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"state": "failed", "reason": "no memory"}))
    assert merge(store, tmp_path / "new").out == "5 records taken, 0 were here, 0 refused\n"
    assert merge(store, tmp_path / "new").out == "0 records taken, 5 were here, 0 refused\n"


def test_what_is_damaged_here_is_quarantine_and_taken(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    path = file_of(store, "fit", "n2c gauss25 seed 0")
    path.write_bytes(b"{")
    result = merge(archive, store)
    assert (result.code, result.out) == (0, "1 records taken, 5 were here, 0 refused\n")
    assert ".quarantined" in result.err
    assert path.with_name(f"{path.name}.quarantined").read_bytes() == b"{"
    assert {name: text for name, text in contents(store).items() if ".quarantined" not in name} == contents(
        filled.store
    )


def test_imported_weights_are_merged_with_their_row(filled: Tiny, tmp_path: Path) -> None:
    place = filled.copied(tmp_path)
    bench("weights", "n2c gauss25 seed 0", "--out", tmp_path / "mine.safetensors", "--store", place.store)
    scored = bench(
        "score",
        "--weights",
        tmp_path / "mine.safetensors",
        "--method",
        "n2c",
        "--suite",
        place.suite,
        "--store",
        place.store,
    )
    assert scored.code == 0, scored.err
    assert merge(export(place, tmp_path / "all.zip", "--weights"), tmp_path / "new").code == 0
    assert contents(tmp_path / "new") == contents(place.store)
    assert "n2c (mine.safetensors)" in place.tables(tmp_path / "new").out


LABELS = [
    Request(),
    Request(preset="reduced", steps=20, repeats=3, train="folder:/a", scoring="luma"),
    Request(noises=("gauss25", "poisson30"), tests=("kodak", "set14"), seeds=(0, 12), tested=("gauss25:8bit",)),
    Request(noises=("poisson30+gauss10", "gauss25"), train='folder:/c++, steps=3/a "(b)'),
    Request(tests=("folder:/a+b/(c", "folder:/d, seeds=1", "kodak"), tested=("gauss5+gauss6",)),
]


@pytest.mark.parametrize("request_", LABELS)
def test_a_label_leads_back_to_its_request(request_: Request) -> None:
    assert request_of_label(request_.suite, request_.label) == request_


# ---- what is refused


@pytest.fixture
def altered(filled: Tiny, tmp_path: Path) -> Callable[[str, str], Path]:
    """A store that another version of the suite has filled."""

    def make(old: str, new: str) -> Path:
        text = filled.suite.read_text(encoding="utf-8")
        assert old in text
        filled.suite.write_text(text.replace(old, new), encoding="utf-8")
        try:
            filled.run("--seeds", "0,1", store=tmp_path / "theirs")
        finally:
            filled.suite.write_text(text, encoding="utf-8")
        return tmp_path / "theirs"

    return make


PROTOCOLS = {
    "steps": ("steps = 1\n", "steps = 2\n", "steps 2 instead of 1"),
    "rate": ("lr = 1e-3", "lr = 2e-3", "recipe.lr 0.002 instead of 0.001"),
    "network": ("n2c]\nnet = { width = 4 }", "n2c]\nnet = { width = 5 }", "fields.net.width 5 instead of 4"),
    "padding": ("steps = 1", "padding = 'square'\nsteps = 1", "padding square instead of next"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_another_protocol_is_refused_by_name(
    name: str, filled: Tiny, altered: Callable[[str, str], Path], tmp_path: Path
) -> None:
    old, new, said = PROTOCOLS[name]
    store = shutil.copytree(filled.store, tmp_path / "store")
    theirs = altered(old, new)
    result = merge(theirs, store)
    assert result.code == 1
    assert result.err.count("refused: ") == 4
    assert said in result.err
    assert contents(store) == contents(filled.store)


def test_other_images_are_refused_by_name(filled: Tiny, tmp_path: Path) -> None:
    theirs = Tiny(tmp_path)
    theirs.suite.write_bytes(filled.suite.read_bytes())
    moved = {"test": shutil.move(filled.folder / "test", tmp_path / "kept")}
    try:
        photos(filled.folder / "test", "coffee", "astronaut")
        theirs.run(store=tmp_path / "theirs")
    finally:
        shutil.rmtree(filled.folder / "test")
        shutil.move(moved["test"], filled.folder / "test")
    result = merge(tmp_path / "theirs", tmp_path / "new")
    assert result.code == 1
    assert result.out == "1 records taken, 0 were here, 3 refused\n"  # the fit, which has seen none of them
    assert result.err.count(": foreign: test images ") == 3


def test_another_revision_is_refused_by_name(
    filled: Tiny, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.find("n2c"), "revision", 9)
    result = merge(archive, tmp_path / "new")
    assert result.code == 1
    assert result.err.count("revision of the method 1 instead of 9") == 2
    assert result.err.count("its fit ") == 2


def test_a_suite_or_method_of_others_is_refused_by_name(
    filled: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    (tmp_path / "keeper.py").write_text(KEEPER)
    filled.run("--plugin", tmp_path / "keeper.py", methods="keeper", store=tmp_path / "theirs")
    monkeypatch.undo()
    result = merge(tmp_path / "theirs", tmp_path / "new")
    assert (result.code, result.err.count("keeper gauss25")) == (1, 1)
    assert "--plugin" in result.err
    away = filled.suite.rename(filled.suite.with_suffix(".away"))
    try:
        assert merge(tmp_path / "theirs", tmp_path / "third").err.count("foreign: no suite 'tiny' here") == 3
    finally:
        away.rename(filled.suite)


def forged(store: Path, kind: str, **result: object) -> None:
    found = record(store, kind, "n2c gauss25 seed 0")
    path = file_of(store, kind, "n2c gauss25 seed 0")
    path.write_text(json.dumps(found | {"result": found["result"] | result}), encoding="utf-8")


def test_other_numbers_are_a_conflict_and_ours_stay(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    forged(store, "fit", weights="0" * 64)
    before = contents(store)
    result = merge(archive, store)
    assert result.code == 1
    assert "n2c gauss25 seed 0: other numbers than the record here, which stays: weights " in result.err
    assert "scored with other weights than its fit has here" in result.err
    assert result.out == "0 records taken, 4 were here, 2 refused\n"
    assert contents(store) == before


@pytest.mark.parametrize(("factor", "refused"), [(1.0 + 1e-14, 0), (1.0 + 1e-6, 1)])
def test_scores_that_differ_by_more_than_rounding_are_a_conflict(
    factor: float, refused: int, filled: Tiny, archive: Path, tmp_path: Path
) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    rows = file_of(store, "score", "n2c gauss25 seed 0", ".rows.jsonl")
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    found = [one | {"psnr": one["psnr"] * factor} for one in found]
    rows.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in found))
    mean = {name: sum(one[name] for one in found) / 2 for name in ("psnr", "ssim")} | {"images": 2}
    forged(store, "score", outputs={"denoised": mean}, rows=exchange.hashlib.sha256(rows.read_bytes()).hexdigest())
    before = contents(store)
    result = merge(archive, store)
    assert (result.code, result.err.count("stays: outputs.denoised.psnr ")) == (refused, refused)
    assert contents(store) == before


def test_damaged_records_are_named_and_the_others_taken(filled: Tiny, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    folder = file_of(store, "score", "n2c gauss25 seed 0").parent
    for name, text in (("x-00000000", b"{"), ("x-11111111", b'{"schema": 5}')):
        (folder / f"{name}.json").write_bytes(text)
    result = merge(store, tmp_path / "new")
    assert (result.code, result.out) == (1, "6 records taken, 0 were here, 2 refused\n")
    assert "refused: damaged: scores/n2c/gauss25/x-00000000.json" in result.err
    assert "refused: foreign: scores/n2c/gauss25/x-11111111.json: schema 5" in result.err
    assert contents(tmp_path / "new") == contents(filled.store)


def test_weights_of_another_record_are_refused(filled: Tiny, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    shutil.copy(*(file_of(store, "fit", f"n2c gauss25 seed {seed}", ".safetensors") for seed in (0, 1)))
    result = merge(store, tmp_path / "new")
    assert result.code == 1
    assert "n2c gauss25 seed 1: its weights are not those of its record" in result.err
    assert len(list((tmp_path / "new").glob("fits/*/*/*.safetensors"))) == 1


def test_what_a_run_works_on_is_left_to_it(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    key = record(filled.store, "fit", "n2c gauss25 seed 0")["key"]
    store = Store(tmp_path / "new")
    store.open()
    with store.claim(key) as mine:
        assert mine
        result = merge(archive, store.root)
    assert (result.code, result.err) == (1, "refused: n2c gauss25 seed 0: a run works on it now; merge again later\n")
    assert merge(archive, store.root).out == "1 records taken, 5 were here, 0 refused\n"


def test_a_store_that_cannot_be_written_is_no_refusal(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    assert "cannot write to the store" in refused("merge", archive, "--store", tmp_path / "file")
    assert "cannot write" in refused("export", tmp_path / "file" / "x.zip", "--store", MEASURED)


def test_scores_of_some_of_the_images_are_refused(filled: Tiny, tmp_path: Path) -> None:
    store = shutil.copytree(filled.store, tmp_path / "store")
    rows = file_of(store, "score", "n2c gauss25 seed 0", ".rows.jsonl")
    rows.write_bytes(rows.read_bytes().splitlines(keepends=True)[0])
    row = json.loads(rows.read_bytes())
    mean = {"psnr": row["psnr"], "ssim": row["ssim"], "images": 1}
    forged(store, "score", outputs={"denoised": mean}, rows=exchange.hashlib.sha256(rows.read_bytes()).hexdigest())
    result = merge(store, tmp_path / "new")
    assert (result.code, result.err.count("refused: ")) == (1, 1)
    assert "images" in result.err
    assert filled.tables(tmp_path / "new").code == 0


def test_a_full_place_to_export_to_is_one_line(filled: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(exchange, "_pack", full)
    assert "No space left" in refused("export", tmp_path / "x.zip", "--store", filled.store)
    assert list(tmp_path.iterdir()) == []
    assert "not a file" in refused("export", "/dev/full", "--store", filled.store)
