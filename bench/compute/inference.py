"""The outputs of a method for one image: padding, Bayer views, and back."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.formats import bayer
from ..datasets.noise.model import Image, Noise
from ..methods.base import Context, Method, Progress
from ..methods.guard import guarded
from ..methods.rng import Rng
from ..protocol.suites import View
from .machine import Machine
from .noisy_images import Noisy


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
    noisy: Image,
    noise: Noise,
    level: float,
    machine: Machine,
    padding: Literal["square", "next"],
    name: tuple[object, ...],
) -> dict[str, Image]:
    """All outputs for one [H, W, C] image, padded as the protocol says and cropped back."""
    height, width = noisy.shape[:2]
    image = noisy if method.multiple == 1 else pad(noisy, method.multiple, padding)
    batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(machine.device)
    context = Context(
        progress=Progress(0, 1, 1),
        rng=Rng("inference", (name,), batch.device),
        chunk=machine.chunk(*image.shape[:2]),
        noise=None if method.knowledge == "blind" else noise.family,
        level=torch.tensor([level], device=batch.device) if method.knowledge == "level" else None,
    )
    with torch.no_grad(), guarded(Exception):
        outputs: dict[str, Tensor] = method.denoise(net, batch, context)  # type: ignore[arg-type]
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    if shapes != {output.name: tuple(batch.shape) for output in method.outputs}:
        expected = f"{', '.join(output.name for output in method.outputs)} of shape {tuple(batch.shape)}"
        found = ", ".join(f"{name} of shape {shape}" for name, shape in shapes.items()) or "nothing"
        raise ValueError(f"denoise returned {found}; expected {expected}")
    return {
        name: output[0, :, :height, :width].permute(1, 2, 0).float().cpu().numpy() for name, output in outputs.items()
    }


def pad(image: NDArray[np.float32], multiple: int, padding: Literal["square", "next"]) -> NDArray[np.float32]:
    """Reflect at the bottom and right to multiples of `multiple`: to a square (official), or each side its next."""
    height, width = (-(-side // multiple) * multiple for side in image.shape[:2])
    if padding == "square":
        height = width = max(height, width)
    edges = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
    return np.pad(image, edges, mode="reflect")
