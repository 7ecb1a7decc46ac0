"""Two runs on one store, killed and interrupted ones: nothing is done twice, nothing is lost."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from support.cli import Result, bench, file_of, finish, lines, photos, record, same, snapshot, start, weights

from bench.methods import registry
from bench.store.tensors import read_tensors

# Notes every training step; at one step it sends itself a signal, so that no test depends on timing.
COUNTED = """
import os, time
from pathlib import Path
from torch import nn
from bench import Method, register

log = Path(os.environ["COUNTED_LOG"])
if "COUNTED_MEET" in os.environ:  # wait until both processes are here
    meet = Path(os.environ["COUNTED_MEET"])
    (meet / str(os.getpid())).touch()
    latest = time.monotonic() + 60.0
    while len(list(meet.iterdir())) < 2 and time.monotonic() < latest:
        time.sleep(0.01)

def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")

def strike(place):
    if os.environ.get("COUNTED_AT") == place:
        os.kill(os.getpid(), int(os.environ["COUNTED_SIGNAL"]))

@register("counted")
class Counted(Method, frozen=True):
    supervision = "clean"

    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        if type(ctx.rng.seed) is int and ctx.rng.seed >= 0:
            step = int(ctx.rng.samples[0]) // len(batch.noisy)
            note(f"{ctx.rng.seed} {step}")
            strike(str(step))
            time.sleep(float(os.environ.get("COUNTED_SLEEP", "0")))
        yield ((net(batch.noisy) - batch.target + 0.1 * ctx.rng.normal("own", *batch.noisy.shape[1:])) ** 2).mean()

    def denoise(self, net, noisy, ctx):
        if ctx.rng.seed == "inference" and noisy.shape[-1] < 128:  # not the cost estimate
            note("score")
            strike("score")
        return {"denoised": net(noisy)}
