"""A run through the command line and the API: nothing is trained to estimate, nothing undone ends with 0."""

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench, record, refused
from support.plugins import FORGETFUL, KEEPER
from support.tiny import Tiny, contents

from bench import api
from bench.compute import scoring, step, training, zero_shot
from bench.compute.image_cache import kept
from bench.compute.machine import Machine
from bench.compute.noisy_images import Noisy
from bench.datasets.errors import InputError
from bench.datasets.noise.model import Image
from bench.methods.n2v import N2V
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import Fit, Score, Unit
from bench.runner import execution, signals
from bench.runner.display import Display
from bench.runner.estimates import Estimates
from bench.runner.execution import Sets
from bench.runner.run import Run
from bench.store.store import Store


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A store with n2c trained and scored."""
    made = Tiny(tmp_path)
    made.run()
    return made


def raises(error: BaseException) -> Callable[..., None]:
    """A function that raises an error."""

    def function(*_: object) -> None:
        raise error

    return function


def forbid_training(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes every training step raise."""
    monkeypatch.setattr(step.Step, "update", raises(error))


def weights(tiny: Tiny) -> Path:
    (path,) = tiny.store.rglob("fits/**/*.safetensors")
    return path


def test_a_dry_run_of_all_suites_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    forbid_training(monkeypatch, AssertionError("a training step"))
    argv = ("run", "--suite", "all", "--methods", "n2c,b2u", "--preset", "paper", "--dry-run", "--format", "json")
    result = bench(*argv, "--store", tmp_path)
    assert result.code == 0
    assert result.err.splitlines()[0] == f"Store: {tmp_path}"
    assert "images are missing; get: " in result.err
    assert all(row["estimated"][-1] in "smh" for row in json.loads(result.out))


def test_a_dry_run_says_why_a_method_has_no_number(tmp_path: Path) -> None:
    argv = ("run", "--methods", "noisy,bm3d", "--noise", "poisson30", "--dry-run", "--store", tmp_path)
    result = bench(*argv)
    assert result.code == 2
    assert "bench: error: bm3d poisson30: not defined" in result.err
    assert "bm3d gauss25" not in bench(*argv, "--noise", "poisson30,gauss25").err
    assert bench(*argv, "--noise", "poisson30,gauss25").code == 0


