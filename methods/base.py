"""What a method is: a frozen configuration in the paper's symbols, its losses, its denoiser."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
from msgspec import Struct
from torch import Tensor, nn

from ..datasets.noise.model import Noise
from ..datasets.seeds import generator
from .networks.unet import MULTIPLE, UNetConfig


class Card(NamedTuple):
    """Where a method comes from."""

    paper: str
    equations: str = ""
    deviations: str = ""


class Output(NamedTuple):
    """One image that a method's denoiser returns; tables show the primary one unless a row names another."""

    name: str = "denoised"
    blind: bool = False  # claims not to see the pixel it predicts
    primary: bool = True


class Batch(NamedTuple):
    """What a loss may see; a method gets no more than it declares (`supervision`, `knowledge`)."""

    noisy: Tensor  # [B, C, H, W] in 0..1, not clipped
    target: Tensor | None = None  # the clean image, or a second frame
    level: Tensor | None = None  # [B], sigma in 0..255 units or lambda


class Progress(NamedTuple):
    """Where a training stands; short runs have virtual epochs, so that schedules keep their shape."""

    step: int  # from 0
    steps: int
    epochs: int

    @property
    def epoch(self) -> int:
        """The current epoch e = 1..N."""
        return min(self.step * self.epochs // self.steps, self.epochs - 1) + 1

    @property
    def t(self) -> float:
        """t = e / N in (0, 1], constant within an epoch; rounded once, so t <= 0.8 is exact at e = 0.8 N."""
        return self.epoch / self.epochs


class Rng:
    """A method's random draws, named, and seeded by (seed, sample): equal for any batch splitting or device."""

    def __init__(self, seed: object, samples: tuple[object, ...], device: torch.device) -> None:
        self.seed, self.samples, self.device = seed, samples, device

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """Uniform in 0..high-1, int64 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).integers(high, size=shape) for s in self.samples])

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal, float32 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).standard_normal(shape, "float32") for s in self.samples])

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform in [0, 1), float32 [B, *shape]."""
        return self._stack([generator(name, self.seed, s).random(shape, "float32") for s in self.samples])

    def binomial(self, name: str, counts: Tensor, p: float) -> Tensor:
        """Bin(counts, p) for counts [B, ...], float32."""
        each = zip(self.samples, counts.detach().cpu().numpy().astype("int64"), strict=True)
        return self._stack([generator(name, self.seed, s).binomial(k, p).astype("float32") for s, k in each])

    def _stack(self, arrays: list[object]) -> Tensor:
        return torch.stack([torch.as_tensor(array) for array in arrays]).to(self.device)


class Context(NamedTuple):
    """What the harness tells a method besides the images."""

    progress: Progress
    rng: Rng
    chunk: int  # patches (or images) per network call that suit this machine
    family: str | None = None  # "gauss", "poisson" or "sensor", where `knowledge` allows
    level: Tensor | None = None  # [B], at inference, where `knowledge` allows


class Method(Struct, frozen=True, forbid_unknown_fields=True):
    """Subclass it: fields are the hyper-parameters, `losses` (and `denoise`) the idea."""

    card: ClassVar[Card] = Card(paper="unpublished")
    supervision: ClassVar[Literal["clean", "pair", "noisy", "none"]] = "noisy"
    knowledge: ClassVar[Literal["none", "family", "level"]] = "none"
    trains_on: ClassVar[Literal["dataset", "image", "nothing"]] = "dataset"
    multiple: ClassVar[int] = MULTIPLE
    kept: ClassVar[bool] = False  # the store keeps its images: no weights can give them back
    outputs: ClassVar[tuple[Output, ...]] = (Output(),)
    revision: ClassVar[int] = 1  # raise it when the code's numbers change

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Why the method is not defined for this noise or number of channels; None if it is."""
        return None

    def unavailable(self) -> str | None:
        """Why this machine cannot run the method; None if it can."""
        return None

    def build(self, channels: int) -> nn.Module | None:
        """The network, by default the shared U-Net."""
        return UNetConfig().build(channels)

    def losses(self, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        """The parts of the loss (mean over the batch); each is back-propagated, then dropped."""
        raise NotImplementedError(f"{type(self).__name__} has no losses")

    def denoise(self, net: nn.Module, noisy: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The images of `outputs` for [B, C, H, W] in 0..1, by default one plain pass."""
        return {self.outputs[0].name: net(noisy)}

    @classmethod
    def primary(cls) -> Output:
        """The output that tables show unless a row names another."""
        return next(output for output in cls.outputs if output.primary)

    def reduced_settings(self, steps: int) -> str:
        """What this configuration with so many steps does less of than the published one; tables print it."""
        return ""

    def passes(self) -> dict[str, int]:
        """Network passes per image that each output costs."""
        return {output.name: 0 if self.trains_on == "nothing" else 1 for output in self.outputs}
