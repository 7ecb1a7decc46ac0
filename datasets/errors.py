"""Errors a user can act on: what is wrong, what was given, what is allowed, how to fix it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class InputError(ValueError):
    """Wrong input: one clear line, exit code 2."""


class AbsentError(InputError):
    """Images or a package that are not on this machine."""


class DamagedError(InputError):
    """A file is not what it claims to be."""


def unknown(what: str, got: str, allowed: Iterable[str], fix: str = "") -> InputError:
    """The error for a name that is not one of `allowed`, nearest match first."""
    names = list(allowed)
    lower = {name.lower(): name for name in names}
    near = [lower[name] for name in get_close_matches(got.lower(), lower, n=1, cutoff=0.5)]
    guess = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(sorted(names, key=lambda name: (name not in near, name))) or "none"
    return InputError(f"unknown {what} {got!r}.{guess} Allowed: {listed}.{' ' + fix if fix else ''}")


def few(names: Sequence[str], separator: str = ", ") -> str:
    """The first three names, and how many more there are."""
    return separator.join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def one_line(error: BaseException) -> str:
    """An error's type and message, whatever it says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
