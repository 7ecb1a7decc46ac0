"""What the commands say: codes of runs that cannot do what was asked for, notes, widths, counts."""

from pathlib import Path

import pytest
from support.cli import bench, lines, refused
from support.tiny import Tiny

from bench.datasets.noise.model import FAMILIES
from bench.methods.registry import METHODS


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


# ---- plug-ins that are not given


STRIPES = """
from bench import NoiseFamily, register_noise

@register_noise
class Stripes(NoiseFamily, frozen=True):
    name = "stripes"

    def variance(self, x, level):
        return (0.5 + x) * (level / 255.0) ** 2
"""


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    path = tmp_path / "stripes.py"
    path.write_text(STRIPES, encoding="utf-8")
    return path


def forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (FAMILIES, METHODS):
        monkeypatch.setattr(known, "entries", {n: e for n, e in known.all().items() if known.ours(e)})


def test_tables_show_the_rest_where_a_plugin_is_missing(
    tiny: Tiny, stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.run("--noise", "gauss25,stripes20", "--plugin", stripes, methods="noisy")
    forget_plugins(monkeypatch)
    result = tiny.tables()
    assert (result.code, "gauss25" in result.out) == (0, True)
    note = next(part for part in " ".join(result.out.split()).split("stripes20") if "--plugin" in part)
    assert "not known" in note
    assert "stripes20" in refused("tables", "--suite", tiny.suite, "--store", tiny.store, "--noise", "stripes20")


def test_a_suite_that_cannot_be_shown_does_not_sink_the_others(tmp_path: Path) -> None:
    asked = ("tables", "--suite", "all", "--test-sets", "kodak", "--store", tmp_path)
    result = bench(*asked)
    assert (result.code, "Table 1" in result.out) == (0, True)
    assert "suite fluorescence is left out: " in result.err


# ---- notes


def test_notes_concern_rows_that_are_shown(tiny: Tiny) -> None:
    argv = ("--noise", "gauss25", "--test-sets", f"folder:{tiny.folder / 'test'}", "--store", tiny.store)
    result = bench("run", "--methods", "noisy", *argv)
    assert (result.code, "Anscombe" in result.out) == (0, False)
    assert "Anscombe" in bench("tables", *argv, "--all").out
    assert "not defined" in {one["state"] for one in lines(*argv)}
