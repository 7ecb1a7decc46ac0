"""The learning rate over a training, and its epochs."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.compute.step import epoch_of, schedule
from bench.methods.base import Progress
from bench.protocol.suites import Recipe

HALVING = Recipe(schedule="halving", lr=2e-3, beta2=0.999, weight_decay=1e-8)


@pytest.mark.parametrize("steps", [20, 300, 8000])
@pytest.mark.parametrize("warmup", [0.05, 0.3, 0.5])
def test_a_cycle_rises_to_the_rate_and_falls_to_zero(steps: int, warmup: float) -> None:
    recipe = Recipe(schedule="cycle", lr=1e-3, beta2=0.95, weight_decay=0.0, warmup=warmup)
    rates = 1e-3 * np.array([schedule(recipe, step, steps, 100) for step in range(steps)])
    top = int(rates.argmax())
    assert rates.min() > 0
    assert rates.max() <= 1e-3
    assert rates.max() == pytest.approx(1e-3, rel=max(2 / (warmup * steps), 1e-3) if warmup * steps > 2 else 0.5)
    assert top / steps == pytest.approx(warmup, abs=1 / steps)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert rates[-1] < 0.01e-3


@pytest.mark.parametrize("epochs", [5, 20, 100])
def test_halving_is_the_official_schedule(epochs: int) -> None:
    """The released code steps torch's MultiStepLR after every epoch; it ends at a sixteenth."""
    adam = torch.optim.Adam([nn.Parameter(torch.zeros(1))], HALVING.lr)
    official = torch.optim.lr_scheduler.MultiStepLR(adam, [k * epochs // 5 - 1 for k in (1, 2, 3, 4)], 0.5)
    rate = 0.0
    for epoch in range(epochs):
        for step in range(3 * epoch, 3 * epoch + 3):
            rate = HALVING.lr * schedule(HALVING, step, 3 * epochs, epochs)
            assert rate == pytest.approx(official.get_last_lr()[0])
        adam.step()
        official.step()
    assert rate == pytest.approx(HALVING.lr / 16)


def test_epochs_are_virtual_in_short_runs() -> None:
    epochs = [epoch_of(step, 250, 100) for step in range(250)]
    assert sorted(set(epochs)) == list(range(1, 101))
    assert epochs == sorted(epochs)
    assert Progress(100, 100).t == 1.0
