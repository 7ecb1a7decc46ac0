"""A network of its own for each test image."""

from collections.abc import Callable
from pathlib import Path

from msgspec import structs
from torch import nn

from ..datasets.noise.model import Image
from ..datasets.sampling import OneImage
from ..datasets.seeds import seed
from ..protocol.units import Score
from ..store.checkpoint import forget
from .inference import denoise, pad, seen
from .machine import Machine
from .noisy_images import Noisy
from .training import Report, train


def trimmed(image: Image, multiple: int) -> Image:
    """[H, W, C] to train on: whole multiples, as padding would show the network the pixels it must predict."""
    height, width = (n // multiple * multiple for n in image.shape[:2])
    return image[:height, :width] if height and width else pad(image, multiple, "next")


def restore(
    work: Score,
    net: nn.Module | None,
    noisy: Noisy,
    machine: Machine,
    report: Callable[[Report], None],
    stop: Callable[[], bool],
    folder: Path | None,
) -> dict[str, Image]:
    """The outputs for one noisy image, by a network of its own where the method fits images."""
    fit, level = work.fit, min(max(noisy.level, work.fit.noise.low), work.fit.noise.high)  # what it was trained for
    image, back = seen(noisy, fit.view)
    if fit.method.per_image():
        own = structs.replace(fit, seed=seed("image", fit.seed, *noisy.name) % 2**63)
        source = OneImage(trimmed(image, fit.method.multiple), level, machine.device)
        checkpoint = folder / f"{noisy.file}.checkpoint" if folder else None
        net = machine.place(train(own, source, machine, checkpoint, report, stop).net, precision="float32").eval()
        if checkpoint:
            forget(checkpoint)
    images = denoise(fit.method, net, image, fit.noise, level, machine, work.padding, noisy.name)
    return {name: back(image) for name, image in images.items()}
