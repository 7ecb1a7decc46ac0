"""What noise is: a family with one level, or with a range of levels of which every image has its own.

Images are in 0..1. Nothing is clipped or quantised, except where a name says so (gauss25:8bit).
"""

import re
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, unknown
from ..registry import Registry

Image = NDArray[np.float32]  # [H, W, C] in 0..1
Values = Any  # a number, a numpy array or a torch tensor
NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"  # no more digits than a name keeps


class Draws(Protocol):
    """What numpy's new and legacy generators share."""

    def uniform(self, low: float, high: float) -> float:
        """One number in low..high."""

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Standard normal numbers of this shape."""

    def poisson(self, lam: NDArray[np.float64], size: None = None) -> NDArray[np.int64]:
        """Counts of these means."""


class Numbers(Protocol):
    """The random numbers of training noise: named, for every pixel of a batch of crops [B, C, H, W]."""

    def normal(self, name: str = "z", margin: int = 0) -> Tensor:
        """Standard normal numbers, with `margin` more pixels on each side."""

    def words(self, name: str) -> Tensor:
        """Integers in 0..2^32-1."""


class NoiseFamily(Struct, frozen=True):
    """Subclass it: `variance` is the family; fields are parameters that are the same for all images.

    Test noise is drawn by `draw_level` and `apply`, whose numbers are frozen; training noise by `level_at` and `add`,
    which run where the network is. Both have the same distribution.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""  # what a level is, for help texts
    examples: ClassVar[tuple[str, ...]] = ()  # names of such noise
    # Methods that are derived for a distribution ask for it; gauss: one sigma per image, which is the level.
    distribution: ClassVar[Literal["gauss", "poisson", "other"]] = "other"
    counts: ClassVar[bool] = False  # counted photons are part of it
    simulated: ClassVar[bool] = True  # drawn here, at a level that is known; else the images have it already

    def draw_level(self, low: float, high: float, draws: Draws) -> float:
        """The level of one image, uniform in the range."""
        return float(draws.uniform(low, high))

    def level_at(self, u: Tensor, low: float, high: float) -> Tensor:
        """The levels whose share of the range is u in 0..1, as `draw_level` distributes them."""
        return low + (high - low) * u

    def variance(self, x: Values, level: Values) -> Values:
        """The noise's variance at clean values x in 0..1, by operators that numbers, arrays and tensors share."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """x + sqrt(variance) z [H, W, C]; a family that is not Gaussian draws its own."""
        deviation = np.sqrt(self.variance(clean.astype(np.float64), level))
        noisy: Image = (clean + draws.standard_normal(clean.shape) * deviation).astype(np.float32)
        return noisy

    def add(self, clean: Tensor, level: Tensor, numbers: Numbers, highest: float) -> Tensor:
        """The same for crops [B, C, H, W] with levels [B, 1, 1, 1] of at most `highest`; the host reads nothing."""
        noisy: Tensor = clean + self.variance(clean, level) ** 0.5 * numbers.normal()  # it may be a plain number
        return noisy

    def spell(self, levels: str) -> str:
        """The name of such noise, without conditions; `levels` is such as 25 or 5_50."""
        return f"{self.name}{levels}"

    @classmethod
    def read(cls, text: str) -> tuple[Self, float, float] | None:
        """The family, lowest and highest level of a name without conditions; None if it is not of this family."""
        match = re.fullmatch(rf"{re.escape(cls.name)}{NUMBER}(?:_{NUMBER})?", text, re.ASCII)
        return None if match is None else (cls(), float(match[1]), float(match[2] or match[1]))

    def warning(self, low: float, high: float) -> str:
        """Why this range of levels is probably a mistake, and what to write instead; empty if it is not."""
        return ""


class Condition(Struct, frozen=True):
    """A change of the noise of any family, which the paper does not have."""

    name: ClassVar[str]
    order: ClassVar[int]  # of application; names list conditions in this order

    def draws(self, draws: Draws) -> Draws:
        """The random numbers that the family gets."""
        return draws

    def numbers(self, numbers: Numbers) -> Numbers:
        """The random numbers that the family gets for training noise."""
        return numbers

    def image(self, noisy: Values) -> Values:
        """What becomes of a noisy image, or of a tensor of them."""
        return noisy

    def refusal(self, family: NoiseFamily) -> str:
        """Why noise of a family cannot have it; empty if it can."""
        return ""


class Noise(Struct, frozen=True):
    """A family, its range of levels, and conditions in the order in which they are applied."""

    family: NoiseFamily
    low: float
    high: float
    conditions: tuple[Condition, ...] = ()

    @property
    def name(self) -> str:
        """The name that suites and the command line use, such as gauss5_50."""
        if not self.family.simulated:
            return self.family.name
        model = self.family.spell(span(self.low, self.high))
        return ":".join([model, *(condition.name for condition in self.conditions)])

    @property
    def fixed(self) -> bool:
        """Whether all images have one level."""
        return self.low == self.high

    @property
    def warning(self) -> str:
        """Why the levels are probably a mistake, and what to write instead; empty if they are not."""
        why = self.family.warning(self.low, self.high)
        return why and f"noise {self.name}: {why}"

    def under(self, condition: Condition) -> "Noise":
        """The same noise under one more condition."""
        conditions = sorted({*self.conditions, condition}, key=lambda one: one.order)
        return structs.replace(self, conditions=tuple(conditions))

    def draw_level(self, draws: Draws) -> float:
        """The level of one image, in the family's unit; a fixed level draws nothing."""
        return self.low if self.fixed else self.family.draw_level(self.low, self.high, draws)

    def apply(self, clean: Image, level: float, draws: Draws) -> Image:
        """The noisy image [H, W, C] of a clean one in 0..1."""
        for condition in self.conditions:
            draws = condition.draws(draws)
        noisy: Image = self.stored(self.family.apply(clean, level, draws))
        return noisy

    def stored(self, noisy: Values) -> Values:
        """What the conditions make of a noisy image, or of a tensor of them."""
        for condition in self.conditions:
            noisy = condition.image(noisy)
        return noisy

    def levels(self, u: Tensor) -> Tensor:
        """The levels [B] of training crops for uniform numbers u in 0..1."""
        return self.family.level_at(u, self.low, self.high)

    def add(self, clean: Tensor, level: Tensor, numbers: Numbers) -> Tensor:
        """Noisy training crops [B, C, H, W] of clean ones in 0..1 with levels [B]."""
        for condition in self.conditions:
            numbers = condition.numbers(numbers)
        noisy: Tensor = self.stored(self.family.add(clean, level.view(-1, 1, 1, 1), numbers, self.high))
        return noisy

    def std(self, clean: Image, level: float) -> float:
        """The standard deviation that the noise of this image has without conditions, in 0..1."""
        return float(np.sqrt(np.mean(self.family.variance(clean.astype(np.float64), level))))


