"""The noisy input itself: the trivial baseline of every table."""

from torch import Tensor, nn

from ..base import Card, Context, Method, Output
from ..registry import register


@register("noisy")
class Noisy(Method, frozen=True):
    """x^ = y."""

    card = Card(paper="trivial baseline")
    supervision = "none"
    trains_on = "nothing"
    multiple = 1
    outputs = (Output("noisy"),)

    def build(self, channels: int) -> nn.Module | None:
        """No network."""
        return None

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The input."""
        return {"noisy": noisy}
