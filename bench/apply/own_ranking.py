"""The ranking of methods on a user's images: repeated frames if there are any, else single images split into two."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from ..datasets.errors import InputError
from ..datasets.noise.model import Image, Noise
from ..datasets.own.collection import Collection
from ..datasets.own.own_file import OwnFile
from ..methods.registry import find
from . import frames
from .calibration import Calibration, calibrate
from .entrants import Budget, candidate, has_pairs, suitable
from .frames import Match
from .held_out import Trial, centre
from .ranking import Candidate, CrossChecks, Ranking, cross_checks, rank, recorrupted
from .recorruption import Variance
from .repeated_frames import SHIFT
from .scenes import scenes_of, spread

SCENES, FRAMES = 16, 8  # evenly spaced scenes that take part, and frames of each
TRAINED = 512  # side of the centre that networks are trained on [pixels]
SCORED = 2**18  # pixels of all scenes' centres that are scored
TWO_FRAMES = (
    "two or more frames of the same scene, of one size, would decide it (a folder with frame-1.tif, frame-2.tif, ...)"
)


class Known(NamedTuple):
    """What the noise card found."""

    noise: Noise | None = None  # of a known kind
    variance: Variance | None = None  # of white noise
    doubt: str = ""  # why single images cannot be split
    paired: str = ""  # why repeated frames cannot score each other
    cut: bool = False  # the range cuts the noise of dark or bright parts


class Answer(Struct):
    """What is printed and stored."""

    mode: str  # frames, split or none
    verdict: str
    decided: bool
    notes: list[str]
    ranking: Ranking | None = None
    calibration: Calibration | None = None
    checks: dict[str, str] = {}  # of other estimates: their name -> what they say


def read(collection: Collection, repeats: bool) -> tuple[list[list[Image]], list[str]]:
    """The scenes that take part in 0..1, cut to what networks are trained on, and a line for what does not.

    If some scenes have repeated frames, those alone; `repeats` says that the frames of a file are of one scene.
    """
    scenes = scenes_of(collection, collection.files, repeats)
    repeated = [scene[:FRAMES] for scene in scenes if len(scene) > 1]
    chosen = spread(repeated or scenes, SCENES)
    notes = [f"{len(chosen)} of {len(scenes)} scenes take part."] if len(chosen) < len(scenes) else []
    if any(max(own.sides) > TRAINED for scene in chosen for own, _ in scene):
        notes.append(f"Networks are trained on the central {TRAINED}x{TRAINED} pixels of each scene.")
    return [[_middle(own, i) for own, i in scene] for scene in chosen], notes


def _middle(own: OwnFile, i: int) -> Image:
    top = max(0, (own.sides[0] - TRAINED) // 2)
    rows = own.frame(i, slice(top, min(top + TRAINED, own.sides[0])))
    return np.ascontiguousarray(centre(rows, TRAINED, TRAINED))


def answer(used: Sequence[Sequence[Image]], known: Known, names: Sequence[str], budget: Budget) -> Answer:
    """Ranks methods on scenes of one or of several frames [H, W, C] in 0..1; with no names, those of `suitable`.

    InputError: a method that is named and cannot be used, fewer than two methods, images too small.
    """
    repeated, notes = len(used[0]) > 1, list[str]()
    if not repeated and (known.variance is None or known.doubt):
        why = known.doubt or "the noise card does not know the kind of noise"
        return Answer("none", f"Undecided: {why}; {TWO_FRAMES}.", False, notes)
    if repeated:
        trials, matches = frames.trials(used, known.noise)
        notes += _differences(matches)
        if why := _unusable(matches, known):
            return Answer("frames", f"Undecided: {why}.", False, notes)
    else:
        trials = recorrupted([scene[0] for scene in used], _of(known), known.noise)
    candidates, left_out = _candidates(names, trials, known, budget)
    height = width = _scored(used)
    tall, wide = (max(min(height, scene[0].shape[axis]) for scene in used) for axis in (0, 1))
    notes += [*left_out, f"Scored on at most {wide}x{tall} pixels in the centre of each scene."]
    ranking = rank(candidates, trials, height, width, budget.begins)
    notes += [f"{name} failed and is left out: {why}." for name, why in ranking.failed.items()]
    found = Answer("frames" if repeated else "split", ranking.verdict, True, notes, ranking)
    if known.cut:
        notes.append(
            "The range cuts the noise of dark or bright parts: there the mean of the cut values counts as true."
        )
    if not repeated:
        budget.begins("cross-checks")
        source = Trial("the images themselves", (), tuple(tuple(scene) for scene in used), frozenset(), known.noise)
        _cross(found, cross_checks(candidates, source, _of(known), ranking.scores, height, width))
    budget.begins("calibration on synthetic noise")
    found.calibration = calibrate(candidates, ranking, None if repeated else _of(known), _fields(used))
    if found.calibration and not found.calibration.trusted:
        found.notes.append(
            "Where the truth is known, on synthetic noise, it was often wrong: do not trust this ranking."
        )
    return found


def _cross(found: Answer, crossed: CrossChecks) -> None:
    """Adds what other estimates say; one that contradicts makes the answer undecided."""
    found.checks = crossed.contradictions
    if wrong := [f"{name} says that {said}" for name, said in found.checks.items() if said]:
        but = f"held-out pixels say that {found.verdict[:-1]}, but {' and '.join(wrong)}"
        found.decided, found.verdict = False, f"Undecided: {but}; {TWO_FRAMES}."
    if crossed.fragile:
        name, best, factor = crossed.fragile
        found.notes.append(
            f"{name} would be better than {best} if the noise were {factor:.2f} times the estimated one."
        )


def _of(known: Known) -> Variance:
    assert known.variance is not None
    return known.variance


def _scored(scenes: Sequence[Sequence[Image]]) -> int:
    """The side of the centre crops that are scored."""
    return max(64, int((SCORED / len(scenes)) ** 0.5) // 8 * 8)


def _candidates(
    names: Sequence[str], trials: Sequence[Trial], known: Known, budget: Budget
) -> tuple[list[Candidate], list[str]]:
    """The methods that take part, and why others cannot; InputError for an unknown name, or if fewer than two can."""
    found, notes = list[Candidate](), list[str]()
    for name in dict.fromkeys(names or suitable(known.noise, has_pairs(trials))):
        find(name)
        try:
            found.append(candidate(name, trials, budget))
        except InputError as error:
            notes.append(f"{name} does not take part: {str(error).removeprefix(f'--method {name}: ')}.")
    if notes and known.variance and not known.noise:
        notes.append("The noise has no name in this range, and no method is told it; --range LOW,HIGH chooses another.")
    if len(found) < 2:
        known_names = ", ".join(one.name for one in found) or "none"
        raise InputError(f"two or more methods are needed to rank; can be used here: {known_names}. {' '.join(notes)}")
    return found, notes


def _differences(matches: Sequence[Match]) -> list[str]:
    """What frames of a scene differ in besides their noise."""
    notes = []
    if gains := [match.gain for match in matches if match.unequal_gain]:
        worst = max(gains, key=lambda gain: abs(np.log(gain)))
        notes.append(
            f"Frames of a scene differ in brightness: by a factor of up to {max(worst, 1 / worst):.3f} in {len(gains)} "
            f"of {len(matches)} comparisons; the held-out ones were scaled to match."
        )
    shifts = [float(np.hypot(*match.shift)) for match in matches]
    notes.append(f"Frames of a scene are shifted by {max(shifts):.2f} pixels at most.")
    return notes


def _unusable(matches: Sequence[Match], known: Known) -> str:
    """Why frames cannot score each other; empty if they can."""
    if known.paired:
        return known.paired
    moved = sum(match.shifted for match in matches)
    if moved:
        return (
            f"in {moved} of {len(matches)} comparisons the frames of a scene are shifted by more than "
            f"{SHIFT} pixels, which favours methods that blur; register them first"
        )
    return ""


def _fields(scenes: Sequence[Sequence[Image]]) -> list[Image]:
    """Fields of noise, from two frames of each scene: (a - b) / sqrt(2), b as bright as a."""
    found = []
    for scene in scenes:
        if len(scene) > 1:
            second = frames.corrected(scene[1], frames.compare(scene[0], scene[1], 1))
            found.append(((scene[0] - second) / np.float32(np.sqrt(2.0))).astype(np.float32))
    return found
