"""DnCNN (Zhang et al., Beyond a Gaussian Denoiser, TIP 2017): plain 3x3 convolutions that predict the noise."""

from typing import Annotated

from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Float32Conv
from .registry import Network, Width, register_network


@register_network("dncnn")
class DnCNN(Network, frozen=True):
    """17 layers of 64 features for gray images, 20 for colour, as in the paper; it may have sides of any length.

    It leaves out batch normalisation. There the output for one image depends on the other images of a batch, and the
    loss of a batch is not the mean of its parts. Blind2Unblind computes its masked images in such parts, and its
    masked and plain images would share running statistics. Without it, He's initialisation keeps the signals' size.
    """

    label = "DnCNN"
    depth: Annotated[int, Meta(ge=2, le=1000)] | None = None  # layers; None: 17 for one channel, else 20
    width: Width = 64

    def build(self, channels: int, outputs: int | None = None) -> nn.Module:
        """The input minus the network's output; without the residual where `outputs` is another number."""
        depth = self.depth or (17 if channels == 1 else 20)
        return DnCNNet(channels, outputs or channels, depth, self.width)


class DnCNNet(nn.Module):
    """x^ = y - R(y)."""

    def __init__(self, channels: int, outputs: int, depth: int, width: int) -> None:
        super().__init__()
        self.residual = channels == outputs
        ends = [channels, *[width] * (depth - 2)]
        self.hidden = nn.ModuleList(nn.Conv2d(before, width, 3, padding=1) for before in ends)
        self.last = Float32Conv(width, outputs, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is self.last else "relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W]."""
        x = y
        for conv in self.hidden:
            x = F.relu(conv(x))
        noise: Tensor = self.last(x)
        return y - noise if self.residual else noise
