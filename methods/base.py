"""What a method is: a frozen configuration in the paper's symbols, its losses, its denoiser."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from msgspec import Struct
from torch import Tensor, nn

from ..datasets.noise.model import Noise, NoiseFamily
from .networks.registry import Network
from .networks.unet import UNetConfig
from .rng import Rng


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


class Progress:
    """Where a training stands; short runs have virtual epochs, so that schedules keep their shape.

    It notes whether a method read it: what is captured as a graph then holds for one epoch only.
    """

    def __init__(self, epoch: int, epochs: int) -> None:
        self._epoch, self.epochs, self.read = epoch, epochs, False

    @property
    def epoch(self) -> int:
        """e = 1..N."""
        self.read = True
        return self._epoch

    @property
    def t(self) -> float:
        """t = e / N in (0, 1], constant within an epoch; rounded once, so t <= 0.8 is exact at e = 0.8 N."""
        return self.epoch / self.epochs


class Context(NamedTuple):
    """What the harness tells a method besides the images."""

    progress: Progress
    rng: Rng
    chunk: int  # patches (or images) per network call that suit this machine
    noise: NoiseFamily | None = None  # what the noise is, without its levels, where `knowledge` allows
    level: Tensor | None = None  # [B], at inference, where `knowledge` allows


class Method(Struct, frozen=True, forbid_unknown_fields=True):
    """Subclass it: fields are the hyper-parameters, `losses` (and `denoise`) the idea."""

    card: ClassVar[Card] = Card(paper="unpublished")
    supervision: ClassVar[Literal["clean", "pair", "noisy", "none"]] = "noisy"
    knowledge: ClassVar[Literal["blind", "family", "level"]] = "blind"  # of the noise
    correlated: ClassVar[bool] = False  # whether it is made for noise that neighbours share
    trains_on: ClassVar[Literal["dataset", "image", "nothing"]] = "dataset"
    pixelwise: ClassVar[bool] = True  # of the class's own `denoise`: see `is_pixelwise`
    keeps_images: ClassVar[bool] = False  # the store keeps its images: no weights can give them back
    outputs: ClassVar[tuple[Output, ...]] = (Output(),)
    revision: ClassVar[int] = 1  # raise it when the code's numbers change

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Why the method is not defined for this noise or number of channels; None if it is."""
        return None

    def unavailable(self) -> str | None:
        """Why this machine cannot run the method; None if it can."""
        return None

    @property
    def network(self) -> Network:
        """The field `net`; the shared U-Net for a method without one."""
        net = getattr(self, "net", None)
        return net if isinstance(net, Network) else UNetConfig()

    @property
    def multiple(self) -> int:
        """The sides of an image that it denoises must be multiples of this: the network's, 1 without a network."""
        return self.network.multiple if self.learns() else 1

    @property
    def crop_multiple(self) -> int:
        """The side of a training crop must be a multiple of this."""
        return self.multiple

    def build(self, channels: int) -> nn.Module | None:
        """The network, None for a method that trains nothing."""
        return self.network.build(channels) if self.learns() else None

    def prepare(self, noisy: Tensor) -> Tensor:
        """What a zero-shot method makes of its image [1, C, H, W] once, before the training: its `batch.noisy`."""
        return noisy

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

    @classmethod
    def is_pixelwise(cls) -> bool:
        """Whether `denoise` takes each pixel of the network's outputs for the same pixel alone.

        A class that defines `denoise` must declare `pixelwise = True` itself; its parent's declaration does not count.
        """
        owner = next(one for one in cls.__mro__ if "denoise" in vars(one))
        return bool(vars(owner).get("pixelwise", False))

    @classmethod
    def learns(cls) -> bool:
        """Whether it has a network that is trained."""
        return cls.trains_on != "nothing"

    @classmethod
    def has_weights(cls) -> bool:
        """Whether one trained network serves all test images, so that a fit and its weights are stored."""
        return cls.trains_on == "dataset"

    @classmethod
    def per_image(cls) -> bool:
        """Whether every test image has a network of its own, which is trained on it and then dropped."""
        return cls.trains_on == "image"

    def reduced_settings(self, steps: int) -> str:
        """What this configuration with so many steps does less of than the published one; tables print it."""
        return ""

    def warning(self, height: int, width: int, channels: int) -> str:
        """Why the outputs for images of this size cannot be trusted; tables print it. Empty if they can."""
        return ""

    def passes(self) -> dict[str, int]:
        """Network passes per image that each output costs."""
        return {output.name: int(self.learns()) for output in self.outputs}
