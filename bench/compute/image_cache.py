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
    if folder is not None and (work.fit.method.keeps_images or work.fit.method.per_image()):
        folder.mkdir(parents=True, exist_ok=True)  # also for the checkpoint of an image's training
    if folder is None or not work.fit.method.keeps_images:
        return compute()
    path = folder / f"{noisy.file}.safetensors"
    try:
        return {name: image.numpy() for name, image in read_tensors(path)[0].items()}
    except DamagedError:  # or not there
        images = compute()
    write_tensors(path, {name: torch.from_numpy(image) for name, image in images.items()}, {"key": work.images_key})
    forget(folder / f"{noisy.file}.checkpoint")
    return images
