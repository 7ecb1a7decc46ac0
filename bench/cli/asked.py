"""What the options ask for, as the API takes it."""

import argparse
from typing import Any

from .. import api

ASKED = {"noises": "noise", "tests": "test_sets", "settings": "set"}  # where an option has another name
COMPUTED = ("data", "store", "device", "precision", "threads", "compile", "deterministic")


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for besides methods, suite and preset."""
    return {name: getattr(options, ASKED.get(name, name)) for name in api.Asked.__annotations__}


def computed(options: argparse.Namespace) -> dict[str, Any]:
    """What computes, on which images, into which store."""
    return {name: getattr(options, name) for name in COMPUTED if hasattr(options, name)}


def request_and_machine(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for, and what computes it."""
    return asked(options) | computed(options)
