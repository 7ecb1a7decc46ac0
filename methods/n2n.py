"""N2N: trained on a second noisy frame (Lehtinen et al., Noise2Noise, ICML 2018)."""

from .base import Card
from .n2c import N2C
from .registry import register


@register("n2n")
class N2N(N2C, frozen=True):
    """min E || f(y1) - y2 ||^2: N2C's loss, its target another frame with its own level and noise."""

    card = Card(
        paper="Lehtinen et al., Noise2Noise, ICML 2018",
        equations="Eq. 6",
        deviations="trained here under the shared recipe; the paper scores Laine's pre-trained weights",
    )
    supervision = "pair"  # type: ignore[assignment]
