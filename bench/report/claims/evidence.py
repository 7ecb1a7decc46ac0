"""What our records say that a claim is compared with: drawn from stores, kept in one small file, looked up."""

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from ...methods.registry import methods
from ...protocol.plan import BASELINES
from ...store.store import Store

FILE = "evidence.csv"
COLOUR, GRAY = ("kodak", "bsd300", "set14"), ("bsd68", "set12", "urban100")
PRINTED = COLOUR + GRAY
OFFICIAL = ("rgb", "gauss11")
CURVES: tuple["Kind", "Kind"] = ("noise", "blur")
CELL_OPTIONS = ("seeds=", "noise=", "test-sets=")  # in a preset's label; they choose cells and change no training
GRAY_OF_SET14 = ("bridge", "man")  # stored as colour in Set14; the folder of 12 images does not have them
Kind = Literal[
    "noise",  # noisy images: only noise is wrong with them
    "blur",  # almost clean images, blurred: only detail is missing
    "score",  # the output of a denoiser
    "luma",  # what an output gains in PSNR and SSIM when Y is scored instead of RGB
    "window",  # what a denoiser gains in SSIM when the window is uniform, 7x7
    "images",  # standard deviation over images of the paired difference of two denoisers
    "seeds",  # standard deviation over seeds
]


class Fact(Struct, frozen=True, forbid_unknown_fields=True):
    """One number of our records, PSNR in dB."""

    kind: Kind
    set: str
    noise: str
    row: str  # method and output, or two of them
    window: str
    psnr: float
    ssim: float
    images: int


@cache
def facts() -> tuple[Fact, ...]:
    """The facts that ship with the package."""
    text = (resources.files(__package__) / FILE).read_text(encoding="utf-8")
    return tuple(msgspec.convert(row, Fact, strict=False) for row in csv.DictReader(text.splitlines()))


@cache
def facts_of(kind: Kind, test: str = "", noise: str = "", window: str = "gauss11") -> tuple[Fact, ...]:
    """The facts of a kind, of a set and noise if these are named."""
    return tuple(
        fact
        for fact in facts()
        if (fact.kind, fact.window) == (kind, window) and test in ("", fact.set) and noise in ("", fact.noise)
    )


@cache
def bounds(test: str, psnr: float, window: str = "gauss11") -> tuple[float, float] | None:
    """The SSIM of images of a set with this PSNR [dB] if noise alone, and if blur alone, is wrong with them.

    log(1 - SSIM) is interpolated over PSNR between measured images; None outside of them, or if there are none.
    """
    curves = [
        sorted((fact.psnr, math.log(1 - fact.ssim)) for fact in facts_of(kind, test, "", window)) for kind in CURVES
    ]
    if not all(curve and curve[0][0] <= psnr <= curve[-1][0] for curve in curves):
        return None
    noise, blur = (1 - math.exp(np.interp(psnr, [x for x, _ in curve], [y for _, y in curve])) for curve in curves)
    return noise, blur


def write(*folders: Path) -> None:
    """Writes the file from the records of these stores."""
    with Path(__file__).with_name(FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, Fact.__struct_fields__, lineterminator="\n")
        writer.writeheader()
        writer.writerows(msgspec.to_builtins(fact) for fact in collect(*folders))


def collect(*folders: Path) -> list[Fact]:
    """The facts that the records of some stores hold, rounded and sorted, each once."""
    every: list[Fact] = []
    for folder in folders:
        scores = list(_read(Store(folder)))
        every += [*_scores(scores), *_rescored(scores), *_images(scores), *spreads(scores)]
    rounded = (msgspec.structs.replace(fact, psnr=round(fact.psnr, 4), ssim=round(fact.ssim, 5)) for fact in every)
    return sorted(set(rounded), key=msgspec.structs.astuple)


class Scored(Struct, frozen=True):
    """One output of a record: the mean scores of its images, under one evaluation protocol."""

    method: str
    output: str
    test: str
    noise: str
    seed: int
    preset: str
    window: str
    colour: str
    images: dict[str, tuple[float, float]]  # image -> PSNR, SSIM

    def fact(self, kind: Kind, images: dict[str, tuple[float, float]] | None = None) -> Fact:
        """The mean over the images, or over some."""
        return self.with_values(kind, list((images or self.images).values()), fmean)

    def with_values(
        self, kind: Kind, values: Sequence[tuple[float, float]], of: Callable[[Sequence[float]], float], row: str = ""
    ) -> Fact:
        """A statistic of pairs of PSNR and SSIM."""
        psnr, ssim = (of(column) for column in zip(*values, strict=True))
        return Fact(kind, self.test, self.noise, row or self.row, self.window, psnr, ssim, len(values))

    @property
    def row(self) -> str:
        """Method and output."""
        return f"{self.method} {self.output}"

    @property
    def cell(self) -> tuple[str, ...]:
        """What two outputs that are compared have in common."""
        return self.test, self.noise, self.window, self.colour, self.preset


