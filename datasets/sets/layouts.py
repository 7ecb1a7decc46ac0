"""Sets that are more than a folder of images: microscope views with frames, SIDD's blocks, packs, mosaics."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats import bayer, mat
from ..formats.pack import HEADER, Pack
from ..images import Pixels, SetImage, listing, read
from ..noise.model import Image
from . import sidd

Check = Callable[[str, Path], Pixels]  # (stem below the folder, path) -> its pixels, checked where a digest is known
BLOCKS = ("ValidationNoisyBlocksRaw.mat", "ValidationGtBlocksRaw.mat")
CLEAN = "avg50"  # FMDD's estimate of the clean image: the mean of a view's 50 frames


def unchecked(stem: str, path: Path) -> Pixels:
    """The pixels of a file whose digest nobody knows."""
    return read(path)


def views(name: str, folder: Path, numbers: Sequence[int], frames: int, check: Check = unchecked) -> list[SetImage]:
    """FMDD's layout, <folder>/raw/<view>/*.png beside gt/<view>/avg50.png; InputError for anything else."""
    known = {view: _view(folder / "raw", view) for view in numbers}
    return [_scene(name, folder, path, frames, check) for path in known.values()]


def _view(folder: Path, number: int) -> Path:
    """The only folder of a view: 1, 01 and 001 are the same."""
    found = [path for path in folder.glob("*") if path.is_dir() and path.name.isdecimal() and int(path.name) == number]
    if len(found) != 1:
        what = f"{' and '.join(sorted(path.name for path in found))} are the same view" if found else "missing"
        raise InputError(f"{folder / str(number)}: {what}; expected one folder of frames")
    return found[0]


def _scene(name: str, folder: Path, view: Path, frames: int, check: Check) -> SetImage:
    paths = listing(view)
    if len(paths) != frames:
        raise InputError(f"{view}: {len(paths)} frames, expected {frames} in the set {name!r}")
    truth = folder / "gt" / view.name / f"{CLEAN}.png"
    clean = check(f"gt/{view.name}/{CLEAN}", truth)
    noisy = []
    for stem, path in paths.items():
        pixels = check(f"raw/{view.name}/{stem}", path)
        if pixels.shape != clean.shape:
            raise InputError(f"{path}: shape {pixels.shape}, but {truth.name} of its view has {clean.shape}")
        noisy.append(SetImage.decoded(stem, path, pixels, 1))
    return SetImage.decoded(f"{folder.name}-{view.name}", truth, clean, 1, frames=tuple(noisy))


def files(folder: Path, numbers: Sequence[int]) -> dict[str, Path]:
    """The frames and clean images of views by their path below the folder, without the suffix."""
    found = [path for kind in ("raw", "gt") for number in numbers for path in (folder / kind).glob(f"{number}/*.png")]
    return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(found)}


def parts(folder: Path, layout: str, numbers: Sequence[int], frames: int) -> Iterator[Path]:
    """What is there of a set that is no folder of images: its whole views, or what its one file stands for."""
    if layout == "views":
        whole = (folder / "raw" / str(number) for number in numbers)
        yield from (path for path in whole if path.is_dir() and len(listing(path)) == frames)
    elif layout == "blocks" and (folder / BLOCKS[0]).is_file() and (folder / BLOCKS[1]).is_file():
        images, blocks_, *_ = mat.layout(folder / BLOCKS[0], Path(BLOCKS[0]).stem)[0]
        yield from (Path(f"{i}-{b}") for i in range(images) for b in range(blocks_))
    elif layout == "pack" and (folder / HEADER).is_file():
        yield from (Path(scene) for scene in {name.split("_s")[0] for name in Pack(folder).names})


def blocks(noisy: Path, clean: Path) -> list[SetImage]:
    """SIDD's validation blocks, one frame of each; InputError naming the file."""
    for path in (noisy, clean):
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected {noisy.name} and {clean.name} in one folder")
    found = []
    for stem, observed, truth in sidd.blocks(noisy, clean):
        assert truth is not None, "the clean file was given"
        frame = SetImage.decoded(stem, noisy, observed, 1)
        found.append(SetImage.decoded(stem, clean, truth, 1, frames=(frame,)))
    return found


def packed(folder: Path, channels: int) -> list[SetImage]:
    """The images of a pack, or its mosaics with their two frames; memory-mapped, so that a crop reads only itself."""
    pack = Pack(folder)
    images = {
        entry.name: SetImage.decoded(entry.name, folder, pack[i], channels, pattern=entry.pattern)
        for i, entry in enumerate(pack.entries)
    }
    scenes: dict[str, dict[str, SetImage]] = {}
    for name, set_image in images.items():
        scene, _, kind = name.rpartition("/")
        scenes.setdefault(scene, {})[kind] = set_image
    if set(scenes) == {""}:
        return list(images.values())
    return [_mosaic(folder, scene, parts) for scene, parts in scenes.items()]


def mosaic(pixels: Pixels, pattern: str) -> Image:
    """A Bayer mosaic [H, W, 1] in 0..1, even sides, of sRGB [H, W, 3], its gamma undone (IEC 61966)."""
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    v = pixels[:height, :width].astype(np.float64) / 255.0
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    dy, dx = bayer.offset(pattern)
    row, column = (np.arange(height) - dy) % 2, (np.arange(width) - dx) % 2
    channel = row[:, None] + column[None, :]  # of a quad that begins with red: R 0, G 1, G 1, B 2
    return np.take_along_axis(linear, channel[..., None], axis=2).astype(np.float32)


def _mosaic(folder: Path, scene: str, parts: dict[str, SetImage]) -> SetImage:
    """A crop of SIDD Medium: two noisy frames, each with the clean image that is aligned to it."""
    wanted = [f"{kind}{frame}" for kind in ("noisy", "clean") for frame in sidd.CAPTURES]
    if missing := [name for name in wanted if name not in parts]:
        raise InputError(
            f"{folder}: {scene} has no {', '.join(missing)}; expected {', '.join(wanted)}; prepare it again"
        )
    frames = tuple(parts[f"noisy{frame}"] for frame in sidd.CAPTURES)
    cleans = [parts[f"clean{frame}"] for frame in sidd.CAPTURES]
    for noisy, clean in zip(frames, cleans, strict=True):
        noisy.clean = clean
    cleans[0].frames = frames
    return cleans[0]