@pytest.mark.parametrize("inner", ["", "store"])
def test_a_dry_run_refuses_a_store_that_cannot_be_a_folder(inner: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    argv = ("run", "--methods", "noisy", "--noise", "gauss25", "--dry-run")
    assert "is no folder" in refused(*argv, "--store", tmp_path / "file" / inner)


@pytest.mark.parametrize("number", signals.USUAL)
def test_a_second_signal_ends_the_work_with_its_number(number: signal.Signals) -> None:
    def stopped_twice() -> None:
        with signals.StopSignals():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as raised:
        stopped_twice()
    assert raised.value.args == (number,)


def test_a_status_trains_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_training(monkeypatch, AssertionError("a training step"))
    result = bench("status", "--store", tiny.store, "--methods", "n2c,n2n", "--suite", tiny.suite)
    assert result.code == 0
    assert "missing" in result.out


def test_finished_trainings_of_the_store_say_how_long_a_step_takes(tiny: Tiny) -> None:
    (seconds,) = (tiny.store / "fits").rglob("*.seconds")
    seconds.write_text("7.0\n", encoding="utf-8")
    machine = Machine("cpu", "float32", 1)
    cell = make(Request(suite=str(tiny.suite), methods=("n2c",), steps=10)).cells[-1]
    assert Estimates(Store(tiny.store), machine).seconds(cell.fit) == pytest.approx(70.0)
    assert Estimates(Store(tiny.folder / "none"), machine).seconds(cell.fit) < 7.0  # from its operations


def test_the_old_result_stays_until_the_new_one_is_complete(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights(tiny).read_bytes()
    with monkeypatch.context() as patch:
        forbid_training(patch, KeyboardInterrupt())
        assert bench(*tiny.command("--force")).code == 130
    assert weights(tiny).read_bytes() == before
    assert "n2c" not in tiny.run().err.partition("cells:")[0]  # nothing is left to do
    tiny.run("--force")
    assert "trained in" in tiny.run("--force").err


def updates(monkeypatch: pytest.MonkeyPatch, stop: bool) -> list[int]:
    """Notes a 1 for every training step from here on; `stop`: the first one sends Ctrl-C to its process."""
    found, update = list[int](), step.Step.update

    def noted(self: step.Step, *args: Any) -> Any:
        found.append(1)
        if stop and len(found) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, *args)

    monkeypatch.setattr(step.Step, "update", noted)
    return found


@pytest.mark.parametrize(("done", "steps"), [(False, 4), (True, 5)])
def test_a_forced_run_that_was_interrupted_begins_anew_only_what_has_a_result(
    done: bool, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Tiny(tmp_path)
    if done:
        made.run("--steps", 5)
    with monkeypatch.context() as patch:
        updates(patch, stop=True)
        stopped = bench(*made.command("--steps", 5, "--force"))
    assert stopped.code == 130
    assert "the same command without --force" in stopped.err
    assert list(made.store.rglob("*.checkpoint"))
    counted = updates(monkeypatch, stop=False)
    made.run("--steps", 5, "--force")
    assert len(counted) == steps


@pytest.mark.parametrize("damaged", ["training", "scoring"])
def test_the_old_result_stays_where_the_new_one_fails(
    damaged: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(tiny.store)
    with monkeypatch.context() as patch:
        if damaged == "training":
            forbid_training(patch, RuntimeError("no luck"))
        else:
            patch.setattr(execution, "evaluate", raises(RuntimeError("no luck")))
        result = bench(*tiny.command("--force"))
    assert result.code == 1
    assert "failed: RuntimeError: no luck; its earlier result stays" in result.err
    after = contents(tiny.store)
    assert {name: after[name] for name in before} == before
    assert "no luck" in bench("status", "--store", tiny.store).out
    assert "n2c" not in tiny.run().err.partition("cells:")[0]  # nothing is left to do
    tiny.run("--force")
    assert not list(tiny.store.rglob("*.failed.tmp"))


def test_a_unit_whose_forced_training_failed_before_is_to_do_until_it_is_done(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of one forced run, of which one is killed while it trains."""
    with monkeypatch.context() as patch:
        forbid_training(patch, RuntimeError("no luck"))
        assert bench(*tiny.command("--force")).code == 1
    plan = make(Request(suite=str(tiny.suite), methods=("n2c",)))
    machine, display = Machine("cpu", "float32", 1), Display(quiet=True)
    killed, other = (Run(plan, Store(tiny.store), machine, Sets(None), display, force=True) for _ in range(2))
    before = other.pending()
    with monkeypatch.context() as patch:
        forbid_training(patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            killed.carry_out()
    (fit,) = (unit for _, unit in before if isinstance(unit, Fit))
    assert (other.plan.cells[-1], fit) in other.pending()
    assert other.carry_out().code == 0
    assert fit.key in other.tried


def test_how_a_unit_failed_is_forgotten_with_a_newer_or_damaged_record(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed when it had written the record; or somebody damaged it."""
    with monkeypatch.context() as patch:
        forbid_training(patch, RuntimeError("no luck"))
        bench(*tiny.command("--force"))
    store, fit = Store(tiny.store), make(Request(suite=str(tiny.suite), methods=("n2c",))).cells[-1].fit
    assert store.failed_again(fit) is not None
    store.path(fit).touch()
    assert store.failed_again(fit) is None
    store.path(fit).write_bytes(b"{")
    assert store.quarantine(fit)
    assert store.made(fit) == 0


def test_the_old_images_stay_until_the_new_ones_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, keeper = Tiny(tmp_path), tmp_path / "keeper.py"
    keeper.write_text(KEEPER, encoding="utf-8")
    words: Any = {"methods": "keeper"}
    made.run("--plugin", keeper, **words)
    before = contents(made.store)
    with monkeypatch.context() as patch:

        def strike(work: Score, noisy: Noisy, *others: Any) -> dict[str, Image]:
            if (work.fit.name, noisy.set_image.name) == ("keeper", "chelsea"):
                raise KeyboardInterrupt
            return kept(work, noisy, *others)

        patch.setattr(scoring, "kept", strike)
        assert bench(*made.command("--force", "--plugin", keeper, **words)).code == 130
    after = contents(made.store)
    assert [name for name in after.keys() - before.keys() if ".tmp/astronaut" in name]
    assert {name: after[name] for name in before} == before
    made.run("--force", "--plugin", keeper, **words)
    assert contents(made.store) == before


def test_a_training_whose_record_cannot_be_written_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, write = Tiny(tmp_path), Store.write

    def full(self: Store, unit: Unit, *others: Any) -> None:
        if isinstance(unit, Fit):
            raise InputError("no space left")
        write(self, unit, *others)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", partial(training.train, every_seconds=0.0))
        patch.setattr(Store, "write", full)
        assert bench(*made.command("--steps", 5)).code == 2
    counted = updates(monkeypatch, stop=False)
    made.run("--steps", 5)
    assert len(counted) == 1
    assert not list(made.store.rglob("*.checkpoint"))


def test_a_run_deletes_the_checkpoint_of_a_training_that_is_done(tiny: Tiny) -> None:
    """A process was killed between the two."""
    left = weights(tiny).with_suffix(".checkpoint")
    left.touch()
    tiny.run()
    assert not left.exists()


def test_a_method_of_single_images_that_keeps_none_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plugin = Tiny(tmp_path), tmp_path / "forgetful.py"
    plugin.write_text(FORGETFUL, encoding="utf-8")
    monkeypatch.setattr(zero_shot, "train", partial(training.train, every_seconds=0.0))
    made.run("--plugin", plugin, "--steps", 3, methods="forgetful")
    assert [path for path in made.store.glob("images/**/*") if path.is_file()] == []


def test_weights_without_their_record_are_trained_again(tiny: Tiny) -> None:
    """A process was killed between the two."""
    weights(tiny).write_bytes(b"of another training")
    assert "trained in" in tiny.run().err


def test_a_unit_begins_by_removing_its_own_temporary_files(tiny: Tiny) -> None:
    path = weights(tiny)
    left, other = path.with_name(f"{path.stem}.checkpoint.01234567.tmp"), path.with_name("other.checkpoint.0.tmp")
    for one in (left, other):
        one.write_bytes(b"half a checkpoint")
    tiny.run("--force")
    assert (left.exists(), other.exists()) == (False, True)


def test_a_method_that_this_machine_lacks_a_package_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone it is refused; beside others they are computed; what was computed elsewhere needs no package."""
    monkeypatch.setattr(N2V, "unavailable", lambda self: "its package is not installed")
    tiny = Tiny(tmp_path)
    assert "n2v gauss25: its package is not installed" in refused(*tiny.command(methods="n2v"))
    result = bench(*tiny.command(methods="n2v,n2c"))
    assert result.code == 2
    assert "3 done, 1 skipped" in result.err
    assert "its package is not installed" in result.err
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(N2V, "unavailable", lambda self: None)
        tiny.run(methods="n2v")
    tiny.run(methods="n2v")


def test_the_status_of_a_suite_s_file_is_found_by_any_path_to_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.folder)
    result = bench("status", "--suite", tiny.suite.name, "--store", tiny.store)
    assert (result.code, "4 of 4 units done" in result.err) == (0, True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_store_that_cannot_be_written_is_refused_in_one_line(jobs: int, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to the store" in refused(
        *Tiny(tmp_path).command("--jobs", jobs, store=tmp_path / "file" / "s")
    )


@pytest.mark.parametrize("options", [("--steps", "1" + "0" * 30), ("--threads", 9999), ("--jobs", 9999)])
def test_absurd_numbers_are_refused_with_what_is_allowed(options: tuple[Any, ...], tmp_path: Path) -> None:
    assert "from 1 to" in refused("run", "--methods", "noisy", "--store", tmp_path, *options)


def test_the_api_names_parameters_and_not_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="steps = -1") as raised:
        api.run(["n2c"], steps=-1, store=tmp_path)
    assert "--" not in str(raised.value)


def test_a_score_names_the_weights_that_it_was_made_with(tiny: Tiny) -> None:
    assert (
        record(tiny.store, "score", "n2c")["result"]["weights"] == record(tiny.store, "fit", "n2c")["result"]["weights"]
    )


def test_a_full_place_behind_standard_output_is_one_line(tiny: Tiny) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = f"cd {tiny.folder} && python -m bench tables --suite {tiny.suite} --store {tiny.store} > /dev/full 2> err"
    assert os.waitstatus_to_exitcode(os.system(command)) == 2
    said = (tiny.folder / "err").read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert "No space left" in said.splitlines()[-1]


def test_a_verification_of_nothing_does_not_end_with_0(tiny: Tiny) -> None:
    weights(tiny).unlink()
    result = bench("verify", "n2c", "--store", tiny.store, "--threads", 1)
    assert (result.code, "nothing was verified" in result.err) == (1, True)
