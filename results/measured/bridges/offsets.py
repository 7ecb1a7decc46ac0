"""Our N2V with the replacements of CAREamics 0.3.5, to see whether they explain how its N2V differs."""

import torch

from bench import register
from bench.methods.masks import mask_of, masked_difference, masked_index
from bench.methods.n2v import N2V

# roi_span[randint(-5, 6)] for roi_span = -5..-1, 1..5: +1 twice, and never the row or the column of the pixel itself.
OFFSETS = (-5, -4, -3, -2, -1, 1, 1, 2, 3, 4, 5)


def replacements(rng, y):
    """For every pixel of y [B, C, H, W] the value at a random row and column offset; beyond the border: at it."""
    channels, height, width = y.shape[1:]
    offsets = torch.tensor(OFFSETS, device=y.device)
    row, column = (offsets[rng.integers(f"{axis} offset", 11, channels, height, width)] for axis in ("row", "column"))
    row = (row + torch.arange(height, device=y.device)[:, None]).clamp(0, height - 1)
    column = (column + torch.arange(width, device=y.device)).clamp(0, width - 1)
    return y.flatten(2).gather(2, (row * width + column).flatten(2)).view_as(y)


@register("n2v-offsets")
class N2VOffsets(N2V, frozen=True):
    """N2V but for the replacements."""

    def losses(self, net, batch, ctx):
        """As N2V's, with the same masks."""
        y = batch.noisy
        index, inside = masked_index(ctx.rng, self.perc, *y.shape[1:])
        y_M = torch.where(mask_of(index, inside, *y.shape[2:]), replacements(ctx.rng, y), y)
        yield (masked_difference(net, y_M, y, index, inside).square().sum((1, 2)) / inside.sum((1, 2))).mean()
