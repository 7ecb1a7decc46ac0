"""The regression check: small subsets of the suites on fixed seeds against committed references, in two tiers."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec import Struct, structs

from ..compute import machine as machines
from ..compute import sanity, training
from ..compute.noisy_images import noisy_images
from ..compute.scoring import evaluate
from ..compute.step import Step
from ..compute.zero_shot import trimmed
from ..datasets import files
from ..datasets.documents import content, from_json, from_toml
from ..datasets.errors import AbsentError, InputError, one_line, unknown
from ..datasets.sampling import OneImage, Source
from ..protocol import plan
from ..protocol.plan import Cell
from ..protocol.request import Request
from ..protocol.suite_files import explained
from ..protocol.units import Score
from ..runner.execution import Sets
from ..store.record import summary
from ..store.rows import infinite
from . import silent

FOLDER = Path(__file__).parent / "references"
CASES, NUMBERS = FOLDER / "cases.toml", FOLDER / "references.json"
SEEDS = (0, 1, 2, 3, 4)  # of the references; the check trains the first alone, which is within 1.8 deviations at home
LOSSES, FIRST = 20, 8  # losses that are compared, and those of them in which rounding has hardly grown
TOLERANCE, ELSEWHERE = 1e-3, 1e-2  # of all losses; of the later ones on another processor, where 3.3e-3 was seen
BAND = 4.0  # standard deviations
FLOOR = 0.0025  # dB, the least deviation, as what trains nothing has none: four are a table's last digit, 0.01 dB


class Subset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Cells of a suite, and the size at which they are compared; 0: as in the preset."""

    tier: Literal["losses", "psnr"]
    suite: str
    methods: tuple[str, ...]
    noises: tuple[str, ...]
    preset: str = "mini"
    steps: int = 0
    crop: int = 0
    batch: int = 0
    centre_crop: int = 0


class Subsets(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of cases."""

    subsets: tuple[Subset, ...]


class Case(Struct, frozen=True):
    """One method on one noise in one tier."""

    subset: Subset
    method: str
    noise: str

    @property
    def name(self) -> str:
        """Such as synthetic/b2u/gauss25/losses."""
        return f"{self.subset.suite}/{self.method}/{self.noise}/{self.subset.tier}"


class Numbers(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a case gave, and where."""

    commit: str
    torch: str
    processor: str
    threads: int
    seeds: tuple[int, ...]
    losses: tuple[float, ...] = ()  # of the first seed
    gradient: float = 0.0  # norm of the first one
    psnr: dict[str, tuple[float, ...]] = {}  # dB of every output, by seed


class Finding(Struct, frozen=True):
    """How one number of a case compares with its reference."""

    case: str
    expected: str
    found: str
    state: Literal["ok", "failed", "skipped"]

    @property
    def words(self) -> tuple[str, str, str, str]:
        """Its columns."""
        return self.case, self.expected, self.found, self.state


def cases(names: Sequence[str] = ()) -> list[Case]:
    """All cases, or those of these names; InputError for an unknown name or a file that is not one of cases."""
    try:
        subsets = from_toml(content(CASES), Subsets).subsets
    except msgspec.DecodeError as error:
        raise InputError(f"{CASES.name}: {explained(error, Subset.__struct_fields__)}") from None
    found = {case.name: case for s in subsets for m in s.methods for noise in s.noises for case in (Case(s, m, noise),)}
    for name in names:
        if name not in found:
            raise unknown("case", name, found)
    return [found[name] for name in names or found]


def references() -> dict[str, Numbers]:
    """The committed numbers by case; InputError if the file is missing or damaged."""
    try:
        return from_json(content(NUMBERS), dict[str, Numbers])
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{NUMBERS}: no readable references ({error}); restore it, or write all with --update"
        ) from None


def compared(
    names: Sequence[str] = (), data: Path | None = None, report: Callable[[str], None] = silent
) -> Iterator[Finding]:
    """The findings of the cases, as they come; InputError for an unknown case or one without a reference."""
    asked, known = cases(names), references()
    for case in asked:
        if case.name not in known:
            raise InputError(f"{case.name}: no reference; make it with python -m bench regress --update {case.name}")
    sets = Sets(data)
    for case in asked:
        report(case.name)
        expected = known[case.name]
        try:
            found = measure(case, expected.seeds[:1], sets)
        except AbsentError as error:
            yield Finding(case.name, "", str(error), "skipped")
        except InputError:
            raise
        except Exception as error:  # broken code may raise anything: the other cases go on
            yield Finding(case.name, "numbers", one_line(error), "failed")
        else:
            yield from _losses(case, expected, found) if case.subset.tier == "losses" else _psnr(case, expected, found)


def update(names: Sequence[str] = (), data: Path | None = None, report: Callable[[str], None] = silent) -> list[str]:
    """Measures the cases anew, all seeds, and writes the references; the names of those whose data are not here."""
    known = references() if NUMBERS.is_file() else {}
    sets, skipped, every = Sets(data), [], [case.name for case in cases()]
    for case in cases(names):
        report(case.name)
        try:
            known[case.name] = measure(case, SEEDS, sets)
        except AbsentError as error:
            skipped.append(f"{case.name}: skipped: {error}")
        _write({name: known[name] for name in every if name in known})  # an interruption loses one case
    return skipped


def _write(known: dict[str, Numbers]) -> None:
    content = msgspec.json.format(msgspec.json.encode(known), indent=1) + b"\n"
    files.write(NUMBERS, lambda temporary: temporary.write_bytes(content))


