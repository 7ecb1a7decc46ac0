"""The commands for a user's own images."""

import argparse
import re
from pathlib import Path
from typing import Any

from .. import api
from .parser import Commands, command
from .printing import print_json, print_rows, tell

IMAGES = ("axes", "value_range", "channels", "recursive")


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = command(commands, "noise", "tell what the noise of images is, and which methods suit it")
    add_images(sub)
    sub.add_argument("--repeats", action="store_true", help="the frames of a stack are of one scene")
    sub.add_argument("--pattern", default="", metavar="RGGB", help="the images are Bayer mosaics")
    sub.add_argument("--offset", type=float, default=None, metavar="N", help="the level of black, where it is known")
    sub.add_argument("--out", type=Path, default=None, metavar="DIR", help="write text, JSON and a picture there")
    sub.set_defaults(do=noise)


def noise(options: argparse.Namespace) -> int:
    """Prints noise cards."""
    found = api.opened(options.files, **images(options))
    tell(found.lines())
    about = {name: getattr(options, name) for name in ("repeats", "pattern", "offset")}
    cards = api.noise_card(found, **about)
    if options.out:
        tell(api.write_noise_cards(cards, options.out))
    if options.format == "json":
        print_json(cards)
    elif options.format == "terminal":
        print("\n\n".join(map(api.noise_text, cards)))
    else:
        print_rows([row for card in cards for row in api.noise_rows(card)], options)
    return 1 if found.failed else 0


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
