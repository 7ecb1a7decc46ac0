"""Wrong input: one clear line on standard error, exit code 2, nothing of the store touched."""

import errno
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import SHARED, altered_suite, bench, needs_shared_data, photo, photos, refused, snapshot


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small photograph."""
    return photos(tmp_path_factory.mktemp("work") / "tests", "chelsea", height=64)


@pytest.fixture(scope="module")
def filled(tests: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the record of a run."""
    store = tmp_path_factory.mktemp("filled") / "store"
    argv = ("--noise", "gauss25", "--steps", "1", "--test-sets", f"folder:{tests}", "--store", store)
    assert bench("run", "--methods", "n2c", *argv).code == 0
    return store


@pytest.fixture
def store(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of that store, which no refused command may touch."""
    mine = shutil.copytree(filled, tmp_path_factory.mktemp("copy") / "store")
    before = snapshot(mine)
    yield mine
    assert snapshot(mine) == before


@pytest.fixture(autouse=True)
def _in_a_folder_with_photographs(tests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small training set at hand; the developer's BENCH_DATA and BENCH_STORE play no part."""
    monkeypatch.chdir(tests.parent)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.delenv("BENCH_STORE", raising=False)


def run(store: Path, *argv: object, methods: str = "n2c") -> str:
    """The error of a run; float32, as on machines without bf16 a line says so."""
    asked = {"--noise": "gauss25", "--steps": "2", "--precision": "float32", "--store": store}
    asked |= {} if "--preset" in argv else {"--train": "folder:tests"}
    given = [item for pair in asked.items() if pair[0] not in argv for item in pair]
    return refused("run", "--methods", methods, *given, *argv)


# ---- names


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (("run", "--methods", "b2uu"), "'b2u'"),
        (("run", "--methods", "n2c,NBR2NBR"), "'nbr2nbr'"),
        (("run", "--methods", "n2c", "--suite", "synthetics"), "'synthetic'"),
        (("run", "--methods", "n2c", "--preset", "redued"), "'reduced'"),
        (("run", "--methods", "n2c", "--noise", "gaus25"), "'gauss25'"),
        (("run", "--methods", "n2c", "--test-sets", "kodk"), "'kodak'"),
        (("run", "--methods", "n2c", "--train", "bsd500_train"), "'bsds500_train'"),
        (("run", "--methods", "n2c", "--stesp", "3"), "--steps"),
        (("run", "--methods", "n2c", "--test_sets=kodak"), "--test-sets"),
        (("rnu", "--methods", "n2c"), "run"),
        (("tabels",), "tables"),
        (("tables", "--format", "latx"), "latex"),
        (("tables", "--preset", "minni"), "'mini'"),
        (("tables", "--suite", "sinthetic"), "'synthetic'"),
        (("show", "n2c gauss26 seed 0"), "'n2c gauss25 seed 0'"),
        (("speed", "--methods", "b2uu"), "'b2u'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(store: Path, argv: tuple[str, ...], nearest: str) -> None:
    where = () if argv[0] in ("speed", "rnu", "tabels") else ("--store", store)
    assert f"Did you mean {nearest}?" in refused(*argv, *where)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "COMMAND"),
        (("run",), "--methods"),
        (("run", "--method", "n2c"), "--methods"),
        (("run", "--methods"), "--methods"),
        (("run", "--methods", ","), "--methods"),
        (("show",), "cell"),
        (("run", "--methods", "zzz"), "Allowed: "),
        (("methods", "--format", "yaml"), "json"),
        (("tables", "--table", "one"), "--table"),
    ],
)
def test_a_missing_or_wrong_argument_is_refused(argv: tuple[str, ...], says: str) -> None:
    assert says in refused(*argv)


@pytest.mark.parametrize(
    "noise", ["gauss", "gauss-25", "gauss0", "gauss50_5", "gaussian25", "poisson30_", "sigma25", "gauss25.5.5"]
)
def test_a_noise_that_is_none_is_refused(store: Path, noise: str) -> None:
    message = run(store, "--noise", noise)
    assert repr(noise) in message
    assert "gauss25" in message