def measure(case: Case, seeds: Sequence[int], sets: Sets) -> Numbers:
    """The numbers of a case: float32 on one thread; AbsentError where this machine lacks data or a package."""
    machine, _ = machines.choose("cpu", "float32", 1, compile=False)
    machine.apply()
    cells = _cells(case, seeds)
    if reason := cells[0].fit.method.unavailable():
        raise AbsentError(reason)
    losses, gradient = list[float](), 0.0
    psnr: dict[str, list[float]] = {}
    if case.subset.tier == "losses":
        cells = cells[:1]
        losses, gradient = first_losses(cells[0], sets, machine)
    for cell in cells if case.subset.tier == "psnr" else ():
        for output, decibels in scored(cell.scores[0], sets, machine).items():
            psnr.setdefault(output, []).append(round(decibels, 4))
    facts = machines.environment(machine)
    return Numbers(
        commit=facts["commit"], torch=facts["versions"]["torch"], processor=facts["processor"], threads=machine.threads,
        seeds=tuple(cell.seed for cell in cells), losses=tuple(float(f"{loss:.8g}") for loss in losses),
        gradient=float(f"{gradient:.8g}"), psnr={output: tuple(values) for output, values in psnr.items()},
    )  # fmt: skip


def first_losses(cell: Cell, sets: Sets, machine: machines.Machine) -> tuple[list[float], float]:
    """The first 20 losses of a training, and the norm of the first gradient: what a detached term leaves in no loss."""
    update = Step(cell.fit, _source(cell, sets), machine)
    losses, gradient = [], 0.0
    for step in range(LOSSES):
        training.check_samples(update, step)
        update(step)
        losses.append(float(update.loss))
        sanity.check_loss(losses[-1], step)
        if step == 0:
            norms = [parameter.grad.norm() for parameter in update.net.parameters() if parameter.grad is not None]
            gradient = float(torch.stack(norms).norm())
    return losses, gradient


def _source(cell: Cell, sets: Sets) -> Source:
    fit = cell.fit
    if fit.method.per_image():
        noisy = next(noisy_images(cell.scores[0], sets(cell.scores[0].test, fit.channels)))
        return OneImage(trimmed(noisy.image, fit.method.multiple), noisy.level, prepare=fit.method.prepare)
    return training.source_of(fit, sets(fit.train, fit.channels))


def scored(score: Score, sets: Sets, machine: machines.Machine) -> dict[str, float]:
    """The mean PSNR of every output in dB, after the training that it needs."""
    fit, net = score.fit, None
    if fit.method.has_weights():
        net = training.train(fit, sets(fit.train, fit.channels), machine).net.eval()
    rows = evaluate(score, net, sets(score.test, fit.channels), machine)
    return {output: infinite(means["psnr"]) for output, means in summary(rows).items()}


def _cells(case: Case, seeds: Sequence[int]) -> list[Cell]:
    """The suite's cells of a case, one for each seed, cut to the case's size."""
    size = case.subset
    request = Request(
        suite=size.suite, preset=size.preset, methods=(case.method,), noises=(case.noise,), seeds=tuple(seeds),
        steps=size.steps,
    )  # fmt: skip
    made = plan.make(request)

    def cut(cell: Cell) -> Cell:
        fit, factor = cell.fit, cell.fit.crop // made.preset.crop
        fit = structs.replace(fit, crop=factor * size.crop or fit.crop, batch=size.batch or fit.batch)
        scores = tuple(
            structs.replace(score, fit=fit, centre_crop=size.centre_crop or score.centre_crop) for score in cell.scores
        )
        return structs.replace(cell, fit=fit, scores=scores)

    cells = [cut(cell) for cell in made.cells if cell.name == case.method]
    if cells[0].excluded:
        raise InputError(f"{CASES.name}: {case.name}: {cells[0].excluded}")
    return cells


def _losses(case: Case, expected: Numbers, found: Numbers) -> Iterator[Finding]:
    """The first loss that is off, or the worst; off relative to itself or the mean one, as likelihoods cross zero."""
    mean = statistics.fmean(map(abs, expected.losses))
    errors = [abs(a - b) / max(abs(a), mean) for a, b in zip(expected.losses, found.losses, strict=True)]
    at_home = expected.processor == found.processor
    allowed = [TOLERANCE if at_home or step < FIRST else ELSEWHERE for step in range(len(errors))]
    wrong = [step for step, error in enumerate(errors) if not error <= allowed[step]]
    step = wrong[0] if wrong else errors.index(max(errors))
    yield Finding(
        case.name,
        f"loss {expected.losses[step]:.5g} at step {step + 1}",
        f"{found.losses[step]:.5g}, off by {errors[step]:.1e} (allowed {allowed[step]:g})",
        "failed" if wrong else "ok",
    )
    off = abs(found.gradient - expected.gradient) / expected.gradient
    yield Finding(
        f"{case.name} gradient",
        f"norm {expected.gradient:.5g} at step 1",
        f"{found.gradient:.5g}, off by {off:.1e} (allowed {TOLERANCE:g})",
        "ok" if off <= TOLERANCE else "failed",
    )


def _psnr(case: Case, expected: Numbers, found: Numbers) -> Iterator[Finding]:
    """Every output's PSNR against the band of the reference's seeds."""
    if expected.psnr.keys() != found.psnr.keys():
        yield Finding(case.name, f"outputs {', '.join(expected.psnr)}", f"outputs {', '.join(found.psnr)}", "failed")
        return
    for output, values in expected.psnr.items():
        mean, decibels = statistics.fmean(values), found.psnr[output][0]
        band = BAND * max(FLOOR, statistics.stdev(values) if len(values) > 1 else 0.0)
        yield Finding(
            f"{case.name} {output}",
            f"{mean:.3f} dB, {len(values)} seed{'s' * (len(values) > 1)}",
            f"{decibels:.3f} dB, off by {decibels - mean:+.3f} (allowed {band:.3f})",
            "ok" if abs(decibels - mean) <= band else "failed",
        )
