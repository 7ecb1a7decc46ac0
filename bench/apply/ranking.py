"""Which of several methods is best on these noisy images: a table with intervals and ties, or why it is undecided."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..datasets.errors import InputError, one_line
from ..datasets.noise.model import Image, Noise
from ..datasets.seeds import frozen
from . import residual_checks, risk
from .held_out import Denoiser, Pair, Trial, by_scene, centre, digest, noise_power, outputs, spread, squared_errors
from .recorruption import SHARE, Variance, of_split, splits
from .residual_checks import Residual
from .scores import Scores

Floats = NDArray[np.float64]
BLIND = 10 ** (2 / 10)  # the masked loss says little of a method whose blind version has more than 2 dB more error
CONFIDENT = 0.023  # a cross-check contradicts only where its difference is above 0.1 dB of the best method's error

WRONG = 0.2  # errors of the noise level up to so much are thought of


class Candidate(NamedTuple):
    """A method that takes part."""

    name: str
    fit: Callable[[Trial], Denoiser]  # fitted to nothing but the trial's training frames
    trains_on: Literal["dataset", "image", "nothing"]  # as methods say it

    @property
    def free(self) -> bool:
        """Whether it is the same function for every trial, which cross-checks may use."""
        return self.trains_on == "nothing"


class Row(Struct):
    """One method in the table."""

    method: str
    rank: int  # 1 and the number of methods that are better; equal ranks are ties
    mse: float  # of the range 0..1
    psnr: tuple[float, float, float]  # estimate and 95 % interval [dB]
    behind: tuple[float, float, float]  # behind the first row [dB]
    residual: Residual
    remarks: list[str]


class Ranking(Struct):
    """Methods, the best first, and how far to trust it."""

    rows: list[Row]
    verdict: str
    scores: Scores
    crops: list[dict[str, Image]]  # of each scene: the noisy image, what scored it, and every method's output
    block: str
    denoisers: dict[str, Denoiser]  # of the first trial
    failed: dict[str, str]  # methods that are left out -> why


def recorrupted(images: Sequence[Image], variance: Variance, noise: Noise | None = None) -> list[Trial]:
    """Two trials of single images [H, W, C] with white noise of this variance: each split into two, antithetic."""
    given = of_split(noise) if noise else None
    split = [splits(image, variance, frozen("recorruption", digest(image), SHARE)) for image in images]
    sources = {digest(image) for image in images}
    found = []
    for half in (0, 1):
        pairs = tuple(Pair(*both[half], scene, 1.0 - SHARE) for scene, both in enumerate(split))
        others = {digest(part) for both in split for part in both[1 - half]}
        dependent = sources | others | {digest(pair.held) for pair in pairs}
        training = tuple((pair.given,) for pair in pairs)
        twins = tuple(both[1 - half].given for both in split)
        found.append(Trial(f"split {half + 1} of each image", pairs, training, frozenset(dependent), given, twins))
    return found


def rank(
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    height: int,
    width: int,
    begins: Callable[[str], None] = lambda name: None,
) -> Ranking:
    """Fits, applies and scores every candidate in every trial, on centre crops of this size.

    A candidate that fails is left out with its reason. InputError: fewer than two are left, or one has seen what it
    would be scored on.
    """
    denoised, denoisers = dict[str, list[list[Image]]](), dict[str, Denoiser]()
    maps, failed = dict[str, list[list[Floats]]](), dict[str, str]()
    for candidate in candidates:
        begins(candidate.name)
        try:
            fits = [candidate.fit(trial) for trial in trials]
            found = measured(candidate, fits, trials, height, width)
        except InputError:
            raise
        except (RuntimeError, ValueError, MemoryError) as error:  # such as a training that diverges; the others go on
            failed[candidate.name] = one_line(error)
            continue
        denoisers[candidate.name] = fits[0]
        denoised[candidate.name], maps[candidate.name] = found
    if len(maps) < 2:
        why = "".join(f"; {name} failed: {reason}" for name, reason in failed.items())
        raise InputError(f"{len(maps)} methods to rank; expected two or more: --methods b2u,bm3d,n2v{why}")
    return _ranking(held_out(maps, trials, height, width), denoised, denoisers, failed, trials, (height, width))


def _ranking(
    scores: Scores,
    denoised: dict[str, list[list[Image]]],
    denoisers: dict[str, Denoiser],
    failed: dict[str, str],
    trials: Sequence[Trial],
    size: tuple[int, int],
) -> Ranking:
    """The table with its checks."""
    pairs = [pair for trial in trials for pair in trial.pairs]
    given, held = [centre(pair.given, *size) for pair in pairs], [centre(pair.held, *size) for pair in pairs]
    flat = {name: [image for images in of for image in images] for name, of in denoised.items()}
    scenes = [np.mean(images, axis=0) for images in zip(*flat.values(), strict=True)]
    shares, order, ranks = [pair.share for pair in pairs], scores.order(), scores.ranks()
    rows = []
    for name in sorted(order, key=lambda one: ranks[one]):
        residual = residual_checks.check(given, held, shares, flat[name], scenes)
        psnr, behind = scores.psnr(name), scores.behind(name, order[0])
        rows.append(Row(name, ranks[name], scores.mse(name), psnr, behind, residual, residual.remarks))
    crops = [
        {"noisy": given[i], "held out": held[i]} | {name: flat[name][i] for name in order}
        for i in _first_of_each_scene(trials[0])
    ]
    return Ranking(rows, _verdict(scores), scores, crops, scores.found.block, denoisers, failed)


def measured(
    candidate: Candidate, fits: Sequence[Denoiser], trials: Sequence[Trial], height: int, width: int
) -> tuple[list[list[Image]], list[list[Floats]]]:
    """The outputs of each trial, and maps of errors whose expectation is that at the images' own noise.

    A network that is trained on the very image has no output for a twin: its error is that at the split's noise.
    """
    found = [outputs(candidate.name, fit, trial, height, width) for fit, trial in zip(fits, trials, strict=True)]
    errors = [squared_errors(images, trial) for images, trial in zip(found, trials, strict=True)]
    if not trials[0].twins or candidate.trains_on == "image":
        return found, errors
    twins = [
        found[1 - i] if candidate.free else [fits[i](centre(twin, height, width)) for twin in trial.twins]
        for i, trial in enumerate(trials)
    ]
    spreads = [spread(images, others) for images, others in zip(found, twins, strict=True)]
    return found, [[e - s for e, s in zip(*both, strict=True)] for both in zip(errors, spreads, strict=True)]


def held_out(maps: dict[str, list[list[Floats]]], trials: Sequence[Trial], height: int, width: int) -> Scores:
    """The scores for maps of errors: method -> trial -> pair -> [H, W]."""
    scenes = [by_scene(of, trials) for of in maps.values()]
    noise = by_scene([noise_power(trial, height, width) for trial in trials], trials)
    return Scores.of(list(maps), [np.stack(one) for one in zip(*scenes, strict=True)], noise)


def _first_of_each_scene(trial: Trial) -> list[int]:
    scenes = [pair.scene for pair in trial.pairs]
    return [scenes.index(scene) for scene in dict.fromkeys(scenes)]


def _verdict(scores: Scores) -> str:
    """Which method is best, or which are equally good and what would tell the first from the next."""
    order, ranks = scores.order(), scores.ranks()
    first, *others = [name for name in order if ranks[name] == 1]
    if not others:
        _, low, high = scores.behind(order[1], first)
        behind = f"{order[1]} is {low:.2f} to {high:.2f} dB behind it"
        if not np.isfinite([low, high]).all():
            behind = f"by how many dB {order[1]} is behind it is not known"
        return f"{first} is the best of these; {behind}."
    difference = scores.difference(others[0], first)
    more = ((difference.high - difference.low) / 2.0 / max(difference.mean, 1e-12)) ** 2
    times = f"about {max(2, round(more))}" if more < 100 else "more than a hundred"
    equal = f"{' and '.join([first, *others])} are equally good as far as these images can tell"
    return f"{equal}; {times} times as many pixels would tell the first from the next."


def contradiction(main: Scores, other: Scores) -> str:
    """The first pair that another estimate orders otherwise, beyond doubt; empty if it agrees.

    Only pairs with a method of rank 1 count: the order of the rest decides nothing.
    """
    ranks, least = main.ranks(), CONFIDENT * main.mse(main.order()[0])
    for a in [name for name in main.order() if ranks[name] == 1 and name in other.names]:
        for b in other.names:
            if a != b and main.difference(b, a).sign > 0:
                found = other.difference(b, a)
                if found.sign < 0 and found.mean < -least:
                    return f"{b} is better than {a}"
    return ""


class Fragile(NamedTuple):
    """An order of two methods that a wrong noise level would turn round."""

    method: str
    better_than: str  # the best method that trains nothing
    factor: float  # by which the noise's deviation would be larger


class CrossChecks(NamedTuple):
    """What the other estimates say of the order on the images themselves."""

    contradictions: dict[str, str]  # an estimate's name -> what it says otherwise, or empty
    fragile: Fragile | None


def cross_checks(
    candidates: Sequence[Candidate], source: Trial, variance: Variance, main: Scores, height: int, width: int
) -> CrossChecks:
    """Stein's estimate and the masked loss, and how far the level may be off.

    They are only defined for denoisers whose weights do not depend on the image, so that fitted ones take no part.
    """
    free = {one.name: one.fit(source) for one in candidates if one.free and one.name in main.names}
    if len(free) < 2:
        return CrossChecks({}, None)
    crops = [centre(frames[0], height, width) for frames in source.training]
    stein = [[risk.unbiased(f, y, variance, digest(y)) for f in free.values()] for y in crops]
    errors = Scores.of(list(free), [np.stack([one.error for one in of]) for of in stein])
    found = {"Stein's unbiased estimate": contradiction(main, errors)}
    masked = Scores.of(list(free), [np.stack([risk.masked(f, y) for f in free.values()]) for y in crops])
    noise = float(np.mean([variance.at(y).mean() for y in crops]))
    best = next(name for name in main.order() if name in free)
    if masked.mse(best) - noise <= BLIND * main.mse(best):
        found["the masked loss"] = contradiction(main, masked)
    copied = dict(zip(free, np.mean([[one.copied.mean() for one in of] for of in stein], axis=0), strict=True))
    return CrossChecks(found, _fragile(main, copied, best))


def _fragile(main: Scores, copied: dict[str, float], best: str) -> Fragile | None:
    """The method that would be better than `best` at the least wrong noise level; None if no level within 20 % is.

    The error of a against b changes by copied_a - copied_b per unit of the logarithm of the variance.
    """
    factors = {}
    for name, noise in copied.items():
        if name != best and noise != copied[best]:
            change = main.difference(name, best).mean / (copied[best] - noise)
            factors[name] = float(np.sqrt(max(1.0 + change, 0.0)))
    name = min(factors, key=lambda one: abs(factors[one] - 1.0), default=best)
    return Fragile(name, best, factors[name]) if name in factors and abs(factors[name] - 1.0) < WRONG else None
