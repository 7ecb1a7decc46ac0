"""Blind2Unblind: blind spots made visible by a re-visible loss (Wang et al., CVPR 2022)."""

from collections.abc import Iterator
from math import lcm
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.errors import InputError
from .base import Batch, Card, Context, Method, Output
from .networks.registry import Network
from .networks.unet import UNetConfig
from .registry import register
from .rng import Rng

# Weights of the eight neighbours that replace a masked pixel: sides 1/6, corners 1/12, centre 0.
KERNEL = torch.tensor([[0.5, 1.0, 0.5], [1.0, 0.0, 1.0], [0.5, 1.0, 0.5]]) / 6.0


def interpolate(y: Tensor) -> Tensor:
    """Every pixel of [B, C, H, W] from its neighbours; zero padding, not renormalised at the border."""
    channels = y.shape[1]
    kernel = KERNEL.to(y).expand(channels, 1, 3, 3)
    return F.conv2d(y, kernel, padding=1, groups=channels)


def cell_masks(s: int, height: int, width: int) -> Tensor:
    """Omega: bool [s*s, 1, H, W]; mask k is true at row k // s, column k % s of every s x s cell."""
    row = torch.arange(height).remainder(s)[:, None]
    column = torch.arange(width).remainder(s)[None, :]
    return (row * s + column == torch.arange(s * s)[:, None, None]).unsqueeze(1)


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

    def random_spots(self, net: nn.Module, y: Tensor, rng: Rng) -> Iterator[tuple[Tensor, Tensor]]:
        """As `blind_spots`, for one mask with a random pixel of every cell."""
        cells = tuple(side // self.s for side in y.shape[-2:])
        chosen = F.interpolate(rng.integers("blind spot", self.s**2, 1, *cells).float(), scale_factor=self.s)
        masks = cell_masks(self.s, *y.shape[-2:]).to(y.device)
        where = (torch.arange(self.s**2, device=y.device).view(-1, 1, 1) * masks.squeeze(1)).sum(0) == chosen
        yield where, net(torch.where(where, interpolate(y), y)) * where

    def blind_spots(self, net: nn.Module, y: Tensor, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Groups of masks: where they mask [1, 1, H, W], and f(Omega_y) there, zero elsewhere [B, C, H, W]."""
        filled = interpolate(y)
        masks = cell_masks(self.s, *y.shape[-2:]).to(y.device)
        for group in torch.split(masks, max(1, chunk // len(y))):
            members = torch.where(group.unsqueeze(1), filled, y)  # [group, B, C, H, W]
            denoised = net(members.flatten(0, 1)).view_as(members)
            yield group.any(0, keepdim=True), (denoised * group.unsqueeze(1)).sum(0)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """Eq. 12 as means over the pixels; the masks partition them, so the parts add up to the whole."""
        y, lam = batch.noisy, self.lambda_at(ctx.progress.t)
        sign = 1.0 if self.loss == "a" else -1.0
        with torch.no_grad():
            d2 = net(y) - y if self.visible else None
        spots = self.blind_spots(net, y, ctx.chunk) if self.mapper == "gm" else self.random_spots(net, y, ctx.rng)
        for where, h in spots:
            d1 = (h - y) * where
            square = d1**2 if d2 is None else (d1 + sign * lam * d2 * where) ** 2 + self.eta * d1**2
            yield square.sum() / y.numel()

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """visible = f(y), blind = h(f(Omega_y)), weighted = (blind + lambda_f visible) / (1 + lambda_f), Eq. 9."""
        visible = net(noisy)
        blind = torch.zeros_like(visible)
        for _, h in self.blind_spots(net, noisy, ctx.chunk):
            blind += h
        weighted = (blind + self.lambda_f * visible) / (1.0 + self.lambda_f)
        return {"visible": visible, "blind": blind, "weighted": weighted}

    def passes(self) -> dict[str, int]:
        """One plain pass, s*s masked ones."""
        return {"visible": 1, "blind": self.s**2, "weighted": self.s**2 + 1}
