"""What authors and reporters need: checks of a method, the regression check, times, a submission, the environment."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import pandas as pd
import torch

from .. import __version__
from ..apply import submission
from ..compute.machine import Machine, choose
from ..compute.machine import environment as machine_facts
from ..datasets.errors import InputError
from ..methods import registry
from ..protocol import plan, suite_files
from ..report.claims.report import Report, check_claims
from ..runner.display import Display, Lines
from ..tools import conformance, regression, scaling, silent
from ..tools import speed as steps
from .options import Computed, Options, PathLike, asked_in, load_plugins, machine_of, path_of, request, store_of


def check(method: str) -> Iterator[tuple[str, conformance.Finding]]:
    """Whether a registered method, or those of FILE.py or package:Class, fit the harness: findings as they come."""
    torch.set_num_threads(1)  # small images, and numbers that do not depend on the machine
    for name, one in conformance.targets(method).items():
        for finding in conformance.findings(name, one):
            yield name, finding


def regress(
    cases: Sequence[str] = (), *, data: PathLike | None = None, progress: Callable[[str], None] = silent
) -> list[regression.Finding]:
    """Compares small subsets of the suites with the committed references; `progress` is given each case's name."""
    return list(regression.compared(cases, path_of(data), progress))


def update_references(
    cases: Sequence[str] = (), *, data: PathLike | None = None, progress: Callable[[str], None] = silent
) -> list[str]:
    """Writes the references of the regression check anew; which cases were skipped, and why."""
    return regression.update(cases, path_of(data), progress)


def speed(
    methods: Sequence[str] = (),
    rounds: int = 5,
    jobs: int = 1,
    tests: Sequence[str] = (),
    noise: str = "",
    *,
    progress: Callable[[steps.Row], None] = silent,
    **options: Unpack[Computed],
) -> list[pd.DataFrame]:
    """Times of training steps and of scoring; of scoring alone on given sets; or of runs with one job and several.

    `noise` is that of the suite if not given; `progress` gets the row of each training as soon as it is measured.
    """
    load_plugins(options.get("plugins", ()))
    if jobs > 1 and (methods or tests or noise):
        raise InputError("speed --jobs has its own work to measure; leave out --methods, --test-sets and --noise")
    if rounds < 1:
        raise InputError(f"speed: {rounds} rounds; expected one or more")
    for method in methods:
        registry.find(method)
    machine = _applied(options)
    if jobs > 1:
        return [scaling.measure(jobs, machine, rounds)]
    if tests:
        return [steps.scoring(methods, machine, tests, path_of(options.get("data")), noise)]
    return [table for table in steps.measure(methods, machine, rounds, noise, progress) if len(table)]


def submit(
    method: str,
    blocks: PathLike,
    out: PathLike | None = None,
    output: str = "weighted",
    suite: str = "raw",
    preset: str = "reduced",
    *,
    authors: str = "",
    title: str = "",
    venue: str = "",
    **options: Unpack[Options],
) -> Path:
    """Writes what the SIDD or the DND benchmark scores, from the trained weights of one method; its path.

    By default SubmitRaw.csv, in suites of colour images SubmitSrgb.csv; a name in .mat gives the server's older format.
    Where `blocks` is DND's folder, the path is that of a new folder, by default SubmitDND.
    """
    load_plugins(options.get("plugins", ()))
    machine = _applied(options)
    planned = plan.make(request(suite, method.split(","), preset, **asked_in(options)))
    about = submission.About(method, authors, title, venue)
    store = store_of(options.get("store"), must_exist=False)
    return submission.submit(planned, store, machine, Path(blocks), path_of(out), output, about, Lines())


def claim(path: PathLike) -> Report:
    """Compares claimed numbers with what is printed and measured, and with each other; InputError for no such file."""
    return check_claims(Path(path))


def environment() -> dict[str, Any]:
    """What a bug report needs."""
    facts = machine_facts(choose()[0])
    return facts | {"bench": __version__, "suites": ", ".join(suite_files.suites())}


def _applied(options: Computed) -> Machine:
    """The machine of this process, whose settings it takes on; shows what it cannot do."""
    machine, notes = machine_of(options)
    machine.apply()
    with Display(options.get("quiet", False)) as display:
        for note in notes:
            display.note(note)
    return machine
