"""Random numbers of the pixels of training crops."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..philox import Words, normal, words
from ..seeds import seed


class Field:
    """Random numbers for crops [B, C, h, w]; each is a function of its name, sample and place alone.

    The places of fresh noise are those in the crop; of fixed noise, those in the image that the crop is cut from.
    """

    def __init__(
        self, names: tuple[object, ...], samples: Tensor, rows: Tensor, columns: Tensor, sides: Tensor, channels: int
    ) -> None:
        """Samples [B], (height, width) of their fields [B, 2], rows [B, h] and columns [B, w] of the places, int64."""
        self.names, self.samples, self.channels = names, samples.view(-1, 1, 1), channels
        self.rows, self.columns = rows.unsqueeze(2), columns.unsqueeze(1)
        self.height, self.width = sides[:, :1, None], sides[:, 1:, None]

    def normal(self, name: str = "z", margin: int = 0) -> Tensor:
        """Standard normal, float32 [B, C, h + 2 margin, w + 2 margin]; the field is periodic."""
        return self._numbers(name, margin, lambda four: [*normal(*four[:2]), *normal(*four[2:])])

    def words(self, name: str) -> Tensor:
        """Integers in 0..2^32-1, int64 [B, C, h, w]."""
        return self._numbers(name, 0, list)

    def _numbers(self, name: str, margin: int, made: Callable[[Words], list[Tensor]]) -> Tensor:
        """The numbers of all channels; `made` turns the four words of a place into those of four channels."""
        rows, columns = _widened(self.rows, margin, 1), _widened(self.columns, margin, 2)
        places = rows.remainder(self.height) * self.width + columns.remainder(self.width)
        key, numbers = seed(name, *self.names), list[Tensor]()
        for draw in range(-(-self.channels // 4)):
            numbers += made(words(key, places, self.samples, draw))
        return torch.stack(numbers[: self.channels], dim=1)


def _widened(places: Tensor, margin: int, dim: int) -> Tensor:
    """Consecutive places along `dim` with `margin` more on both sides."""
    if not margin:
        return places
    more = torch.arange(-margin, places.shape[dim] + margin, device=places.device)
    return places.select(dim, 0).unsqueeze(dim) + more.view([-1 if i == dim else 1 for i in range(3)])
