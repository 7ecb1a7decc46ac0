"""What the options ask for, as the API takes it."""

import argparse
from typing import Any

from .. import api
from ..compute.machine import Machine, choose
from ..protocol.request import Request

ASKED = {"noises": "noise", "tests": "test_sets", "settings": "set"}  # where an option has another name
COMPUTED = ("data", "store", "device", "precision", "threads", "compile", "deterministic")


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for besides methods, suite and preset."""
    return {name: getattr(options, ASKED.get(name, name)) for name in api.Asked.__annotations__}


def computed(options: argparse.Namespace) -> dict[str, Any]:
    """What computes, on which images, into which store."""
    return {name: getattr(options, name) for name in COMPUTED}


def request(options: argparse.Namespace, suite: str, methods: tuple[str, ...] = ()) -> Request:
    """What is asked of a suite."""
    return api.request(suite, methods, options.preset or "mini", **asked(options))


def chosen_machine(options: argparse.Namespace) -> tuple[Machine, list[str]]:
    """The machine of this process, whose settings it takes on, and what it cannot do."""
    found, notes = choose(options.device, options.precision, options.threads, options.compile, options.deterministic)
    found.apply()
    return found, notes
