"""Noise families of third parties: a file given with --plugin is trained on, scored and shown like our own."""

from pathlib import Path

import pytest
from support.cli import bench, line, lines, record, refused
from support.tiny import Tiny

from bench.protocol.plan import make
from bench.protocol.request import Request

STRIPES = '''
import numpy as np
from bench import NoiseFamily, register_noise

@register_noise
class Stripes(NoiseFamily, frozen=True):
    """Gaussian noise that is stronger on the right of the image's brightness; level: its standard deviation."""

    name = "stripes"
    unit = "standard deviation in 0..255 units"

    def variance(self, x, level):
        return (0.5 + x) * (level / 255.0) ** 2
'''


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def plugin(folder: Path, old: str = "", new: str = "") -> Path:
    path = folder / "stripes.py"
    path.write_text(STRIPES.replace(old, new), encoding="utf-8")
    return path


def renamed(folder: Path, name: str) -> Path:
    return plugin(folder, '"stripes"', repr(name))


def test_a_family_from_a_file_is_trained_on_and_scored(tiny: Tiny, tmp_path: Path) -> None:
    """N2C does not know the noise; R2R asks the family for its variance. Fixed level, range and conditions."""
    text = tiny.suite.read_text("utf-8")
    fields = "[presets.mini.fields.r2r]\nnet = { width = 4 }\nensemble = 2\n"
    tiny.suite.write_text(text + fields, encoding="utf-8")
    path = plugin(tmp_path)
    noises = "stripes25,stripes5_50:correlated:8bit"
    tiny.run("--noise", noises, "--plugin", path, methods="n2c,r2r")
    shown = lines("--suite", tiny.suite, "--store", tiny.store, "--plugin", path)
    for noise in noises.split(","):
        for method in ("n2c", "r2r"):
            assert line(shown, noise=noise, method=method)["state"] == "done"


def test_another_code_of_a_family_is_another_identity(tiny: Tiny, tmp_path: Path) -> None:
    keys = set()
    for factor in ("0.5", "0.7"):
        tiny.run("--noise", "stripes25", "--plugin", plugin(tmp_path, "0.5", factor))
        keys |= {path.name for path in (tiny.store / "fits").rglob("*.json")}
    assert len(keys) == 2


def test_without_its_file_a_family_is_not_known(tiny: Tiny) -> None:
    message = refused(*tiny.command("--noise", "stripes25"))
    assert "'stripes25'" in message
    assert "--plugin" in message


@pytest.mark.parametrize("name", ["gauss", "none"])
def test_a_name_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    assert "registered twice" in refused("methods", "--plugin", renamed(tmp_path, name))


@pytest.mark.parametrize("name", ["", "stripes2", "Stripes", "a,b", "a:b", "a_b", "+a"])
def test_a_name_that_would_be_read_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    assert "lower-case letters" in refused("methods", "--plugin", renamed(tmp_path, name))


def test_our_own_noise_has_no_source_in_its_identity(tiny: Tiny) -> None:
    tiny.run()
    for kind in ("fit", "score"):
        assert "noise_source" not in record(tiny.store, kind, "n2c")["identity"]


# ---- our own noise on the command line


def test_poisson_gaussian_noise_under_composed_conditions_is_trained_on_and_scored(tiny: Tiny) -> None:
    tiny.run("--noise", "poisson30+gauss10,gauss25:correlated:8bit")
    shown = lines("--suite", tiny.suite, "--store", tiny.store)
    for noise in ("poisson30+gauss10", "gauss25:correlated:8bit"):
        assert line(shown, noise=noise, method="n2c")["state"] == "done"


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
def test_a_level_in_units_of_one_is_noticed_before_anything_is_trained(how: tuple[str, ...], tiny: Tiny) -> None:
    result = bench(*tiny.command("--noise", "gauss0.1", *how))
    assert result.code == 0
    before, trained, _ = result.err.partition("trained in")
    assert "gauss25.5" in before
    assert bool(trained) == (not how)


def test_an_ordinary_level_is_not_mentioned(tiny: Tiny) -> None:
    assert "0..1 units" not in bench(*tiny.command("--dry-run")).err


def test_the_scoring_clipped_input_adds_to_the_conditions_of_the_noise(tiny: Tiny) -> None:
    request = Request(
        suite=str(tiny.suite), methods=("n2c",), noises=("gauss25:correlated", "gauss25:8bit"), scoring="clipped-input"
    )
    met = {(cell.noise.name, score.noise.name) for cell in make(request).cells for score in cell.scores}
    assert met == {("gauss25:correlated", "gauss25:correlated:8bit"), ("gauss25:8bit", "gauss25:8bit")}


def test_a_family_whose_test_noise_is_its_own_has_training_noise_of_its_own(tmp_path: Path) -> None:
    apply = "    def apply(self, clean, level, draws):\n        return clean\n\n    def variance"
    assert "`add`" in refused("methods", "--plugin", plugin(tmp_path, "    def variance", apply))
