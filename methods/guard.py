"""The code of a plug-in may raise anything: here it becomes an error that ends one cell or one command, in one line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from ..datasets.errors import InputError, one_line, printable
from .base import Method

# Asked by plans and tables: what each returns where it does not return None.
HOOKS = {"applies": str, "unavailable": str, "reduced_settings": str, "passes": dict}


class MethodError(Exception):
    """The code of a method, network or metric failed; the message names what it raised."""


@contextmanager
def guarded(*passing: type[BaseException]) -> Iterator[None]:
    """MethodError for whatever is raised inside, such as SystemExit, except Ctrl-C and `passing`."""
    unchanged: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit, MethodError, *passing)
    try:
        yield
    except unchanged:
        raise
    except BaseException as error:
        raise MethodError(printable(one_line(error))) from error


def protect(name: str, cls: type[Method]) -> None:
    """Lets the hooks that a plug-in defines raise InputError alone, and return what they promise."""
    for hook, kind in HOOKS.items():
        function = vars(cls).get(hook)
        if callable(function) and not hasattr(function, "__wrapped__"):
            setattr(cls, hook, _protected(f"method {name!r}: {hook}", function, kind))


def _protected(what: str, function: Callable[..., Any], kind: type) -> Callable[..., Any]:
    @wraps(function)
    def asked(*arguments: Any) -> Any:
        try:
            with guarded(InputError):
                answer = function(*arguments)
        except MethodError as error:
            raise InputError(f"{what} raised {error}") from error
        if answer is not None and not isinstance(answer, kind):
            raise InputError(f"{what} returned a {type(answer).__name__}; expected a {kind.__name__}")
        return printable(answer) if isinstance(answer, str) else answer

    return asked
