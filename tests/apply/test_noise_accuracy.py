"""How right the noise card is, over many draws of known noise; `-s` prints the tables of docs/own-images.md."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.cli import SHARED
from support.noisy_scenes import OFFSET, SCENES, correlated, photons, scene

from bench import api
from bench.apply.defects import Ends
from bench.apply.noise_findings import shown
from bench.apply.noise_plane import PlaneNoise, plane_noise

DRAWS = 50
CAMERAS = {"sensitive": (2.0, 6.0), "counting": (8.0, 20.0), "noisy in the dark": (2.0, 40.0)}  # gain, read noise
OPEN = Ends(-np.inf, np.inf, 0.0, 0.0)
VERDICTS = ("white", "correlated", "unknown")
pytestmark = pytest.mark.slow


def measured(*planes: np.ndarray) -> PlaneNoise:
    """The card of single frames whose offset is known."""
    found, _ = plane_noise("", [[plane] for plane in planes], OPEN, 0.0, 1.0, OFFSET)
    assert found is not None
    return found


@pytest.mark.parametrize("camera", CAMERAS)
def test_four_images_tell_gain_and_read_noise(camera: str) -> None:
    gain, read_noise = CAMERAS[camera]
    cleans = [scene(name) for name in ("astronaut", "camera", "coffee", "cell")]
    found = [measured(*(photons(x, gain, read_noise, 4 * i + k) for k, x in enumerate(cleans))) for i in range(DRAWS)]
    gains, darks = (np.array([getattr(one, name).value for one in found]) for name in ("gain", "read_noise"))
    near = [np.mean(np.abs(gains / gain - 1.0) <= 0.05), np.mean(np.abs(darks / read_noise - 1.0) <= 0.1)]
    hold = [np.mean([gain in one.gain for one in found]), np.mean([read_noise in one.read_noise for one in found])]
    print(
        f"\n{camera}: gain {gains.mean() / gain:.3f} +- {gains.std() / gain:.3f} of the truth, within 5 % in "
        f"{near[0]:.0%}, intervals hold {hold[0]:.0%}; read noise {darks.mean() / read_noise:.3f} +- "
        f"{darks.std() / read_noise:.3f}, within 10 % in {near[1]:.0%}, intervals hold {hold[1]:.0%}"
    )
    assert gains.mean() == pytest.approx(gain, rel=0.03)
    assert darks.mean() == pytest.approx(read_noise, rel=0.05)
    assert min(near) >= 0.9
    assert min(hold) >= 0.9


@pytest.mark.parametrize("name", SCENES)
def test_intervals_of_single_images_hold_the_truth(name: str) -> None:
    clean = scene(name)
    held: dict[str, list[bool]] = {"gain": [], "read noise": [], "level": []}
    for gain, read_noise in CAMERAS.values():
        for seed in range(DRAWS):
            one = measured(photons(clean, gain, read_noise, seed))
            level = np.sqrt(gain * (one.brightness - OFFSET) + read_noise**2)
            held["gain"].append(gain in one.gain)
            held["read noise"].append(read_noise in one.read_noise)
            held["level"].append(level in one.level)
    print(f"\n{name}: " + ", ".join(f"{what} {np.mean(of):.0%}" for what, of in held.items()))
    assert min(np.mean(of) for of in held.values()) >= (0.7 if name == "coins" else 0.85)  # whose own noise is strong


@pytest.mark.parametrize("kind", ["white", "0.5", "0.6", "0.8", "pairs", "row"])
def test_correlation_is_found_and_not_invented(kind: str) -> None:
    counted: Counter[str] = Counter()
    for name in SCENES:
        clean = scene(name)
        counted.update(measured(correlated(clean, kind, 2.0, seed)).whiteness for seed in range(DRAWS // len(SCENES)))
    shares = {verdict: counted[verdict] / counted.total() for verdict in VERDICTS}
    print(f"\n{kind}: " + ", ".join(f"{verdict} {share:.0%}" for verdict, share in shares.items()))
    if kind == "white":
        assert shares["correlated"] <= 0.02
        assert shares["white"] >= 0.8
    else:
        assert shares["white"] <= 0.1
        assert shares["correlated"] >= 0.5


@pytest.mark.skipif(not (SHARED / "fmdd").is_dir(), reason="FMDD is not on this machine")
@pytest.mark.parametrize("specimen", ["Confocal_FISH", "Confocal_MICE", "TwoPhoton_MICE"])
def test_single_frames_of_a_microscope_agree_with_repeats(specimen: str, tmp_path: Path) -> None:
    """FMDD's captures of view 19; the two-photon ones bleach."""
    captures = sorted((SHARED / "fmdd" / specimen / "raw" / "19").iterdir())
    for i, capture in enumerate(captures):
        (tmp_path / f"frame-{i}.png").symlink_to(capture)
    (repeats,) = api.noise_card([tmp_path])
    (exact,), singles = repeats.planes, [api.noise_card([capture])[0].planes[0] for capture in captures]
    movement = repeats.movement
    assert movement is not None
    gains = ", ".join(shown(one.gain) for one in singles)
    print(
        f"\n{specimen}: gain {gains}; of the repeats {shown(exact.gain)}; correlation "
        f"{shown(singles[0].neighbours.correlation, 2)}, repeats {shown(exact.neighbours.correlation, 2)}; level "
        f"{shown(singles[0].level)} at {singles[0].brightness:.1f}, of the repeats {shown(exact.level)} at "
        f"{exact.brightness:.1f}; drift {movement.drift:.1%}, shift {movement.shift:.2f}, between frames "
        f"{movement.together:.3f}"
    )
    assert all(one.gain.value == pytest.approx(exact.gain.value, rel=0.08) for one in singles)
    assert {one.whiteness for one in singles} == {exact.whiteness} == {"white"}
    assert (movement.drift > 0.1) == (specimen == "TwoPhoton_MICE")
