"""Files and folders of a user's images, read as they are; whatever is not used is named with the reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct

from ..errors import InputError, few, plural
from ..files import is_folder, resolved
from ..formats.image_format import formats
from .own_file import Kind, OwnFile, Range, checked_axes

Channels = Literal["joint", "each"]
PERCENTILES = (0.1, 99.9)
FRAME = "frame-"  # begins the names of repeated frames of a scene, which is a folder


class Collection(Struct):
    """The files that can be used, in order, and why others cannot."""

    files: list[OwnFile]
    unused: list[str]  # "path: reason", of everything that was given and is not among the files
    failed: int  # how many of `unused` are images

    @property
    def scenes(self) -> list[list[OwnFile]]:
        """The repeated frames of every scene: those in a folder that have one size and type."""
        return [alike for groups in self._frames().values() for alike in groups if len(alike) > 1]

    def _frames(self) -> dict[Path, list[list[OwnFile]]]:
        """The frames in each folder, those of one size and type together."""
        found: dict[Path, dict[tuple[object, ...], list[OwnFile]]] = {}
        for own in self.files:
            if own.path.name.startswith(FRAME):
                kind = (own.sides, own.count, own.dtype, own.channels)
                found.setdefault(own.path.parent, {}).setdefault(kind, []).append(own)
        return {folder: list(kinds.values()) for folder, kinds in found.items()}

    def lines(self) -> list[str]:
        """A line for each kind of file, the notes on files, then a line for each file that is not used."""
        kinds: dict[tuple[object, ...], list[OwnFile]] = {}
        for own in self.files:
            kinds.setdefault((own.dtype.name, own.axes, own.channels, own.alpha, own.range), []).append(own)
        found = [_line(group) for group in kinds.values()]
        notes = [f"{own.path}: {note}" for own in self.files for note in own.notes]
        notes += [_unlike(folder, groups) for folder, groups in self._frames().items() if len(groups) > 1]
        count = [f"not used, {len(self.unused)}:"] if self.unused else []
        return [*found, *notes, *count, *(f"  {reason}" for reason in self.unused)]

    def outputs(self, folder: Path, dtype: Kind = "keep", overwrite: bool = False) -> list[Path]:
        """Where the output of every file goes; InputError where it would replace an input, another output or a file."""
        for own in self.files:
            if resolved(own.path).is_relative_to(resolved(folder)):
                raise InputError(f"{own.path}: lies in the folder of the outputs, {folder}; choose another --out")
        names = [own.output(dtype) for own in self.files]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            same = few([str(own.path) for own, name in zip(self.files, names, strict=True) if name == twice[0]])
            raise InputError(f"{same}: all would be written to {twice[0]}; denoise them in separate commands")
        paths = [folder / name for name in names]
        if not overwrite and (there := [str(path) for path in paths if path.exists()]):
            raise InputError(f"{few(there)}: there already; --overwrite replaces them, or choose another --out")
        return paths


def collect(
    paths: Sequence[Path],
    *,
    axes: str = "",
    value_range: Range | None = None,
    channels: Channels = "joint",
    recursive: bool = False,
) -> Collection:
    """The images among files and folders; InputError if there is none, or for options that make no sense."""
    axes = checked_axes(axes)
    if value_range and not (np.isfinite(value_range).all() and value_range[0] < value_range[1]):
        raise InputError(f"--range {value_range[0]:g},{value_range[1]:g}: expected LOW,HIGH with LOW below HIGH")
    candidates, unused = _candidates(paths, recursive)
    found, samples, failed = list[OwnFile](), dict[str, list[np.ndarray]](), 0
    for path, name in _named(candidates).items():
        try:
            own = OwnFile(path, name, axes, channels == "each")
            samples.setdefault(own.dtype.name, []).append(own.survey())
            found.append(own)
        except InputError as error:
            unused.append(str(error))
            failed += 1
    if not found:
        raise InputError(f"no image that can be used: {few(unused, '; ') or 'nothing given'}")
    for own in found:
        own.range, own.origin = _range(own, value_range, samples[own.dtype.name])
    return Collection(found, sorted(unused), failed)


def _candidates(paths: Sequence[Path], recursive: bool) -> tuple[dict[Path, str], list[str]]:
    """The files that may be images with their paths below what was given, and why others are not."""
    found, unused, known = dict[Path, str](), list[str](), set[Path]()
    for given in paths:
        plain = is_folder(given) and not _is_image(given)
        inside = _inside(given, recursive, unused) if plain else [(given, given.name)]
        before = len(found) + len(unused)
        for path, name in inside:
            if (real := resolved(path)) in known:
                unused.append(f"{path}: given twice")
                continue
            known.add(real)
            found[path] = name
        if len(found) + len(unused) == before:
            unused.append(f"{given}: no images in it")
    return found, unused


def _inside(folder: Path, recursive: bool, unused: list[str]) -> Iterator[tuple[Path, str]]:
    """The images of a folder; adds other files to `unused`, except hidden ones."""
    pending = [folder]
    while pending:
        here = pending.pop(0)
        try:
            inside = sorted(path for path in here.iterdir() if not path.name.startswith("."))
        except OSError as error:
            unused.append(f"{here}: cannot be read ({error.strerror})")
            continue
        for path in inside:
            if _is_image(path):
                yield path, str(path.relative_to(folder))
            elif not is_folder(path):
                unused.append(f"{path}: not an image by its name")
            elif recursive:
                pending.append(path)
            else:
                unused.append(f"{path}: a sub-folder; --recursive reads it, too")


def _is_image(path: Path) -> bool:
    """Whether a path is an image by its name; some formats are folders."""
    known = formats().get(path.suffix.lower())
    return known is not None and known.as_folder == is_folder(path)


def _named(candidates: dict[Path, str]) -> dict[Path, str]:
    """A unique name for every file; files of equal names get the path from the folder that they have in common."""
    counted = Counter(candidates.values())
    shared = [path.absolute() for path, name in candidates.items() if counted[name] > 1]
    common = Path(*_common(shared)) if shared else Path()
    return {
        path: str(path.absolute().relative_to(common)) if counted[name] > 1 else name
        for path, name in candidates.items()
    }


def _common(paths: Sequence[Path]) -> list[str]:
    columns = zip(*(path.parent.parts for path in paths), strict=False)
    found = list[str]()
    for column in columns:
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return found


def _range(own: OwnFile, asked: Range | None, samples: list[np.ndarray]) -> tuple[Range, str]:
    """The values that stand for 0 and 1, and where they come from."""
    if asked:
        return asked, "asked for"
    if own.type_range:
        return own.type_range, f"of {own.dtype}"
    low, high = np.percentile(np.concatenate(samples).astype(np.float64), PERCENTILES).tolist()
    return (low, high if high > low else low + 1.0), f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]}"


def _line(group: list[OwnFile]) -> str:
    """One line on files of one kind."""
    one, count = group[0], sum(own.count for own in group)
    sides = {own.sides for own in group}
    low, high = min(own.seen[0] for own in group), max(own.seen[1] for own in group)
    size = " of {1}x{0}".format(*one.sides) if len(sides) == 1 else ""
    said = [
        plural(len(group), "file"), one.dtype.name, f"axes {one.axes}", plural(one.channels, "channel"),
        f"{plural(count, 'frame')}{size}",
        f"values {low:g}..{high:g}{_bits(one, high)}", f"range {one.range[0]:g}..{one.range[1]:g} ({one.origin})",
    ]  # fmt: skip
    if one.alpha:
        said.insert(4, "opacity kept aside")
    return ", ".join(said)


def _unlike(folder: Path, groups: list[list[OwnFile]]) -> str:
    """The line on frames in a folder that are not all alike."""
    numbers = [len(alike) for alike in groups]
    others = sum(numbers) - max(numbers)
    return (
        f"{folder}: {others} of {sum(numbers)} frames {'has' if others == 1 else 'have'} another size or type than the "
        "others; only frames that are alike count as frames of one scene"
    )


def _bits(own: OwnFile, high: float) -> str:
    """How many of 16 bits the camera used, if not all: a reason to give --range."""
    used = int(high).bit_length() if own.dtype == np.uint16 else 16
    return f" ({used} of 16 bits)" if 8 < used < 16 else ""
