"""Self2Self: masks, dropout, partial convolutions, and one network per image through the command line."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from support.cli import Result, altered_suite, bench, photo, photos, rows
from torch import Tensor, nn
from torch.nn import functional as F

from bench.compute import image_cache
from bench.compute.step import Step, build
from bench.datasets.errors import InputError
from bench.methods.base import Batch, Context, Method, Progress
from bench.methods.networks.self2self import PartialConv, Self2SelfNet, dropped
from bench.methods.rng import Rng
from bench.methods.self2self import ENSEMBLE, STEPS, Self2Self
from bench.store.tensors import read_tensors, write_tensors

SMALL = "[presets.mini.fields.self2self]\nensemble = 2\nwidth = 6"


class Stub(nn.Module):
    """Its parameter, or the masked image that it was given; keeps what it was given."""

    def __init__(self, output: Tensor | None = None) -> None:
        super().__init__()
        self.output = None if output is None else nn.Parameter(output)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, *draws: object) -> Tensor:
        self.seen.append(x)
        return x.chunk(2, 1)[0] if self.output is None else self.output


def draws(samples: int = 1, seed: int = 0) -> Rng:
    return Rng(seed, torch.arange(samples))


def context(samples: int = 1, seed: int = 0, step: int = 0) -> Context:
    return Context(Progress(step + 1, 10), draws(samples, seed), 100)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape)) + 0.1  # never 0, as dropped entries are


def network(channels: int = 3, width: int = 6, dropout: float = 0.3) -> Self2SelfNet:
    torch.manual_seed(0)
    return Self2SelfNet(channels, width, dropout).double()


# ---- the mask and the loss


def test_seven_tenths_of_the_entries_are_kept_independently() -> None:
    _, b = Self2Self().predict(Stub(), image(2, 3, 256, 256), draws(2), "a")
    assert b.unique().tolist() == [0.0, 1.0]
    assert float(b.mean()) == pytest.approx(0.7, abs=0.005)
    assert b.mean((2, 3)).flatten().tolist() == pytest.approx([0.7] * 6, abs=0.01)
    assert torch.corrcoef(b.flatten(0, 1).flatten(1)).triu(1).abs().max() < 0.02


def test_dropped_entries_do_not_enter_the_input() -> None:
    net, y = Stub(), image(1, 3, 32, 32)
    _, b = Self2Self().predict(net, y, draws(), "a")
    Self2Self().predict(net, torch.where(b == 0.0, image(1, 3, 32, 32, seed=1), y), draws(), "a")
    Self2Self().predict(net, torch.where(b == 1.0, image(1, 3, 32, 32, seed=1), y), draws(), "a")
    assert torch.equal(net.seen[0], net.seen[1])
    assert not torch.equal(net.seen[0], net.seen[2])


def test_the_gradient_is_zero_at_kept_entries() -> None:
    y = image(1, 3, 32, 32)
    net = Stub(image(1, 3, 32, 32, seed=1))
    torch.autograd.backward(list(Self2Self().losses(net, Batch(y), context())))
    assert net.output is not None and net.output.grad is not None  # noqa: PT018 - for the type checker
    kept = net.seen[0].chunk(2, 1)[1] == 1.0
    assert 0.6 < float(kept.double().mean()) < 0.8
    assert (net.output.grad[kept] == 0.0).all()
    assert (net.output.grad[~kept] != 0.0).all()


def test_the_loss_is_the_mean_square_over_the_dropped_entries() -> None:
    """Mean over the images of each one's mean."""
    y, method = image(2, 3, 32, 32), Self2Self()
    (loss,) = method.losses(Stub(), Batch(y), context(2))
    _, b = method.predict(Stub(), y, draws(2), "step")
    means = [float((one[mask == 0.0] ** 2).mean()) for one, mask in zip(y, b, strict=True)]  # f(b y) = b y is 0 there
    assert float(loss) == pytest.approx(sum(means) / 2, rel=1e-12)


def test_an_image_without_a_dropped_entry_has_a_finite_loss() -> None:
    (loss,) = Self2Self(keep=0.999).losses(Stub(), Batch(torch.rand(1, 1, 4, 4)), context(1))
    assert float(loss) == 0.0


def test_flips_are_drawn_and_undone() -> None:
    net, y = Stub(), image(40, 3, 32, 32)
    x, b = Self2Self().predict(net, y, draws(40), "a")
    assert torch.equal(x, b * y)  # the stub gives back the masked image as it was given it
    inputs = zip(torch.cat([b * y, b], 1), net.seen[0], strict=True)
    axes = ((), (1,), (2,), (1, 2))
    flips = [axis for one, given in inputs for axis in axes if torch.equal(one.flip(axis), given)]
    assert len(flips) == 40
    assert all(4 <= flips.count(axis) <= 18 for axis in axes)


# ---- the network


