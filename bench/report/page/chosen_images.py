"""The scenes of a store: the parts that the rule chooses, with every output that weights or kept images give back."""

import math
from collections.abc import Callable, Collection, Iterator

import numpy as np
from msgspec import Struct

from ...compute.machine import Machine
from ...compute.noisy_images import clean_of
from ...datasets.errors import InputError
from ...datasets.images import unit
from ...datasets.noise.model import Image
from ...datasets.sets.own_folder import short_name
from ...methods.guard import MethodError, guarded
from ...protocol.metrics.metric import Metric
from ...protocol.metrics.registry import find_metric
from ...protocol.plan import BASELINES, Plan
from ...protocol.units import Score
from ...runner.execution import Sets
from ...store.store import Store
from ..figure_entries import is_lenna
from ..images import recorded, restored_by, scored, whole
from ..table_lines import Line
from . import crops
from .crops import Part
from .model import Scene
from .scene import scene

NO_WEIGHTS = "neither weights nor images in the store"
Wish = tuple[int, str, Part, str]  # rank among the wishes, image, part, why


class Shot(Struct):
    """One test image with all outputs."""

    clean: Image
    outputs: dict[str, Image]  # label -> [H, W, C] in 0..1, NaN outside a scored centre crop
    failed: dict[str, str]  # label -> why the method's code, which may be a plug-in's, has no output


class Place(Struct):
    """One noise on one test set of a store."""

    plan: Plan
    store: Store
    machine: Machine
    sets: Sets
    noise: str
    test: str
    rows: list[tuple[Line, Score]]  # those with numbers

    @property
    def group(self) -> str:
        """What its scenes have in common."""
        return f"{self.noise}, {short_name(self.test)} [{self.plan.request.label.split(', ')[0]}]"

    @property
    def metric(self) -> Metric:
        """What images are chosen by."""
        return find_metric(self.plan.suite.primary)


def scenes_of(
    plan: Plan,
    store: Store,
    machine: Machine,
    sets: Sets,
    tests: Collection[str],
    seen: set[str],
    tell: Callable[[str], None],
) -> tuple[list[tuple[int, Scene]], list[str]]:
    """Scenes with their rank (0: median images, 1: worst, 2: neighbours), and sentences about what cannot be shown.

    `seen` are the keys of scores of earlier suites; a noise and test set that has no others is not shown again.
    """
    found: list[tuple[int, Scene]] = []
    said: list[str] = []
    for noise in dict.fromkeys(cell.noise.name for cell in plan.cells):
        for test in [test for test in plan.preset.tests if test in tests]:
            rows = scored(plan, store, noise, test)
            place = Place(plan, store, machine, sets, noise, test, rows)
            if rows and not seen.issuperset(score.key for _, score in rows):
                seen |= {score.key for _, score in rows}
                tell(f"images of {place.group}")
                try:
                    found += _scenes(place)
                except InputError as error:  # the test images are not at hand
                    said.append(f"No images of {place.group}: {error}")
    return found, said


def _scenes(place: Place) -> Iterator[tuple[int, Scene]]:
    """The scenes of one noise and test set; parts that are chosen twice are shown once."""
    rows = [(line, score) for line, score in place.rows if _there(place, score)]
    values = {line.label: _values(place, line, score) for line, score in _rivals(rows)}
    if not values or not next(iter(values.values())):
        return
    first, worst = crops.median_image(values), {name: crops.worst_image(mine) for name, mine in values.items()}
    shots = {image: _shot(place, rows, image) for image in dict.fromkeys([first, *worst.values()])}
    chosen: dict[tuple[str, Part], tuple[int, list[str]]] = {}
    for rank, image, part, why in _wishes(first, worst, shots, crops.neighbours(values)):
        chosen.setdefault((image, part), (rank, []))[1].append(why)
    for (image, part), (rank, reasons) in chosen.items():
        for one in _scene(place, rows, image, shots[image], part, reasons):
            yield rank, one


def _rivals(rows: list[tuple[Line, Score]]) -> list[tuple[Line, Score]]:
    """The rows that images are chosen by: methods scored on whole images, or one baseline where there is none."""
    whole = [(line, score) for line, score in rows if not score.centre_crop] or rows
    return [(line, score) for line, score in whole if line.method not in BASELINES] or whole[-1:]


