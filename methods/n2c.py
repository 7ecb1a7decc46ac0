"""N2C: the supervised baseline, trained on clean targets."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .base import Batch, Card, Context, Method
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register


@register("n2c")
class N2C(Method, frozen=True):
    """min E || f(y) - x ||^2."""

    card = Card(
        paper="Ronneberger et al., U-Net, MICCAI 2015, as trained by Laine et al., NeurIPS 2019",
        deviations="trained here under the shared recipe; the paper scores Laine's pre-trained weights",
    )
    supervision = "clean"
    net: Network = UNetConfig()

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """mean (f(y) - x)^2."""
        assert batch.target is not None
        yield mse_loss(net(batch.noisy), batch.target)
