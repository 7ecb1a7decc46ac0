"""Methods by name, our own and those of plug-ins."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import msgspec

from ..datasets.errors import InputError, unknown
from ..datasets.registry import Registry
from .base import Method
from .guard import protect
from .networks import registry as networks
from .networks.registry import Network
from .networks.unet import UNetConfig

METHODS: Registry[type[Method]] = Registry("method", __package__)


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
        "knowledge": ("blind", "family", "level"),
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


def methods() -> dict[str, type[Method]]:
    """All registered methods by name."""
    return METHODS.all()


def find(name: str) -> type[Method]:
    """The method of a name; InputError with the nearest names if there is none."""
    known = methods()
    if name not in known:
        raise unknown_method(name, known)
    return known[name]


def unknown_method(name: str, allowed: Iterable[str]) -> InputError:
    """The error for a name that no allowed method has; it suggests one by its paper's title, or the nearest name."""
    fix = "Own methods: --plugin FILE.py; list: python -m bench methods."
    return unknown("method", name, allowed, fix, _by_title(name))


def _by_title(words: str) -> str:
    """The method whose paper has these words in its title, such as noise2void; empty for none."""
    plain = _plain(words)
    named = [name for name, method in methods().items() if len(plain) > 3 and plain in _plain(method.card.paper)]
    return min(named, key=lambda name: len(methods()[name].card.paper), default="")


def _plain(words: str) -> str:
    return "".join(filter(str.isalnum, words.lower()))


def accepts_network(cls: type[Method]) -> bool:
    """Whether a method's field `net` may hold any registered network."""
    return any(field.name == "net" and field.type is Network for field in msgspec.structs.fields(cls))


def other_network(method: Method) -> str:
    """What a row says of the method's network: the label of a registered one, or that it is its own.

    Empty for the shared U-Net and for a method that trains nothing.
    """
    if accepts_network(type(method)):
        return "" if type(method.network) is UNetConfig else networks.label_of(method.network)
    return "own network" if method.learns() and type(method).build is not Method.build else ""


def configured(cls: type[Method], fields: dict[str, Any]) -> Method:
    """A method with these fields, as TOML or JSON has them; msgspec.ValidationError or InputError for wrong ones."""
    nets = {field.name for field in msgspec.structs.fields(cls) if field.type is Network} & fields.keys()
    method = msgspec.convert({name: value for name, value in fields.items() if name not in nets}, cls)
    return msgspec.structs.replace(method, **{name: networks.read(fields[name]) for name in nets}) if nets else method
