"""Which method is best on a user's own images, without clean ones."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import msgspec
import numpy as np

from ..apply import own_ranking, ranking_report
from ..apply.denoising import rescale
from ..apply.entrants import Budget
from ..apply.noise_card import Card
from ..apply.own_ranking import Answer, Known
from ..apply.ranking import Ranking
from ..apply.recorruption import variance_of
from ..compute.machine import Machine
from ..compute.step import Stopped
from ..compute.training import Report
from ..datasets import files
from ..datasets.errors import InputError
from ..datasets.noise.model import Image
from ..datasets.own.collection import Collection
from ..methods import registry
from ..runner.display import Display
from ..runner.estimates import Cost
from ..runner.signals import StopSignals
from .options import Computed, Images, PathLike, check_folder, images_of, load_plugins, machine_of
from .own import noise_card, opened

TEXT, JSON, CROPS, PAGE = "ranking.txt", "ranking.json", "crops.npz", "report.html"
TRAININGS = "trainings"  # in the folder of the results: checkpoints and weights, so that a ranking goes on
ASKED = ("repeats", "preset", "steps", "seed")


class Ranked(Images, Computed, total=False):
    """How to rank."""

    repeats: bool  # the frames of a stack are of one scene
    preset: str  # whose number of steps networks are trained for
    steps: int
    seed: int


def rank(
    paths: Sequence[PathLike], methods: Sequence[str] = (), out: PathLike = "ranking", **options: Unpack[Ranked]
) -> tuple[Answer, Collection]:
    """Ranks methods on these images and writes the result into the folder `out`; what came of it, and what was read.

    With no methods, those that suit the noise. InputError: nothing to rank, a method that cannot be used here.
    """
    load_plugins(options.get("plugins", ()))
    for name in methods:
        registry.find(name)
    check_folder(Path(out))
    machine, notes = machine_of(options)
    machine.apply()
    found = opened(paths, **images_of(options))
    with Display(options.get("quiet", False)) as display, StopSignals() as stop:
        card = _card(found, options.get("repeats", False))
        if not options.get("value_range"):
            rescale(found, card.value_range, "of the noise card")
        for line in [*notes, *found.lines()]:
            display.note(line)
        asked: Any = {name: options[name] for name in ASKED if name in options}  # type: ignore[literal-required]
        answer = rank_files(found, card, methods, Path(out), machine, display, stop, **asked)
    return answer, found


def rank_files(
    found: Collection,
    card: Card,
    methods: Sequence[str],
    out: Path,
    machine: Machine,
    display: Display,
    stop: StopSignals,
    *,
    repeats: bool = False,
    preset: str = "",
    steps: int = 0,
    seed: int = 0,
) -> Answer:
    """Ranks methods on files that are scaled already and writes the result; KeyboardInterrupt where `stop` says so."""
    scenes, notes = own_ranking.read(found, repeats)
    for line in notes:
        display.note(line)
    progress = _Progress(display)
    budget = Budget(
        machine=machine,
        folder=out / TRAININGS,
        preset=preset or "mini",
        steps=steps,
        seed=seed,
        begins=progress.begins,
        report=progress.trained,
        stop=stop,
    )
    low, high = found.files[0].range
    try:
        answer = own_ranking.answer(scenes, _known_of(card, (low, high)), methods, budget)
    except Stopped:
        raise KeyboardInterrupt(stop.received) from None
    answer.notes[:0] = notes
    answer.notes.append(f"PSNR is for values {low:g}..{high:g} as 0..1.")
    _write(answer, out)
    return answer


def first(answer: Answer, card: Card) -> tuple[str, str]:
    """The best method of a ranking and why it is taken; that of the noise card where the ranking is undecided."""
    if answer.decided and answer.ranking:
        return answer.ranking.rows[0].method, f"the ranking says: {answer.verdict}"
    method = card.recommended.method if card.recommended else "b2u"
    return method, f"the noise card recommends it; the ranking says: {answer.verdict}"


def ranking_text(answer: Answer) -> str:
    """A ranking in lines of 80 columns."""
    return ranking_report.text(answer)


def ranking_rows(answer: Answer) -> list[dict[str, str]]:
    """The methods of a ranking as rows of a table."""
    return ranking_report.rows(answer)


def ranking_plain(answer: Answer) -> dict[str, Any]:
    """A ranking as plain values, without its images."""
    return ranking_report.plain(answer)


def _known_of(card: Card, value_range: tuple[float, float]) -> Known:
    """What a noise card says of the noise of images scaled from this range."""
    noise, paired, cut = card.noise(), card.paired or "", any(plane.clipping for plane in card.planes)
    doubt = {
        "white": "" if noise else "the kind of noise is not known (see bench noise)",
        "correlated": "the noise of neighbouring pixels is correlated, so that an image cannot be split into two",
        "unknown": "whether the noise of neighbouring pixels is independent is not known",
    }[card.whiteness]
    if noise is None:
        return Known(None, None, doubt, paired, cut)
    variance = variance_of(noise).rescaled(card.value_range, value_range)
    return Known(card.noise(value_range), variance, doubt, paired, cut)


def _card(found: Collection, repeats: bool) -> Card:
    """The card of all files; InputError if they are of several kinds."""
    cards = noise_card(found, repeats=repeats)
    if len(cards) > 1:
        kinds = " and ".join(card.title for card in cards)
        raise InputError(f"{kinds}: methods are ranked on files of one type and number of channels; give one kind")
    return cards[0]


def _write(answer: Answer, folder: Path) -> None:
    """The table as text and JSON, and the crops as arrays; InputError where that is not possible."""
    crops = answer.ranking.crops if answer.ranking else []
    arrays = {f"{i} {name}": image for i, crop in enumerate(crops) for name, image in crop.items()}
    content = {
        TEXT: ranking_report.text(answer).encode() + b"\n",
        JSON: msgspec.json.format(msgspec.json.encode(ranking_report.plain(answer))),
    }
    with files.output(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            files.write(folder / name, partial(_fill, data))
        files.write(folder / CROPS, partial(_save, arrays))
        if answer.ranking:
            files.write(folder / PAGE, partial(_fill, _page(answer, answer.ranking).encode()))


def _page(answer: Answer, ranking: Ranking) -> str:
    """A page to flip between the noisy images, what scored them and every method's output."""
    from ..report.page.model import Cell, Column, Page, Row, Sheet
    from ..report.page.page import BUDGET, build, within  # imported here: scipy is slow to load
    from ..report.page.scene import scene

    rows = ranking_report.rows(answer)
    sheet = Sheet(
        caption=answer.verdict,
        columns=[Column(name) for name in rows[0]],
        rows=[Row([Cell(text) for text in row.values()]) for row in rows],
        notes=ranking_report.trust(answer),
    )
    scenes = []
    for number, crop in enumerate(ranking.crops, 1):
        outputs = {name: image for name, image in crop.items() if name != "noisy"}
        noted = {row.method: f"rank {row.rank}" for row in ranking.rows}
        scenes += scene(f"scene {number}", crop["noisy"], None, outputs, notes=noted)
    page = Page(title="Ranking without clean images", sheets=[sheet], rule=["Of each scene what was scored."])
    return build(within(page, scenes, BUDGET))


def _fill(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _save(arrays: dict[str, Image], path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


class _Progress:
    """Shows what is ranked and the trainings."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.running = ""

    def begins(self, what: str) -> None:
        """The work on a method, or a check of the ranking."""
        self.display.work_begins()
        self.display.note(f"ranking: {what}")

    def trained(self, name: str, report: Report) -> None:
        """One step of a training."""
        if self.running != name or report.step <= 1:
            self.running = name
            self.cost = Cost("fit", 60.0)
            self.display.units += 1  # how many follow is not known
            self.display.left["fit"] += self.cost.seconds
            self.display.begin(f"training {name}", self.cost)
        self.display.advance(f"training {name}", report.step / report.steps, report.text)
        if report.message:
            self.display.note(report.message)
        if report.step == report.steps:
            self.display.end(f"training {name}", "done", self.cost)
            self.running = ""