def span(low: float, high: float) -> str:
    """A range of levels as names have it, such as 5_50, or 25 for a fixed level."""
    return f"{low:.12g}" if low == high else f"{low:.12g}_{high:.12g}"


FAMILIES: Registry[type[NoiseFamily]] = Registry("noise family", __package__)
_conditions: dict[str, Condition] = {}
FamilyClass = TypeVar("FamilyClass", bound=type[NoiseFamily])


def register_noise(family: FamilyClass) -> FamilyClass:
    """Class decorator for a noise family; InputError for a name that is taken or that no noise can have.

    InputError also for a family that changes the test noise and not the training noise, or the other way round.
    """
    name = getattr(family, "name", "")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z]([a-z+-]*[a-z])?", name):
        raise InputError(f"noise family {family.__name__}: name = {name!r}; allowed: lower-case letters, - and +")
    for one in family.__mro__[: family.__mro__.index(NoiseFamily)]:
        for test, training in (("apply", "add"), ("draw_level", "level_at")):
            if (test in vars(one)) != (training in vars(one)):
                raise InputError(
                    f"noise family {one.__name__}: it defines only one of `{test}` (test noise) and `{training}` "
                    f"(training noise), so it would be tested on other noise than it is trained on; define both"
                )
    FAMILIES.add(name, family, family)
    return family


def register_condition(condition: type[Condition]) -> type[Condition]:
    """Class decorator for a condition."""
    _conditions[condition.name] = condition()
    return condition


def families() -> dict[str, type[NoiseFamily]]:
    """All registered noise families by name."""
    return FAMILIES.all()


def parse(name: str) -> Noise:
    """The noise of a name; InputError if there is none."""
    model, *conditions = name.split(":")
    noise = _parse_model(model)
    if noise is None or (conditions and not noise.family.simulated):
        examples = [example for family in families().values() for example in family.examples]
        more = "Any level or rising range will do: gauss15, poisson10_20; also gauss25:correlated:8bit. "
        raise unknown("noise", name, examples, f"{more}A noise family of your own: --plugin FILE.py.")
    for condition in conditions:
        if condition not in _conditions:
            raise unknown(f"condition in {name!r}:", condition, _conditions)
        if refusal := _conditions[condition].refusal(noise.family):
            raise InputError(f"noise {name!r}: {refusal}")
        if _conditions[condition] in noise.conditions:
            raise InputError(f"noise {name!r}: condition {condition!r} stands there twice; write it once")
        noise = noise.under(_conditions[condition])
    return noise


def _parse_model(text: str) -> Noise | None:
    for family in families().values():
        found = family.read(text)
        if found is None:
            continue
        noise = Noise(*found)
        if not noise.family.simulated or 0.0 < noise.low <= noise.high:
            return noise
    return None
