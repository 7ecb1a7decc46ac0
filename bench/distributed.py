"""One training by the processes that torchrun has started: shares of a batch, sums, decisions taken together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import IntEnum
from typing import NamedTuple, TypeVar

import torch
from msgspec import structs
from torch import Tensor, distributed, nn

from .datasets.errors import InputError
from .machine import Machine
from .plan import Fit

PATIENCE = timedelta(days=30)  # the others wait while the first process scores
T = TypeVar("T")


class Vote(IntEnum):
    """How a process's part of a step went; the worst one counts for all."""

    DONE = 0
    SHORT = 1  # of memory
    STOP = 2  # a signal asks to stop
    FAILED = 3


class ElsewhereError(RuntimeError):
    """The training failed in another process."""


class LostError(SystemExit):
    """Another process has died; torchrun ends this one, too."""


class Team(NamedTuple):
    """The processes of one training; alone, nothing is sent anywhere."""

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> range:
        """Which of `count` samples are this process's."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def told(self, what: T) -> T:
        """What the first process says."""
        said = [what]
        if self.size > 1:
            with _connected():
                distributed.broadcast_object_list(said, device=torch.device("cpu"))
        return said[0]

    def vote(self, mine: Vote, why: str = "") -> Vote:
        """The worst vote of all processes; ElsewhereError if another one FAILED."""
        if self.size == 1:
            return mine
        worst, reasons = torch.tensor(int(mine)), [""] * self.size
        with _connected():
            distributed.all_reduce(worst, distributed.ReduceOp.MAX)
            if worst == Vote.FAILED:
                distributed.all_gather_object(reasons, why)
        if worst == Vote.FAILED and mine != Vote.FAILED:
            raise ElsewhereError(next(filter(None, reasons)))
        return Vote(int(worst))

    def sum(self, net: nn.Module, loss: Tensor) -> Tensor:
        """Adds up the gradients and the loss: the same bytes in all processes, so that their networks stay equal."""
        if self.size == 1:
            return loss
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _connected():
            distributed.all_reduce(flat)
            distributed.all_reduce(loss)
        for gradient, total in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))
        return loss

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that all processes leave alike: what one raises, the others learn when they next vote."""
        try:
            yield
        except ElsewhereError:
            raise
        except Exception as error:
            self.vote(Vote.FAILED, f"{type(error).__name__}: {error}")
            raise
        self.vote(Vote.DONE)


def team(machine: Machine) -> Team:
    """The processes that share a training on this machine."""
    return Team(distributed.get_rank(), machine.processes) if machine.processes > 1 else Team()


def check(work: Fit, machine: Machine) -> None:
    """InputError for a batch that leaves a process without a sample."""
    if work.batch < machine.processes:
        raise InputError(
            f"{work.title}: a batch of {work.batch} for {machine.processes} processes; allowed: at most one per sample"
        )


def launched() -> int:
    """How many processes torchrun has started."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


@contextmanager
def connected(machine: Machine) -> Iterator[Machine]:
    """The machine of this process, connected with the others; they are released when the first one leaves."""
    if launched() == 1:
        yield machine
        return
    if machine.device.startswith("cuda:"):
        raise InputError(f"--device {machine.device} under torchrun; allowed: cuda (each process takes its own), cpu")
    device = machine.device
    if device == "cuda":
        if (here := int(os.environ["LOCAL_WORLD_SIZE"])) > torch.cuda.device_count():
            raise InputError(
                f"{here} processes here for {torch.cuda.device_count()} GPUs; start one for each, or fewer"
            )
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
    mine = structs.replace(machine, device=device, processes=launched())
    try:
        with _released(team(mine)):
            yield mine
    finally:
        distributed.destroy_process_group()


@contextmanager
def _released(team: Team) -> Iterator[None]:
    """However the first process leaves, short of dying, the others learn that there is nothing more to do."""
    try:
        yield
    except Exception:
        _release(team)
        raise
    _release(team)


def _release(team: Team) -> None:
    if team.rank == 0:
        team.told("")


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition(". ")[0]
        raise LostError(f"bench: a process of this run is lost ({reason}); run the same command again") from None
