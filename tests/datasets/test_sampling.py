"""Training samples: held or read ahead, on any device; fixed noise belongs to the image; training and test noise."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.special import kolmogorov
from support.sets import noise_image
from support.watch import on_device

from bench.datasets import pixels
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.captured import CAPTURED, NONE
from bench.datasets.noise.field import Field
from bench.datasets.noise.model import Noise, NoiseFamily, families, parse, register_noise
from bench.datasets.pixels import AHEAD, Streamed
from bench.datasets.sampling import Patches, Samples

FAMILIES = ["gauss25", "gauss5_50", "poisson30", "poisson5_50", "sensor1_120", "poisson30+gauss10"]
CONDITIONS = ["gauss25:correlated", "gauss25:8bit", "poisson30:8bit", "sensor20:correlated:8bit"]
Kind = Literal["fresh", "fixed"]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., SetImage]:
    """An image of its own in a file."""
    seeds = count()

    def make(height: int = 24, width: int = 20, channels: int = 3, **more: Any) -> SetImage:
        seed = next(seeds)
        found = noise_image(height, width, channels, seed=seed)
        path = tmp_path / f"{seed}.png"
        Pillow.fromarray(found if channels == 3 else found[..., 0]).save(path)
        return SetImage(str(seed), path, channels, **more)

    return make


def scenes(file: Callable[..., SetImage]) -> list[SetImage]:
    """Two scenes with three frames; those of the second have clean images of their own."""
    sides = [(24, 20), (21, 33)]
    return [
        file(*side, frames=tuple(file(*side, clean=file(*side) if own else None) for _ in range(3)))
        for own, side in enumerate(sides)
    ]


def everything(one: SetImage) -> list[SetImage]:
    return [one, *one.frames, *(frame.clean for frame in one.frames if frame.clean)]


def batch(patches: Patches, number: int, size: int, frames: int) -> Samples:
    patches.feed(number, size, frames)
    return patches.samples(patches.items(number, size), torch.arange(number, number + size), frames)


def assert_equal(one: Samples, two: Samples) -> None:
    assert (one.clean is None) == (two.clean is None)
    pairs = [*zip(one.frames, two.frames, strict=True), *zip(one.levels, two.levels, strict=True)]
    pairs += [(one.clean, two.clean)] if one.clean is not None and two.clean is not None else []
    assert all(torch.equal(*pair) for pair in pairs)


# ---- held on the device, or read ahead


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["fresh", "fixed", "captured", "none"])
def test_streamed_crops_are_those_of_a_set_that_is_held(
    name: str, channels: int, file: Callable[..., SetImage]
) -> None:
    """Landscape and portrait; batches larger than the set, one after another, twice, and out of order."""
    captured = name == "captured"
    noise = {"captured": CAPTURED, "none": NONE}.get(name, parse("poisson5_50"))
    kind: Kind = "fixed" if name == "fixed" else "fresh"
    images = scenes(file) if captured else [file(24, 20, channels), file(21, 33, channels), file(18, 18, channels)]
    held = Patches(images, noise, kind, 18, 0)
    expected = {(number, size): batch(held, number, size, 2) for number, size in [(0, 4), (4, 4), (8, 4), (0, 1)]}
    for one in (one for image in images for one in everything(image)):
        one.keep = False
    streamed = Patches(images, noise, kind, 18, 0)
    assert isinstance(streamed.pixels, Streamed)
    for key in [(0, 4), (4, 4), (4, 4), (0, 1), (8, 4), (0, 4)]:
        assert_equal(batch(streamed, *key, 2), expected[key])


def test_one_frame_and_two_are_read_apart(file: Callable[..., SetImage]) -> None:
    """A training on pairs looks at sample 0 with one frame in between; a batch of one has the same numbers."""
    images = scenes(file)
    held = Patches(images, CAPTURED, "fresh", 18, 0)
    expected = {(number, frames): batch(held, number, 1, frames) for number in range(4) for frames in (1, 2)}
    for one in (one for image in images for one in everything(image)):
        one.keep = False
    streamed = Patches(images, CAPTURED, "fresh", 18, 0)
    for number in range(4):
        assert_equal(batch(streamed, number, 1, 2), expected[number, 2])
        assert_equal(batch(streamed, 0, 1, 1), expected[0, 1])


def test_what_is_read_ahead_is_used_or_dropped(file: Callable[..., SetImage]) -> None:
    patches = Patches([file(keep=False)], parse("gauss25"), "fresh", 16, 0)
    streamed = patches.pixels
    assert isinstance(streamed, Streamed)
    for first in (0, 4, 4, 400, 0):
        patches.feed(first, 4, 1)
        assert sorted(streamed.coming) == [(first + 4 * i, 4, 1) for i in range(1, AHEAD)]
    buffers = [tensor.data_ptr() for tensor in streamed.buffers[4, 1]]
    patches.feed(4, 4, 1)
    assert [tensor.data_ptr() for tensor in streamed.buffers[4, 1]] == buffers  # a captured step reads them there


def test_an_image_that_cannot_be_read_any_more_is_named(file: Callable[..., SetImage]) -> None:
    image = file(keep=False)
    patches = Patches([image], parse("gauss25"), "fresh", 16, 0)
    image.path.unlink()
    with pytest.raises(InputError, match=image.path.name):
        patches.feed(0, 4, 1)


@pytest.mark.parametrize("keep", [True, False])
def test_integers_and_numbers_may_be_in_one_set(keep: bool, file: Callable[..., SetImage]) -> None:
    """Batches of both, and of either first."""
    plain = [file(), file()]
    stored = [plain[0].pixels, unit(plain[1].pixels)]
    mixed = [SetImage.decoded(one.name, one.path, own, 3) for one, own in zip(plain, stored, strict=True)]
    expected = Patches(plain, parse("gauss25"), "fresh", 16, 0)
    found = Patches(mixed, parse("gauss25"), "fresh", 16, 0)
    if not keep:
        found.pixels = Streamed(mixed, "cpu")
    for number, size in [(0, 1), (1, 1), (2, 1), (3, 1), (0, 4)]:
        assert_equal(batch(found, number, size, 1), batch(expected, number, size, 1))


def test_a_set_that_is_too_large_is_streamed(file: Callable[..., SetImage], monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a pack, whose images are kept as views of a file."""
    images = [file(), file()]
    sizes = sum(one.pixels.nbytes for one in images)
    for largest, streamed in ((sizes, False), (sizes - 1, True)):
        monkeypatch.setattr(pixels, "LARGEST", largest)
        assert isinstance(Patches(images, NONE, "fresh", 16, 0).pixels, Streamed) == streamed