"""

# The command line with a checkpoint after every step.
OFTEN = """
import functools, sys
from bench.compute import training
training.train = functools.partial(training.train, every_seconds=0.0)
from bench.cli.main import main
sys.exit(main())
"""


class Place:
    """A store, a log of what was computed, and a command."""

    def __init__(self, folder: Path, methods: str = "counted", steps: int = 6) -> None:
        self.folder, self.store, self.log = folder, folder / "store", folder / "log"
        self.plugin = folder / "counted_method.py"
        self.plugin.write_text(COUNTED, encoding="utf-8")
        self.log.touch()
        train = photos(folder / "train", "astronaut", "coffee", height=96, width=96)
        test = photos(folder / "test", "chelsea")
        asked = ("--noise", "gauss25", "--steps", steps, "--train", f"folder:{train}", "--test-sets", f"folder:{test}")
        self.command = ("run", "--methods", methods, "--plugin", self.plugin, *asked, "--threads", 1)

    def run(self, *argv: object, store: str = "store") -> Result:
        """The command in this process."""
        return bench(*self.command, *argv, "--store", self.folder / store)

    def kill(self, at: str, number: int, *argv: object, often: bool = False) -> Result:
        """The command in another process that sends itself a signal at a step, or when it scores."""
        program = ("-c", OFTEN) if often else ("-m", "bench")
        return finish(
            start(
                *self.command, *argv, "--store", self.store, program=program,
                COUNTED_LOG=self.log, COUNTED_AT=at, COUNTED_SIGNAL=number,
            )
        )  # fmt: skip

    def interrupt(self, at: str) -> Result:
        """The command in this process, stopped by Ctrl-C at a step: quicker than a process of its own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COUNTED_AT", at)
            patch.setenv("COUNTED_SIGNAL", str(int(signal.SIGINT)))
            result = self.run()
        assert result.code == 128 + signal.SIGINT
        return result

    def done(self) -> list[str]:
        """What was computed since the last look."""
        text = self.log.read_text(encoding="utf-8")
        self.log.write_text("", encoding="utf-8")
        return text.splitlines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place for the counting method, forgotten after the test."""
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    monkeypatch.setenv("COUNTED_LOG", str(tmp_path / "log"))
    return Place(tmp_path)


def steps(*numbers: int) -> list[str]:
    """The log of these steps with seed 0."""
    return [f"0 {number}" for number in numbers]


# ---- two runs at once


@pytest.mark.slow
def test_two_runs_on_one_store_share_the_work(place: Place, tmp_path: Path) -> None:
    (tmp_path / "meet").mkdir()
    argv = (*place.command, "--seeds", "0,1,2,3", "--store", place.store)
    both = [start(*argv, COUNTED_LOG=place.log, COUNTED_MEET=tmp_path / "meet", COUNTED_SLEEP=0.05) for _ in range(2)]
    try:
        one, two = (finish(process) for process in both)
    finally:
        for process in both:
            process.kill()
    assert (one.code, two.code) == (0, 0), one.err + two.err
    assert Counter(place.done()) == Counter([f"{s} {i}" for s in range(4) for i in range(6)] + ["score"] * 4)
    assert one.out == two.out
    assert "not run" not in next(row for row in one.out.splitlines() if row.startswith("counted "))
    trained = [result.err.count("trained in") for result in (one, two)]
    assert sum(trained) == 4


@pytest.mark.slow
def test_a_claimed_unit_is_waited_for(place: Place, tmp_path: Path) -> None:
    slow = start(*place.command, "--store", place.store, COUNTED_LOG=place.log, COUNTED_SLEEP=0.5)
    while slow.poll() is None and not place.log.read_text(encoding="utf-8"):
        time.sleep(0.02)
    waited = place.run()  # the other one is training
    first = finish(slow)
    assert (first.code, waited.code) == (0, 0), first.err + waited.err
    assert waited.out == first.out
    assert place.done() == [*steps(*range(6)), "score"]


# ---- killed and interrupted


@pytest.mark.slow
def test_a_killed_run_s_claim_is_taken_over(place: Place) -> None:
    assert place.kill("3", signal.SIGKILL).code == -signal.SIGKILL
    assert place.done() == steps(0, 1, 2, 3)
    assert list((place.store / "claims").glob("*.lock"))
    assert place.run().code == 0
    assert place.done() == [*steps(*range(6)), "score"]  # there was no checkpoint yet


@pytest.mark.slow
def test_a_killed_run_loses_the_time_since_its_checkpoint(place: Place) -> None:
    assert place.kill("3", signal.SIGKILL, often=True).code == -signal.SIGKILL
    place.done()
    assert place.run().code == 0
    assert place.done() == [*steps(3, 4, 5), "score"]
    assert place.run(store="other").code == 0
    assert same(weights(place.store, "counted"), weights(place.folder / "other", "counted"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_continues_where_it_was(number: signal.Signals, place: Place) -> None:
    result = place.kill("2", number)
    assert result.code == 128 + number
    assert place.done() == steps(0, 1, 2)  # the step at hand is finished
    assert place.run().code == 0
    assert place.done() == [*steps(3, 4, 5), "score"]
    assert place.run(store="other").code == 0
    assert same(weights(place.store, "counted"), weights(place.folder / "other", "counted"))


def test_an_interrupted_run_says_how_to_continue(place: Place) -> None:
    result = place.interrupt("2")
    assert "run the same command again to continue" in result.err
    assert "1 missing" in result.err
    assert "Traceback" not in result.err


def test_a_run_interrupted_in_its_last_step_is_trained(place: Place) -> None:
    place.interrupt("5")
    place.done()
    assert place.run().code == 0
    assert place.done() == ["score"]
    assert place.run(store="other").code == 0
    assert same(weights(place.store, "counted"), weights(place.folder / "other", "counted"))


@pytest.mark.slow
def test_a_run_interrupted_while_it_scores_is_not_trained_again(place: Place) -> None:
    assert place.kill("score", signal.SIGTERM).code == 128 + signal.SIGTERM
    fits = {name: value for name, value in snapshot(place.store).items() if name.startswith("fits")}
    place.done()
    assert place.run().code == 0
    assert set(place.done()) <= {"score"}
    assert fits.items() <= snapshot(place.store).items()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_training_stopped_from_outside_ends_with_the_same_weights(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    monkeypatch.setenv("COUNTED_LOG", str(tmp_path / "log"))
    method = {signal.SIGINT: "b2u", signal.SIGTERM: "nbr2nbr"}[number]
    length = {"b2u": 6, "nbr2nbr": 12}[method]
    place = Place(tmp_path, method, length)
    process = start(*place.command, "--store", place.store, COUNTED_LOG=place.log)
    assert process.stderr is not None
    for row in process.stderr:
        if row.startswith("[2/"):  # the baselines are done, and the training begins
            break
    time.sleep(0.1)
    process.send_signal(number)
    result = finish(process)
    assert result.code == 128 + number, result.err
    (checkpoint,) = (place.store / "fits").rglob("*.checkpoint")
    assert 0 < read_tensors(checkpoint)[1]["step"] < length
    assert place.run().code == 0
    assert not checkpoint.exists()
    assert place.run(store="other").code == 0
    assert same(weights(place.store, method), weights(place.folder / "other", method))


# ---- what lies in the store


def test_tables_say_whether_there_are_records(place: Place, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert bench("tables", "--store", empty).err.startswith(f"Store: {empty} (no records)\n")
    place.run()
    assert "no records" not in bench("tables", "--store", place.store).err


def test_nothing_temporary_is_left(place: Place) -> None:
    assert place.run().code == 0
    suffixes = {path.suffix for path in place.store.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".jsonl", ".lock", ".seconds"}


def test_nothing_temporary_is_left_by_an_interruption(place: Place) -> None:
    place.interrupt("2")
    assert not list(place.store.rglob("*.tmp"))


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_checkpoint_is_no_checkpoint(content: bytes | None, place: Place) -> None:
    place.interrupt("2")
    (checkpoint,) = (place.store / "fits").rglob("*.checkpoint")
    checkpoint.write_bytes(checkpoint.read_bytes()[:200] if content is None else content)
    place.done()
    assert place.run().code == 0
    assert place.done() == [*steps(*range(6)), "score"]


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damaged_weights_are_trained_again(content: bytes | None, place: Place) -> None:
    assert place.run().code == 0
    before = weights(place.store, "counted")
    path = file_of(place.store, "fit", "counted", ".safetensors")
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    place.done()
    assert place.run().code == 0
    assert place.done() == steps(*range(6))  # the scores are of the same weights
    assert same(weights(place.store, "counted"), before)


def test_force_begins_at_the_first_step(place: Place) -> None:
    assert place.run().code == 0
    place.done()
    assert place.run("--force").code == 0
    assert place.done() == [*steps(*range(6)), "score"]


def test_scores_of_other_weights_than_the_fit_has_now_are_no_result(place: Place) -> None:
    """A fit that was trained again, with another precision perhaps, must not share a row with its old scores."""
    assert place.run().code == 0
    score = record(place.store, "score", "counted")
    path = file_of(place.store, "score", "counted")
    path.write_text(path.read_text().replace(score["result"]["weights"], "0" * 64))
    argv = (*place.command[3:], "--store", place.store)
    asked = [one for one in argv if one not in ("--threads", 1)]
    states = {one["label"]: one["state"] for one in lines(*asked) if one["state"] != "not run"}
    assert states["counted"] == "stale"
    place.done()
    assert place.run().code == 0
    assert place.done() == ["score"]
    assert record(place.store, "score", "counted") == score
