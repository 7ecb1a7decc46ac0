"""Named tensors in a safetensors file with JSON metadata: weights, checkpoints, denoised images."""

from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..datasets import files
from ..datasets.documents import from_json
from ..datasets.errors import DamagedError, InputError, one_line


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """A safetensors file with JSON metadata, written under a temporary name and renamed; InputError if it cannot be."""
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"about": msgspec.json.encode(about).decode()}
    try:
        files.write(path, lambda temporary: save_file(separate, temporary, metadata))
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {path}: {error}; give another folder with --store DIR") from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of `write_tensors`; DamagedError for what is no such file.

    InputError for a file that this user may not read: it is perhaps whole.
    """
    try:
        with path.open("rb"):  # safetensors says of every error that there is no such file
            pass
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; nothing was changed") from None
    try:
        with safe_open(path, framework="pt") as file:
            about = from_json((file.metadata() or {})["about"].encode(), dict[str, Any])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, msgspec.DecodeError) as error:
        raise DamagedError(f"{path}: not a whole file of tensors ({one_line(error)})") from None
