"""The images that a store can show again: what each row of the table makes of one noisy test image."""

import numpy as np

from ..compute.image_cache import stored
from ..compute.machine import Machine
from ..compute.noisy_images import Noisy, centre_crop, clean_of, noisy_images
from ..compute.zero_shot import restore
from ..datasets.errors import unknown
from ..datasets.images import SetImage, unit
from ..datasets.noise.model import Image, parse
from ..protocol.plan import BASELINES, Plan
from ..protocol.units import Score
from ..runner.execution import Sets, load
from ..store.store import Store
from .table_lines import Line
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
    done = [line for line in listed(plan, store) if (line.noise, line.tested, line.test, line.state.kind) == place]
    return [(line, scores[line.method]) for line in done]


def images_of(
    plan: Plan,
    store: Store,
    machine: Machine,
    sets: Sets,
    noise: str,
    test: str,
    image: str,
    method: str = "",
) -> dict[str, Image]:
    """Label -> [H, W, C] in 0..1, NaN outside a scored centre crop: rows (of one method) in the store, clean last.

    InputError: the test images are not at hand, or `image` is none of them.
    """
    clean = unit(clean_of(parse(noise), _set_image(sets(test, plan.suite.channels), test, image)).pixels)
    found, restored = {}, dict[str, dict[str, Image]]()
    for line, score in scored(plan, store, noise, test):
        if method and line.method not in (BASELINES[0], method):
            continue
        if score.key not in restored:
            restored[score.key] = restored_by(score, store, machine, sets, image)
        if line.output in restored[score.key]:
            found[line.label] = whole(restored[score.key][line.output], clean, score.centre_crop)
    return found | {CLEAN: clean}


def recorded(store: Store, score: Score, output: str, image: str, metric: str) -> float:
    """The recorded metric of one output for an image's first noise draw."""
    wanted = (image, 0, output)
    return next(row.value(metric) for row in store.rows(score) if (row.image, row.repeat, row.output) == wanted)


def restored_by(
    score: Score, store: Store, machine: Machine, sets: Sets, image: str, again: bool = False
) -> dict[str, Image]:
    """All outputs for an image's first noise draw; empty without weights or kept images: nothing is trained.

    `again`: images that a training-free method would have kept are computed again, which may take seconds.
    """
    method = score.fit.method
    noisy = _noisy(score, sets, image)
    if method.keeps_images or method.per_image():
        if (images := stored(noisy, store.images(score))) is not None:
            return images
        if method.learns() or not again:
            return {}
    if method.has_weights() and store.weights(score.fit) is None:
        return {}
    net, _ = load(score.fit, store, machine)
    return restore(score, net, noisy, machine, lambda report: None, lambda: False, None)


def _noisy(score: Score, sets: Sets, image: str) -> Noisy:
    set_image = _set_image(sets(score.test, score.fit.channels), score.test, image)
    return next(noisy_images(score, [set_image]))


def _set_image(set_images: list[SetImage], test: str, image: str) -> SetImage:
    named = {set_image.name: set_image for set_image in set_images}
    if image not in named:
        raise unknown(f"image of {test}", image, named)
    return named[image]


def whole(part: Image, clean: Image, side: int) -> Image:
    """The part in the middle of an image of the shape of the clean one, NaN around it."""
    image = np.full_like(clean, np.nan)
    centre_crop(image, side)[...] = part
    return image
