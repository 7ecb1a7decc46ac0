"""Deep Image Prior: a network made to fit one noisy image, and stopped early (Ulyanov et al., CVPR 2018)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method
from .networks.dip import Hourglass
from .registry import register
from .rng import Rng

STEPS, WIDTH = 1800, 128  # of the authors


@register("dip")
class DIP(Method, frozen=True):
    """min || f(z + sigma_z u) - y ||^2 for one image y, z fixed and u ~ N(0, 1) new at every step; x^ = f(z)."""

    card = Card(
        paper="Ulyanov et al., Deep Image Prior, CVPR 2018",
        deviations="its own network; stopping rule: after a number of steps that is the same for all images and "
        "noises (the authors: 1800 for their example), never by the clean image; the last output, where they average "
        "all of them with weights that fall by 0.99 per step; fewer steps and features where the table says so",
    )
    trains_on = "image"
    keeps_images = True
    multiple = 1  # z has whole multiples of 32, and the output is cut: what is not trained on would be arbitrary
    inputs: int = 32  # channels of z
    sigma_z: float = 1.0 / 30.0
    width: int = WIDTH
    skip: int = 4

    def __post_init__(self) -> None:
        """InputError unless inputs, width and skip are 1 to 1,024 and sigma_z >= 0."""
        if not (1 <= self.inputs <= 1024 and 1 <= self.width <= 1024 and 1 <= self.skip <= 1024 and self.sigma_z >= 0):
            given = f"inputs = {self.inputs}, width = {self.width}, skip = {self.skip}, sigma_z = {self.sigma_z:g}"
            raise InputError(f"dip: {given}; allowed: inputs, width and skip 1 to 1,024, sigma_z >= 0")

    def build(self, channels: int) -> nn.Module:
        """Its own network."""
        return Hourglass(self.inputs, channels, self.width, self.skip)

    def z(self, y: Tensor) -> Tensor:
        """The fixed input, uniform in 0..0.1, the same for all images of a size: [1, inputs, H', W']."""
        height, width = (-(-side // 32) * 32 for side in y.shape[2:])
        first = torch.zeros(1, dtype=torch.int64, device=y.device)
        return 0.1 * Rng("deep image prior", first).uniform("z", self.inputs, height, width).to(y.dtype)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The mean square of the residual."""
        y, z = batch.noisy, self.z(batch.noisy)
        f_z = net(z + self.sigma_z * ctx.rng.normal("u", *z.shape[1:]))
        yield (f_z[:, :, : y.shape[2], : y.shape[3]] - y).square().mean()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """f(z), z without u."""
        f_z = net(self.z(noisy)).expand(len(noisy), -1, -1, -1)
        return {"denoised": f_z[:, :, : noisy.shape[2], : noisy.shape[3]].clone()}

    def reduced_settings(self, steps: int) -> str:
        """Fewer steps or features than the authors'."""
        parts = [f"{steps:,} of {STEPS:,} steps"] * (steps < STEPS)
        return ", ".join(parts + [f"{self.width} of {WIDTH} features"] * (self.width < WIDTH))
