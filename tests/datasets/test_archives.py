"""Archives from elsewhere: only regular files, only inside the folder, only as much as expected."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.datasets.errors import InputError
from bench.datasets.sets.archives import Limits, extract

FILES = {"set/test/a.png": b"first", "set/test/b.png": b"second", "set/train/c.png": b"third", "set/notes.txt": b"text"}
Make = Callable[..., Path]


def make_zip(path: Path, files: dict[str, bytes], *others: zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
        for other in others:
            packed.writestr(other, "../elsewhere")
    return path


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an archive."""
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    return lambda files: make_zip(path, files)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_unpacked(make: Make, out: Path) -> None:
    paths = extract(make(FILES), out)
    assert files_below(out) == FILES
    assert paths == [out / name for name in FILES]


def test_an_archive_without_a_file_is_an_error(make: Make, out: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        extract(make({}), out)


@pytest.mark.parametrize(
    "name", ["../a.png", "set/../../a.png", "/a.png", "..\\a.png", "C:\\a.png", "C:a.png", "\\\\host\\share\\a.png"]
)
def test_no_path_leaves_the_folder(make: Make, out: Path, name: str) -> None:
    before = files_below(out.parent)
    with pytest.raises(InputError, match="leads out of it"):
        extract(make({name: b"bad"}), out)
    assert files_below(out.parent).keys() - before.keys() == {
        "in/" + path.name for path in (out.parent / "in").iterdir()
    }


def test_a_link_in_a_zip_file_is_refused(tmp_path: Path, out: Path) -> None:
    info = zipfile.ZipInfo("set/test/z.png")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match=r"'set/test/z\.png' is a link or a device"):
        extract(make_zip(tmp_path / "a.zip", FILES, info), out)


def test_a_link_in_the_way_is_not_followed(make: Make, out: Path) -> None:
    victim = out.parent / "victim"
    victim.write_bytes(b"precious")
    (out / "set/test").mkdir(parents=True)
    (out / "set/test/a.png").symlink_to(victim)
    with pytest.raises(InputError, match=r"a\.png' is there already"):
        extract(make(FILES), out)
    assert victim.read_bytes() == b"precious"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_that_comes_twice_is_refused(tmp_path: Path, out: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png' is there already"):
        extract(make_zip(tmp_path / "a.zip", FILES, zipfile.ZipInfo("set/test/a.png")), out)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(count=3), "at most 3 entries"),
        (Limits(member=5), r"0\.\.5 bytes a file, 'set/test/b\.png' has 6"),
        (Limits(total=11), "at most 11 bytes unpacked"),
    ],
)
def test_more_than_the_limits_is_refused(make: Make, out: Path, limits: Limits, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract(make(FILES), out, limits)


def test_a_bomb_is_refused_before_it_is_unpacked(make: Make, out: Path) -> None:
    archive = make({"a.png": bytes(2**24)})
    assert archive.stat().st_size < 2**16
    with pytest.raises(InputError, match="bytes unpacked, found more"):
        extract(archive, out)
    assert files_below(out) == {}


def test_a_zip_file_that_lies_about_a_size_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": bytes(5000)})
    archive.write_bytes(archive.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    with pytest.raises(InputError, match="expected a whole zip file"):
        extract(archive, out)
    assert (out / "a.png").stat().st_size <= 50


@pytest.mark.parametrize("content", [b"<html>404 Not Found</html>", b"", b"PK\3\4 no more"])
def test_what_is_no_archive_is_named_with_its_beginning(tmp_path: Path, out: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: expected a whole zip file, found") as caught:
        extract(archive, out)
    assert f"{len(content)} bytes that start with {content[:16]!r}" in str(caught.value)


def test_a_cut_archive_is_refused_by_name(make: Make, out: Path) -> None:
    archive = make({f"{i}.png": bytes(range(256)) * 20 for i in range(20)})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(InputError, match=f"{archive.name}: expected a whole zip file"):
        extract(archive, out)


def test_an_encrypted_zip_file_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": b"secret"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag of the local header, and of the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        extract(archive, out)