@pytest.mark.parametrize("size", [1, 3, 7])
def test_one_image_of_the_size_of_a_crop_is_every_sample(size: int, file: Callable[..., SetImage]) -> None:
    image = file(20, 20)
    made = batch(Patches([image], parse("gauss25"), "fresh", 20, 0), 5, size, 1)
    assert made.clean is not None
    for one in made.clean:
        np.testing.assert_array_equal(one.permute(1, 2, 0), unit(image.pixels))
    assert len({float(frame.sum()) for frame in made.frames[0]}) == size


# ---- on the device


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("noise", [*FAMILIES, *CONDITIONS, "none", "captured"])
def test_samples_are_made_on_their_device(noise: str, kind: Kind, file: Callable[..., SetImage]) -> None:
    images = scenes(file) if noise == "captured" else [file(), file(21, 33)]
    patches, numbers = Patches(images, parse(noise), kind, 16, 0), torch.arange(3, 7)
    patches.feed(3, 4, 2)
    items = patches.items(3, 4)
    with on_device():
        patches.samples(items, numbers, 2)


# ---- fixed noise


@pytest.mark.parametrize("name", ["gauss5_50", "poisson5_50", "sensor1_120", "poisson30+gauss10", *CONDITIONS])
def test_fixed_noise_is_a_function_of_image_pixel_and_frame(name: str, file: Callable[..., SetImage]) -> None:
    """Crops of 16 and of 13 agree with the whole noisy images, whose pixels tell where they are."""
    place = np.stack(np.broadcast_arrays(np.arange(22)[:, None], np.arange(22), 0), axis=2).astype(np.uint8)
    images = []
    for i in range(2):
        one = file(22, 22)
        images.append(SetImage.decoded(one.name, one.path, place + np.array([0, 0, 100 * i], np.uint8), 3))
    whole = batch(Patches(images, parse(name), "fixed", 22, 0), 0, 2, 2)
    assert whole.clean is not None
    own = {round(float(clean[2, 0, 0]) * 255) // 100: i for i, clean in enumerate(whole.clean)}
    for crop in (16, 13):
        made = batch(Patches(images, parse(name), "fixed", crop, 0), 5, 6, 2)
        assert made.clean is not None
        for sample, clean in enumerate(made.clean):
            row, column, image = (round(float(clean[channel, 0, 0]) * 255) for channel in range(3))
            for frame in range(2):
                expected = whole.frames[frame][own[image // 100]][:, row : row + crop, column : column + crop]
                torch.testing.assert_close(made.frames[frame][sample], expected, rtol=0, atol=1e-6)
                assert made.levels[frame][sample] == whole.levels[frame][own[image // 100]]


# ---- training noise is distributed as test noise


@pytest.mark.parametrize("name", [*FAMILIES, *CONDITIONS])
def test_training_noise_is_as_strong_as_test_noise(name: str) -> None:
    """Per channel on one clean image with all values, at three levels; also the correlation of neighbours."""
    noise, side = parse(name), 96
    clean = np.linspace(0, 1, side * side * 3, dtype=np.float32).reshape(side, side, 3)
    levels = np.linspace(noise.low, noise.high, 3)
    places = torch.arange(side).expand(3, -1)
    field = Field(("a test", 0), torch.arange(3), places, places, torch.tensor([[side, side]] * 3), 3)
    x = torch.from_numpy(clean.transpose(2, 0, 1).copy()).expand(3, -1, -1, -1)
    made = noise.add(x, torch.from_numpy(levels).float(), field)
    assert made.dtype == torch.float32
    for i, level in enumerate(levels):
        expected = noise.apply(clean, float(level), np.random.RandomState(i)) - clean
        found = (made[i].permute(1, 2, 0) - torch.from_numpy(clean)).numpy()
        assert found.std() == pytest.approx(expected.std(), rel=0.03)
        assert found.mean() == pytest.approx(expected.mean(), abs=6 * float(expected.std()) / side)
        for axis in (0, 1):
            neighbours = [float((one * np.roll(one, 1, axis)).mean() / one.var()) for one in (found, expected)]
            assert neighbours[0] == pytest.approx(neighbours[1], abs=0.05)


@pytest.mark.parametrize("name", sorted(name for name, family in families().items() if family.simulated))
def test_training_levels_are_distributed_as_test_levels(name: str) -> None:
    """Kolmogorov and Smirnov, two samples: of drawn levels, and of those at shares of the range."""
    example = families()[name].examples[0].partition("_")[0]
    model = parse(example)
    noise, size = Noise(model.family, 3.0, 90.0), 600
    draws = np.random.RandomState(1)
    tested = np.sort([noise.draw_level(draws) for _ in range(size)])
    trained = noise.levels((torch.arange(size) + 0.5) / size).double().numpy()
    shares = np.searchsorted(tested, trained, side="right") / size
    assert kolmogorov(np.abs(shares - (np.arange(size) + 0.5) / size).max() * size**0.5) > 0.01
    assert noise.levels(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([3.0, 90.0])


def test_a_family_needs_no_more_than_a_variance(file: Callable[..., SetImage]) -> None:
    """Even if that is one number for all pixels."""

    @register_noise
    class Constant(NoiseFamily, frozen=True):
        name = "constant"

        def variance(self, x: Any, level: Any) -> Any:
            return 0.01

    made = batch(Patches([file(32, 32)], parse("constant7"), "fresh", 32, 0), 0, 4, 1)
    assert made.clean is not None
    assert float((made.frames[0] - made.clean).std()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("defined", ["apply", "add", "draw_level", "level_at"])
def test_a_family_whose_test_noise_is_not_its_training_noise_is_refused(defined: str) -> None:
    known = families().keys()
    cls = type("Half", (NoiseFamily,), {"name": "half", defined: getattr(NoiseFamily, defined)}, frozen=True)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=f"`{defined}`"):
        register_noise(cls)
    assert families().keys() == known
