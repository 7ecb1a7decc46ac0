"""Files as MATLAB and SIDD write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

PREAMBLE = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
FRAMES = ("NOISY_RAW_010", "NOISY_RAW_011", "GT_RAW_010", "GT_RAW_011")


def save73(path: Path, **variables: NDArray[Any]) -> None:
    """A v7.3 file: HDF5 behind MATLAB's 512 bytes, its axes reversed, in chunks behind a filter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file.create_dataset(name, data=values.T, compression="gzip", compression_opts=0, chunks=True)
    with path.open("r+b") as raw:
        raw.write(PREAMBLE)


def mosaic(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Floats in 0..1."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def scene(folder: Path, name: str = "0001_001_S6_00100_00060_3200_L", height: int = 512, width: int = 640) -> Path:
    """A scene instance of SIDD Medium Raw: two frames, their clean frames, metadata; its folder."""
    for i, frame in enumerate(FRAMES):
        save73(folder / name / f"{name[:4]}_{frame}.MAT", x=mosaic(height, width, seed=i + int(name[:4])))
    (folder / name / f"{name[:4]}_METADATA_RAW_010.MAT").write_bytes(b"not read")
    return folder / name


def dnd(folder: Path, boxes: Sequence[Any], photographs: Sequence[NDArray[Any]]) -> Path:
    """DND's folder: info.mat with a cell of boxes for each photograph, and images_srgb/0001.mat ...; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "info.mat", "w", userblock_size=512) as file:
        cells = [file.create_dataset(f"#refs#/{n}", data=np.array(one, np.float64).T) for n, one in enumerate(boxes)]
        references = np.array([[cell.ref for cell in cells]], dtype=h5py.ref_dtype)
        file.create_dataset("info/boundingboxes", data=references, dtype=h5py.ref_dtype)
    with (folder / "info.mat").open("r+b") as raw:
        raw.write(PREAMBLE)
    for number, pixels in enumerate(photographs, 1):
        save73(folder / "images_srgb" / f"{number:04}.mat", InoisySRGB=pixels)
    return folder


def clean_blocks(*shape: int, seed: int = 0, rows: int = -2) -> NDArray[np.float32]:
    """Smooth images in 0..1; `rows` is the axis of the rows, before that of the columns."""
    waves = np.random.default_rng(seed).normal(size=shape).cumsum(rows + 1).cumsum(rows)
    return ((waves - waves.min()) / np.ptp(waves)).astype(np.float32)


def noisy_blocks(*shape: int, seed: int = 0, rows: int = -2) -> NDArray[np.float32]:
    """The same with white noise, clipped to 0..1."""
    z = np.random.default_rng([seed, 1]).normal(0, 0.05, shape)
    return np.clip(clean_blocks(*shape, seed=seed, rows=rows) + z, 0, 1).astype(np.float32)