def _there(place: Place, score: Score) -> bool:
    """Whether the outputs can be had without a training."""
    method = score.fit.method
    if method.has_weights():
        return place.store.weights(score.fit) is not None
    return not method.learns() or place.store.images(score).is_dir()


def _values(place: Place, line: Line, score: Score) -> dict[str, float]:
    """The primary metric of each image's first noisy version, better where it is higher."""
    return {
        row.image: place.metric.sign * row.value(place.metric.name)
        for row in place.store.rows(score)
        if (row.repeat, row.output) == (0, line.output) and not is_lenna(place.test, row.image)
    }


def _shot(place: Place, rows: list[tuple[Line, Score]], image: str) -> Shot:
    set_images = place.sets(place.test, place.plan.suite.channels)
    picture = next((one for one in set_images if one.name == image), None)
    if picture is None:
        raise InputError(f"{place.test} has no image {image!r}, which the records name")
    clean = unit(clean_of(rows[0][1].noise, picture).pixels)
    restored: dict[str, dict[str, Image]] = {}
    outputs: dict[str, Image] = {}
    failed: dict[str, str] = {}
    for line, score in rows:
        if score.key not in restored:
            try:
                with guarded(InputError):
                    restored[score.key] = restored_by(score, place.store, place.machine, place.sets, image, again=True)
            except MethodError as error:
                restored[score.key], failed[line.label] = {}, str(error)
        if line.output in restored[score.key]:
            outputs[line.label] = whole(restored[score.key][line.output], clean, score.centre_crop)
    return Shot(clean, outputs, failed)


def _wishes(first: str, worst: dict[str, str], shots: dict[str, Shot], pairs: list[tuple[str, str]]) -> Iterator[Wish]:
    """The parts that the rule names, as far as there are outputs."""
    errors = {
        image: {name: crops.squared(shot.outputs[name], shot.clean) for name in worst if name in shot.outputs}
        for image, shot in shots.items()
    }
    if errors[first]:
        yield 0, first, crops.median_part([*errors[first].values()]), "The median image, its median part."
    for name, image in worst.items():
        if name in errors[image]:
            yield 1, image, crops.largest_part(errors[image][name])[0], f"The worst image of {name}, its worst part."
    for a, b in pairs:
        apart = [
            (crops.largest_part(crops.squared(shot.outputs[a], shot.outputs[b])), image)
            for image, shot in shots.items()
            if a in shot.outputs and b in shot.outputs
        ]
        if apart:
            (part, most), image = max(apart, key=lambda one: (one[0][1], one[1]))
            if most > 0.0:
                yield 2, image, part, f"Where {a} and {b} differ most: {255.0 * math.sqrt(most):.1f} of 255 (rms)."


def _scene(
    place: Place, rows: list[tuple[Line, Score]], image: str, shot: Shot, part: Part, reasons: list[str]
) -> list[Scene]:
    outputs: dict[str, Image] = {}
    notes, keys, noisy = {}, {}, None
    absent: dict[str, list[str]] = {}  # why -> labels
    if others := [line.label for line, score in place.rows if (line, score) not in rows]:
        absent[NO_WEIGHTS] = others
    for line, score in rows:
        output = shot.outputs.get(line.label)
        if output is None:
            absent.setdefault(shot.failed.get(line.label, NO_WEIGHTS), []).append(line.label)
            continue
        if np.isnan(part.of(output)).any():
            why = f"only the centre {score.centre_crop}x{score.centre_crop} was denoised"
            absent.setdefault(why, []).append(line.label)
            continue
        label = line.label
        if line.method == BASELINES[0]:
            noisy, label = output, "Noisy"
        else:
            outputs[label] = output
        value = recorded(place.store, score, line.output, image, place.metric.name)
        notes[label] = f"{place.metric.shown(value)} {place.metric.unit}".strip()
        keys[label] = line.keys[0] if line.keys else ""
    if noisy is None:
        return []
    exact = all(score.scoring.quantise == "uint8" for _, score in rows)
    found = scene(
        image, noisy, shot.clean, outputs, bits=8 if exact else 16, factor=255.0 if exact else 1.0, part=part,
        notes=notes, keys=keys, group=place.group, reasons=reasons,
        absent=[f"{why}: {'; '.join(labels)}" for why, labels in absent.items()],
    )  # fmt: skip
    for one in found:
        one.noise, one.set = place.noise, short_name(place.test)
    return found
