"""The commands for a user's own images."""

import argparse
import re
from typing import Any

from .parser import Commands

IMAGES = ("axes", "value_range", "channels", "recursive")


def add(commands: Commands) -> None:
    """Adds the commands of this module."""


def add_images(sub: argparse.ArgumentParser) -> None:
    """Which images, and how they are understood."""
    sub.add_argument("files", nargs="+", metavar="FILE", help="images, stacks, or folders of them")
    sub.add_argument("--axes", default="", metavar="ZYX", help="letters of TZCYXS where a file does not name its axes")
    sub.add_argument(
        "--range",
        dest="value_range",
        type=pair,
        default=None,
        metavar="LOW,HIGH",
        help="the values that stand for black and white; --range=-5,5 where LOW is negative. Default: what 8 and 16 "
        "bits can hold, else percentiles 0.1 and 99.9",
    )
    sub.add_argument("--channels", choices=("joint", "each"), default="joint", help="denoise them together or alone")
    sub.add_argument("--recursive", action="store_true", help="read sub-folders, too")


def images(options: argparse.Namespace) -> dict[str, Any]:
    """How images are understood, as `api.opened` takes it."""
    return {name: getattr(options, name) for name in IMAGES}


def pair(text: str) -> tuple[float, float]:
    """The two numbers of a range."""
    number = r"-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?"
    if not (found := re.fullmatch(f"({number}),({number})", text, re.IGNORECASE)):
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH, such as 0,4095")
    return float(found[1]), float(found[2])
