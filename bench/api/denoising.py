"""A user's own images, denoised: files to files, or an array to an array."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..apply import denoising
from ..apply.denoising import Asked, Denoised, Watch, check_channels, rescale, trained_range, training_images
from ..apply.fitting import fit_of_unknown_noise
from ..apply.noise_card import Card
from ..compute.machine import Machine
from ..compute.step import Stopped
from ..compute.training import Report
from ..datasets import files
from ..datasets.errors import InputError
from ..datasets.images import SetImage
from ..datasets.noise.captured import NONE
from ..datasets.noise.model import Noise
from ..datasets.own.collection import Collection
from ..datasets.own.members import CLEAN, NOISY, Reading, members
from ..datasets.own.own_file import Kind, OwnFile, Range
from ..datasets.sets import own_folder
from ..protocol import exclusions
from ..runner import external_weights
from ..runner.display import Display
from ..runner.estimates import CLASSICAL, Cost
from ..runner.signals import StopSignals
from . import ranking
from .options import Computed, Images, PathLike, check_folder, images_of, load_plugins, machine_of, path_of, store_of
from .own import noise_card, opened

AUTO, RANKING = "auto", "ranking"  # the method that a ranking chooses, and its folder in that of the outputs
SHOWN = 512  # pixels of a side, on the page
MINUTES = 5.0  # of training, where nothing else is said
PHOTOGRAPH = (0.0, 255.0)  # the stored values that stand for 0 and 1 in files of 8 bits


class Denoising(Images, Computed, total=False):
    """How to denoise; what is left out is chosen by the noise card, and training takes five minutes."""

    train: PathLike  # images to train on, instead of those that are denoised
    weights: PathLike  # trained before
    cell: str  # of the store, whose trained weights are used: the start of its key
    preset: str  # whose number of steps is done, on its crops
    steps: int
    minutes: float  # of training
    seed: int
    dtype: Kind
    overwrite: bool
    command: str  # for the record


def denoise(
    paths: Sequence[PathLike], out: PathLike, method: str = "", **options: Unpack[Denoising]
) -> tuple[Denoised, Collection]:
    """Writes a denoised version of every file, and a page, into `out`; what came of it, and what was understood.

    InputError: nothing that can be denoised, a method that cannot be used here, outputs that would replace something.
    """
    done, collection, asked = _denoised(paths, out, method, options)
    _write_page(collection, Path(out), asked)
    return done, collection


def _denoised(
    paths: Sequence[PathLike], folder: PathLike, method: str, options: Denoising
) -> tuple[Denoised, Collection, Asked]:
    """Writes a denoised version of every file into a folder; also how that was done."""
    load_plugins(options.get("plugins", ()))
    out = Path(folder)
    check_folder(out)
    minutes, (weights, trained) = _minutes(options), _weights(method, options)
    machine, notes = machine_of(options)
    machine.apply()
    collection = opened(paths, **images_of(options))
    with Display(options.get("quiet", False)) as display, StopSignals() as stop:
        card = _scaled(collection, weights, trained, options)
        for line in [*notes, *collection.lines()]:
            display.note(line)
        images = _training(collection, options, display)
        if method == AUTO:
            method, why = _first_of_ranking(collection, card, out / RANKING, machine, display, stop, options)
        else:
            method, why = _method(method, card, options)
        display.note(f"method: {method} ({why})")
        noise = _noise(method, collection, card, options.get("preset") or "mini")
        asked = _asked(method, why, noise, minutes, weights, options)
        watch = _Progress(display, collection, asked, stop).watch()
        try:
            done = denoising.denoise(collection, images, out, asked, machine, watch)
        except Stopped:
            raise KeyboardInterrupt(stop.received) from None
    return done, collection, asked


def _scaled(collection: Collection, weights: Path | None, trained: Range | None, options: Denoising) -> Card | None:
    """Scales the files as the training or the noise card says, unless a range is given; the card where one was made."""
    photographs = all(own.type_range == PHOTOGRAPH for own in collection.files)
    if options.get("value_range") or (weights and not trained and photographs):
        return None  # weights whose training is not known better saw photographs in their own range
    card = None if trained else _card(collection)
    if scale := card.value_range if card else trained:
        rescale(collection, scale, "of the noise card" if card else "of the training")
    return card


def _noise(name: str, collection: Collection, card: Card | None, preset: str) -> Noise | None:
    """The noise of the files in the range that they have; without a card only for methods that need to know it.

    InputError where the method needs it and it has no name in this range.
    """
    own = collection.files[0]
    fit = fit_of_unknown_noise(name, own.channels, preset)
    if card is None and fit.method.knowledge != "blind":
        card = _card(collection)
    noise = card.noise(own.range) if card else None
    if card and card.closest and noise is None and (state := exclusions.of_noise(fit, NONE)):
        (low, high), (proposed, white) = own.range, card.value_range
        raise InputError(
            f"--method {name}: {state.reason}. The noise has no name in the range {low:g}..{high:g} ({own.origin}); "
            f"expected one like that of the noise card: --range {proposed:g},{white:g}"
        )
    return noise


def _asked(
    method: str, why: str, noise: Noise | None, minutes: float, weights: Path | None, options: Denoising
) -> Asked:
    """What is asked of the method that was chosen."""
    return Asked(
        method=method,
        why=why,
        noise=noise,
        preset=options.get("preset") or "mini",
        steps=options.get("steps", 0),
        minutes=minutes,
        seed=options.get("seed", 0),
        weights=weights,
        dtype=options.get("dtype", "keep"),
        overwrite=options.get("overwrite", False),
        command=options.get("command", ""),
    )


def _write_page(collection: Collection, out: Path, asked: Asked) -> None:
    """A page to flip between noisy and denoised images: of each file the centre of its first frame."""
    from ..report.page.model import Page
    from ..report.page.page import BUDGET, build, within  # imported here: scipy is slow to load
    from ..report.page.scene import scene

    scenes = []
    for own in collection.files:
        if (path := out / own.output(asked.dtype)).is_file():
            rows, columns = _centre(*own.sides)
            output = OwnFile(path, own.name, own.axes, own.each)
            noisy, denoised = (one.stored(0, rows)[:, columns].astype(np.float32) for one in (own, output))
            scenes += scene(own.name, noisy, None, {asked.method: denoised}, own.range)
    lead = [f"Images denoised by {asked.method} ({asked.why}).", f"How each was made: {denoising.RECORD}."]
    rule = [f"Of each file the centre of its first frame, at most {SHOWN}x{SHOWN} pixels."]
    page = within(Page(title="Denoised images", lead=lead, rule=rule), scenes, BUDGET)
    with files.output(out / "report.html"):
        files.write(out / "report.html", lambda temporary: temporary.write_text(build(page), encoding="utf-8"))


def denoise_array(array: NDArray[Any], method: str = "", **options: Unpack[Denoising]) -> NDArray[Any]:
    """The denoised array, of the same shape and type; `axes` has a letter of TZCYXS for each of its dimensions."""
    with TemporaryDirectory() as folder:
        source, out = Path(folder, "array.npy"), Path(folder, "denoised")
        np.save(source, array)
        quiet: Denoising = {"quiet": True}
        done, *_ = _denoised([source], out, method, quiet | options)
        if done.failed:
            raise InputError(done.failed[0])
        found: NDArray[Any] = np.load(done.written[0])
        return found


def _card(collection: Collection) -> Card | None:
    """The noise card; None for files of several types or numbers of channels, whose noise is not one."""
    cards = noise_card(collection)
    return cards[0] if len(cards) == 1 else None


def _training(collection: Collection, options: Denoising, display: Display) -> list[SetImage]:
    """The images to train on, scaled as those that are denoised: these, or those of another folder."""
    folder, first = path_of(options.get("train")), collection.files[0]
    if folder is None:
        return training_images(collection)
    if (folder / NOISY).is_dir() and (folder / CLEAN).is_dir():
        how = Reading(first.channels, options.get("axes", ""), first.range)
        return list(members(folder, how))
    found = opened([folder], **images_of(options))
    rescale(found, first.range, first.origin)
    for line in found.lines():
        display.note(f"--train: {line}")
    check_channels([*collection.files, *found.files])
    return training_images(found)


def _method(method: str, card: Card | None, options: Denoising) -> tuple[str, str]:
    """The method and why it is taken."""
    if method:
        return method, "asked for"
    if options.get("weights") or options.get("cell"):
        raise InputError("--weights or --from without --method: expected the method whose network they are of")
    if card is None or card.recommended is None:
        return "b2u", "the noise is not known; Blind2Unblind needs neither its level nor clean images"
    return card.recommended.method, card.recommended.why


def _first_of_ranking(
    collection: Collection,
    card: Card | None,
    folder: Path,
    machine: Machine,
    display: Display,
    stop: StopSignals,
    options: Denoising,
) -> tuple[str, str]:
    """The best method on these images by a ranking, whose results are written, and why it is taken."""
    card = card or _card(collection)
    if card is None:
        raise InputError(f"--method {AUTO}: files of several types or numbers of channels; denoise each kind alone")
    budget: Any = {name: options[name] for name in ("preset", "steps", "seed") if name in options}
    return ranking.first(ranking.rank_files(collection, card, (), folder, machine, display, stop, **budget), card)


def _minutes(options: Denoising) -> float:
    """The minutes of training; none where steps or a preset are asked for."""
    given = [name for name in ("steps", "minutes", "preset") if options.get(name)]
    if "minutes" in given and len(given) > 1:
        raise InputError(f"--minutes and --{given[0]} exclude each other; give one of them")
    return options.get("minutes", 0.0) if given else MINUTES


def _weights(method: str, options: Denoising) -> tuple[Path | None, Range | None]:
    """The file of trained weights, if any, and the stored values that stood for 0 and 1 in its training, if known."""
    weights, cell = path_of(options.get("weights")), options.get("cell", "")
    if weights and files.is_folder(weights):
        inside = weights / denoising.WEIGHTS / "*.safetensors"
        raise InputError(f"--weights {weights}: a folder; expected a file, such as {inside} of an earlier output")
    if (weights or cell) and method == AUTO:
        raise InputError(f"--method {AUTO} with trained weights: expected the method whose network they are of")
    if not cell:
        return weights, trained_range(weights)
    if weights:
        raise InputError("--weights and --from exclude each other; give one of them")
    record, weights = external_weights.trained(store_of(options.get("store")), cell)
    return weights, own_folder.value_range(record.label.get("train", ""))


def _centre(height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of the middle, SHOWN at most."""
    starts = [max(0, side - SHOWN) // 2 for side in (height, width)]
    return slice(starts[0], starts[0] + SHOWN), slice(starts[1], starts[1] + SHOWN)


class _Progress:
    """Shows the training, then each file."""

    def __init__(self, display: Display, collection: Collection, asked: Asked, stop: StopSignals) -> None:
        self.display, self.stop, self.title = display, stop, f"training {asked.method}"
        pixels = {own.name: own.count * own.sides[0] * own.sides[1] for own in collection.files}
        self.costs = {name: Cost("file", CLASSICAL[True] * count) for name, count in pixels.items()}
        self.training = Cost("fit", 60.0 * (asked.minutes or 1.0))
        self.running = ""

    def watch(self) -> Watch:
        """What the work tells."""
        return Watch(self._begins, self._trained, self._file, self.display.note, self.stop)

    def _begins(self, names: Sequence[str], trains: bool) -> None:
        to_go = [self.training] * trains + [self.costs[name] for name in names]
        self.display.plan(trains + len(self.costs), to_go, 1)

    def _trained(self, report: Report) -> None:
        if not self.running:
            self.running = self.title
            self.display.begin(self.title, self.training)
        self.display.advance(self.title, report.step / report.steps, report.text)
        if report.message:
            self.display.note(report.message)
        if report.step == report.steps:
            self.display.end(self.title, "done", self.training)

    def _file(self, name: str, share: float) -> None:
        if self.running != name:
            self.running = name
            self.display.begin(name, self.costs[name])
        self.display.advance(name, share, f"{share:.0%}")
        if share == 1.0:
            self.display.end(name, "written", self.costs[name])
