"""How much faster several jobs are than one: the same units with each, in turn."""

import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
from msgspec import structs

from ..compute.machine import Machine
from ..datasets.errors import InputError
from ..protocol.plan import make
from ..protocol.request import Request
from ..runner import engines
from ..runner.display import Display
from ..runner.execution import Sets
from ..runner.run import Run
from ..runner.workers import Assignment, SharedRun
from ..store.store import Store

WORKLOADS = {
    "BM3D on two noises": Request(methods=("bm3d",), noises=("gauss25", "gauss50")),
    "four trainings, scored": Request(methods=("n2c", "n2n", "nbr2nbr", "r2r"), noises=("gauss25",), steps=50),
}


def measure(jobs: int, machine: Machine, rounds: int) -> pd.DataFrame:
    """Median seconds of each workload with one job, in this process, and with several, with equal threads for each.

    The times of several jobs include the start of their processes.
    """
    rows = []
    for name, request in WORKLOADS.items():
        _seconds(request, 1, machine)
        turns = [(_seconds(request, 1, machine), _seconds(request, jobs, machine)) for _ in range(rounds)]
        one, several = (statistics.median(times) for times in zip(*turns, strict=True))
        rows.append(
            {
                "work": name,
                "1 job [s]": f"{one:.1f}",
                f"{jobs} jobs [s]": f"{several:.1f}",
                "ratio": f"{one / several:.2f}",
                "machine": f"{machine.device}, {machine.precision}, {machine.threads} thread(s) a job",
            }
        )
    return pd.DataFrame(rows)


def _seconds(request: Request, jobs: int, machine: Machine) -> float:
    """A whole run in an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        known = structs.asdict(machine)
        settings = {name: known[name] for name in ("device", "precision", "threads", "compile", "deterministic")}
        assignment = Assignment(request=request, store=folder, data=None, **settings)
        what = (make(request), Store(Path(folder)), machine, Sets(None), Display(quiet=True))
        run = SharedRun(*what, engine=engines.Local(jobs), assignment=assignment) if jobs > 1 else Run(*what)
        began = time.perf_counter()
        try:
            if run.carry_out().code:
                raise InputError(f"a unit of {', '.join(request.methods)} failed: nothing to compare")
            return time.perf_counter() - began
        finally:
            run.close()
