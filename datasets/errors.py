"""Errors a user can act on: what is wrong, what was given, what is allowed, how to fix it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 2000  # characters of a message; a foreign name in it may have any number of them


class InputError(ValueError):
    """Wrong input: one clear line, exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class AbsentError(InputError):
    """Images or a package that are not on this machine."""


class DamagedError(InputError):
    """A file is not what it claims to be."""


def unknown(what: str, got: str, allowed: Iterable[str], fix: str = "", meant: str = "") -> InputError:
    """The error for a name that is not in `allowed`; it lists the allowed names, the likeliest first."""
    names = list(allowed)
    lower = {name.lower(): name for name in names}
    close = get_close_matches(got.lower(), lower, n=1, cutoff=0.6)
    near = [meant] if meant in names else [lower[name] for name in close]
    guess = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(sorted(names, key=lambda name: (name not in near, name))) or "none"
    return InputError(f"unknown {what} {got!r}.{guess} Allowed: {listed}.{' ' + fix if fix else ''}")


def few(names: Sequence[str], separator: str = ", ") -> str:
    """The first three names, and how many more there are."""
    return separator.join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def plural(number: int, what: str) -> str:
    """Such as `1 step` or `250 steps`."""
    return f"{number} {what}{'s' * (number != 1)}"


def one_line(error: BaseException) -> str:
    """An error's type and message in one line."""
    try:
        said = str(error)
    except Exception as worse:  # foreign code may fail even here
        said = f"no message, as making it failed with {type(worse).__name__}"
    return f"{type(error).__name__}: {' '.join(said.split())}"


def printable(message: str) -> str:
    """The message with escapes for line ends and terminal commands, which the name of a file may contain."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
