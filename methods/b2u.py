"""Blind2Unblind: blind spots made visible by a re-visible loss (Wang et al., CVPR 2022)."""

from collections.abc import Iterator
from math import lcm
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method, Output
from .masks import blind_output, blind_spots, cells, interpolate
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .rng import Rng


@register("b2u")
class B2U(Method, frozen=True):
    """min E || h(f(Omega_y)) + lambda f^(y) - (lambda + 1) y ||^2 + eta || h(f(Omega_y)) - y ||^2."""

    card = Card(
        paper="Wang et al., Blind2Unblind, CVPR 2022",
        equations="Eq. 6, 7, 9, 12",
        deviations="s = 4 as in the released code (the paper says 2), short presets 2; with s = 4 the reflect padding "
        "mirrors some masked pixels into sight at the border, as in the released evaluation",
    )
    outputs = (Output("visible"), Output("blind", blind=True, primary=False), Output("weighted", primary=False))
    eta: float = 1.0
    lambda_s: float = 2.0
    lambda_f: float = 20.0
    plateau: float = 0.8  # lambda rises after this share of the epochs (released code: 0.4 for noise ranges)
    s: int = 4  # cell width
    mapper: Literal["gm", "rm"] = "gm"  # global mapper, or one random blind spot per cell (Table 6)
    loss: Literal["a", "b"] = "a"  # Eq. 6, or Eq. 7 with the visible term's sign turned (Table 5)
    visible: bool = True  # without it: min E || h(f(Omega_y)) - y ||^2 (Table 6)
    net: Network = UNetConfig()

    def __post_init__(self) -> None:
        """InputError for a cell width without neighbours, or with more masks than are of use."""
        if not 2 <= self.s <= 32:
            raise InputError(f"b2u: cell width s = {self.s}; allowed: 2 to 32")

    @property
    def multiple(self) -> int:
        """Sides that suit the network, and that the cells tile."""
        return lcm(self.network.multiple, self.s)

    def lambda_at(self, t: float) -> float:
        """lambda_s up to the plateau's end, then linear to lambda_f at t = e / N = 1."""
        if t <= self.plateau:
            return self.lambda_s
        return self.lambda_s + (t - self.plateau) * (self.lambda_f - self.lambda_s) / (1.0 - self.plateau)

    def random_spots(self, net: nn.Module, y: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """One pixel of every cell [B, 1, H/s, W/s], and f at these pixels where they are masked [B, C, 1, H/s, W/s]."""
        chosen = rng.integers("blind spot", self.s**2, 1, *(side // self.s for side in y.shape[-2:]))
        places = torch.arange(self.s**2, device=y.device).view(-1, 1, 1)
        mask = F.pixel_shuffle((chosen == places).to(y.dtype), self.s)
        return chosen, self.picked(net(torch.where(mask > 0, interpolate(y), y)), chosen)

    def picked(self, image: Tensor, chosen: Tensor) -> Tensor:
        """The chosen pixel of every cell, [B, C, 1, H/s, W/s]."""
        return cells(image, self.s).gather(2, chosen.unsqueeze(1).expand(-1, image.shape[1], -1, -1, -1))

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Eq. 12 as means over the pixels; the masks partition them, so the parts add up to the whole."""
        y, lam = batch.noisy, self.lambda_at(ctx.progress.t)
        sign = 1.0 if self.loss == "a" else -1.0
        with torch.no_grad():
            d2 = net(y) - y if self.visible else torch.zeros_like(y)
        if self.mapper == "rm":
            chosen, h = self.random_spots(net, y, ctx.rng)
            spots = iter([(h, self.picked(y, chosen), self.picked(d2, chosen))])
        else:
            of_y, of_d2 = cells(y, self.s), cells(d2, self.s)
            groups = blind_spots(net, y, self.s, ctx.chunk)
            spots = ((h, of_y[:, :, group], of_d2[:, :, group]) for group, h in groups)
        for h, y_there, d2_there in spots:
            d1 = h - y_there
            square = (d1 + sign * lam * d2_there) ** 2 + self.eta * d1**2 if self.visible else d1**2
            yield square.sum() / y.numel()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """visible = f(y), blind = h(f(Omega_y)), weighted = (blind + lambda_f visible) / (1 + lambda_f), Eq. 9."""
        visible, blind = net(noisy), blind_output(net, noisy, self.s, ctx.chunk)
        weighted = (blind + self.lambda_f * visible) / (1.0 + self.lambda_f)
        return {"visible": visible, "blind": blind, "weighted": weighted}

    def passes(self) -> dict[str, int]:
        """One plain pass, s*s masked ones."""
        return {"visible": 1, "blind": self.s**2, "weighted": self.s**2 + 1}
