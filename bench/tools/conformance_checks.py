"""What the conformance kit looks at: one function per check, on a method with small images."""

import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..compute.capture import HostError, watch_losses
from ..compute.inference import denoise
from ..compute.machine import Machine
from ..compute.step import FRAMES, Stopped, build, collate, parts, where
from ..compute.training import Report, train
from ..datasets.errors import one_line
from ..datasets.images import SetImage, unit
from ..datasets.noise.model import Noise
from ..datasets.sampling import OneImage, Patches, Samples, Source
from ..datasets.sets.find import find
from ..methods import registry
from ..methods.base import Context, Method, Progress
from ..methods.rng import Rng
from ..protocol.suites import Recipe
from ..protocol.units import Fit, changed_fields

BATCH, STEPS = 2, 4
ODD = ((29, 61), (11, 9))  # sides
PADDINGS: tuple[Literal["square", "next"], ...] = ("next", "square")
RECIPE = Recipe(schedule="constant", lr=1e-3, beta2=0.99, weight_decay=0.0)
MACHINE = Machine("cpu", "float32", 1)


def _multiple_from_32(multiple: int) -> int:
    """The smallest multiple that is at least 32: a side of small images."""
    return -(-32 // multiple) * multiple


class UnfitError(Exception):
    """A check failed, and why."""


class SlowError(Exception):
    """The method is sound, but slower than it could be, and why."""


class Subject:
    """A method on one noise and number of channels, with small images."""

    def __init__(self, name: str, method: Method, noise: Noise, channels: int) -> None:
        self.name, self.method, self.noise, self.channels = name, method, noise, channels
        self.side = _multiple_from_32(method.multiple)
        self.crop = _multiple_from_32(method.crop_multiple)

    @cached_property
    def set_images(self) -> list[SetImage]:
        """Three photographs with so many channels."""
        found = []
        for set_image in find("embedded_test").load(None, 3):
            pixels = set_image.pixels[64:320, 64:320]
            pixels = np.concatenate([pixels, pixels[..., :1]], axis=2)[..., : self.channels]
            found.append(SetImage.decoded(set_image.name, set_image.path, np.ascontiguousarray(pixels), self.channels))
        return found

    def net(self) -> nn.Module | None:
        """A new network with its named initial weights."""
        return build(self.method, self.channels, 1.0, 0) if self.method.learns() else None

    def for_inference(self) -> nn.Module | None:
        """A network as the harness gives it to `denoise`."""
        net = self.net()
        return net and net.eval()

    def image(self, height: int, width: int) -> NDArray[np.float32]:
        """A noisy photograph [height, width, C]."""
        return self.drawn(unit(self.set_images[0].pixels[:height, :width]), 0)

    def drawn(self, clean: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """The image with noise, or as it is where no noise is added."""
        if not self.noise.family.simulated:
            return clean
        return self.noise.apply(clean, self.noise.high, np.random.RandomState(seed))

    def outputs(
        self, net: nn.Module | None, noisy: NDArray[np.float32], padding: Literal["square", "next"]
    ) -> dict[str, NDArray[np.float32]]:
        """What the harness would score."""
        return denoise(self.method, net, [noisy], self.noise, [self.noise.high], MACHINE, padding, [("check", 0)])[0]

    def context(self, samples: tuple[int, ...], chunk: int) -> Context:
        """Of a training step."""
        known = None if self.method.knowledge == "blind" else self.noise.family
        return Context(Progress(1, 1), Rng(0, torch.tensor(samples)), chunk, known)

    @cached_property
    def samples(self) -> Samples:
        """A batch of training samples."""
        source = Patches(self.set_images, self.noise, "fresh", self.crop, 0)
        made = source.samples(source.items(0, BATCH), torch.arange(BATCH), FRAMES[self.method.supervision])
        return made._replace(frames=[self.method.prepare(frame) for frame in made.frames])

    def loss(self, net: nn.Module, chunk: int) -> float:
        """The loss of a batch, its gradient left in the network."""
        batch, total = collate(self.samples, self.method), 0.0
        for part in parts(net, self.method, batch, self.context(tuple(range(BATCH)), chunk)):
            part.backward()  # type: ignore[no-untyped-call]
            total += float(part.detach())
        return total

    def work(self, steps: int) -> Fit:
        """A tiny training."""
        return Fit(
            name=self.name, method=self.method, noise=self.noise, seed=0, channels=self.channels, train="embedded_test",
            train_noise="fresh", crop=self.crop, batch=1 if self.method.per_image() else BATCH, steps=steps,
            epochs=1, recipe=RECIPE,
        )  # fmt: skip

    def source(self) -> Source:
        """What that training trains on."""
        if self.method.per_image():
            return OneImage(self.image(self.crop, self.crop), self.noise.high, prepare=self.method.prepare)
        return Patches(self.set_images, self.noise, "fresh", self.crop, 0)


def declaration(subject: Subject) -> str:
    """Outputs, passes and fields are what the tables and records need."""
    method = subject.method
    names = [output.name for output in method.outputs]
    if len(set(names)) < len(names):
        raise UnfitError(f"outputs have the same name: {', '.join(names)}")
    if set(method.passes()) != set(names):
        raise UnfitError(f"passes() names {sorted(method.passes())}, outputs are {sorted(names)}")
    again = registry.configured(type(method), changed_fields(method))
    if again != method:
        raise UnfitError("its fields do not survive being written to a record and read back")
    return f"{', '.join(names)}; primary {method.primary().name}"


def shapes(subject: Subject) -> str:
    """Every declared output has the image's size, also a small one's, under both paddings, and finite values."""
    for (height, width), padding in zip(ODD, PADDINGS, strict=True):
        found = subject.outputs(subject.for_inference(), subject.image(height, width), padding)
        for name, image in found.items():
            if not np.isfinite(image).all():
                raise UnfitError(f"{name} of {_size(image.shape)} has values that are not finite")
    return ", ".join(map(_size, ODD))


def dtype(subject: Subject) -> str:
    """A batch of whole multiples: the same shape, float32 in, float32 out, the input left as it was."""
    noisy = _batch(subject)
    before = noisy.clone()
    found = _denoised(subject, subject.for_inference(), noisy)
    if not torch.equal(noisy, before):
        raise UnfitError("denoise changed its input in place")
    for name, image in found.items():
        if image.shape != noisy.shape:
            raise UnfitError(f"{name} of {list(noisy.shape)} has the shape {list(image.shape)}")
        if image.dtype != torch.float32:
            raise UnfitError(f"{name} is {image.dtype}; expected torch.float32")
    return f"{_size(tuple(noisy.shape))}, float32"


def determinism(subject: Subject) -> str:
    """An image gives the same output whatever a global random generator did, and whatever stands beside it."""
    net, noisy = subject.for_inference(), _batch(subject)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global generator, which a method must not use
        found.append(_denoised(subject, net, noisy))
    alone = _denoised(subject, net, noisy[:1])
    for name, image in found[0].items():
        if not torch.equal(image, found[1][name]):
            raise UnfitError(f"{name} differs between two calls; draw random numbers from ctx.rng")
        if not torch.allclose(image[:1], alone[name], atol=1e-3):
            raise UnfitError(f"{name} of an image depends on the images beside it in the batch")
    return "two calls are equal to the last bit"


def blindness(subject: Subject) -> str:
    """No pixel of a blind output depends on the same input pixel, exactly, in float64."""
    net, side = subject.for_inference(), subject.side
    y = _batch(subject)[:1].double().requires_grad_()
    images = _denoised(subject, net and net.double(), y)
    end = side - 1
    places = [(0, 0), (0, end), (end, 0), (end, end), (0, 9), (end, 14), (10, 0), (17, end)]
    places += [(12 + i, 16 + j) for i in range(4) for j in range(4)]  # every place of a cell of Blind2Unblind
    names = [output.name for output in subject.method.outputs if output.blind]
    for name in names:
        if not images[name].requires_grad:
            raise UnfitError(f"{name} cannot be differentiated: denoise must be plain torch, without no_grad")
        for i, j in places:
            (gradient,) = torch.autograd.grad(images[name][0, :, i, j].sum(), y, retain_graph=True)
            if gradient[0, :, i, j].any():
                own = float(gradient[0, :, i, j].abs().max())
                raise UnfitError(f"{name} sees its own pixel ({i}, {j}): gradient {own:.2g}, claimed 0")
            if not gradient.any():
                raise UnfitError(f"{name} at ({i}, {j}) depends on no pixel at all")
    return f"{', '.join(names)} at {len(places)} pixels, corners and edges included"


def firewall(subject: Subject) -> str:
    """The loss needs nothing that was not declared, and is a finite number."""
    net = subject.net()
    assert net is not None
    declared = f"supervision {subject.method.supervision}, knowledge {subject.method.knowledge}"
    try:
        loss = subject.loss(net, BATCH)
    except (AttributeError, TypeError, AssertionError) as error:
        raise UnfitError(f"losses fail with what is declared ({declared}): {one_line(error)}") from None
    if not np.isfinite(loss):
        raise UnfitError(f"the loss is {loss} with what is declared ({declared})")
    return declared


def half_precision(subject: Subject) -> str:
    """In bf16, the training default where a machine has it, the loss and its gradient are finite."""
    net = subject.net()
    assert net is not None
    net = Machine("cpu", "bf16", 1).place(net)
    loss = subject.loss(net, BATCH)
    broken = [n for n, p in net.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    if not np.isfinite(loss) or broken:
        raise UnfitError(f"the loss is {loss:.4g}; gradients that are not finite: {', '.join(broken[:3]) or 'none'}")
    return f"loss {loss:.4g}"


def micro_batches(subject: Subject) -> str:
    """A batch split into single samples has the whole batch's loss and gradient: a mean, with draws from ctx.rng."""
    found = []
    for chunk in (BATCH, 1):
        net = subject.net()
        assert net is not None
        loss = subject.loss(net, chunk)
        gradients = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
        if not gradients or not torch.cat(gradients).any():
            raise UnfitError("no gradient reaches the network")
        found.append((loss, torch.cat(gradients)))
    (whole, gradient), (split, other) = found
    if abs(whole - split) > 1e-3 * abs(whole) + 1e-6:
        raise UnfitError(f"the loss of {BATCH} samples is {whole:.6g} at once and {split:.6g} one by one")
    if (gradient - other).norm() > 1e-2 * gradient.norm():
        raise UnfitError("the gradient of a batch is not that of its samples one by one")
    return f"{BATCH} samples at once and one by one"


def capture(subject: Subject) -> str:
    """Whether a CUDA graph can hold the step, and which line keeps it from that; the step runs without one as well."""
    net = subject.net()
    assert net is not None
    try:
        watch_losses(subject.method, net, collate(subject.samples, subject.method), subject.context((0, 1), BATCH))
    except HostError as error:
        raise SlowError(f"on CUDA its steps run without a graph, several times slower: {where(error)}") from None
    return "its steps can be captured on CUDA"


def loss_goes_down(subject: Subject) -> str:
    """A few steps of Adam on one batch with the same random numbers lower its loss."""
    net = subject.net()
    assert net is not None
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        adam.zero_grad()
        losses.append(subject.loss(net, BATCH))
        adam.step()
    if not min(losses[-3:]) < losses[0]:
        raise UnfitError(f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} steps on one batch")
    return f"{losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} steps"


def resumption(subject: Subject) -> str:
    """A training that is interrupted and continued ends with the weights of an uninterrupted one, bit by bit."""
    whole = train(subject.work(STEPS), subject.source(), MACHINE).net.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, seen = Path(folder) / "state", list[Report]()
        with suppress(Stopped):
            train(subject.work(STEPS), subject.source(), MACHINE, checkpoint, seen.append, lambda: len(seen) == 2)
        resumed = train(subject.work(STEPS), subject.source(), MACHINE, checkpoint).net.state_dict()
    for name, weight in whole.items():
        if not torch.equal(weight, resumed[name]):
            raise UnfitError(f"{name} differs after an interruption: all state must be in the network's state_dict")
    return f"{STEPS} steps, interrupted after 2"


def _denoised(subject: Subject, net: nn.Module | None, noisy: Tensor) -> dict[str, Tensor]:
    context = subject.context(tuple(range(len(noisy))), len(noisy))
    if subject.method.knowledge == "level":
        context = context._replace(level=torch.full((len(noisy),), subject.noise.high))
    with torch.set_grad_enabled(noisy.requires_grad):
        return subject.method.denoise(net, noisy, context)  # type: ignore[arg-type]


def _batch(subject: Subject) -> Tensor:
    images = [unit(set_image.pixels[: subject.side, : subject.side]) for set_image in subject.set_images[:BATCH]]
    noisy = [subject.drawn(image, i) for i, image in enumerate(images)]
    return torch.from_numpy(np.stack(noisy)).permute(0, 3, 1, 2).contiguous()


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
