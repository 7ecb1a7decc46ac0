"""Which methods suit a noise, which do not and why, and the one to begin with."""

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from ..datasets.noise.model import Noise, parse
from ..methods.base import Method
from ..methods.registry import methods
from ..protocol.plan import BASELINES

TINY = 100_000  # pixels: too few to train a network on


class Advice(Struct, frozen=True):
    """Whether a method suits, and why."""

    method: str
    applies: bool
    why: str


class AboutNoise(Protocol):
    """What advice depends on."""

    @property
    def whiteness(self) -> str:
        """white, correlated or unknown."""

    @property
    def paired(self) -> str | None:
        """Why the frames are no pairs; empty if they are, None for single frames."""

    @property
    def channels(self) -> int:
        """Of an image."""

    @property
    def pixels(self) -> int:
        """Of all images."""

    def noise(self) -> Noise | None:
        """The closest known noise."""


def advice(known: AboutNoise) -> tuple[Advice, ...]:
    """One for each registered method that this machine can run; baselines that every table has are no advice."""
    found = {name: method for name, method in methods().items() if name not in BASELINES}
    found = {name: method for name, method in found.items() if method().unavailable() is None}
    return tuple(_advice(name, method, known) for name, method in sorted(found.items()))


def _advice(name: str, method: type[Method], known: AboutNoise) -> Advice:
    why = _against(method, known)
    return Advice(name, not why, why or _for(method, known))


def _against(method: type[Method], known: AboutNoise) -> str:
    """Why a method does not suit; empty if it does."""
    if method.supervision == "clean":
        return "needs clean images to learn from"
    if method.supervision == "pair" and known.paired is not None:
        return known.paired
    if method.supervision == "pair":
        return "needs two frames of each scene"
    noise = known.noise()
    if noise and (reason := _undefined(method, noise, known.channels)):
        return reason
    if noise is None and method.knowledge != "blind":
        return f"needs to know the {_known(method)}, which these images do not tell"
    if known.whiteness == "correlated" and method.supervision == "noisy" and not method.correlated:
        return _copies(method)
    return ""


def _undefined(method: type[Method], noise: Noise, channels: int) -> str:
    """Why a method is not defined for a noise; Poisson noise is also Poisson-Gaussian noise without a Gaussian part."""
    names = [noise.name, f"{noise.name}+gauss0.01"] if noise.family.distribution == "poisson" else [noise.name]
    reasons = [method().applies(parse(name), channels) for name in names]
    return "" if None in reasons else str(reasons[0])


def _copies(method: type[Method]) -> str:
    if any(output.blind for output in method.outputs):
        return "predicts a pixel from its neighbours, whose correlated noise tells its own: it copies the noise"
    return "assumes that the noise of pixels is independent, and it is not"


def _for(method: type[Method], known: AboutNoise) -> str:
    if method.supervision == "pair":
        return "one frame of a scene is the target of another; correlated noise does not matter"
    if method.supervision == "none" and method.knowledge == "blind":
        warned = " It takes the noise for white, so part of it will stay." if known.whiteness == "correlated" else ""
        return f"trains nothing, and suits a single image.{warned}"
    if method.correlated:
        return "is made for noise that neighbours share"
    doubt = " if the noise of pixels is independent, which is not known" if known.whiteness == "unknown" else ""
    if method.knowledge != "blind":
        return f"is given the {_known(method)} of this card{doubt}"
    return f"learns from the noisy images alone{doubt}"


def _known(method: type[Method]) -> str:
    return "noise level" if method.knowledge == "level" else "noise family"


def recommended(known: AboutNoise) -> Advice | None:
    """A method to begin with, of those that suit, and the reason; None if none suits."""
    suit = [one for one in advice(known) if one.applies]
    found = [one for one in _preferred(known) if one.method in {other.method for other in suit}]
    return next(iter([*found, *suit]), None)


def _preferred(known: AboutNoise) -> Iterator[Advice]:
    noise = known.noise()
    constant = noise is not None and noise.family.distribution == "gauss"
    classical = "bm3d" if constant else "bm3d-vst"
    if known.paired == "":
        yield Advice("n2n", True, _PAIRS)
    if known.whiteness == "correlated":
        yield Advice(classical, True, _CORRELATED)
        return
    if known.pixels < TINY:
        yield Advice(classical, True, f"{known.pixels:,} pixels are too few to train a network; this trains nothing")
    yield Advice("b2u", True, _WHITE if known.whiteness == "white" else _UNKNOWN)


_PAIRS = "there are several frames of a scene, and one is the target of another, whatever the noise"
_CORRELATED = (
    "the noise is correlated, so most methods that learn from single noisy images would copy it; BM3D learns nothing, "
    "but leaves much of such noise. ap-bsn is made for it; two frames of a scene and n2n would be better"
)
_WHITE = "the noise of pixels is independent, and Blind2Unblind needs neither its level nor clean images"
_UNKNOWN = (
    "it needs neither clean images nor the noise level. It suits only if the noise of pixels is independent, which "
    "these images cannot tell"
)
