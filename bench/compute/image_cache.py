"""Denoised images that no weights can give back are kept beside their scores."""

from collections.abc import Callable
from pathlib import Path

import torch

from ..datasets.errors import DamagedError
from ..datasets.noise.model import Image
from ..protocol.units import Score
from ..store.checkpoint import forget
from ..store.tensors import read_tensors, write_tensors
from .noisy_images import Noisy


def kept(work: Score, noisy: Noisy, folder: Path | None, compute: Callable[[], dict[str, Image]]) -> dict[str, Image]:
    """The stored images of a method that keeps them, else computed ones."""
    method = work.fit.method
    if folder is None or not (method.keeps_images or method.per_image()):
        return compute()
    folder.mkdir(parents=True, exist_ok=True)  # also for the checkpoint of an image's training
    images = stored(noisy, folder) if method.keeps_images else None
    if images is None:
        images = compute()
        if method.keeps_images:
            tensors = {name: torch.from_numpy(image) for name, image in images.items()}
            write_tensors(_path(noisy, folder), tensors, {"key": work.images_key})
    forget(folder / f"{noisy.file}.checkpoint")  # also one that a killed process left
    return images


def stored(noisy: Noisy, folder: Path) -> dict[str, Image] | None:
    """The images that were kept; None where they are not there or damaged."""
    try:
        return {name: image.numpy() for name, image in read_tensors(_path(noisy, folder))[0].items()}
    except DamagedError:
        return None


def _path(noisy: Noisy, folder: Path) -> Path:
    return folder / f"{noisy.file}.safetensors"