@pytest.mark.parametrize(("channels", "count"), [(3, 991_203), (1, 988_609)])
def test_the_network_has_the_official_number_of_parameters(channels: int, count: int) -> None:
    net = Self2Self().build(channels)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_a_full_mask_gives_an_ordinary_convolution() -> None:
    torch.manual_seed(0)
    layer, x = PartialConv(3, 5).double(), image(2, 3, 16, 16)
    features, seen = layer.known(x, torch.ones_like(x))
    expected = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias), 0.1)
    torch.testing.assert_close(features[..., 1:-1, 1:-1], expected, rtol=1e-12, atol=1e-12)
    assert (seen == 1.0).all()


def test_an_empty_window_gives_the_activation_of_the_bias() -> None:
    torch.manual_seed(0)
    layer, x = PartialConv(3, 5).double(), image(1, 3, 16, 16)
    mask = torch.ones_like(x)
    mask[..., 4:9, 4:9] = 0.0
    features, seen = layer.known(x, mask)
    assert layer.bias is not None
    expected = F.leaky_relu(layer.bias.detach(), 0.1).view(5, 1, 1).expand(5, 3, 3)
    assert torch.equal(features[0, :, 5:8, 5:8].detach(), expected)
    assert torch.equal(seen[0, 0] == 0.0, F.pad(torch.ones(3, 3), (5, 8, 5, 8)) == 1.0)


def test_a_window_is_divided_by_its_share_of_known_entries() -> None:
    torch.manual_seed(0)
    layer, x = PartialConv(3, 5).double(), image(1, 3, 16, 16)
    mask = (image(1, 3, 16, 16, seed=1) < 0.8).double()
    features, _ = layer.known(x, mask)
    window, known = x[0, :, 6:9, 2:5], mask[0, :, 6:9, 2:5]
    assert 0 < known.sum() < 27
    assert layer.bias is not None
    sums = (layer.weight * window * known).sum((1, 2, 3)) * 27 / known.sum()
    torch.testing.assert_close(features[0, :, 7, 3], F.leaky_relu(sums + layer.bias, 0.1), rtol=1e-12, atol=1e-12)


def test_the_output_lies_between_0_and_1() -> None:
    net, y = network(), 3.0 * image(1, 3, 64, 32) - 1.0
    x, _ = Self2Self().predict(net, y, draws(), "a")
    assert x.shape == y.shape
    assert ((x > 0.0) & (x < 1.0)).all()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_decoder_convolution_is_preceded_by_dropout(dropout: float) -> None:
    net, shares = network(dropout=dropout), []
    for conv in net.decoder:
        conv.register_forward_pre_hook(lambda _, inputs: shares.append(float((inputs[0] == 0.0).double().mean())))
    Self2Self().predict(net.eval(), image(2, 3, 96, 96), draws(2), "a")
    assert len(shares) == len(net.decoder) == 11
    assert all(abs(share - dropout) < 0.1 for share in shares)  # the masked image, a skip, has zeros of its own


def test_dropout_keeps_the_mean() -> None:
    x = dropped(torch.ones(1, 8, 256, 256, dtype=torch.float64), 0.3, draws(), "a")
    assert x.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert float(x.mean()) == pytest.approx(1.0, abs=0.01)  # kept: 0.7 +- 0.007


def test_two_passes_differ_by_their_dropout_alone() -> None:
    """In evaluation mode, too, with all of the image kept."""
    net, y = network().eval(), image(1, 3, 32, 32)
    one, two, again = (Self2Self(keep=1.0 - 1e-9).predict(net, y, draws(), name)[0] for name in "aba")
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_the_ensemble_s_spread_falls_with_its_root() -> None:
    """16 ensembles of one image: each sample of a batch draws for itself."""
    net, y = network().eval(), image(1, 3, 32, 32).expand(16, -1, -1, -1)
    with torch.no_grad():
        one, nine = (Self2Self(ensemble=n).denoise(net, y, context(16))["denoised"] for n in (1, 9))
    assert float(nine.std(0).mean() / one.std(0).mean()) == pytest.approx(1 / 3, rel=0.15)


@pytest.mark.parametrize(
    ("steps", "ensemble", "said"),
    [(STEPS, ENSEMBLE, ""), (3, ENSEMBLE, "3 of 150,000 steps"), (STEPS, 16, "16 of 100 passes"),
     (1000, 8, "1,000 of 150,000 steps, 8 of 100 passes")],
)  # fmt: skip
def test_what_is_short_of_the_official_code_is_said(steps: int, ensemble: int, said: str) -> None:
    assert Self2Self(ensemble=ensemble).reduced_settings(steps) == said


# ---- through the command line


