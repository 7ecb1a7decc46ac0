"""The authors' names for the layers of the U-Nets, so that weights can be exchanged with their codes."""

from collections.abc import Iterable

# Official layer name -> ours. Neighbor2Neighbor counts its decoders from the finest, we from the coarsest.
B2U_LAYERS = (
    {f"head.{i}.block.0": f"head.{i}" for i in range(2)}
    | {f"down_path.{i}.block.0": f"down.{i}" for i in range(5)}
    | {f"up_path.{i}.conv_{j}.block.0": f"up.{i}.conv{j}" for i in range(5) for j in (1, 2)}
    | {f"last.{i}.block.0": f"tail.{i}" for i in range(2)}
    | {"last.2": "last"}
)
NBR_LAYERS = (
    {f"enc_conv{i}": f"head.{i}" for i in range(2)}
    | {f"enc_conv{i + 2}": f"down.{i}" for i in range(5)}
    | {f"up{5 - i}.deconv": f"up.{i}.deconv" for i in range(5)}
    | {f"dec_conv{5 - i}{'ab'[j - 1]}": f"up.{i}.conv{j}" for i in range(5) for j in (1, 2)}
    | {"nin_a": "tail.0", "nin_b": "tail.1", "nin_c": "last"}
)


def parameters(layers: dict[str, str]) -> dict[str, str]:
    """Official parameter name -> ours."""
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in layers.items() for kind in ("weight", "bias")}


OURS = parameters(B2U_LAYERS) | parameters(NBR_LAYERS)  # the two share no name


def official(names: Iterable[str]) -> dict[str, str]:
    """Our name -> the authors' for the parameters of a network; -> itself where no released code has this network."""
    names = list(names)
    for layers in (B2U_LAYERS, NBR_LAYERS):
        theirs = {ours: official for official, ours in parameters(layers).items()}
        if theirs.keys() == set(names):
            return theirs
    return {name: name for name in names}
