"""Methods that need a library which this machine may lack."""

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

from bench.methods import registry

BRIDGES = "bench.methods.bridges."


def ours(name: str) -> bool:
    """Whether the idea of a method is our own code."""
    return not registry.find(name).__module__.startswith(BRIDGES)


def here(names: Iterable[str]) -> list[ParameterSet]:
    """Names of methods; those that this machine cannot run are skipped, with the reason."""
    reasons = {name: registry.find(name)().unavailable() for name in names}
    return [pytest.param(name, marks=[pytest.mark.skip(reason=why)] if why else []) for name, why in reasons.items()]
