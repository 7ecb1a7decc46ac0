"""A store that several users and processes share: modes, rights, claims and links."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import bench, file_of, refused
from support.hostile import Layer
from support.tiny import Tiny, contents

from bench.datasets.errors import InputError
from bench.store import checkpoint
from bench.store.store import Store
from bench.store.tensors import write_tensors


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    place = Tiny(tmp_path_factory.mktemp("filled"))
    place.run()
    return place


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Makes a file one that this user may not read, also for root."""

    def opened(self: Path, *argv: Any, plain: Any = Path.open, **named: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return plain(self, *argv, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        patch.setattr(Path, "read_bytes", lambda self: opened(self, "rb").read())
        yield


# ---- rights


def test_every_file_and_folder_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    place = Tiny(tmp_path)
    with umask(0o027):
        place.run()
    paths = [path for path in place.store.rglob("*") if path.suffix != ".lock"]  # of the library
    expected = {True: 0o750, False: 0o640}
    assert [p for p in paths if stat.S_IMODE(p.stat().st_mode) != expected[p.is_dir()]] == []


def test_weights_follow_the_umask(tmp_path: Path) -> None:
    with umask(0o002):
        write_tensors(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, {})
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == 0o664


@pytest.mark.parametrize(("kind", "suffix"), [("fit", ".json"), ("score", ".json"), ("score", ".rows.jsonl")])
def test_what_a_user_may_not_read_is_not_computed_again(kind: str, suffix: str, filled: Tiny) -> None:
    path = file_of(filled.store, kind, "n2c gauss25 seed 0", suffix)
    before = contents(filled.store)
    with forbidden(path):
        error = refused_at_the_end(*filled.command())
        tables = filled.tables()
    assert str(path) in error
    assert "Permission denied" in error
    assert tables.code == 0
    assert "unreadable" in tables.out
    assert contents(filled.store) == before


def refused_at_the_end(*argv: object) -> str:
    result = bench(*argv)
    assert result.code == 2, result
    assert "Traceback" not in result.err
    return result.err.splitlines()[-1]


def test_an_unreadable_checkpoint_is_not_a_damaged_one(tmp_path: Path) -> None:
    state = checkpoint.State("key", {}, Layer())
    path = tmp_path / "a.checkpoint"
    state.save(path)
    before = path.read_bytes()
    with forbidden(path), pytest.raises(InputError, match="Permission denied"):
        state.load(path)
    assert path.read_bytes() == before


# ---- claims


def test_who_only_looks_takes_no_claim_away(tmp_path: Path) -> None:
    store, over = Store(tmp_path), threading.Event()
    store.open()

    def look() -> None:
        while not over.wait(0.001):
            store.claimed("k")

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for thread in watchers:
        thread.start()
    try:
        failed = 0
        for _ in range(100):
            with Store(tmp_path).claim("k") as mine:
                failed += not mine
    finally:
        over.set()
        for thread in watchers:
            thread.join()
    assert failed == 0


def test_a_claim_is_seen_and_excludes_others(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    assert not store.claimed("k")
    assert not list(tmp_path.rglob("k.lock"))  # looking leaves nothing
    with store.claim("k") as mine, Store(tmp_path).claim("k") as other:
        assert (mine, other, Store(tmp_path).claimed("k")) == (True, False, True)
    assert not store.claimed("k")


# ---- links


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Tiny]:
    """A store, and a folder of somebody's own that a link in the store leads to."""
    place = Tiny(tmp_path)
    yield place
    assert (tmp_path / "own" / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["fits", "scores", "claims", "fits/n2c", "scores/noisy"])
def test_no_link_leads_out_of_a_store(name: str, linked: Tiny, tmp_path: Path) -> None:
    own, link = tmp_path / "own", linked.store / name
    own.mkdir()
    (own / "precious").write_bytes(b"precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(own, target_is_directory=True)
    error = refused_at_the_end(*linked.command("--force"))
    assert "link" in error
    assert str(link) in error
    assert [path.name for path in own.iterdir()] == ["precious"]


def test_a_linked_record_is_named_and_not_read(linked: Tiny, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "precious").write_bytes(b"precious")
    linked.run(methods="noisy")
    path = file_of(linked.store, "score", "noisy")
    path.rename(tmp_path / "own" / "record")
    path.symlink_to(tmp_path / "own" / "record")
    assert any("link" in str(error) for error in Store(linked.store).look()[1])


# ---- names


def test_a_record_is_found_by_its_digits_under_any_name(linked: Tiny, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "precious").write_bytes(b"precious")
    linked.run(methods="noisy")
    path = file_of(linked.store, "score", "noisy")
    renamed = path.with_name(f"mine-{path.name[-13:]}")
    path.rename(renamed)
    path.with_suffix(".rows.jsonl").rename(renamed.with_suffix(".rows.jsonl"))
    assert "0 of" not in linked.run(methods="noisy").err
    assert not path.exists()


def test_a_store_with_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for command in (("tables",), ("export", tmp_path / "x.zip"), ("status",), ("verify",), ("show", "n2c")):
        assert "no such folder" in refused(*command, "--store", tmp_path / ("x" * 300))
    assert "File name too long" in refused("merge", tmp_path / ("x" * 300), "--store", tmp_path / ("y" * 300))


def test_a_damaged_request_is_named_and_replaced(linked: Tiny, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "precious").write_bytes(b"precious")
    linked.run(methods="noisy")
    last = linked.store / "last.json"
    last.write_bytes(b"{")
    result = linked.tables()
    assert result.code == 0
    assert "last.json" in result.err
    linked.run(methods="noisy")
    assert last.with_name("last.json.quarantined").read_bytes() == b"{"
    assert "not read" not in linked.tables().err


def test_the_default_store_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    place = Tiny(tmp_path)
    command = [one for one in place.command(methods="noisy") if one not in ("--store", place.store)]
    assert bench(*command).code == 0
    assert list((tmp_path / "results" / "runs" / "scores" / "noisy").iterdir())


def test_a_folder_with_a_name_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    place = Tiny(tmp_path)
    odd = tmp_path / os.fsdecode(b"odd\xff")
    (tmp_path / "test").rename(odd)
    error = refused_at_the_end(*place.command("--test-sets", f"folder:{odd}", methods="noisy"))
    assert error.isprintable()
    assert "UTF-8" in error
