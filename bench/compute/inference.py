"""The outputs of a method for images: padding, Bayer views, and back."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.formats import bayer
from ..datasets.noise.model import Image, Noise
from ..methods.base import Context, Method, Progress
from ..methods.guard import guarded
from ..methods.networks.readout import Corner
from ..methods.rng import Rng, numbered
from ..protocol.suites import View
from .machine import Machine
from .noisy_images import Noisy

Padding = Literal["square", "next"]


def seen(noisy: Noisy, view: View) -> tuple[Image, Callable[[Image], Image]]:
    """What a method sees of a noisy image [H, W, C], and the way back."""
    if view == "plain":
        return noisy.image, lambda image: image
    if view == "bayer":
        return bayer.pack(noisy.image), bayer.unpack
    pattern, (height, width) = noisy.set_image.pattern, noisy.image.shape[:2]
    mosaic = bayer.aligned(noisy.image, pattern)
    return bayer.pack(mosaic), lambda image: bayer.restored(bayer.unpack(image), pattern, height, width)


def denoise(
    method: Method,
    net: nn.Module | None,
    noisy: Sequence[Image],
    noise: Noise,
    levels: Sequence[float],
    machine: Machine,
    padding: Padding,
    names: Sequence[tuple[object, ...]],
) -> list[dict[str, Image]]:
    """All outputs for each [H, W, C] image, padded as the protocol says and cropped back.

    All go through one call, so that their padded sizes must be equal; `names` seed the random numbers of each.
    """
    height, width = padded(noisy[0], method.multiple, padding)
    images = np.stack([pad(image, height, width).transpose(2, 0, 1) for image in noisy])
    batch = torch.from_numpy(images).to(machine.device)
    context = Context(
        progress=Progress(1, 1),
        rng=Rng("inference", numbered(names, machine.device)),
        chunk=machine.chunk(height, width),
        noise=None if method.knowledge == "blind" else noise.family,
        level=torch.tensor(levels, device=batch.device) if method.knowledge == "level" else None,
    )
    if method.is_pixelwise() and getattr(net, "reads_corner", False):
        net = _unpadded(net, Corner(*(max(image.shape[axis] for image in noisy) for axis in (0, 1))))
    with torch.no_grad(), guarded(Exception):
        outputs: dict[str, Tensor] = method.denoise(net, batch, context)  # type: ignore[arg-type]
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    if shapes != {output.name: tuple(batch.shape) for output in method.outputs}:
        expected = f"{', '.join(output.name for output in method.outputs)} of shape {tuple(batch.shape)}"
        found = ", ".join(f"{name} of shape {shape}" for name, shape in shapes.items()) or "nothing"
        raise ValueError(f"denoise returned {found}; expected {expected}")
    arrays = {name: output.permute(0, 2, 3, 1).float().cpu().numpy() for name, output in outputs.items()}
    sizes = [image.shape[:2] for image in noisy]
    return [{name: array[i, :h, :w] for name, array in arrays.items()} for i, (h, w) in enumerate(sizes)]


def _unpadded(net: Any, read: Corner) -> Any:
    """The network, computing the images alone; its outputs are zero in the padding."""
    return lambda x: F.pad(net(x, read), (0, x.shape[3] - read.width, 0, x.shape[2] - read.height))


def padded(image: Image, multiple: int, padding: Padding) -> tuple[int, int]:
    """The sides as multiples of `multiple`: of a square (official), or each side's next; as they are if it is 1."""
    height, width = (-(-side // multiple) * multiple for side in image.shape[:2])
    return (max(height, width),) * 2 if padding == "square" and multiple > 1 else (height, width)


def pad(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """[H, W, C] reflected at the bottom and right to these sides."""
    return np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="reflect")