def _read(store: Store) -> Iterator[Scored]:
    """The outputs of a store that were scored on whole 8-bit images with the noise that they are for."""
    for record in store.find(""):
        scoring, label = record.identity.get("scoring", {}), record.label
        whole = not record.identity.get("window")  # of a centre crop
        plain = whole and scoring.get("quantise") == "uint8" and "noisy" not in scoring
        if (record.kind, record.state) != ("score", "done") or not plain or record.identity["noise"] != label["noise"]:
            continue
        outputs: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
        for row in store.rows(record):
            outputs[row.output][f"{row.image} {row.repeat}"] = row.value("psnr"), row.value("ssim")
        for output, images in outputs.items():
            window, colour = scoring.get("window", "gauss11"), scoring.get("colour", "rgb")
            named = (label["method"], output, label["test"], label["noise"], label.get("seed", 0), label["preset"])
            yield Scored(*named, window, colour, images)


def _scores(scores: Sequence[Scored]) -> Iterator[Fact]:
    """The means over the sets that papers print."""
    for one in scores:
        if one.test not in PRINTED or one.colour != "rgb":
            continue
        if one.method not in BASELINES and _comparable_with_print(one):
            yield one.fact("score")
            if one.test == "set14":
                kept = {name: value for name, value in one.images.items() if name.split()[0] not in GRAY_OF_SET14}
                yield msgspec.structs.replace(one.fact("score", kept), set="set14_12")
        if one.method == "noisy" and one.noise.removeprefix("gauss").isdigit():
            yield one.fact("noise")
        elif one.method == "blur" and one.noise == "gauss1":
            yield one.fact("blur")


def _comparable_with_print(one: Scored) -> bool:
    """Whether a printed number can be compared with it: its method trains nothing, or was trained as published."""
    known = methods().get(one.method)
    return one.preset == "paper" or (known is not None and not known.learns())


def _rescored(scores: Sequence[Scored]) -> Iterator[Fact]:
    """What scoring Y instead of RGB adds on sets of colour images, and another window of SSIM to a denoiser."""
    plain = {(one.row, one.test, one.noise): one for one in scores if (one.colour, one.window) == OFFICIAL}
    for one in scores:
        base = plain.get((one.row, one.test, one.noise))
        kind: Kind = "luma" if one.colour == "luma" else "window"
        wanted = one.test in (*COLOUR, "embedded_test") if kind == "luma" else one.method not in BASELINES
        if base and wanted and (one.colour, one.window) in (("luma", "gauss11"), ("rgb", "uniform7")):
            gains = [(psnr - base.images[i][0], ssim - base.images[i][1]) for i, (psnr, ssim) in one.images.items()]
            yield base.with_values(kind, gains, fmean)


def _images(scores: Sequence[Scored]) -> Iterator[Fact]:
    """How much the difference of two denoisers that are within 1 dB differs between images, by their first outputs."""
    first = {(one.method, one.cell): one for one in reversed(scores) if one.method not in BASELINES}
    for one, other in combinations(first.values(), 2):
        if one.cell != other.cell or one.colour != "rgb" or one.images.keys() != other.images.keys():
            continue
        pairs = [(a[0] - other.images[name][0], a[1] - other.images[name][1]) for name, a in one.images.items()]
        if len(pairs) > 1 and abs(fmean(psnr for psnr, _ in pairs)) < 1:
            yield one.with_values("images", pairs, stdev, f"{one.row} - {other.row}")


def spreads(scores: Sequence[Scored]) -> Iterator[Fact]:
    """How much the mean over a set differs between seeds, all else being equal."""
    groups: dict[tuple[str, ...], dict[int, Scored]] = defaultdict(dict)
    for one in scores:
        preset = ", ".join(part for part in one.preset.split(", ") if not part.startswith(CELL_OPTIONS))
        groups[preset, one.row, one.test, one.noise, one.window, one.colour][one.seed] = one
    for (*_, colour), seeds in groups.items():
        if len(seeds) > 1 and colour == "rgb":
            means = [(fact.psnr, fact.ssim) for fact in (one.fact("score") for one in seeds.values())]
            yield next(iter(seeds.values())).with_values("seeds", means, stdev)
