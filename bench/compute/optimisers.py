"""The optimiser of a training: a step of it reads nothing from the device, so that it can be captured."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..protocol.suites import Recipe

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Optimiser:
    """Adam, fused."""

    def __init__(self, recipe: Recipe, net: nn.Module) -> None:
        self.base, self.names = recipe.lr, dict(net.named_parameters())
        parameters = [one for one in self.names.values() if one.requires_grad]
        cuda = parameters[0].is_cuda
        self.lr = torch.full((), recipe.lr, device=parameters[0].device)
        betas = (recipe.beta1, recipe.beta2)
        self.adam = torch.optim.Adam(
            parameters, self.lr, betas, weight_decay=recipe.weight_decay, fused=True, capturable=cuda
        )
        for one in parameters:
            self.adam.state[one] = {
                "step": torch.zeros((), device=one.device),
                "exp_avg": torch.zeros_like(one, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(one, memory_format=torch.preserve_format),
            }

    def step(self, rate: Tensor) -> None:
        """One update; `rate` multiplies the recipe's."""
        self.lr.copy_(rate * self.base)
        self.adam.step()

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        self.adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """All moments by `<moment>.<parameter>`."""
        return {
            f"{moment}.{name}": self.adam.state[one][moment]
            for name, one in self.names.items()
            if one.requires_grad
            for moment in MOMENTS
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
