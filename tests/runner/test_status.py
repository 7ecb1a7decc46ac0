"""Where a plan stands: every state with its reason, and what works on it now."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, file_of, refused
from support.clock import Clock
from support.tiny import Tiny

from bench.compute.machine import Machine
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner.status import standing
from bench.store import progress
from bench.store.progress import Notes, Progress
from bench.store.store import Store


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A store with n2c trained and scored."""
    made = Tiny(tmp_path)
    made.run()
    return made


def status(tiny: Tiny, *argv: object, code: int = 0) -> tuple[dict[str, dict[str, Any]], str]:
    """The units that a status shows by title, and its last line."""
    result = bench("status", "--store", tiny.store, "--format", "json", *argv)
    assert result.code == code, result.err
    rows = json.loads(result.out) if result.out else []
    return {row["unit"].partition(" on ")[0] + f" {row['kind']}": row for row in rows}, result.err.strip().splitlines()[
        -1
    ]


def test_what_is_done_is_counted_and_shown_when_asked_for(tiny: Tiny) -> None:
    assert status(tiny) == ({}, "4 of 4 units done; about 0s of one process's time to go")
    rows, _ = status(tiny, "--long")
    assert {row["state"] for row in rows.values()} == {"done"}
    assert "n2c gauss25 seed 0 fit" in rows


def test_what_is_missing_has_an_estimate(tiny: Tiny) -> None:
    rows, said = status(tiny, "--methods", "n2c,n2n", "--suite", tiny.suite, "--noise", "gauss25")
    assert [(name, row["state"]) for name, row in rows.items()] == [
        ("n2n gauss25 seed 0 fit", "missing"), ("n2n gauss25 seed 0 score", "missing"),
    ]  # fmt: skip
    assert all(row["to go"].endswith("s") for row in rows.values())
    assert said.startswith("4 of 6 units done, 2 missing; about ")


def test_what_is_stale_says_which_ingredient_changed(tiny: Tiny) -> None:
    text = tiny.suite.read_text(encoding="utf-8")
    changed = text.replace("steps = 1\n", "steps = 2\n").replace("lr = 1e-3", "lr = 2e-3")
    tiny.suite.write_text(changed, encoding="utf-8")
    rows, said = status(tiny)
    assert rows["n2c gauss25 seed 0 fit"]["state"] == "stale"
    assert "steps 1 instead of 2" in rows["n2c gauss25 seed 0 fit"]["detail"]
    assert "recipe.lr 0.001 instead of 0.002" in rows["n2c gauss25 seed 0 fit"]["detail"]
    assert "its fit" in rows["n2c gauss25 seed 0 score"]["detail"]
    assert said.startswith("2 of 4 units done, 2 stale; ")


def test_scores_of_other_weights_are_stale(tiny: Tiny) -> None:
    fit = file_of(tiny.store, "fit", "n2c")
    text = fit.read_text(encoding="utf-8")
    fit.write_text(text.replace(json.loads(text)["result"]["weights"], "0" * 64), encoding="utf-8")
    rows, _ = status(tiny)
    assert rows["n2c gauss25 seed 0 score"]["state"] == "stale"
    assert rows["n2c gauss25 seed 0 score"]["detail"] == "scored with other weights than its fit has now"


def test_what_failed_and_what_is_damaged_say_why(tiny: Tiny) -> None:
    fit = file_of(tiny.store, "fit", "n2c")
    found = json.loads(fit.read_text(encoding="utf-8"))
    fit.write_text(json.dumps(found | {"state": "failed", "reason": "ValueError: no loss today"}), encoding="utf-8")
    rows, said = status(tiny)
    assert (rows["n2c gauss25 seed 0 fit"]["state"], rows["n2c gauss25 seed 0 fit"]["detail"]) == (
        "failed", "ValueError: no loss today",
    )  # fmt: skip
    assert "1 failed" in said
    fit.write_text("{", encoding="utf-8")
    rows, said = status(tiny)
    assert rows["n2c gauss25 seed 0 fit"]["state"] == "damaged"
    assert "1 damaged" in said


def test_what_is_running_says_where_and_how_far_until_its_process_is_dead(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    clock.now += progress.SECONDS
    store = Store(tiny.store)
    unit = next(c.fit for c in make(Request(suite=str(tiny.suite), methods=("n2c",))).cells if c.name == "n2c")
    with store.claim(unit) as mine:
        assert mine
        notes = Notes(store, unit.key, unit.title)
        notes(0.25, "step 1/4")
        clock.now += 20.0
        notes(0.5, "step 2/4")
        (note,) = progress.running(store)
        assert (note.process, note.fraction, note.text) == (os.getpid(), 0.5, "step 2/4")
        assert note.left == 40.0  # a quarter took 20 s, half is left
        rows, said = status(tiny)
        row = rows["n2c gauss25 seed 0 fit"]
        assert row["state"] == "running"
        assert row["detail"].endswith(f"process {os.getpid()}: step 2/4")
        assert "1 running" in said
    assert progress.running(store) == []  # its claim is free: the process is gone, its note is left
    notes.end()
    assert not list(tiny.store.glob("claims/*.note"))


def test_a_note_that_cannot_be_read_or_written_stops_nothing(tiny: Tiny) -> None:
    store = Store(tiny.store)
    (tiny.store / "claims" / "x.note").write_text('{"key": 1}', encoding="utf-8")
    assert progress.running(store) == []
    notes = Notes(Store(tiny.folder / "nowhere"), "key", "title")
    notes(0.5, "half")
    notes.end()
    assert Progress("k", "t", "h", 1, 0.0, 1.0, 0.0, 0.0, "").left is None


def test_each_unit_stands_once_though_cells_share_it(tiny: Tiny) -> None:
    plan = make(Request(suite="ablations", methods=("b2u",)))
    found = standing(plan, Store(tiny.store), Machine("cpu", "float32", 1))
    assert len({one.key for one in found}) == len(found)


def test_a_store_without_a_run_is_refused_with_what_to_say(tmp_path: Path) -> None:
    assert refused("status", "--store", tmp_path).endswith("say what would be run: --methods A,B")
    assert "no such folder" in refused("status", "--store", tmp_path / "x")
