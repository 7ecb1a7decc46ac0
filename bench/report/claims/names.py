"""Which method of ours a name in a paper means."""

import re
from functools import cache

from ...methods import registry
from ...protocol.suite_files import load
from ..published import others, published, with_tables


@cache
def _known() -> dict[str, tuple[str, str]]:
    """Words -> (method, output): registered methods, rows of the suites by their labels, methods of others."""
    found: dict[str, tuple[str, str]] = {}
    for suite in with_tables():
        for row in load(suite).rows:
            found.setdefault(_words(row.label), (row.method, row.output))
            found.setdefault(_words(row.label.removeprefix("Baseline, ")), (row.method, row.output))
            found.setdefault(_words(row.method), (row.method, ""))
        for one in others(suite):
            found.setdefault(_words(one.label), (one.method, ""))
            found.setdefault(_words(one.method), (one.method, ""))
    alone = {"blind2unblind": "b2u", "neighbor2neighbor": "nbr2nbr", "noise2void": "n2v", "noise2noise": "n2n"}
    alone |= {"recorrupted2recorrupted": "r2r", "cbm3d": "bm3d", "supervised": "n2c", "noise2clean": "n2c"}
    registered = {_words(name): (name, "") for name in registry.methods()}
    return registered | found | {name: (method, "") for name, method in alone.items()}


def identify(label: str, output: str) -> tuple[str, str]:
    """(method, output) of a label; one that is not known is its own name."""
    method, known = _known().get(_words(label), (label, ""))
    return method, output or known


def outputs_printed(method: str, noise: str, test: str) -> list[str]:
    """The outputs of a method that the paper's tables have for a noise and a set."""
    keys = [key for table in range(1, 9) for key, value in published(table).items() if value]
    return list(dict.fromkeys(out for n, name, out, s in keys if (n, name, s) == (noise, method, test)))


def _words(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())
