"""CAREamics' Noise2Void: its masks, replacements and loss in our loop, on our network."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from ...datasets.errors import InputError
from ..base import Batch, Card, Context, Method
from ..networks.registry import Network
from ..networks.unet import UNetConfig
from ..registry import register
from .library import each, missing


@register("careamics-n2v")
class CAREamicsN2V(Method, frozen=True):
    """min E sum_M (f(y_M) - y)^2 / |M| with CAREamics' M and y_M; the fields and their defaults are CAREamics'."""

    card = Card(
        paper="Krull et al., Noise2Void, CVPR 2019; careamics (BSD-3-Clause), tested with 0.3.5",
        deviations="theirs: N2VManipulate and n2v_loss; ours: U-Net, loop, recipe, images in 0..1 instead of "
        "mean and standard deviation, the mean over samples of each sample's loss, no augmentation",
    )
    masked_pixel_percentage: Annotated[float, Meta(ge=0.05, le=10.0)] = 0.2
    roi_size: Annotated[int, Meta(ge=3, le=21)] = 11
    strategy: Literal["uniform", "median"] = "uniform"
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError for a region without a centre."""
        if self.roi_size % 2 == 0:
            raise InputError(f"careamics-n2v: roi_size = {self.roi_size}; allowed: odd numbers")

    def unavailable(self) -> str | None:
        """Without the extra."""
        return missing("careamics")

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """CAREamics' loss of every sample."""
        from careamics.config.algorithms.n2v_manipulation import N2VManipulateConfig
        from careamics.lightning.modules.n2v_utils import N2VManipulate
        from careamics.losses import n2v_loss

        for one, seed in each(ctx.rng):
            config = N2VManipulateConfig(
                masked_pixel_percentage=self.masked_pixel_percentage,
                roi_size=self.roi_size,
                strategy=self.strategy,
                seed=seed,
            )
            manipulate = N2VManipulate(config, device=str(batch.noisy.device))
            manipulated, original, mask = manipulate(batch.noisy[one])
            yield n2v_loss(net(manipulated), original, mask) / len(batch.noisy)
