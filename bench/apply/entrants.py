"""Registered methods as candidates of a ranking: fitted anew to the frames of every trial."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from ..compute.machine import Machine
from ..compute.step import never
from ..compute.training import Report
from ..datasets.errors import InputError
from ..datasets.noise.model import Noise
from ..methods.registry import find
from .fitting import Fitted, as_images, fit, plan
from .held_out import Trial, digest
from .ranking import Candidate


class Budget(Struct, kw_only=True):
    """How networks are fitted, and who watches."""

    machine: Machine
    folder: Path | None = None  # for checkpoints and weights
    preset: str = "mini"
    steps: int = 0  # 0: the preset's
    seed: int = 0
    begins: Callable[[str], None] = lambda what: None  # with a method, or with a check of the ranking
    report: Callable[[str, Report], None] = lambda name, report: None
    stop: Callable[[], bool] = never


def has_pairs(trials: Sequence[Trial]) -> bool:
    """Whether a method can learn one frame from another in every trial."""
    return all(max(map(len, trial.training)) > 1 for trial in trials)


def candidate(name: str, trials: Sequence[Trial], budget: Budget) -> Candidate:
    """The candidate of a method's name; InputError if it cannot be used on images such as those of these trials."""
    if find(name).supervision in ("clean", "pair") and not has_pairs(trials):
        raise InputError("it needs four or more frames of a scene, two of them in each half")
    for trial in trials:
        plan(name, as_images(trial.training), trial.noise, budget.preset, budget.steps, budget.seed)

    def fitted(one: Trial) -> Fitted:
        planned, images, _ = plan(name, as_images(one.training), one.noise, budget.preset, budget.steps, budget.seed)
        made = fit(
            planned, images, budget.machine, budget.folder, lambda report: budget.report(name, report), budget.stop
        )
        seen = {digest(frame) for frames in one.training for frame in frames} if planned.method.has_weights() else ()
        return structs.replace(made, images=made.images.union(seen))  # pairs of frames have a digest of their own

    return Candidate(name, fitted, find(name).trains_on)


def suitable(noise: Noise | None, pairs: bool) -> list[str]:
    """What is ranked where no methods are named: floors, BM3D as the noise asks for it, networks; N2N for pairs."""
    distribution = noise.family.distribution if noise else "other"
    bm3d = {"gauss": "bm3d", "poisson": "anscombe"}.get(distribution, "bm3d-vst")
    return ["noisy", "blur", bm3d, "n2v", "nbr2nbr", "b2u", *(["n2n"] if pairs else [])]
