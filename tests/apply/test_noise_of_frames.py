"""What the noise card says of repeated frames of a scene: how they move, and whether they are pairs."""

from itertools import pairwise

import numpy as np
import pytest
from support.noisy_scenes import OFFSET, WHITE, correlated, frame, photons, scene, sentences, shared

from bench.apply.noise_card import noise_card
from bench.datasets.errors import InputError


def test_repeated_frames_settle_what_texture_hides() -> None:
    scenes = [[frame(photons(scene("grass"), 2.0, 8.0, seed)) for seed in range(4)]]
    card = noise_card(scenes, bits=16, offset=OFFSET)
    (plane,) = card.planes
    assert plane.exact
    assert card.whiteness == "white"
    assert plane.gain.value == pytest.approx(2.0, rel=0.05)
    assert card.movement is not None
    assert card.movement.drift < 0.01
    assert card.movement.shift < 0.1
    assert abs(card.movement.together or 0.0) < 0.02
    assert card.paired == ""
    assert card.recommended is not None
    assert card.recommended.method == "n2n"


def test_who_gave_two_frames_is_not_asked_for_two() -> None:
    card = noise_card([[frame(2000.0 + 100.0 * shared("white", (72, 72), seed)) for seed in (2, 3)]], bits=16)
    assert card.whiteness == "unknown"
    assert "More frames" in sentences(card)
    assert "Two frames of the same scene" not in sentences(card)


def test_correlated_noise_of_repeats_still_allows_pairs() -> None:
    scenes = [[frame(correlated(scene("camera"), "0.6", 2.0, seed)) for seed in range(2)]]
    card = noise_card(scenes, bits=16)
    assert card.whiteness == "correlated"
    assert card.recommended is not None
    assert card.recommended.method == "n2n"


@pytest.mark.parametrize("change", ["drift", "shift", "lag"])
def test_what_makes_frames_no_pairs_is_said(change: str) -> None:
    clean = scene("camera")
    if change == "drift":
        planes = [photons(clean * (1.0 - 0.08 * seed), 2.0, 6.0, seed) for seed in range(4)]
    elif change == "shift":
        planes = [photons(np.roll(clean, seed, axis=1), 2.0, 6.0, seed) for seed in range(4)]
    else:
        fresh = [photons(clean, 2.0, 6.0, seed) for seed in range(6)]
        planes = [0.7 * now + 0.3 * before for before, now in pairwise(fresh)]
    card = noise_card([[frame(plane) for plane in planes]], bits=16)
    assert card.paired
    assert card.movement is not None
    if change == "drift":
        assert card.movement.drift == pytest.approx(0.27, abs=0.04)  # of the mean brightness
        assert card.planes[0].gain.value == pytest.approx(2.0, rel=0.05)
    against = {advice.method: advice.why for advice in card.advice if not advice.applies}
    assert against["n2n"] == card.paired


@pytest.mark.parametrize("drift", [0.05, 0.09, 0.11])
def test_the_sentence_on_drift_agrees_with_the_advice(drift: float) -> None:
    planes = [photons(scene("camera") * light, 2.0, 6.0, seed) for seed, light in enumerate((1.0, 1.0 - drift))]
    card = noise_card([[frame(plane) for plane in planes]], bits=16, offset=OFFSET)
    assert card.recommended is not None
    assert (card.recommended.method == "n2n") == (drift < 0.1) == ("scale the frames" not in sentences(card))


@pytest.mark.parametrize("offset", [0.0, 500.0])
def test_a_drift_is_a_share_of_the_light(offset: float) -> None:
    """A flat scene has no pixel that is black."""
    draws = np.random.default_rng(0)
    planes = [offset + light + draws.normal(0.0, 20.0, (128, 128)) for light in (1000.0, 1010.0)]
    movement = noise_card([[frame(plane) for plane in planes]], bits=16, offset=offset).movement
    assert movement is not None
    assert movement.drift == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("kind", ["camera", "cell", "ramp"])
@pytest.mark.parametrize("read_noise", [3.0, 25.0])
def test_an_unknown_offset_hides_no_loss_of_light(kind: str, read_noise: float) -> None:
    """The offset is twice as high as the light, and so much read noise may also be photons of a lower offset."""
    clean = 0.9 + 0.2 * np.mgrid[:256, :256][1] / 256.0 if kind == "ramp" else scene(kind)
    lights = (120.0 / WHITE, 0.72 * 120.0 / WHITE)
    planes = [photons(clean * light, 2.0, read_noise, seed, 240.0) for seed, light in enumerate(lights)]
    card = noise_card([[frame(plane) for plane in planes]], bits=16)
    assert card.movement is not None
    assert card.movement.drift == pytest.approx(0.28 / 0.86, abs=0.07)
    assert card.paired


@pytest.mark.parametrize("contrast", [0.2, 0.05, 0.0])
def test_an_unknown_offset_makes_no_drift_of_little(contrast: float) -> None:
    """The darkest place, which may be black, is nearly as bright as the mean."""
    clean = 1.0 + contrast * np.mgrid[:256, :256][1] / 256.0
    for seed in range(0, 8, 2):
        planes = [photons(clean * light, 2.0, 3.0, seed + i) for i, light in enumerate((0.02, 0.0198))]
        movement = noise_card([[frame(plane) for plane in planes]], bits=16).movement
        assert movement is not None
        assert movement.drift < 0.02


def test_an_offset_above_the_images_is_refused() -> None:
    plane = photons(scene("camera"), 2.0, 6.0, 0)
    with pytest.raises(InputError, match=f"--offset 3000.* {plane.mean():.6g}"):
        noise_card([[frame(plane)]], offset=3000.0)


def test_a_scene_without_light_has_no_drift() -> None:
    """Of two scenes one is as dark as the offset says."""
    dark = [photons(0.0 * scene("camera"), 2.0, 6.0, seed, 99.0 - seed) for seed in range(2)]
    bright = [photons(scene("camera"), 2.0, 6.0, seed) for seed in range(2, 4)]
    card = noise_card([[frame(plane) for plane in planes] for planes in (dark, bright)], offset=OFFSET)
    assert card.movement is not None
    assert card.movement.drift < 0.01


def test_frames_of_opposite_contrast_differ_by_no_more_than_all_their_light() -> None:
    """As through the focus of a phase contrast."""
    waves = np.sin(np.mgrid[:128, :128][1] / 5.0)
    planes = [500.0 + light * waves + shared("white", waves.shape, i) for i, light in enumerate((100.0, -98.0))]
    movement = noise_card([[frame(plane) for plane in planes]], bits=16).movement
    assert movement is not None
    assert 1.0 < movement.drift <= 2.0


def test_what_any_colour_shows_counts() -> None:
    """One colour drifts and shows no structure, the other one moves."""
    still = [np.full((256, 256), 2000.0 + 40.0 * i) + 20.0 * shared("white", (256, 256), i) for i in range(2)]
    moved = [photons(np.roll(scene("camera"), i, axis=0), 2.0, 6.0, i) for i in range(2)]
    frames = [np.concatenate([frame(one), frame(other)], axis=2) for one, other in zip(still, moved, strict=True)]
    card = noise_card([frames], bits=16, offset=OFFSET)
    assert card.movement is not None
    assert card.movement.drift == pytest.approx(40.0 / 1920.0, rel=0.05)
    assert card.movement.shift > 0.5
    assert "register" in (card.paired or "")
