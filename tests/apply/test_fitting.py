"""A method on a user's own images."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from bench.apply.fitting import as_images, fit, plan, steps_within
from bench.compute.machine import Machine
from bench.compute.step import Stopped
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage
from bench.datasets.noise.captured import CAPTURED, NONE
from bench.datasets.noise.model import Image, parse

pytestmark = pytest.mark.usefixtures("narrow")
CLEAN = skimage.data.camera()[100:180, 200:288, None].astype(np.float32) / np.float32(255.0)


def noisy(seed: int, sigma: float = 25.0) -> Image:
    z = np.random.default_rng(seed).standard_normal(CLEAN.shape, np.float32)
    return CLEAN + z * np.float32(sigma / 255.0)


def single(number: int = 3) -> list[SetImage]:
    return as_images([[noisy(i)] for i in range(number)])


def test_a_method_that_needs_the_level_learns_from_noise_that_is_there(machine: Machine) -> None:
    planned, images, _ = plan("r2r", single(), parse("gauss25"), steps=2)
    assert planned.train_noise == "present"
    fitted = fit(planned, images, machine)
    assert fitted(noisy(7)).shape == CLEAN.shape


def test_training_images_get_no_further_noise(machine: Machine) -> None:
    from bench.compute.training import source_of
    from bench.datasets.sampling import one_sample

    planned, images, _ = plan("r2r", single(1), parse("gauss25"), steps=2)
    sample = one_sample(source_of(planned, images), 0, 1)
    crop, image = sample.frames[0][..., 0], images[0].pixels[..., 0]
    windows = np.lib.stride_tricks.sliding_window_view(image, crop.shape)
    assert (windows == crop).all(axis=(2, 3)).any()
    assert sample.clean is None
    assert sample.levels == [25.0]


def test_weights_are_kept_and_taken_again(machine: Machine, tmp_path: Path) -> None:
    planned, images, _ = plan("n2v", single(), steps=3)
    first = fit(planned, images, machine, tmp_path)
    again = fit(planned, images, machine, tmp_path, report=lambda report: pytest.fail("trained again"))
    np.testing.assert_array_equal(first(noisy(9)), again(noisy(9)))
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    assert again.images == first.images == {image.digest for image in images}


def test_a_stopped_training_continues(machine: Machine, tmp_path: Path) -> None:
    planned, images, _ = plan("n2v", single(), steps=6)
    seen: list[int] = []
    with pytest.raises(Stopped):
        fit(planned, images, machine, tmp_path, lambda report: seen.append(report.step), lambda: len(seen) >= 3)
    resumed = fit(planned, images, machine, tmp_path, lambda report: seen.append(report.step))
    assert seen == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(resumed(noisy(9)), fit(planned, images, machine)(noisy(9)))


def test_other_images_are_another_training() -> None:
    keys = {plan("n2v", images, steps=3)[0].key for images in (single(3), single(2), as_images([[noisy(5)]]))}
    assert len(keys) == 3


@pytest.mark.parametrize(("steps", "optimiser"), [(0, "muon"), (1000, "muon"), (1001, "muon-hidden"), (4001, "adam")])
def test_long_trainings_have_a_recipe_of_their_own(steps: int, optimiser: str) -> None:
    assert plan("b2u", single(), steps=steps)[0].recipe.optimiser == optimiser


def test_frames_of_a_scene_are_pairs_or_single_images(machine: Machine) -> None:
    scene = as_images([[noisy(0), noisy(1), noisy(2)]])
    pairs, images, _ = plan("n2n", scene, steps=2)
    assert pairs.noise == CAPTURED
    assert len(images) == 1
    assert fit(pairs, images, machine)(noisy(3)).shape == CLEAN.shape
    alone, images, _ = plan("n2v", scene, steps=2)
    assert alone.noise == NONE
    assert len(images) == 3


@pytest.mark.parametrize(("name", "word"), [("n2n", "two noisy"), ("n2c", "clean"), ("r2r", "level"), ("b2v", "b2u")])
def test_a_method_that_cannot_be_used_says_what_it_needs(name: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        plan(name, single())


def test_small_images_are_left_out_and_named() -> None:
    images = as_images([[noisy(0)], [noisy(1)[:60, :60]]])
    planned, used, left_out = plan("n2v", images)
    assert planned.crop == 64
    assert [image.name for image in used] == ["0"]
    assert len(left_out) == 1
    assert ": 1" in left_out[0]


def test_images_without_a_second_frame_are_left_out_of_pairs_and_named() -> None:
    images = as_images([[noisy(0), noisy(1)], [noisy(2)]], names=["scene", "alone"])
    _, used, left_out = plan("n2n", images)
    assert [image.name for image in used] == ["scene"]
    assert len(left_out) == 1
    assert "alone" in left_out[0]


def test_where_all_images_are_small_the_crop_is(machine: Machine) -> None:
    planned, images, left_out = plan("n2v", as_images([[noisy(0)[:45, :50]]]), steps=1)
    assert planned.crop == 32
    assert not left_out
    assert fit(planned, images, machine)(noisy(0)[:45, :50]).shape == (45, 50, 1)
    with pytest.raises(InputError, match="32 pixels"):
        plan("n2v", as_images([[noisy(0)[:20, :20]]]))


def test_steps_within_a_time_grow_with_it(machine: Machine) -> None:
    planned, images, _ = plan("n2v", single())
    assert steps_within(60.0, planned, images, machine) > 10


def test_a_method_without_training_has_seen_nothing(machine: Machine) -> None:
    planned, images, _ = plan("bm3d", single())
    fitted = fit(planned, images, machine)
    assert not fitted.images
    assert np.mean((fitted(noisy(0)) - CLEAN) ** 2) < np.mean((noisy(0) - CLEAN) ** 2)


def test_a_network_of_each_image_trains_when_it_denoises(machine: Machine) -> None:
    planned, images, _ = plan("self2self", single(), steps=2)
    reports: list[int] = []
    fitted = fit(planned, images, machine)
    fitted.report = lambda report: reports.append(report.step)
    output = fitted(noisy(0))
    assert output.shape == CLEAN.shape
    assert reports
