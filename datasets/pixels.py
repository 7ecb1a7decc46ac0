"""The pixels that training crops are cut from: held on the device, or read by threads ahead of the training steps."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .images import SetImage, unit

LARGEST = 2**32  # bytes of a set that is held on the device; a pack on the disk may have many times more
AHEAD = 8  # batches that threads have read or are reading
THREADS = 4
Cuts = Sequence[tuple[Tensor, Tensor, Tensor]]  # images [B], rows [B, h], columns [B, w]
Batch = tuple[int, int, int]  # number of its first sample, how many samples, noisy frames of each


class CropSource(Protocol):
    """The pixels of all training images, from which crops are cut."""

    def feed(self, first: int, count: int, frames: int, cuts: Callable[[int], Cuts]) -> None:
        """Reads the crops of samples from number `first` on; `cuts(n)` are the cuts of the samples from n on."""

    def cut(self, which: int, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The crops [B, C, h, w] in 0..1 of cut `which`: 0 is the clean image, the others are its noisy frames."""


def crop_source(images: Sequence[SetImage], device: str) -> CropSource:
    """`Resident` if the device can hold all images, else `Streamed`."""
    held = all(image.keep for image in images) and sum(image.pixels.nbytes for image in images) <= LARGEST
    return Resident(images, device) if held else Streamed(images, device)


class Resident:
    """All images as stored, in one tensor on the device; they may have different shapes."""

    def __init__(self, images: Sequence[SetImage], device: str) -> None:
        stored = [image.pixels for image in images]
        if any(pixels.dtype != np.uint8 for pixels in stored):
            stored = [unit(pixels) for pixels in stored]
        joined = np.concatenate([pixels.reshape(-1, pixels.shape[2]) for pixels in stored])
        self.pixels = torch.from_numpy(joined).to(device)  # [pixels of all, C]
        sizes = [pixels.shape[0] * pixels.shape[1] for pixels in stored]
        self.first = torch.tensor([0, *sizes[:-1]], device=device).cumsum(0)
        self.width = torch.tensor([pixels.shape[1] for pixels in stored], device=device)

    def feed(self, first: int, count: int, frames: int, cuts: Callable[[int], Cuts]) -> None:
        """Nothing to do, as the device holds all pixels."""

    def cut(self, which: int, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The crops [B, C, h, w] in 0..1."""
        first, width = (table.index_select(0, image).view(-1, 1, 1) for table in (self.first, self.width))
        index = first + rows.unsqueeze(2) * width + columns.unsqueeze(1)
        crops = self.pixels.index_select(0, index.view(-1)).view(*index.shape, -1)
        return in_unit(crops).permute(0, 3, 1, 2)


class Streamed:
    """Crops that threads read from files ahead of the training steps, in buffers that a captured step can read."""

    def __init__(self, images: Sequence[SetImage], device: str) -> None:
        self.images, self.device = images, torch.device(device)
        self.threads = ThreadPoolExecutor(THREADS, "crops")
        self.coming: dict[Batch, Future[list[Tensor]]] = {}
        self.buffers: dict[tuple[int, int], list[Tensor]] = {}  # by count and frames: a captured step reads them
        self.fed: Batch = (0, 0, 0)

    def feed(self, first: int, count: int, frames: int, cuts: Callable[[int], Cuts]) -> None:
        """Copies the crops of these samples into the buffers, and has those of the following batches read."""
        if (first, count, frames) == self.fed:
            return
        wanted = [(number, count, frames) for number in range(first, first + AHEAD * count, count)]
        for key in [key for key in self.coming if key[1:] == (count, frames) and key not in wanted]:
            self.coming.pop(key).cancel()
        for key in wanted:
            if key not in self.coming:
                self.coming[key] = self.threads.submit(self._read, cuts, key[0])
        crops = self.coming.pop((first, count, frames)).result()
        if (count, frames) not in self.buffers:
            self.buffers[count, frames] = [torch.empty(crop.shape, device=self.device) for crop in crops]
        for buffer, crop in zip(self.buffers[count, frames], crops, strict=True):
            buffer.copy_(in_unit(crop.to(self.device, non_blocking=True)))
        self.fed = (first, count, frames)

    def cut(self, which: int, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The crops [B, C, h, w] in 0..1 that were fed."""
        return self.buffers[self.fed[1:]][which].permute(0, 3, 1, 2)

    def _read(self, cuts: Callable[[int], Cuts], number: int) -> list[Tensor]:
        """The crops [B, h, w, C] as stored; for a GPU in pinned memory."""
        found = []
        for images, rows, columns in cuts(number):
            crops = [
                self.images[i].pixels[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
                for i, r, c in zip(images.tolist(), rows.tolist(), columns.tolist(), strict=True)
            ]
            if len({crop.dtype for crop in crops}) > 1:
                crops = [unit(crop) for crop in crops]
            batch = torch.from_numpy(np.stack(crops))
            found.append(batch.pin_memory() if self.device.type == "cuda" else batch)
        return found


def in_unit(pixels: Tensor) -> Tensor:
    """As `images.unit`: stored integers in 0..255, or numbers in 0..1, as float32 in 0..1."""
    if pixels.dtype != torch.uint8:
        return pixels.float()
    # By a tensor: CUDA multiplies by the reciprocal of a number, which is another result for every second gray level.
    return pixels.float() / torch.full((), 255.0, device=pixels.device)
