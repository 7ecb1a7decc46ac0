"""Networks by name: a method's field `net` may hold any of them."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct
from torch import nn

from ...datasets.errors import InputError, unknown
from ...datasets.registry import Registry

Width = Annotated[int, msgspec.Meta(ge=1, le=1024)]  # features of a layer; more of them are a slip
UNTAGGED = "unet"  # `net = { width = 4 }` without a name means the shared U-Net


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """Subclass it: the fields describe an architecture, and `build` makes it with its initial weights."""

    multiple: ClassVar[int] = 1  # the sides of its input must be multiples of it
    label: ClassVar[str] = ""  # in tables; empty: the registered name
    revision: ClassVar[int] = 1  # raise it when the code's numbers change

    def build(self, channels: int, outputs: int | None = None) -> nn.Module:
        """A network [B, channels, H, W] -> [B, outputs, H, W]; as many outputs as channels if not given."""
        raise NotImplementedError(f"{type(self).__name__} has no build")


NETWORKS: Registry[type[Network]] = Registry("network", __package__)
T = TypeVar("T", bound=Network)


def register_network(name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator `@register_network("my-net")`; InputError for a name that is taken or not plain."""

    def add(cls: type[T]) -> type[T]:
        if not issubclass(cls, Network):
            raise InputError(f"network {name!r}: {cls!r} is not a subclass of bench.Network")
        if not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"network name {name!r}; allowed: letters, digits, - and _")
        try:
            cls()
        except TypeError as error:
            raise InputError(f"network {name!r}: every field needs a default ({error})") from None
        NETWORKS.add(name, cls, cls)
        return cls

    return add


def networks() -> dict[str, type[Network]]:
    """All registered networks by name."""
    return NETWORKS.all()


def find(name: str) -> type[Network]:
    """The network of a name; InputError with the nearest names if there is none."""
    return NETWORKS.find(name)


def name_of(network: Network) -> str:
    """The name under which it is registered; InputError if it is not."""
    for name, cls in networks().items():
        if cls is type(network):
            return name
    raise InputError(f"the network {type(network).__name__} is not registered; put @register_network(NAME) above it")


def label_of(network: Network) -> str:
    """How a table's row calls it."""
    return network.label or name_of(network)


def read(value: Any) -> Network:
    """A network from TOML or JSON: its name, or its fields beside `name`; without a name the shared U-Net.

    InputError: an unknown name or field, or a value of another type.
    """
    if not isinstance(value, str | dict):
        raise InputError(f"net = {value!r}; allowed: a network's name, or its fields such as {{ width = 4 }}")
    fields = {"name": value} if isinstance(value, str) else dict(value)
    name = str(fields.pop("name", UNTAGGED))
    cls = find(name)
    for field in fields:
        if field not in cls.__struct_fields__:
            raise unknown(f"field of network {name!r}", field, cls.__struct_fields__)
    try:
        return msgspec.convert(fields, cls)
    except msgspec.ValidationError as error:
        raise InputError(f"network {name!r}: {error}") from None


def written(network: Network) -> dict[str, Any]:
    """The inverse of `read`. The U-Net has all its fields and no name, others those that are not the default."""
    fields: dict[str, Any] = msgspec.to_builtins(network)
    if (name := name_of(network)) == UNTAGGED:
        return fields
    default: dict[str, Any] = msgspec.to_builtins(type(network)())
    return {"name": name} | {key: value for key, value in fields.items() if value != default[key]}
