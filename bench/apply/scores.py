"""What maps of squared errors say about methods: differences with intervals, ranks, ties."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .block_bootstrap import Resampled, resampled

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """One method against another, positive where the first is worse."""

    mean: float  # of squared errors, in 0..1 units
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the 95 % interval excludes 0, else 0: a tie."""
        return int(self.low > 0.0) - int(self.high < 0.0)


class Scores(NamedTuple):
    """Methods' mean squared errors [K] on the same pixels."""

    names: tuple[str, ...]
    found: Resampled

    @classmethod
    def of(cls, names: Sequence[str], errors: Sequence[Floats], noise: Sequence[Floats] | None = None) -> "Scores":
        """From maps [K, H, W] per scene, NaN where not known; `noise` [H, W], which is in all, is taken off."""
        maps = list(errors) if noise is None else [e - n for e, n in zip(errors, noise, strict=True)]
        return cls(tuple(names), resampled(maps))

    def mse(self, name: str) -> float:
        """The mean squared error of a method."""
        return float(self.found.means[self.names.index(name)])

    def difference(self, a: str, b: str) -> Difference:
        """The difference of the mean squared errors of two methods."""
        i, j = self.names.index(a), self.names.index(b)
        of: Callable[[Floats], Floats] = lambda means: means[..., i] - means[..., j]  # noqa: E731
        return Difference(float(of(self.found.means)), *self.found.interval(of))

    def psnr(self, name: str) -> tuple[float, float, float]:
        """PSNR for the range 0..1 and its interval [dB]; NaN where errors are not above 0."""
        i = self.names.index(name)
        return self._decibels(lambda means: 1.0 / _positive(means[..., i]))

    def behind(self, a: str, b: str) -> tuple[float, float, float]:
        """By how much the PSNR of a is below that of b, and its interval [dB]; NaN where errors are not above 0."""
        i, j = self.names.index(a), self.names.index(b)
        return self._decibels(lambda means: _positive(means[..., i]) / _positive(means[..., j]))

    def _decibels(self, ratio: Callable[[Floats], Floats]) -> tuple[float, float, float]:
        of: Callable[[Floats], Floats] = lambda means: 10.0 * np.log10(ratio(means))  # noqa: E731
        return float(of(self.found.means)), *self.found.interval(of)

    def ranks(self) -> dict[str, int]:
        """1 for methods that none is better than, as the intervals tell; else 1 and the number of better ones."""
        return {a: 1 + sum(self.difference(a, b).sign > 0 for b in self.names if b != a) for a in self.names}

    def order(self) -> list[str]:
        """Methods, the smallest error first."""
        return [self.names[i] for i in np.argsort(self.found.means, kind="stable")]


def _positive(values: Floats) -> Floats:
    return np.where(values > 0.0, values, np.nan)


def kendall(estimated: Sequence[float], true: Sequence[float], at_least: float = 0.0) -> tuple[float, int]:
    """Kendall's tau over the pairs whose true values [dB] differ by more than `at_least`, and how many they are."""
    e, t = (
        np.subtract.outer(np.asarray(one), np.asarray(one))[np.triu_indices(len(one), 1)] for one in (estimated, true)
    )
    counted = np.abs(t) > at_least
    signs = np.sign(e[counted]) * np.sign(t[counted])
    return (float(signs.mean()) if signs.size else float("nan")), int(signs.size)
