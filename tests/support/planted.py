"""Records planted in a store as if a run had made them: tables need nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.datasets.sets.catalogue import entry
from bench.protocol.plan import Cell, make
from bench.protocol.request import Request
from bench.protocol.units import Score
from bench.store.record import Record, summary
from bench.store.rows import Row
from bench.store.store import Store


def plant(folder: Path, psnrs: Mapping[str, Mapping[str, float]], **request: Any) -> Store:
    """A store with a score of every cell: method -> output -> mean PSNR; images differ from their mean by dB."""
    store = Store(folder)
    store.open()
    plan = make(Request(methods=tuple(psnrs), **request))
    for cell in plan.cells:
        for score in cell.scores if cell.name in psnrs else ():
            _write(store, cell, score, psnrs[cell.name], plan.suite.name, plan.request.label)
    return store


def _write(store: Store, cell: Cell, score: Score, psnrs: Mapping[str, float], suite: str, preset: str) -> None:
    images = entry(score.test).count
    rows = [
        Row(f"image{i}", 0, 25.0, output.name, {"psnr": psnrs[output.name] + i - (images - 1) / 2, "ssim": 0.85})
        for i in range(images)
        for output in cell.fit.method.outputs
    ]
    label = {"suite": suite, "version": 1, "preset": preset, "method": cell.name, "noise": cell.noise.name}
    record = Record(
        key=score.key, kind="score", state="done", title=score.title, label=label | {"test": score.test},
        identity=score.identity, result={"outputs": summary(rows)},
    )  # fmt: skip
    store.write(score, record, rows)
