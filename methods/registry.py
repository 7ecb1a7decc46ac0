"""Methods by name: our own, installed plug-ins (entry points), and plug-in files."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any, overload

import msgspec

from ..datasets.errors import InputError, one_line, unknown
from ..datasets.plugins import Registry, registered_by
from .base import Method
from .guard import protect
from .networks import registry as networks
from .networks.registry import Network
from .source_digest import file_digest

GROUP = "blind2unblind_bench.methods"  # entry-point group: NAME = "package.module:Class"
METHODS: Registry[type[Method]] = Registry("method", __package__)
PLUGIN = "bench_plugin_"  # begins the names of the modules of plug-in files


@overload
def register(name: type[Method]) -> type[Method]: ...
@overload
def register(name: str) -> Callable[[type[Method]], type[Method]]: ...
def register(name: str | type[Method]) -> type[Method] | Callable[[type[Method]], type[Method]]:
    """Class decorator, `@register("my-method")`, or `@register` for the class's own name in lower case."""
    if isinstance(name, str):
        return lambda method: _add(name, method)
    return _add(name.__name__.lower(), name)


def _add(name: str, method: object) -> type[Method]:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise InputError(f"{name}: {method!r} is not a subclass of bench.Method")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"method name {name!r}: letters, digits, - and _ only")
    allowed = {
        "supervision": ("clean", "pair", "noisy", "none"),
        "knowledge": ("none", "family", "level"),
        "trains_on": ("dataset", "image", "nothing"),
    }
    for field, values in allowed.items():
        if getattr(method, field) not in values:
            raise unknown(f"{field} of method {name!r}", str(getattr(method, field)), values)
    if method.supervision == "none" and method.learns():
        raise InputError(f"method {name!r}: supervision 'none' is for methods that train on 'nothing'")
    if sum(output.primary for output in method.outputs) != 1:
        raise InputError(f"method {name!r}: exactly one output must be the primary")
    if not METHODS.ours(method):
        protect(name, method)
    METHODS.add(name, method, method)
    return method


def _ours(code: type | Callable[..., object]) -> bool:
    return code.__module__.startswith(f"{__package__.partition('.')[0]}.")


def methods() -> dict[str, type[Method]]:
    """All registered methods by name."""
    return METHODS.all()


def find(name: str) -> type[Method]:
    """The method of a name; InputError with the nearest names if there is none."""
    return METHODS.find(name)


class _Source(SourceFileLoader):
    """Runs the source itself: cached bytecode of a file that was edited within the same second is the old one's."""

    def get_code(self, fullname: str) -> CodeType:
        """The compiled source."""
        return compile(self.get_data(self.path), self.path, "exec")


def load_plugin(path: Path) -> None:
    """Runs a file that registers methods or what they need; InputError if it cannot be run or registers nothing."""
    if not path.is_file():
        raise InputError(f"--plugin {path}: no such file")
    name = f"{PLUGIN}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if path.suffix != ".py":
        raise InputError(f"--plugin {path}: not a Python file (expected a name ending in .py)")
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    assert spec is not None, "a loader is given"
    assert spec.loader is not None, "a loader is given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
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


def source_file(code: type | Callable[..., object]) -> Path | None:
    """The file that defines a class or a function."""
    file = getattr(sys.modules.get(code.__module__), "__file__", None)
    return Path(file).resolve() if file else None


def plugin_files(defined: Iterable[type | Callable[..., object]]) -> list[Path]:
    """The files that --plugin gave and that define these."""
    files = (source_file(one) for one in defined if one.__module__.startswith(PLUGIN))
    return list(dict.fromkeys(file for file in files if file))


@cache
def plugin_source(code: type | Callable[..., object]) -> str:
    """Digest of a plug-in's code and of all that it imports from its own folder or package, and of its base classes'.

    Empty for our own code, whose revisions a test watches.
    """
    if _ours(code):
        return ""
    above = [one for one in getattr(code, "__mro__", ()) if one.__module__ in registered_by and not _ours(one)]
    files = {source_file(one) for one in (code, *above)}  # a base class may be another plug-in's
    digests = sorted(file_digest(file) if file else "unknown" for file in files)
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def accepts_network(cls: type[Method]) -> bool:
    """Whether a method's field `net` may hold any registered network."""
    return any(field.name == "net" and field.type is Network for field in msgspec.structs.fields(cls))


def configured(cls: type[Method], fields: dict[str, Any]) -> Method:
    """A method with these fields, as TOML or JSON has them; msgspec.ValidationError or InputError for wrong ones."""
    nets = {field.name for field in msgspec.structs.fields(cls) if field.type is Network} & fields.keys()
    method = msgspec.convert({name: value for name, value in fields.items() if name not in nets}, cls)
    return msgspec.structs.replace(method, **{name: networks.read(fields[name]) for name in nets}) if nets else method


def load_entry_points() -> None:
    """Registers the methods of installed plug-in packages; a broken one is an InputError that names it."""
    for point in entry_points(group=GROUP):
        try:
            _add(point.name, point.load())
        except (InputError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in's code may raise anything
            raise InputError(f"plug-in {point.name} = {point.value}: {one_line(error)}") from error
