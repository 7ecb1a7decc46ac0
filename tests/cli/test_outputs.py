"""What the commands say: codes of runs that cannot do what was asked for, notes, widths, counts."""

from pathlib import Path

import pytest
from support.cli import bench, refused
from support.tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


# ---- exit codes


def test_a_run_of_nothing_that_is_possible_is_wrong_input(tiny: Tiny) -> None:
    error = refused(*tiny.command("--crop", 65))
    assert "n2c gauss25: not possible" in error
    assert "multiples of 32" in error
    assert not tiny.store.exists()


def test_a_set_to_train_and_test_on_is_wrong_input_for_a_supervised_method(tiny: Tiny) -> None:
    assert "overlaps" in refused(*tiny.command("--train", f"folder:{tiny.folder / 'test'}"))


def test_a_method_that_is_not_possible_beside_one_that_is(tiny: Tiny) -> None:
    result = bench(*tiny.command("--noise", "poisson30", methods="noisy,noisier2noise"))
    assert (result.code, "Noisy input" in result.out or "noisy" in result.out) == (2, True)
    assert "bench: error: noisier2noise poisson30: not defined" in result.err


def test_a_method_that_is_possible_for_one_noise_is_not_wrong(tiny: Tiny) -> None:
    both = tiny.command("--noise", "poisson30,gauss25", "--dry-run", methods="noisier2noise")
    assert bench(*both).code == 0
