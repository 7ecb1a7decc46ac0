"""The commands for a user's own images."""

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from .. import api
from .asked import computed
from .parser import Commands, add_machine, add_store, command, names, positive
from .printing import print_json, print_rows, tell

NUMBER = r"-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?"
IMAGES = ("axes", "value_range", "channels", "recursive")
UNUSED = "some images could not be used"


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    _add_noise(commands)
    _add_denoise(commands)
    _add_rank(commands)


def _add_noise(commands: Commands) -> None:
    sub = command(commands, "noise", "tell what the noise of images is, and which methods suit it", UNUSED)
    add_images(sub)
    sub.add_argument("--repeats", action="store_true", help="the frames of a stack are of one scene")
    sub.add_argument("--pattern", default="", metavar="RGGB", help="the images are Bayer mosaics")
    sub.add_argument("--offset", type=number, default=None, metavar="N", help="the level of black, where it is known")
    sub.add_argument("--out", type=Path, default=None, metavar="DIR", help="write text, JSON and a picture there")
    sub.set_defaults(do=noise)


def _add_denoise(commands: Commands) -> None:
    sub = command(
        commands,
        "denoise",
        "denoise images of your own, by a method that is trained on them",
        "some images were not denoised",
    )
    add_images(sub)
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the denoised images")
    sub.add_argument("--method", default="", metavar="NAME", help="default: one for this noise; auto: ranks some")
    sub.add_argument("--train", type=Path, metavar="FOLDER", help="train on these images instead")
    sub.add_argument("--weights", type=Path, metavar="FILE", help="use trained weights; nothing is trained")
    sub.add_argument("--from", dest="cell", default="", metavar="KEY", help="use the weights of a cell in the store")
    add_store(sub)
    sub.add_argument("--minutes", type=minutes, default=0.0, metavar="M", help="of training (default: 5)")
    sub.add_argument("--steps", type=positive, default=0, metavar="N", help="of training, instead of minutes")
    sub.add_argument("--preset", default="", metavar="NAME", help="whose number of steps: mini, reduced, standard")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--dtype", choices=("keep", "float32"), default="keep", help="type of the output")
    sub.add_argument("--overwrite", action="store_true", help="replace outputs that are there")
    add_machine(sub)
    sub.set_defaults(do=denoise)


def _add_rank(commands: Commands) -> None:
    sub = command(
        commands,
        "rank",
        "tell which method is best on images of your own, without clean ones",
        f"undecided, or {UNUSED}",
    )
    add_images(sub)
    sub.add_argument(
        "--methods",
        type=names,
        default=(),
        metavar="A,B",
        help="default: noisy, blur, the BM3D for this noise, n2v, nbr2nbr, b2u, of four or more frames also n2n",
    )
    sub.add_argument("--repeats", action="store_true", help="the frames of a stack are of one scene")
    sub.add_argument("--out", type=Path, default=Path("ranking"), metavar="DIR", help="for results and trainings")
    sub.add_argument("--preset", default="", metavar="NAME", help="whose number of training steps (default: mini)")
    sub.add_argument("--steps", type=positive, default=0, metavar="N", help="of training")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    add_machine(sub)
    sub.set_defaults(do=rank)


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


def denoise(options: argparse.Namespace) -> int:
    """Denoises files; 0 if all were, 1 if some were not."""
    how = images(options) | computed(options) | {"command": shlex.join(["python", "-m", "bench", *sys.argv[1:]])}
    asked = ("train", "weights", "cell", "store", "minutes", "steps", "preset", "seed", "dtype", "overwrite")
    how |= {name: getattr(options, name) for name in asked} | {"plugins": options.plugin}
    done, found = api.denoise(options.files, options.out, options.method, **how)
    tell(f"failed: {line}" for line in done.failed)
    failed = len(done.failed) + found.failed
    tell([f"{len(done.written)} written, {len(done.kept)} were there already, {failed} failed. Outputs: {options.out}"])
    return 1 if failed else 0


def rank(options: argparse.Namespace) -> int:
    """Prints a ranking; 0 if it is decided, 1 if not or if some images could not be used."""
    how = images(options) | computed(options) | {"plugins": options.plugin}
    how |= {name: getattr(options, name) for name in ("repeats", "preset", "steps", "seed")}
    answer, found = api.rank(options.files, options.methods, options.out, **how)
    if options.format == "terminal":
        print(api.ranking_text(answer))
    elif options.format == "json":
        print_json(api.ranking_plain(answer))
    else:
        print_rows(api.ranking_rows(answer), options)
    tell([f"Results, images and trainings: {options.out}"])
    return 0 if answer.decided and not found.failed else 1


def number(text: str) -> float:
    """A number of at most a billion."""
    if not re.fullmatch(NUMBER, text, re.IGNORECASE) or abs(float(text)) > 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 100 or -0.5, of at most 1e9")
    return float(text)


def minutes(text: str) -> float:
    """A number of minutes above 0."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes, such as 10 or 0.5")
    return float(text)


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
        help="the values that stand for black and white; --range=-5,5 where LOW is negative. Default of denoise and "
        "rank: what the noise card proposes; of noise: what 8 and 16 bits can hold, else percentiles 0.1 and 99.9",
    )
    sub.add_argument("--channels", choices=("joint", "each"), default="joint", help="denoise them together or alone")
    sub.add_argument("--recursive", action="store_true", help="read sub-folders, too")


def images(options: argparse.Namespace) -> dict[str, Any]:
    """How images are understood, as `api.opened` takes it."""
    return {name: getattr(options, name) for name in IMAGES}


def pair(text: str) -> tuple[float, float]:
    """The two numbers of a range."""
    if not (found := re.fullmatch(f"({NUMBER}),({NUMBER})", text, re.IGNORECASE)):
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH, such as 0,4095")
    return float(found[1]), float(found[2])
