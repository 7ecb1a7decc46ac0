"""The measurement of steps and of scoring: rows come as they are measured; both scoring loops give equal scores."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.cli import bench
from torch import Tensor, nn

from bench import api
from bench.compute.machine import Machine
from bench.datasets.errors import InputError
from bench.methods.base import Context, Method
from bench.methods.n2c import N2C
from bench.protocol.units import Fit
from bench.tools import scoring_speed, speed


@pytest.fixture
def folder(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    for i, size in enumerate([(40, 33, 3), (32, 32, 3), (20, 48, 3), (40, 40, 3)]):
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(tmp_path / f"{i}.png")
    return f"folder:{tmp_path}"


@pytest.mark.parametrize("method", ["blur", "n2c"])
def test_scoring_is_compared_on_the_sets_that_are_asked_for(method: str, folder: str) -> None:
    (table,) = api.speed([method], tests=["embedded_test"] * (method == "blur") + [folder], threads=1, quiet=True)
    assert list(table["test"])[-1] == folder
    assert (table["scores differ by (dB)"].astype(float) < 1e-3).all()
    assert (table["ratio"].astype(float) > 0).all()


def test_the_official_loop_is_measured_on_the_device_of_ours(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's device `meta` stands for a GPU."""
    seen = set[str]()

    def denoise(self: Method, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        assert ctx.level is not None
        used = (noisy, ctx.level, ctx.rng.samples, *net.parameters())
        seen.update(one.device.type for one in used)
        return {"denoised": torch.zeros(noisy.shape)}

    rows = [SimpleNamespace(value=lambda metric: 0.0)] * scoring_speed.IMAGES
    monkeypatch.setattr(N2C, "denoise", denoise)
    monkeypatch.setattr(scoring_speed, "evaluate", lambda *asked: rows)
    (work,), _ = speed._works(("n2c",), "gauss25")
    scoring_speed.scoring(work, Machine("meta"), folder, None)
    assert seen == {"meta"}


def test_jobs_have_their_own_work() -> None:
    with pytest.raises(InputError, match="--test-sets"):
        api.speed(jobs=2, tests=["kodak"])


def test_each_training_is_told_when_it_is_measured(
    work: Callable[..., Fit], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is known although the second one is interrupted."""
    fits, told = [work("n2c", "poisson30", steps=60_000), work("n2v")], list[speed.Row]()
    measured = speed._training

    def training(fit: Fit, *others: float) -> speed.Row:
        if told:
            raise KeyboardInterrupt
        return measured(fit, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(speed, "_works", lambda names, noise: ([SimpleNamespace(fit=fit) for fit in fits], []))
    monkeypatch.setattr(speed, "_training", training)
    monkeypatch.setattr(speed, "matmul_rate", lambda machine: 1e9)
    with pytest.raises(KeyboardInterrupt):
        speed.measure((), machine, 1, report=told.append)
    (row,) = told
    assert row["noise"] == "poisson30"
    assert float(row["harness overhead"].rstrip("%")) > 0
    assert float(row["of bf16 matmul"].rstrip("%")) > 0
    hours = 60_000 / float(row["our steps/s"]) / 3600
    assert float(row["training, preset standard"].rstrip(" h")) == pytest.approx(hours, abs=0.02)


@pytest.mark.parametrize("rounds", [1, 2, 6])
def test_steps_are_measured_so_many_times(rounds: int, machine: Machine) -> None:
    calls = {"plain": 0, "ours": 0}

    def step(name: str) -> Tensor:
        calls[name] += 1
        return torch.zeros(1)

    assert speed.interleaved({name: partial(step, name) for name in calls}, machine, rounds).keys() == calls.keys()
    assert calls == {"plain": rounds, "ours": rounds}


def test_the_noise_of_a_training_may_be_chosen() -> None:
    (work,), skipped = speed._works(("n2c",), "poisson30")
    assert (work.fit.noise.name, work.fit.crop, work.fit.batch) == ("poisson30", 128, 4)
    assert not skipped
    works, (reason,) = speed._works(("pure",), "gauss25")
    assert not works
    assert "gauss25" in reason["skipped"]


def test_the_command_prints_the_times_of_one_round() -> None:
    result = bench("speed", "--methods", "blur", "--rounds", 1, "--threads", 1, "--format", "csv")
    assert (result.code, "blur" in result.out) == (0, True), result.err