class Place:
    """A suite with a small network, two photographs of 40x56, a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "store" / "images"
        self.suite = altered_suite(folder, "[presets.mini.fields.self2self]\nensemble = 16", SMALL)
        self.test = photos(folder / "test", "astronaut", "chelsea", height=40, width=56)

    def run(self, store: str = "store", test: Path | None = None, suite: Path | None = None) -> Result:
        asked = ("--noise", "gauss25", "--steps", 3, "--test-sets", f"folder:{test or self.test}", "--threads", 1)
        asked = ("--methods", "self2self", "--suite", suite or self.suite, *asked)
        return bench("run", *asked, "--store", self.folder / store)

    def rows(self, store: str = "store") -> bytes:
        return rows(self.folder / store, "self2self")

    def kept(self, store: str = "store") -> dict[str, bytes]:
        """The pixels of every kept image."""
        paths = sorted((self.folder / store / "images").rglob("*.safetensors"))
        return {path.stem: read_tensors(path)[0]["denoised"].numpy().tobytes() for path in paths}


class Watch(list[int]):
    """The seeds of the training steps that this process makes; Ctrl-C after step number `strike`."""

    strike = 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    seen, plain = Watch(), Step.update

    def update(self: Step, batch: Batch, ctx: Context, stop: Callable[[], bool]) -> Tensor:
        loss = plain(self, batch, ctx, stop)
        seen.append(self.work.seed)
        if len(seen) == seen.strike:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    monkeypatch.setattr(Step, "update", update)
    return seen


def finishes_as_if_never_interrupted(place: Place) -> bool:
    assert place.run().code == 0
    assert {path.suffix for path in place.images.rglob("*") if path.is_file()} == {".safetensors"}
    assert place.run("other").code == 0
    return place.rows() == place.rows("other") and place.kept() == place.kept("other")


def test_a_run_is_done_says_its_reduced_settings_and_keeps_its_images(place: Place, watch: Watch) -> None:
    result = place.run()
    assert result.code == 0, result.err
    (row,) = (row for row in result.out.splitlines() if "Self2Self" in row)
    assert "3 of 150,000 steps" in row
    assert "2 of 100" in row
    assert set(place.kept()) == {"astronaut-0", "chelsea-0"}
    assert len(place.rows().splitlines()) == 2
    assert len(watch) == 6


def test_a_run_interrupted_after_the_first_image_continues_with_the_second(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*args: Any) -> None:
        write_tensors(*args)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "write_tensors", write)
        assert place.run().code == 128 + signal.SIGINT
    assert set(place.kept()) == {"astronaut-0"}
    assert len(watch) == 3
    watch.clear()
    assert finishes_as_if_never_interrupted(place)
    assert len(watch) == 3 + 6  # the second image, then both in the other store


@pytest.mark.parametrize("strike", [2, 5])
def test_a_run_interrupted_within_an_image_continues_at_its_step(strike: int, place: Place, watch: Watch) -> None:
    watch.strike = strike
    result = place.run()
    assert result.code == 128 + signal.SIGINT, result.err
    assert len(place.kept()) == strike // 3
    watch.strike = 0
    assert finishes_as_if_never_interrupted(place)
    assert len(watch) == 6 + 6


def test_an_image_that_cannot_be_stored_is_continued(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise InputError("no space left")

    watch.strike = 2
    place.run()
    watch.strike = 0
    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "write_tensors", full)
        assert place.run().code == 2
    watch.clear()
    assert finishes_as_if_never_interrupted(place)
    assert len(watch) == 1 + 3 + 6  # the last step of the first image, the second image, then both in the other store


def test_the_checkpoint_of_an_image_that_is_stored_goes(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed between the two."""

    def write(*args: Any) -> None:
        write_tensors(*args)
        raise KeyboardInterrupt

    watch.strike = 2
    place.run()
    watch.strike = 0
    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "write_tensors", write)
        assert place.run().code == 128 + signal.SIGINT
    assert list(place.images.rglob("*.checkpoint"))
    assert finishes_as_if_never_interrupted(place)


def test_two_images_get_different_networks(place: Place, watch: Watch, small: Callable[..., Method]) -> None:
    assert place.run().code == 0
    seeds = list(dict.fromkeys(watch))
    assert watch == [seeds[0]] * 3 + [seeds[1]] * 3
    weights = [build(small("self2self", width=6), 3, 1.0, seed).state_dict() for seed in seeds]
    assert not any(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] if name.endswith("weight"))


def test_an_image_s_output_does_not_depend_on_its_place_in_the_folder(place: Place, tmp_path: Path) -> None:
    for names in ("ab", "ba"):
        (tmp_path / names).mkdir()
        for name, content in zip(names, ("astronaut", "chelsea"), strict=True):
            Pillow.fromarray(photo(content, 40, 56)).save(tmp_path / names / f"{name}.png")
        assert place.run(names, tmp_path / names).code == 0
    one, other = place.kept("ab"), place.kept("ba")
    assert (one["a-0"], one["b-0"]) == (other["b-0"], other["a-0"])
    assert one["a-0"] != one["b-0"]


@pytest.mark.parametrize("damaged", [0, 1])
def test_kept_images_are_scored_otherwise_without_a_training(
    damaged: int, place: Place, watch: Watch, tmp_path: Path
) -> None:
    """A damaged one is made again."""
    assert place.run().code == 0
    before = place.kept()
    for path in sorted(place.images.rglob("*.safetensors"))[:damaged]:
        path.write_bytes(path.read_bytes()[:200])
    watch.clear()
    other = tmp_path / "other.toml"
    scoring = 'steps = 300\nscoring = { quantise = "float", data_range = 1.0 }'
    other.write_text(place.suite.read_text(encoding="utf-8").replace("steps = 300", scoring, 1), encoding="utf-8")
    assert place.run(suite=other).code == 0
    assert len(watch) == 3 * damaged
    assert place.kept() == before
