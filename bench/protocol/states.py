"""The state of a cell, a unit of work or a record: a kind, and the reason in words."""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "done", "trained", "running", "interrupted", "missing", "not run",  # what a run still has to do, or has done
    "partly run",  # seeds of a row
    "failed", "diverged", "skipped", "not defined", "not possible",  # why there is no number
    "stale", "damaged", "foreign", "unreadable",  # what is wrong with a record
]  # fmt: skip


class State(Struct, frozen=True):
    """How something stands; `reason` is empty where the kind says all."""

    kind: Kind
    reason: str = ""

    def __str__(self) -> str:
        """Such as `not defined: BM3D takes the noise for Gaussian`."""
        return f"{self.kind}: {self.reason}" if self.reason else self.kind