@pytest.mark.parametrize("option", ["--steps", "--repeats", "--threads"])
@pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "", "²"])
def test_a_count_must_be_a_positive_whole_number(store: Path, option: str, value: str) -> None:
    message = run(store, f"{option}={value}")
    assert option in message
    assert "whole number" in message


@pytest.mark.parametrize("value", ["x", "0,x", "0,,1", "", "0.5"])
def test_seeds_must_be_whole_numbers(store: Path, value: str) -> None:
    assert "--seeds" in run(store, f"--seeds={value}")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--device", "gpu", "cuda"),
        ("--device", "cuda:99", "cuda:99"),
        ("--precision", "fp16", "bf16"),
        ("--format", "yaml", "json"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_is_allowed(store: Path, option: str, value: str, allowed: str) -> None:
    assert allowed in run(store, option, value)


# ---- suite files


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title =", "titel =", "Did you mean 'title'?"),
        ("crop = 64\n", "cropp = 64\n", "Did you mean 'crop'?"),
        ("schedule = ", "shedule = ", "Did you mean 'schedule'?"),
        ('label = "N2V"', 'lable = "N2V"', "Did you mean 'label'?"),
        ("crop_factor = 2", "cropfactor = 2", "Did you mean 'crop_factor'?"),
        ('upsample = "transposed"', 'upsampling = "transposed"', "upsampling"),
        ("plateau = 0.4", "plato = 0.4", "plato"),
        ("[presets.mini.fields.b2u]\ns = 2", "[presets.mini.fields.b2u]\nS = 2", "unknown key 'S'"),
        ("[presets.mini.fields.b2u]", "[presets.mini.fields.b2uu]", "b2u"),
        ('[overrides."*_*".b2u]', "[overrides.gaus5_50.b2u]", "gaus5_50"),
        ('[overrides."*_*".b2u]', '[overrides."*_*".b2uu]', "b2u"),
        ('recipe = "short"', 'recipe = "shrt"', "Did you mean 'short'?"),
        ('"poisson30"', '"poison30"', "Did you mean 'poisson30'?"),
        ('tests = ["embedded_test"]', 'tests = ["embeded_test"]', "Did you mean 'embedded_test'?"),
        ("repeats = { kodak = 10,", "repeats = { kodk = 10,", "kodk"),
        ('method = "nbr2nbr"\ncrop_factor', 'method = "nbr2nbrr"\ncrop_factor', "nbr2nbr"),
        ("steps = 300", 'steps = "300"', "int"),
        ("steps = 300", "steps = 300.5", "int"),
        ("steps = 300", "steps = 0", "steps"),
        ("steps = 300", "steps = -5", "steps"),
        ("batch = 4\nsteps = 300", "batch = 0\nsteps = 300", "batch"),
        ("crop = 64\nbatch = 4\nsteps = 300", "crop = 0\nbatch = 4\nsteps = 300", "crop"),
        ("crop = 64\nbatch = 4\nsteps = 300", "crop = 65537\nbatch = 4\nsteps = 300", "crop = 65537"),
        ("epochs = 100", "epochs = 0", "epochs"),
        ("channels = 3", "channels = 0", "channels"),
        ('tests = ["embedded_test"]', 'tests = "embedded_test"', "array"),
        ("noises = [", "noises = [1, ", "str"),
        ('schedule = "constant"', 'schedule = "circle"', "circle"),
        ("[presets.mini.fields.b2u]\ns = 2", "[presets.mini.fields.b2u]\ns = 1", "s = 1"),
        ("[presets.mini.fields.b2u]\ns = 2", '[presets.mini.fields.b2u]\ns = "2"', "b2u"),
        ('name = "synthetic"\n', "", "name"),
        ("version = 1", "version = ", "TOML"),
        ("[presets.mini]", "[presets.mini", "TOML"),
        ("[presets.mini]", "[presets.reduced]", "TOML"),
    ],
)
def test_a_wrong_suite_file_is_refused(old: str, new: str, says: str, store: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, old, new)
    message = refused("tables", "--suite", path, "--store", store)  # it trains nothing, should this be accepted
    assert says in message
    assert "mine.toml" in message or "'synthetic'" in message


