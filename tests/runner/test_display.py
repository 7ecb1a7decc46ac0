"""The time to go, as the display of a run says it."""

import pytest
from support.clock import Clock

from bench.runner import display
from bench.runner.display import Display
from bench.runner.estimates import Cost


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(display, "time", made)
    return made


def test_baselines_say_nothing_about_trainings(clock: Clock) -> None:
    shown, noisy, fit = Display(quiet=True), Cost("nothing", 0.01), Cost("dataset", 1000.0)
    shown.plan(3, [noisy, fit, fit], jobs=1)
    shown.begin("noisy", noisy)
    clock.now += 60.0  # six thousand times the estimate
    shown.end("noisy", "done", noisy)
    assert shown.to_go() == pytest.approx(2000.0)


def test_a_training_corrects_the_estimates_of_trainings_from_where_it_continued(clock: Clock) -> None:
    shown, fit = Display(quiet=True), Cost("fit", 1000.0)
    shown.plan(2, [fit, fit], jobs=1)
    shown.begin("one", fit)
    shown.advance("one", 0.5, "from a checkpoint")
    clock.now += 200.0  # for 100 estimated ones
    shown.advance("one", 0.6, "")
    assert shown.to_go() == pytest.approx(2 * (400.0 + 1000.0))
    clock.now += 800.0
    shown.end("one", "done", fit)
    assert shown.to_go() == pytest.approx(2 * 1000.0)


def test_jobs_share_the_time_to_go(clock: Clock) -> None:
    shown, fit = Display(quiet=True), Cost("fit", 1000.0)
    shown.plan(2, [fit, fit], jobs=4)
    assert shown.to_go() == pytest.approx(1000.0)
