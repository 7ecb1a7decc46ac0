"""Layers that networks share."""

import torch
from torch import Tensor, nn


class Float32Conv(nn.Conv2d):
    """A convolution that runs in float32 also under autocast, such as the last one of a network."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] of any precision."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))
