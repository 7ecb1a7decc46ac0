"""Image formats: a newcomer's, and files that cannot be read as images."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import bench, lines

from bench.compute.noisy_images import Noisy
from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import ImageFormat, listing, read, register_format, size
from bench.datasets.images import SetImage
from bench.datasets.sets.digests import SetDigests
from bench.datasets.sets.find import find

PLUGIN = '''
import numpy as np

from bench import ImageFormat, register_format


@register_format
class Raw(ImageFormat):
    """Square gray images: bytes without a header."""

    suffixes = (".rawgray",)

    def read(self, path):
        pixels = np.fromfile(path, np.uint8)
        return pixels.reshape(int(len(pixels) ** 0.5), -1, 1)
'''


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, *shape: int) -> Path:
    Pillow.fromarray(pixels(*shape)).save(path, format="PNG")
    return path


def test_a_format_of_ones_own_is_read_from_the_command_line(tmp_path: Path) -> None:
    (plugin := tmp_path / "raw.py").write_text(PLUGIN)
    (folder := tmp_path / "images").mkdir()
    pixels(48, 48).tofile(folder / "a.rawgray")
    asked = ("--noise", "gauss25", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    result = bench("run", "--methods", "noisy", *asked, "--plugin", plugin)
    assert result.code == 0, result.err
    (noisy,) = (line for line in lines(*asked, "--plugin", str(plugin)) if line["method"] == "noisy")
    assert (noisy["state"], noisy["images"]) == ("done", 1)
    assert size(folder / "a.rawgray") == (48, 48)


def test_a_suffix_has_one_format() -> None:
    with pytest.raises(InputError, match=r"\.png. is registered twice"):

        @register_format
        class Other(ImageFormat):
            suffixes = (".PNG",)

            def read(self, path: Path) -> NDArray[np.uint8]:
                return pixels(8, 8, 1)


@pytest.mark.parametrize(
    ("result", "says"),
    [(pixels(8, 8), r"\(8, 8\)"), (pixels(8, 8, 4), r"\(8, 8, 4\)"), (pixels(8, 8, 1) / 1.0, "float64"),
     (np.full((8, 8, 1), np.nan, np.float32), "not finite"), (pixels(0, 8, 1), "no pixels"), (None, "AttributeError")],
)  # fmt: skip
def test_what_a_format_returns_is_checked(result: NDArray[np.uint8], says: str, tmp_path: Path) -> None:
    @register_format
    class Odd(ImageFormat):
        suffixes = (".odd",)

        def read(self, path: Path) -> NDArray[np.uint8]:
            return result

    (tmp_path / "a.odd").write_text("x")
    with pytest.raises(InputError, match=rf"a\.odd: .*{says}"):
        read(tmp_path / "a.odd")


UNUSABLE: list[tuple[str, Callable[[Path], object]]] = [
    ("pipe", os.mkfifo),
    ("folder", Path.mkdir),
    ("no such file, the link leads to nowhere", lambda path: path.symlink_to("nowhere.png")),
    ("an empty file", Path.touch),
    ("not a readable image", lambda path: path.write_text("text")),
]


@pytest.mark.parametrize(("says", "make"), UNUSABLE, ids=[one[0][:12] for one in UNUSABLE])
def test_a_file_that_is_no_image_is_named(says: str, make: Callable[[Path], object], tmp_path: Path) -> None:
    make(path := tmp_path / "a.png")
    for reads in (read, size):
        with pytest.raises(InputError, match=rf"a\.png: .*{says}"):
            reads(path)  # type: ignore[operator]


def test_the_photograph_in_a_phones_jpeg_is_read(tmp_path: Path) -> None:
    first, second = (Pillow.fromarray(pixels(side, side, 3)) for side in (40, 16))
    first.save(path := tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert read(path).shape == (40, 40, 3)


def test_a_name_that_is_not_utf8_is_written_out(tmp_path: Path) -> None:
    save(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")), 8, 8)
    ((name, path),) = listing(tmp_path).items()
    assert name == "caf\\xe9"
    assert read(path).shape == (8, 8, 1)
    assert len(SetDigests()(f"folder:{tmp_path}", 1)) == 64


def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    save(folder / "a.png", 8, 8)
    result = bench("run", "--methods", "noisy", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    assert (result.code, "not valid UTF-8" in result.err, "Traceback" in result.err) == (2, True, False)


@pytest.mark.parametrize("name", ["x" * 300, "missing", "file"])
def test_a_folder_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=name[:40]):
        find(f"folder:{tmp_path / name}").load(None, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser has access to everything")
def test_files_and_folders_without_access_are_named(tmp_path: Path) -> None:
    (folder := tmp_path / "images").mkdir()
    path = save(folder / "a.png", 8, 8)
    for closed in (path, folder):
        closed.chmod(0)
        with pytest.raises(InputError, match="Permission denied"):
            find(f"folder:{folder}").load(None, 3)
        closed.chmod(0o700)


def test_files_of_an_image_with_a_long_name_have_a_short_one(tmp_path: Path) -> None:
    images = [SetImage(name, save(tmp_path / f"{i}.png", 8, 8 + i), 1) for i, name in enumerate(["ü" * 122] * 2)]
    files = {Noisy(image, 0, pixels(8, 8, 1) / 1.0, 0.0).file for image in images}
    assert len(files) == 2
    assert all(len(file.encode()) < 200 for file in files)
