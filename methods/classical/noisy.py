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
    outputs = (Output("noisy"),)

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The input."""
        return {"noisy": noisy}
