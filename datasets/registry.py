"""Registries by name of methods, networks, noises, metrics and image formats, ours and those of plug-ins."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .errors import InputError, unknown

T = TypeVar("T")
Code = type | Callable[..., Any]
registered_by: dict[
    str, set[str]
] = {}  # what each module registered, in words; a plug-in file without an entry is a mistake


class Registry(Generic[T]):
    """Things of one kind by name. Ours register when their package is imported, others when a plug-in runs."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self.entries: dict[str, T] = {}
        self._defined: dict[str, tuple[str, str]] = {}  # module and name of the code behind each entry
        self._discovered = False

    def add(self, name: str, entry: T, code: Code) -> None:
        """Registers what `code` defines; InputError if other code has this name."""
        if not self.ours(code):
            self.all()  # a plug-in may not take the name of one of ours
        place = (code.__module__, code.__qualname__)
        if name in self.entries and self._defined[name] != place:
            raise InputError(
                f"the {self.kind} {name!r} is registered twice: {self._defined[name][0]} and {place[0]}; rename one"
            )
        self.entries[name], self._defined[name] = entry, place
        registered_by.setdefault(code.__module__, set()).add(f"{self.kind} {name!r}")

    def ours(self, code: Code) -> bool:
        """Whether code is built in."""
        return code.__module__.startswith(f"{self.package}.")

    def all(self) -> dict[str, T]:
        """Every entry by name; imports the files of the package first, each of which registers its own."""
        if not self._discovered:
            self._discovered = True
            package = importlib.import_module(self.package)
            for module in pkgutil.walk_packages(package.__path__, f"{self.package}."):
                importlib.import_module(module.name)
        return dict(self.entries)

    def find(self, name: str) -> T:
        """The entry of a name; InputError with the nearest names if there is none."""
        known = self.all()
        if name not in known:
            raise unknown(self.kind, name, known, f"A {self.kind} of your own: --plugin FILE.py.")
        return known[name]
