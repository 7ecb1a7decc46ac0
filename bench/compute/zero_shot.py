"""The outputs for noisy test images, by one network, or by one of its own for each image."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs
from torch import nn

from ..datasets.noise.model import Image
from ..datasets.sampling import OneImage
from ..datasets.seeds import seed
from ..protocol.units import Fit, Score
from .inference import denoise, pad, padded, seen
from .machine import Machine
from .noisy_images import Noisy
from .training import Report, train


def trimmed(image: Image, multiple: int) -> Image:
    """[H, W, C] to train on: whole multiples, as padding would show the network the pixels it must predict."""
    height, width = (n // multiple * multiple for n in image.shape[:2])
    return image[:height, :width] if height and width else pad(image, *padded(image, multiple, "next"))


def restore(
    work: Score,
    net: nn.Module | None,
    noisy: Noisy,
    machine: Machine,
    report: Callable[[Report], None],
    stop: Callable[[], bool],
    folder: Path | None,
) -> dict[str, Image]:
    """The outputs for one noisy image, by a network of its own where the method trains on images."""
    fit = work.fit
    if fit.method.per_image():
        own = structs.replace(fit, seed=seed("image", fit.seed, *noisy.name) % 2**63)
        image = trimmed(seen(noisy, fit.view)[0], fit.method.multiple)
        source = OneImage(image, _level(noisy, fit), machine.device, fit.method.prepare)
        checkpoint = folder / f"{noisy.file}.checkpoint" if folder else None
        net = machine.place(train(own, source, machine, checkpoint, report, stop).net, precision="float32").eval()
    return restore_batch(work, net, [noisy], machine)[0]


def restore_batch(
    work: Score, net: nn.Module | None, batch: Sequence[Noisy], machine: Machine
) -> list[dict[str, Image]]:
    """The outputs for each of some noisy images whose padded sizes are equal, by one network."""
    fit = work.fit
    images, backs = zip(*(seen(noisy, fit.view) for noisy in batch), strict=True)
    levels, names = [_level(noisy, fit) for noisy in batch], [noisy.name for noisy in batch]
    found = denoise(fit.method, net, images, fit.noise, levels, machine, work.padding, names)
    return [{name: back(one) for name, one in outputs.items()} for back, outputs in zip(backs, found, strict=True)]


def _level(noisy: Noisy, fit: Fit) -> float:
    """The nearest that the method was trained for."""
    return min(max(noisy.level, fit.noise.low), fit.noise.high)
