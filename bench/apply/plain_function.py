"""A trained method as a function of the noisy image alone, which other programs can run, and images to try it on."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..compute.inference import denoise, pad
from ..compute.machine import Machine
from ..datasets.errors import InputError
from ..datasets.formats import bayer
from ..datasets.images import unit
from ..datasets.noise.model import Image
from ..datasets.noise.named import named
from ..datasets.sets.find import find
from ..methods.base import Context, Progress
from ..methods.rng import Rng
from ..protocol.units import Fit

Batch = NDArray[np.float32]  # [B, C, H, W] in 0..1


class NoDraws(Rng):
    """Refuses every draw: the file of a network has no random numbers of ours."""

    def __init__(self) -> None:
        super().__init__("", torch.zeros(0))

    def _four(self, name: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raise InputError("its output is made of random draws, so it is no function of the image alone")


class Denoiser(nn.Module):
    """The primary output for noisy images [B, C, H, W] of one noise level."""

    def __init__(self, fit: Fit, net: nn.Module, level: float) -> None:
        super().__init__()
        self.method, self.net, self.level = fit.method, net, level
        self.family = None if fit.method.knowledge == "blind" else fit.noise.family

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] in 0..1."""
        level = torch.full_like(y[:, 0, 0, 0], self.level) if self.method.knowledge == "level" else None
        context = Context(Progress(1, 1), NoDraws(), 1, self.family, level)
        return self.method.denoise(self.net, y, context)[self.method.primary().name]


def plain_function(fit: Fit, net: nn.Module, noisy: Tensor) -> nn.Module:
    """The network where one pass of it is the primary output for some images [B, C, H, W], else a `Denoiser`.

    InputError: an output that needs random draws, or the noise level of each image.
    """
    net = deepcopy(net)
    for module in net.modules():
        if getattr(module, "reads_corner", False):  # its bands of rows are as many as the image has
            cast(Any, module).reads_corner = False
    lowest, highest = (Denoiser(fit, net, level) for level in (fit.noise.low, fit.noise.high))
    with torch.no_grad():
        output = lowest(noisy)
        if not torch.equal(output, highest(noisy)):
            raise InputError(f"it must be told the noise level of each image, which is a range in {fit.noise.name}")
        return net if torch.equal(output, net(noisy)) else lowest


def least_side(fit: Fit) -> int:
    """The shortest side that is promised: the first multiple of the method's from 32 pixels on."""
    multiple = fit.method.multiple
    return -(-32 // multiple) * multiple


def examples(fit: Fit, count: int, height: int, width: int) -> Batch:
    """What the method sees of photographs in scikit-image, with the noise of the training where that is simulated."""
    each = list[Image]()
    photographs = find("embedded_test" if fit.channels == 3 else "embedded_gray_test").load(None, fit.channels)
    for photograph in photographs[:count]:
        image = unit(photograph.pixels)
        if fit.noise.family.simulated:
            image = named(fit.noise, image, photograph.digest, 0)[0]
        if fit.view != "plain":
            image = bayer.pack(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
        each.append(pad(image[:height, :width], height, width))
    return np.stack(each).transpose(0, 3, 1, 2)


def ours(fit: Fit, net: nn.Module, noisy: Batch, machine: Machine) -> Batch:
    """The primary output as scores have it."""
    images: Sequence[Image] = list(noisy.transpose(0, 2, 3, 1))
    names = [(i,) for i in range(len(images))]
    levels = [fit.noise.low] * len(images)
    found = denoise(fit.method, net, images, fit.noise, levels, machine, "next", names)
    return np.stack([one[fit.method.primary().name] for one in found]).transpose(0, 3, 1, 2)
