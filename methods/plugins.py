"""Plug-ins, files and installed packages (entry points): how they are loaded, and what identifies their code."""

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from ..datasets.errors import InputError, one_line
from ..datasets.registry import Code, registered_by
from .registry import register
from .source_digest import file_digest

GROUP = "blind2unblind_bench.methods"  # entry-point group: NAME = "package.module:Class"
PLUGIN = "bench_plugin_"  # begins the names of the modules of plug-in files


def load_entry_points() -> None:
    """Registers the methods of installed plug-in packages; a broken one is an InputError that names it."""
    for point in entry_points(group=GROUP):
        try:
            register(point.name)(point.load())
        except (InputError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in's code may raise anything
            raise InputError(f"plug-in {point.name} = {point.value}: {one_line(error)}") from error


def load(path: Path) -> set[str]:
    """Runs a file and returns what it registers, in words; InputError if it cannot be run or registers nothing."""
    if not path.is_file():
        raise InputError(f"--plugin {path}: no such file")
    if path.suffix != ".py":
        raise InputError(f"--plugin {path}: not a Python file (expected a name ending in .py)")
    name = f"{PLUGIN}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    sys.modules[name] = module = ModuleType(name)
    module.__file__ = str(path)
    try:  # its source: Python takes cached bytecode for that of a file edited within the same second
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in's code may raise anything
        raise InputError(f"--plugin {path}: {one_line(error)}") from error
    if name not in registered_by:
        raise InputError(
            f"--plugin {path}: registers nothing; put @register above a subclass of bench.Method, @register_network, "
            "@register_noise or @register_format above one of bench.Network, bench.NoiseFamily or bench.ImageFormat, "
            "or call register_metric(Metric(...))"
        )
    return registered_by[name]


def _ours(code: Code) -> bool:
    return code.__module__.startswith(f"{__package__.partition('.')[0]}.")


def source_file(code: Code) -> Path | None:
    """The file that defines a class or a function."""
    file = getattr(sys.modules.get(code.__module__), "__file__", None)
    return Path(file).resolve() if file else None


def files(defined: Iterable[Code]) -> list[Path]:
    """The files that --plugin gave and that define these."""
    found = (source_file(one) for one in defined if one.__module__.startswith(PLUGIN))
    return list(dict.fromkeys(file for file in found if file))


@cache
def source(code: Code) -> str:
    """Digest of a plug-in's code and of all that it imports from its own folder or package, and of its base classes'.

    Empty for our own code, whose revisions a test watches.
    """
    if _ours(code):
        return ""
    above = [one for one in getattr(code, "__mro__", ()) if one.__module__ in registered_by and not _ours(one)]
    files = {source_file(one) for one in (code, *above)}  # a base class may be another plug-in's
    digests = sorted(file_digest(file) if file else "unknown" for file in files)
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
