"""The images that a store can show again: what each row of the table makes of one noisy test image."""

import numpy as np

from ..compute.evaluation import Noisy, kept, noisy_images, restore, window
from ..compute.machine import Machine
from ..datasets.errors import unknown
from ..datasets.images import Picture, unit
from ..datasets.noise.model import Image
from ..protocol.plan import BASELINES, Plan, Score
from ..run.execution import Sets, load
from ..store.rows import infinite
from ..store.store import Store
from .lines import Line
from .tables import table

CLEAN = "Clean"  # label of the last image


def listed(plan: Plan, store: Store) -> list[Line]:
    """The lines of all tables of the suite, each network's output once; the noisy input first."""
    rows = {row.method for row in plan.suite.rows}
    found: dict[tuple[str, ...], Line] = {}
    for number in map(int, plan.suite.tables) if plan.suite.tables else (None,):
        for line in table(plan, store, number).lines:
            found.setdefault((line.method, line.output, line.noise, line.tested, line.test), line)
    lines = [line for line in found.values() if line.method in rows or line.method not in plan.suite.configurations]
    return sorted(lines, key=lambda line: line.method != BASELINES[0])


def scored(plan: Plan, store: Store, noise: str, test: str) -> list[tuple[Line, Score]]:
    """The rows that have numbers, each with the score of its first seed."""
    scores = {
        cell.name: score
        for cell in reversed(plan.cells)
        for score in cell.scores
        if (cell.noise.name, score.noise.name, score.test) == (noise, noise, test)
    }
    place = (noise, noise, test, "done")
    done = [line for line in listed(plan, store) if (line.noise, line.tested, line.test, line.state) == place]
    return [(line, scores[line.method]) for line in done]


def images_of(
    plan: Plan,
    store: Store,
    machine: Machine,
    sets: Sets,
    noise: str,
    test: str,
    image: str,
    repeat: int = 0,
    method: str = "",
) -> dict[str, Image]:
    """Label -> [H, W, C] in 0..1, NaN outside a scored window: the rows (of one method) that the store has, clean last.

    InputError: the test images are not at hand, or `image` is none of them.
    """
    clean = unit(_picture(sets(test, plan.suite.channels), test, image).pixels)
    found, restored = {}, dict[str, dict[str, Image]]()
    for line, score in scored(plan, store, noise, test):
        if method and line.method not in (BASELINES[0], method):
            continue
        if score.key not in restored:
            restored[score.key] = _restored(score, store, machine, sets, image, repeat)
        if line.output in restored[score.key]:
            found[line.label] = _whole(restored[score.key][line.output], clean, score.window)
    return found | {CLEAN: clean}


def decibels(store: Store, score: Score, output: str, image: str, repeat: int = 0) -> float:
    """The recorded PSNR of one output for one noisy image."""
    wanted = (image, repeat, output)
    return next(infinite(row.psnr) for row in store.rows(score) if (row.image, row.repeat, row.output) == wanted)


def _restored(score: Score, store: Store, machine: Machine, sets: Sets, image: str, repeat: int) -> dict[str, Image]:
    """All outputs; empty if neither weights nor kept images are there: nothing is trained for a figure."""
    method = score.fit.method
    noisy = _noisy(score, sets, image, repeat)
    if method.kept or method.fits == "image":
        folder = store.images(score)
        try:
            return kept(score, noisy, folder, _absent) if folder.is_dir() else {}
        except LookupError:
            return {}
    if method.fits == "dataset" and store.weights(score.fit) is None:
        return {}
    net = load(score.fit, store, machine)
    return restore(score, net, noisy, machine, lambda report: None, lambda: False, None)


def _absent() -> dict[str, Image]:
    raise LookupError


def _noisy(score: Score, sets: Sets, image: str, repeat: int) -> Noisy:
    channels = score.fit.channels
    pictures = sets(score.test, channels)
    if score.stream != "official":  # no other image's noise comes first
        pictures = [_picture(pictures, score.test, image)]
    before = [sets(name, channels) for name, _ in score.before]
    drawn = noisy_images(score, pictures, before)
    return next(noisy for noisy in drawn if (noisy.picture.name, noisy.repeat) == (image, repeat))


def _picture(pictures: list[Picture], test: str, image: str) -> Picture:
    named = {picture.name: picture for picture in pictures}
    if image not in named:
        raise unknown(f"image of {test}", image, named)
    return named[image]


def _whole(part: Image, clean: Image, side: int) -> Image:
    image = np.full_like(clean, np.nan)
    window(image, side)[...] = part
    return image
