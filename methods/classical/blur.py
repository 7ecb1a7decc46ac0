"""A Gaussian blur, each width an output: tables show the best one by an oracle, a floor for every other method."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Card, Context, Method, Output
from ..registry import register

WIDTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)  # standard deviations in pixels


def blurred(y: Tensor, width: float) -> Tensor:
    """[B, C, H, W] with a separable Gaussian of standard deviation `width`, reflected at the border."""
    radius = min(int(4.0 * width + 0.5), min(y.shape[-2:]) - 1)
    x = torch.arange(-radius, radius + 1, dtype=y.dtype, device=y.device)
    kernel = torch.softmax(-(x**2) / (2.0 * width**2), 0).expand(y.shape[1], 1, -1)
    padded = F.pad(y, [radius] * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.unsqueeze(-1), groups=y.shape[1])
    return F.conv2d(rows, kernel.unsqueeze(-2), groups=y.shape[1])


@register("blur")
class Blur(Method, frozen=True):
    """x^ = G_width * y."""

    card = Card(
        paper="trivial baseline", deviations="the best width is chosen with the clean test images: by an oracle"
    )
    supervision = "none"
    trains_on = "nothing"
    outputs = tuple(Output(f"{width:g}", primary=width == 1.0) for width in WIDTHS)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """One image per width."""
        return {output.name: blurred(noisy, float(output.name)) for output in self.outputs}
