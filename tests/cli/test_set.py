"""`--set METHOD.FIELD=V1,V2`: an ablation without a suite file, two values in one table."""

from pathlib import Path

import pytest
from support.cli import bench, lines, refused
from support.tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_two_values_stand_in_one_table(tiny: Tiny) -> None:
    how = ("--suite", tiny.suite, "--store", tiny.store)
    run = bench("run", *how, "--noise", "gauss25", "--set", "n2c.net.width=2,4", "--threads", 1)
    assert run.code == 0, run.err
    assert "n2c, net.width=2" in run.out
    assert "n2c, net.width=4" in run.out
    found = {line["label"]: line for line in lines(*how) if line["method"].startswith("n2c, ")}
    assert {line["state"] for line in found.values()} == {"done"}
    assert [*found] == ["n2c, net.width=2", "n2c, net.width=4"]
    assert found["n2c, net.width=2"]["parameters"] < found["n2c, net.width=4"]["parameters"]
    status = bench("status", *how)
    assert status.code == 0
    assert "6 of 6 units done" in status.err  # noisy, blur, two fits and their scores
    plain = bench("run", *how, "--noise", "gauss25", "--methods", "n2c", "--threads", 1, "--dry-run")
    assert "0 units to do, 4 done already" in plain.err, plain.err  # the suite's own n2c has width 4


def test_wrong_settings_are_refused(tiny: Tiny) -> None:
    how = ("--suite", tiny.suite, "--store", tiny.store)
    assert "Did you mean 'width'?" in refused("run", *how, "--set", "n2c.net.widht=2")
    assert "METHOD.FIELD=V1,V2" in refused("run", *how, "--set", "n2c.net")
    assert "--methods" in refused("run", *how)
    assert not (tiny.store / "fits").exists()