def test_an_error_in_a_suite_file_names_the_place(store: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "steps = 300", 'steps = "300"')
    message = refused("tables", "--suite", path, "--store", store)
    assert str(path) in message
    assert "presets" in message
    assert "steps" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[[[", b"\x89PNG"])
def test_what_is_no_suite_is_refused(content: bytes, store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    assert "mine.toml" in refused("tables", "--suite", tmp_path / "mine.toml", "--store", store)


@pytest.mark.parametrize("name", ["missing.toml", "folder.toml"])
def test_a_suite_that_is_no_file_is_refused(name: str, store: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    assert name in refused("tables", "--suite", tmp_path / name, "--store", store)


def test_a_suite_file_is_accepted(tests: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "steps = 300", "steps = 1")  # so that the refusals above have another cause
    argv = ("--suite", path, "--noise", "gauss25", "--test-sets", f"folder:{tests}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "b2u,nbr2nbr-official", *argv).code == 0


# ---- data folders


def test_a_set_without_a_data_folder_says_what_to_give(store: Path) -> None:
    message = run(store, "--test-sets", "kodak")
    for words in ("'kodak'", "--data DIR", "BENCH_DATA", "24 images"):
        assert words in message


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_data_folder_without_the_set_is_refused(folder: str, store: Path, tmp_path: Path) -> None:
    message = run(store, "--test-sets", "kodak", "--data", tmp_path / folder)
    assert f"not under {tmp_path / folder}" in message
    assert "kodak/" in message


def test_the_data_folder_of_the_environment(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert f"not under {tmp_path}" in run(store, "--test-sets", "kodak")


def test_an_incomplete_set_is_refused(store: Path, tmp_path: Path) -> None:
    photos(tmp_path / "kodak", "astronaut")
    shutil.move(tmp_path / "kodak" / "astronaut.png", tmp_path / "kodak" / "kodim01.png")
    message = run(store, "--test-sets", "kodak", "--data", tmp_path)
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
def test_a_set_with_another_image_is_refused_by_name(kind: str, store: Path, tmp_path: Path) -> None:
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
    message = run(store, "--test-sets", "set14", "--data", tmp_path)
    assert victim.stem in message
    assert {"removed": "missing", "extra": "do not belong", "resized": "shape"}.get(kind, kind[:5]) in message


@needs_shared_data
@pytest.mark.parametrize("other", ["README.txt", ".DS_Store", "Thumbs.db", ".hidden.png"])
def test_other_files_beside_a_set_do_no_harm(other: str, tmp_path: Path) -> None:
    (shared_set14(tmp_path) / other).write_bytes(b"no image")
    argv = ("--noise", "gauss25", "--test-sets", "set14", "--data", tmp_path, "--dry-run", "--store", tmp_path / "s")
    assert bench("run", "--methods", "noisy", *argv).code == 0


def test_the_paper_s_preset_says_what_to_get_and_where_to_put_it(store: Path, tests: Path, tmp_path: Path) -> None:
    asked = ("--preset", "paper", "--test-sets", f"folder:{tests}")
    for data in ((), ("--data", tmp_path)):
        message = run(store, *asked, *data)
        for words in ("ilsvrc2012_val/", "ILSVRC2012_img_val.tar", "image-net.org", "--data" if not data else "folder"):
            assert words in message


def test_the_paper_s_preset_alone_names_its_training_set(store: Path) -> None:
    assert "ILSVRC2012_img_val.tar" in run(store, "--preset", "paper")


def test_the_paper_s_training_set_must_be_whole(store: Path, tests: Path, tmp_path: Path) -> None:
    photos(tmp_path / "ilsvrc2012_val", "astronaut", height=256, width=256)
    message = run(store, "--preset", "paper", "--test-sets", f"folder:{tests}", "--data", tmp_path)
    assert "expected 44328" in message


# ---- folders of images


def png16(path: Path) -> None:
    """An RGB PNG with 16 bits a sample, which Pillow cannot write."""
    rows = photo("coffee", 64, 64).astype(">u2") * 257 + 3  # the low bytes matter

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


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
    "16-bit gray png": ("bad.png", gray16, "16-bit"),
    "16-bit gray tiff": ("bad.tif", gray16, "16-bit"),
    "16-bit rgb png": ("bad.png", png16, "16-bit"),
    "transparent": ("bad.png", translucent, "transparent"),
    "cmyk jpeg": ("bad.jpg", mode("CMYK"), "CMYK"),
    "ycbcr tiff": ("bad.tif", mode("LAB"), "LAB"),
    "float": ("bad.tif", mode("F"), "floating point"),
    "two pages": ("bad.tif", frames, "frames"),
}


@pytest.mark.parametrize("role", ["--train", "--test-sets"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_is_no_8_bit_image_is_refused_by_name(
    kind: str, role: str, store: Path, tests: Path, tmp_path: Path
) -> None:
    name, write, says = WRONG[kind]
    folder = photos(tmp_path / "images", "astronaut", height=64)
    write(folder / name)
    other = ("--test-sets", f"folder:{tests}") if role == "--train" else ()
    message = run(store, role, f"folder:{folder}", *other)
    assert str(folder / name) in message
    assert says in message


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
    content: str | None, says: str, role: str, store: Path, tests: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    if content is not None:
        folder.mkdir()
    if content:
        (folder / content).write_text("no image")
    other = ("--test-sets", f"folder:{tests}") if role == "--train" else ()
    message = run(store, role, f"folder:{folder}", *other)
    assert says in message
    assert str(folder) in message


def test_a_file_given_as_a_folder_is_refused(store: Path, tests: Path) -> None:
    assert "no such folder" in run(store, "--test-sets", f"folder:{tests / 'chelsea.png'}")


def test_two_images_of_one_name_are_refused(store: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut")
    shutil.copy(folder / "astronaut.png", folder / "astronaut.bmp")
    assert "same image name" in run(store, "--test-sets", f"folder:{folder}")


def test_a_training_image_smaller_than_the_crop_is_refused(store: Path, tests: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=48, width=80)
    message = run(store, "--train", f"folder:{folder}", "--test-sets", f"folder:{tests}")
    assert str(folder / "astronaut.png") in message
    assert "80x48 is smaller than the crop of 64" in message


def test_a_test_image_too_small_to_score_is_refused_before_training(tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=8, width=64)
    message = run(tmp_path / "s", "--test-sets", f"folder:{folder}")
    assert "astronaut" in message
    assert snapshot(tmp_path / "s") == {}


def test_a_test_image_smaller_than_the_crop_is_scored(tmp_path: Path) -> None:
    folder = photos(tmp_path / "images", "astronaut", height=13, width=20)
    argv = ("--noise", "gauss25", "--steps", "1", "--test-sets", f"folder:{folder}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "n2c", *argv).code == 0


# ---- stores


@pytest.mark.parametrize("kind", ["a file", "below a file", "proc", "fits is a file"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_an_unwritable_store_is_refused(
    kind: str, way: str, tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "fits").write_bytes(b"precious")
    place = {"a file": "file", "below a file": "file/store", "proc": "/proc/store", "fits is a file": ""}[kind]
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / place))
    option = ("--store", tmp_path / place) if way == "option" else ()
    argv = ("--methods", "noisy", "--noise", "gauss25", "--precision", "float32", "--test-sets", f"folder:{tests}")
    message = refused("run", *argv, *option)
    assert f"cannot write to the store {tmp_path / place}" in message
    assert "--store DIR" in message
    assert (tmp_path / "file").read_bytes() == (tmp_path / "fits").read_bytes() == b"precious"


def test_a_full_disk_loses_nothing(filled: Path, tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shutil.copytree(filled, tmp_path / "store")
    before = snapshot(store)

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    argv = ("--noise", "gauss25", "--steps", "1", "--force", "--test-sets", f"folder:{tests}", "--store", store)
    result = bench("run", "--methods", "n2c", *argv)
    assert result.code == 2
    assert "No space left" in result.err.splitlines()[-1]
    assert result.err.count("bench: error: ") == 1
    assert {name: content for name, (_, content) in snapshot(store).items()} == {n: c for n, (_, c) in before.items()}


def test_a_damaged_request_is_named(filled: Path, tmp_path: Path) -> None:
    store = shutil.copytree(filled, tmp_path / "store")
    (store / "last.json").write_bytes(b"{")
    result = bench("tables", "--store", store)
    assert result.code == 0
    assert "last.json" in result.err


def test_records_of_no_store_are_not_found(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refused("show", "n2c", "--store", tmp_path / "none")
