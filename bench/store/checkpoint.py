"""The checkpoints of a training: all that a killed one needs to end in the same bytes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from ..datasets import files
from ..datasets.errors import DamagedError
from .tensors import read_tensors, write_tensors

CONTINUED = "continued with "
CHOSEN = {"precision", "deterministic"}  # by the user; they change more than the last digits


class Holder(Protocol):
    """What has the tensors of a training."""

    chunk: int  # images per network call

    def state(self) -> dict[str, Tensor]:
        """All tensors that a training changes, by name."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Takes over such tensors."""


class Past(Struct):
    """What happened in a training until its checkpoint."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    seconds: float
    history: list[tuple[int, float]]
    quality: list[tuple[int, float]]
    warnings: list[Annotated[str, msgspec.Meta(pattern=": ")]]
    chunk: Annotated[int, msgspec.Meta(ge=1)]


class State:
    """What an interrupted training needs: weights, moments, the step, history; random numbers have names."""

    def __init__(self, key: str, setting: dict[str, Any], holder: Holder) -> None:
        self.about, self.setting, self.holder = {"key": key, "machine": setting}, setting, holder
        self.step, self.seconds = 0, 0.0
        self.history: list[tuple[int, float]] = []
        self.quality: list[tuple[int, float]] = []
        self.warnings: list[str] = []

    def said(self) -> set[str]:
        """The kinds of warnings already given."""
        return {warning.split(": ")[1] for warning in self.warnings}

    def save(self, path: Path) -> None:
        """The last two are kept: a file may be lost to the disk."""
        past = Past(self.step, self.seconds, self.history, self.quality, self.warnings, self.holder.chunk)
        tensors, rest = self.holder.state(), msgspec.to_builtins(past)
        if path.is_file():
            path.replace(before(path))
        write_tensors(path, tensors, self.about | rest | {"sha256": _digest(tensors, rest)})

    def load(self, path: Path | None) -> str:
        """Continues at the newer whole checkpoint of the same work; a sentence if none fits, or if the machine changed.

        InputError for a checkpoint that this user may not read: its progress would be lost.
        """
        found = [one for one in (path, before(path)) if files.is_file(one)] if path else []
        note = ""
        for one in found:
            try:
                said = self._resume(*read_tensors(one)) or note
            except (DamagedError, msgspec.ValidationError):
                note = "the checkpoint is damaged; continuing at the one before it"
                continue
            if note:  # the next save must not put the damaged one into the place of this one
                found[0].unlink(missing_ok=True)
            return said
        return "the checkpoint is damaged; starting again" if found else ""

    def _resume(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
        past = msgspec.convert(about, Past)
        if about.get("key") != self.about["key"]:
            return "the checkpoint is of another training; starting again"
        changed = self._changed(about.get("machine"))
        if chosen := changed.keys() & CHOSEN:
            return f"the checkpoint has another setting of {' and '.join(sorted(chosen))}; starting again"
        if about.get("sha256") != _digest(tensors, msgspec.to_builtins(past)) or _forms(tensors) != _forms(
            self.holder.state()
        ):
            raise DamagedError("other tensors than were saved")
        self._take(tensors, past, same_device="device" not in changed)
        if not changed:
            return ""
        said = CONTINUED + ", ".join(changed.values())
        self.warnings.append(f"step {self.step}: {said}")
        return f"{said}: sums differ in their last digits from here on"

    def _changed(self, machine: Any) -> dict[str, str]:
        """The settings of the machine that differ from the checkpoint's, such as `threads 1 instead of 2`, by name."""
        old: dict[str, Any] = machine if isinstance(machine, dict) else {}
        differing = {name: (now, old.get(name)) for name, now in self.setting.items() if old.get(name) != now}
        return {name: f"{name} {now} instead of {before}" for name, (now, before) in differing.items()}

    def _take(self, tensors: dict[str, Tensor], past: Past, same_device: bool) -> None:
        self.holder.load(tensors)
        self.step, self.seconds, self.warnings = past.step, past.seconds, past.warnings
        self.history, self.quality = past.history, past.quality
        if same_device:  # with its memory
            self.holder.chunk = past.chunk


def continued(warnings: Sequence[str]) -> list[str]:
    """The warnings that say that another machine continued the training."""
    return [one for one in warnings if CONTINUED in one]


def _forms(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _digest(tensors: dict[str, Tensor], rest: dict[str, Any]) -> str:
    """SHA-256 of all that a checkpoint holds; safetensors has no checksum of its own."""
    found = hashlib.sha256(msgspec.json.encode(rest, order="sorted"))
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def before(checkpoint: Path) -> Path:
    """Where the checkpoint before this one is kept."""
    return checkpoint.with_suffix(".before")


def forget(checkpoint: Path) -> None:
    """Deletes both checkpoints of a training."""
    for path in (checkpoint, before(checkpoint)):
        path.unlink(missing_ok=True)
