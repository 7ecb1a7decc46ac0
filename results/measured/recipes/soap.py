"""Trains with one-sided SOAP (Vyas et al. 2024) instead of the recipe's optimiser, for a comparison.

    python results/measured/recipes/soap.py run --suite recipes --preset adam --methods n2c --steps 250 --store DIR

What it stores has the keys of preset adam: such a store is for this comparison alone.
"""

import sys

import torch

from bench.cli.main import main
from bench.compute import step
from bench.compute.optimisers import Optimiser, matrix

LR, BETA1, BETA2, EVERY = 3e-3, 0.95, 0.95, 10


class Soap(Optimiser):
    """Adam in the eigenbasis Q of the Gram matrix L of each kernel's gradients G."""

    def __init__(self, recipe, net):
        super().__init__(recipe, net)
        self.count, self.kept = 0, {}

    @torch.no_grad()
    def step(self, rate):
        """One step of all parameters; the first only fills L."""
        self.count += 1
        for name, one in self.names.items():
            update = self.update(name, matrix(one.grad) if one.dim() == 4 else one.grad[None])
            if one.dim() == 4:
                out, width, *sides = one.shape
                update = update.reshape(out, *sides, width).permute(0, 3, 1, 2)
            if self.count > 1:
                one.sub_(update.view_as(one), alpha=LR * float(rate))

    def update(self, name, gradient):
        """Q (m / sqrt(v)), on the shorter side of the kernel's matrix."""
        tall = gradient.shape[0] > gradient.shape[1]
        g = (gradient.T if tall else gradient).float()
        if name not in self.kept:
            self.kept[name] = [torch.zeros_like(g), torch.zeros_like(g), g @ g.T, torch.linalg.eigh(g @ g.T)[1]]
        m, v, gram, q = self.kept[name]
        gram.lerp_(g @ g.T, 1 - BETA2)
        m.lerp_(g, 1 - BETA1)
        v.lerp_((q.T @ g) ** 2, 1 - BETA2)
        mean, square = (q.T @ m) / (1 - BETA1**self.count), v / (1 - BETA2**self.count)
        update = q @ (mean / (square.sqrt() + 1e-8))
        if self.count % EVERY == 0:
            q.copy_(torch.linalg.qr(gram @ q)[0])
        return update.T if tall else update


if __name__ == "__main__":
    step.Optimiser = Soap
    sys.exit(main())
