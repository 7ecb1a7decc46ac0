"""What turns gradients into steps: Adam, and Muon for the kernels of convolutions; no step reads from the device."""

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn

from ..protocol.suites import Recipe

ROWS = 32  # kernels with fewer outputs are left to Adam
QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration; five steps bring singular values near 1
ITERATIONS = 5


def matrix(kernel: Tensor) -> Tensor:
    """A kernel [out, in, k, k] as [out, k * k * in]; a view of channels_last memory."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)


def orthogonaliser(gram: Tensor) -> Tensor:
    """Q [n, r, r] such that Q X has singular values near 1, from the Gram matrices X X^T [n, r, r].

    X <- aX + (bA + cA^2)X with A = X X^T, from X of Frobenius norm 1: every step multiplies X from the left by a
    polynomial P of A, and A by P twice, so X itself need not be touched.
    """
    a, b, c = QUINTIC
    eye = torch.eye(gram.shape[-1], device=gram.device, dtype=gram.dtype)
    square = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=1e-30)[:, None, None]
    gram, q = gram / square, eye / square.sqrt()
    for left in reversed(range(ITERATIONS)):
        p = a * eye + torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        q = p @ q
        if left:
            gram = p @ gram @ p
    return q


def orthogonal(kernels: list[Tensor]) -> list[Tensor]:
    """The orthogonalised kernels, times sqrt(max(1, out / (in * k * k))); those of equal shape are one batch."""
    places = sorted(range(len(kernels)), key=lambda k: kernels[k].shape)
    batches = [list(same) for _, same in groupby(places, key=lambda k: kernels[k].shape)]
    stacks = [torch.stack([matrix(kernels[k]) for k in batch]) for batch in batches]
    grams = [x @ x.mT for x in stacks]
    found = list(kernels)
    for _, same in groupby(zip(batches, stacks, grams, strict=True), key=lambda one: one[2].shape[-1]):
        group = list(same)
        q = orthogonaliser(torch.cat([gram for _, _, gram in group]))
        for (batch, x, _), part in zip(group, torch.split(q, [len(batch) for batch, _, _ in group]), strict=True):
            out, columns = x.shape[1:]
            for k, one in zip(batch, (part @ x) * max(1.0, out / columns) ** 0.5, strict=True):
                _, width, *sides = kernels[k].shape
                found[k] = one.view(out, *sides, width).permute(0, 3, 1, 2)
    return found


class Muon:
    """Kernels move by their orthogonalised Nesterov momentum (Jordan et al. 2024) and shrink by rate * decay."""

    def __init__(self, recipe: Recipe, kernels: Iterable[nn.Parameter]) -> None:
        self.recipe, self.kernels = recipe, list(kernels)
        self.momentum = [torch.zeros_like(kernel) for kernel in self.kernels]

    def step(self, rate: Tensor) -> None:
        """One step of all kernels that have a gradient; `rate` is the schedule's factor."""
        pairs = zip(self.kernels, self.momentum, strict=True)
        moved = [(kernel, m, kernel.grad) for kernel, m in pairs if kernel.grad is not None]
        if not moved:
            return
        kernels, momentum, gradients = (list(one) for one in zip(*moved, strict=True))
        torch._foreach_mul_(momentum, self.recipe.momentum)
        torch._foreach_add_(momentum, gradients)
        ahead = torch._foreach_add(gradients, momentum, alpha=self.recipe.momentum)
        rate = rate * self.recipe.kernel_lr
        updates = [one * rate for one in orthogonal(list(ahead))]
        torch._foreach_mul_(kernels, 1.0 - rate * self.recipe.kernel_decay)
        torch._foreach_sub_(kernels, updates)


class Optimiser:
    """The recipe's optimiser of a network that is on its device; all of its state exists from the start."""

    def __init__(self, recipe: Recipe, net: nn.Module) -> None:
        self.names = {name: one for name, one in net.named_parameters() if one.requires_grad}
        device = next((one.device for one in self.names.values()), torch.device("cpu"))
        kernels = [] if recipe.optimiser == "adam" else _kernels(net, recipe.optimiser == "muon-hidden")
        chosen = {id(kernel) for kernel in kernels}
        others = [one for one in self.names.values() if id(one) not in chosen]
        self.muon, self.base = Muon(recipe, kernels), recipe.lr
        self.lr = torch.full((), recipe.lr, device=device)
        self.adam = torch.optim.Adam(
            [{"params": others}], self.lr, (recipe.beta1, recipe.beta2), weight_decay=recipe.weight_decay,
            fused=True, capturable=device.type == "cuda",
        )  # fmt: skip
        self.adam._warned_capturable_if_run_uncaptured = True  # as its warm-up is, on purpose
        for one in others:
            zeros = {moment: torch.zeros_like(one) for moment in ("exp_avg", "exp_avg_sq")}
            self.adam.state[one] = {"step": torch.zeros((), device=one.device), **zeros}

    @torch.no_grad()
    def step(self, rate: Tensor) -> None:
        """One step at `rate` times the recipe's rates; a number on the device, 0-dim float32."""
        self.lr.copy_(rate * self.base)
        self.adam.step()
        self.muon.step(rate)

    def zero_grad(self) -> None:
        """Drops the gradients."""
        for one in self.names.values():
            one.grad = None

    def state(self) -> dict[str, Tensor]:
        """All moments and step counters, by `<moment>.<parameter>`."""
        kept = dict(zip(map(id, self.muon.kernels), self.muon.momentum, strict=True))
        found: dict[str, Tensor] = {}
        for name, one in self.names.items():
            moments = {"momentum": kept[id(one)]} if id(one) in kept else self.adam.state[one]
            found |= {f"{moment}.{name}": tensor for moment, tensor in moments.items()}
        return found


def _kernels(net: nn.Module, hidden: bool) -> list[nn.Parameter]:
    """The kernels of convolutions with at least ROWS outputs; `hidden`: but those that read the noisy image."""
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    weights = [one.weight for one in layers if not (hidden and _reads_image(one))]
    chosen = {id(one): one for one in weights if one.requires_grad and len(one) >= ROWS}  # shared ones once
    return [one for one in chosen.values() if isinstance(one, nn.Parameter)]


def _reads_image(layer: nn.Conv2d) -> bool:
    """Whether the noisy image is among its inputs: the layer says so, or has as few inputs as an image."""
    return layer.in_channels < ROWS or bool(getattr(layer, "reads_image", False))
