"""Conformance kit: whether a method fits the harness, check by check, with the reason. Nothing here knows a name."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..datasets.errors import InputError, few
from ..datasets.noise.model import Noise, parse
from ..methods import plugins, registry
from ..methods.base import Method
from ..methods.guard import MethodError, guarded
from ..protocol import suite_files
from . import conformance_checks
from .conformance_checks import SlowError, Subject, UnfitError

NOISES = ("gauss25", "poisson30", "gauss5_50", "poisson5_50", "none")
CHANNELS = (3, 1, 4)


class Finding(Struct):
    """How a check ended."""

    check: str
    state: str  # ok, failed, slow, does not apply, skipped
    text: str


def trains(method: Method) -> str:
    """For checks of the training."""
    return "" if method.learns() else "it trains nothing"


def claims_blindness(method: Method) -> str:
    """For the check of blindness."""
    return "" if any(output.blind for output in method.outputs) else "no output claims to be blind"


def always(method: Method) -> str:
    """For checks of every method."""
    return ""


CHECKS: dict[str, tuple[Callable[[Subject], str], Callable[[Method], str]]] = {
    "declaration": (conformance_checks.declaration, always),
    "odd sizes": (conformance_checks.shapes, always),
    "shape and dtype": (conformance_checks.dtype, always),
    "determinism": (conformance_checks.determinism, always),
    "blindness": (conformance_checks.blindness, claims_blindness),
    "firewall": (conformance_checks.firewall, trains),
    "micro-batches": (conformance_checks.micro_batches, trains),
    "bf16": (conformance_checks.half_precision, trains),
    "captured step": (conformance_checks.capture, trains),
    "loss goes down": (conformance_checks.loss_goes_down, trains),
    "interrupted = uninterrupted": (conformance_checks.resumption, trains),
}
# With every family of noise and number of channels, and with every family; the others with the first.
EVERYWHERE, EVERY_FAMILY = ("odd sizes", "firewall"), ("captured step",)


def findings(name: str, method: Method) -> Iterator[Finding]:
    """All findings of one method, as they come."""
    # Noisy images without clean ones cannot train a supervised method.
    noises = NOISES if method.supervision in ("noisy", "none") else NOISES[:-1]
    cells = [(parse(noise), channels) for noise in noises for channels in CHANNELS]
    try:
        with guarded():
            reasons = {(noise, channels): method.applies(noise, channels) for noise, channels in cells}
    except MethodError as error:
        yield Finding("declaration", "failed", f"applies raised {error}")
        return
    defined = [cell for cell in cells if reasons[cell] is None]
    if not defined:
        yield Finding("declaration", "failed", f"not defined anywhere: {next(iter(reasons.values()))}")
        return
    for title, (function, scope) in CHECKS.items():
        for where, (noise, channels) in _cells(title, defined).items():
            yield _finding(f"{title}{where}", function, scope(method), Subject(name, method, noise, channels))
    for noise in dict.fromkeys(noise for noise, _ in cells):
        missing = {c: r for (n, c), r in reasons.items() if n == noise and r is not None}
        if missing:
            where = "" if len(missing) == len(CHANNELS) else f", C = {', '.join(map(str, sorted(missing)))}"
            yield Finding(f"{noise.name}{where}", "not defined", str(next(iter(missing.values()))))


def _cells(title: str, defined: list[tuple[Noise, int]]) -> dict[str, tuple[Noise, int]]:
    """The noises and numbers of channels that a check runs on, by what its title says of them."""
    if title not in (*EVERYWHERE, *EVERY_FAMILY):
        return {"": defined[0]}
    first: dict[tuple[str, int], tuple[Noise, int]] = {}
    for noise, channels in defined:
        first.setdefault((noise.family.name, channels if title in EVERYWHERE else 0), (noise, channels))
    return {f", {noise.name}, C = {channels}": (noise, channels) for _, (noise, channels) in sorted(first.items())}


def _finding(title: str, function: Callable[[Subject], str], out_of_scope: str, subject: Subject) -> Finding:
    if out_of_scope:
        return Finding(title, "does not apply", out_of_scope)
    try:
        with guarded(UnfitError, SlowError):
            if reason := subject.method.unavailable():
                return Finding(title, "skipped", reason)
            return Finding(title, "ok", function(subject))
    except SlowError as error:
        return Finding(title, "slow", str(error))
    except (UnfitError, MethodError) as error:
        return Finding(title, "failed", str(error))


def targets(text: str) -> dict[str, Method]:
    """The methods of a registered name, a shared configuration, a plug-in file, or package:Class.

    Fields are the configuration's, else the defaults; InputError for an unknown name or a file without a method.
    """
    if one := suite_files.shared("configurations").get(text):
        return {text: registry.configured(registry.find(one.method), one.fields)}
    if text.endswith(".py"):
        registered = plugins.load(Path(text))
        file = Path(text).resolve()
        classes = {name: cls for name, cls in registry.methods().items() if plugins.source_file(cls) == file}
        if not classes:
            raise InputError(
                f"check {text}: it registers {few(sorted(registered))} and no method, and only methods are checked. A "
                f"short run tries it: python -m bench run --plugin {text} --steps 40, with the options that "
                "CONTRIBUTING.md gives for this kind of plug-in"
            )
    elif ":" in text:
        module, _, attribute = text.partition(":")
        try:
            with guarded():
                found: Any = getattr(importlib.import_module(module), attribute)
        except MethodError as error:
            raise InputError(f"check {text}: {error}") from None
        names = [name for name, cls in registry.methods().items() if cls is found]
        classes = dict.fromkeys(names, found) or {attribute.lower(): registry.register(attribute.lower())(found)}
    else:
        classes = {text: registry.find(text)}
    try:
        return {name: cls() for name, cls in classes.items()}
    except TypeError as error:
        raise InputError(f"check {text}: every field needs a default ({error})") from None
