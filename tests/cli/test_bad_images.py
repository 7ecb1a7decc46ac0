"""Image sets and folders that cannot be used: one clear line, exit code 2, nothing of the store touched."""

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import SHARED, bench, line, lines, needs_shared_data, photo, photos, refused_run, snapshot
from support.ruined import png

pytestmark = pytest.mark.usefixtures("narrow", "beside_photographs")


# ---- data folders


def test_a_set_without_a_data_folder_says_what_to_give(untouched: Path) -> None:
    message = refused_run(untouched, "--test-sets", "kodak")
    for words in ("'kodak'", "--data DIR", "BENCH_DATA", "24 images"):
        assert words in message


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_data_folder_without_the_set_is_refused(folder: str, untouched: Path, tmp_path: Path) -> None:
    message = refused_run(untouched, "--test-sets", "kodak", "--data", tmp_path / folder)
    assert f"not under {tmp_path / folder}" in message
    assert "kodak/" in message


def test_the_data_folder_of_the_environment(untouched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert f"not under {tmp_path}" in refused_run(untouched, "--test-sets", "kodak")


def test_an_incomplete_set_is_refused(untouched: Path, tmp_path: Path) -> None:
    photos(tmp_path / "kodak", "astronaut")
    shutil.move(tmp_path / "kodak" / "astronaut.png", tmp_path / "kodak" / "kodim01.png")
    message = refused_run(untouched, "--test-sets", "kodak", "--data", tmp_path)
    assert "incomplete" in message
    assert "kodim02" in message


def shared_set14(folder: Path) -> Path:
    """A data folder with links to the images of Set14."""
    target = folder / "set14"
    target.mkdir()
    for path in (SHARED / "set14").iterdir():
        (target / path.name).symlink_to(path)
    return target


@needs_shared_data
@pytest.mark.parametrize("kind", ["removed", "extra", "altered", "resized", "truncated", "empty"])
def test_a_set_with_another_image_is_refused_by_name(kind: str, untouched: Path, tmp_path: Path) -> None:
    folder = shared_set14(tmp_path)
    victim = sorted(folder.glob("*.png"))[3]
    content, pixels = victim.read_bytes(), np.array(Pillow.open(victim).convert("RGB"))
    if kind == "extra":
        (folder / "another.png").symlink_to(victim)
        victim = folder / "another.png"
    else:
        victim.unlink()
    if kind == "altered":
        pixels[5, 7] ^= 1
        Pillow.fromarray(pixels).save(victim)
    elif kind == "resized":
        Pillow.fromarray(pixels[:-1]).save(victim)
    elif kind in ("truncated", "empty"):
        victim.write_bytes(content[: len(content) // 2] if kind == "truncated" else b"")
    message = refused_run(untouched, "--test-sets", "set14", "--data", tmp_path)
    assert victim.stem in message
    assert {"removed": "missing", "extra": "do not belong", "resized": "shape"}.get(kind, kind[:5]) in message


@needs_shared_data
@pytest.mark.parametrize("other", ["README.txt", ".DS_Store", "Thumbs.db", ".hidden.png"])
def test_other_files_beside_a_set_do_no_harm(other: str, tmp_path: Path) -> None:
    (shared_set14(tmp_path) / other).write_bytes(b"no image")
    argv = ("--noise", "gauss25", "--test-sets", "set14", "--data", tmp_path, "--dry-run", "--store", tmp_path / "s")
    assert bench("run", "--methods", "noisy", *argv).code == 0


def test_the_paper_s_preset_says_what_to_get_and_where_to_put_it(
    untouched: Path, chelsea: Path, tmp_path: Path
) -> None:
    asked = ("--preset", "paper", "--test-sets", f"folder:{chelsea}")
    for data in ((), ("--data", tmp_path)):
        message = refused_run(untouched, *asked, *data)
        for words in ("ilsvrc2012_val/", "ILSVRC2012_img_val.tar", "image-net.org", "--data" if not data else "folder"):
            assert words in message


def test_the_paper_s_preset_alone_names_its_training_set(untouched: Path) -> None:
    assert "ILSVRC2012_img_val.tar" in refused_run(untouched, "--preset", "paper")


def test_the_paper_s_training_set_must_be_whole(untouched: Path, chelsea: Path, tmp_path: Path) -> None:
    photos(tmp_path / "ilsvrc2012_val", "astronaut", height=256, width=256)
    message = refused_run(untouched, "--preset", "paper", "--test-sets", f"folder:{chelsea}", "--data", tmp_path)
    assert "expected 44328" in message


# ---- folders of images


def png16(path: Path) -> None:
    """An RGB PNG with 16 bits a sample, which Pillow cannot write."""
    rows = photo("coffee", 64, 64).astype(">u2") * 257 + 3  # the low bytes matter
    path.write_bytes(png(64, 64, 16, 2, zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))


def translucent(path: Path) -> None:
    """An RGBA PNG with transparent pixels."""
    alpha = np.full((64, 64, 1), 128, np.uint8)
    Pillow.fromarray(np.concatenate([photo("coffee", 64, 64), alpha], axis=2)).save(path)


def frames(path: Path) -> None:
    """A TIFF of two pages."""
    image = Pillow.fromarray(photo("coffee", 64, 64))
    image.save(path, save_all=True, append_images=[image])


def mode(name: str) -> Callable[[Path], None]:
    """Writes a photograph in a mode of Pillow's."""
    return lambda path: Pillow.fromarray(photo("coffee", 64, 64)).convert(name).save(path)


def gray16(path: Path) -> None:
    """A gray image with 16 bits a sample."""
    Pillow.fromarray(photo("coffee", 64, 64)[..., 0].astype(np.uint16) * 257).save(path)


def cut(path: Path) -> None:
    """The first half of an image file."""
    Pillow.fromarray(photo("coffee", 64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WRONG: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("bad.png", lambda path: path.write_bytes(b""), "empty"),
    "text": ("bad.png", lambda path: path.write_text("a poem"), "not a readable image"),
    "truncated png": ("bad.png", cut, "not a readable image"),
    "truncated jpeg": ("bad.jpg", cut, "not a readable image"),
    "truncated tiff": ("bad.tif", cut, "not a readable image"),
    "folder": ("bad.png", Path.mkdir, "not a readable image"),
    "link to nothing": ("bad.png", lambda path: path.symlink_to("nowhere.png"), "no such file"),
    "transparent": ("bad.png", translucent, "transparent"),
    "cmyk jpeg": ("bad.jpg", mode("CMYK"), "CMYK"),
    "ycbcr tiff": ("bad.tif", mode("LAB"), "LAB"),
    "float": ("bad.tif", mode("F"), "folder:PATH@43.7"),
}
READ: dict[str, tuple[str, Callable[[Path], object], int]] = {
    "16-bit gray png": ("good.png", gray16, 1),
    "16-bit gray tiff": ("good.tif", gray16, 1),
    "16-bit rgb png": ("good.png", png16, 1),
    "two pages": ("good.tif", frames, 2),
}


@pytest.mark.parametrize("role", ["--train", "--test-sets"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_is_no_image_is_refused_by_name(
    kind: str, role: str, untouched: Path, chelsea: Path, tmp_path: Path
) -> None:
    name, write, says = WRONG[kind]
    folder = photos(tmp_path / "images", "astronaut", height=64)
    write(folder / name)
    other = ("--test-sets", f"folder:{chelsea}") if role == "--train" else ()
    message = refused_run(untouched, role, f"folder:{folder}", *other)
    assert str(folder / name) in message
    assert says in message


@pytest.mark.parametrize("kind", READ)
def test_more_than_8_bits_and_several_pages_are_read(kind: str, tmp_path: Path) -> None:
    name, write, count = READ[kind]
    (folder := tmp_path / "images").mkdir()
    write(folder / name)
    asked = ("--noise", "gauss25", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "noisy", *asked).code == 0
    assert line(lines(*asked), method="noisy")["images"] == count


@pytest.mark.parametrize("name", ["P", "L", "1", "RGBA", "LA"])
def test_a_palette_gray_or_opaque_image_is_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    mode(name)(folder / "good.png")
    argv = ("--noise", "gauss25", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "noisy", *argv).code == 0


@pytest.mark.parametrize("role", ["--train", "--test-sets"])
@pytest.mark.parametrize(("content", "says"), [(None, "no such folder"), ("", "no images"), ("notes.txt", "no images")])
def test_a_folder_without_images_is_refused(
    content: str | None, says: str, role: str, untouched: Path, chelsea: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    if content is not None:
        folder.mkdir()
    if content:
        (folder / content).write_text("no image")
    other = ("--test-sets", f"folder:{chelsea}") if role == "--train" else ()
    message = refused_run(untouched, role, f"folder:{folder}", *other)
    assert says in message
    assert str(folder) in message


def test_a_file_given_as_a_folder_is_refused(untouched: Path, chelsea: Path) -> None:
    assert "no such folder" in refused_run(untouched, "--test-sets", f"folder:{chelsea / 'chelsea.png'}")


def test_two_images_of_one_name_are_refused(untouched: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut")
    shutil.copy(folder / "astronaut.png", folder / "astronaut.bmp")
    assert "same image name" in refused_run(untouched, "--test-sets", f"folder:{folder}")


def test_a_training_image_smaller_than_the_crop_is_refused(untouched: Path, chelsea: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=48, width=80)
    message = refused_run(untouched, "--train", f"folder:{folder}", "--test-sets", f"folder:{chelsea}")
    assert str(folder / "astronaut.png") in message
    assert "80x48 is smaller than the crop of 64" in message


def test_a_test_image_too_small_to_score_is_refused_before_training(tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=8, width=64)
    message = refused_run(tmp_path / "s", "--test-sets", f"folder:{folder}")
    assert "astronaut" in message
    assert snapshot(tmp_path / "s") == {}


def test_a_test_image_smaller_than_the_crop_is_scored(tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=13, width=20)
    argv = ("--noise", "gauss25", "--steps", "1", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "n2c", *argv).code == 0
