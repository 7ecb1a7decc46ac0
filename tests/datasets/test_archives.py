"""Archives from elsewhere: only wanted regular files, only inside the folder, only as much as expected."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.datasets.errors import InputError
from bench.datasets.sets.archives import Limits, extract, inspect

FILES = {"set/test/a.png": b"first", "set/test/b.png": b"second", "set/train/c.png": b"third", "set/notes.txt": b"text"}
Make = Callable[..., Path]


def make_tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for other in others:
            tar.addfile(other)
    return path


def make_zip(path: Path, files: dict[str, bytes], *others: zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
        for other in others:
            packed.writestr(other, "../elsewhere")
    return path


@pytest.fixture(params=["a.zip", "a.tar", "a.tar.gz"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an archive of each format."""
    path = tmp_path / "in" / request.param
    path.parent.mkdir()
    return lambda files: (make_zip if path.suffix == ".zip" else make_tar)(path, files)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_the_wanted_files_are_unpacked(make: Make, out: Path) -> None:
    paths = extract(make(FILES), out, "set/test/*.png")
    assert files_below(out) == {name: FILES[name] for name in ("set/test/a.png", "set/test/b.png")}
    assert paths == [out / "set/test/a.png", out / "set/test/b.png"]


def test_none_of_the_wanted_files_is_an_error(make: Make, out: Path) -> None:
    with pytest.raises(InputError, match=r"expected files like 'set/val/\*' in it, found none"):
        extract(make(FILES), out, "set/val/*")


@pytest.mark.parametrize(
    "name", ["../a.png", "set/../../a.png", "/a.png", "..\\a.png", "C:\\a.png", "C:a.png", "\\\\host\\share\\a.png"]
)
def test_no_path_leaves_the_folder(make: Make, out: Path, name: str) -> None:
    before = files_below(out.parent)
    with pytest.raises(InputError, match="leads out of it"):
        extract(make({name: b"bad"}), out, "*")
    assert files_below(out.parent).keys() - before.keys() == {
        "in/" + path.name for path in (out.parent / "in").iterdir()
    }


def test_a_path_outside_that_nobody_wants_does_no_harm(make: Make, out: Path) -> None:
    extract(make(FILES | {"../evil.txt": b"bad"}), out, "set/test/*.png")
    assert set(files_below(out)) == {"set/test/a.png", "set/test/b.png"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_links_and_devices_in_a_tar_file_are_refused(tmp_path: Path, out: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("set/test/z.png")
    info.type, info.linkname = kind, "../elsewhere"
    archive = make_tar(tmp_path / "a.tar", FILES, info)
    with pytest.raises(InputError, match=r"'set/test/z\.png' is a link or a device"):
        extract(archive, out, "set/test/*")
    assert not (out / "set/test/z.png").is_symlink()


def test_a_link_in_a_zip_file_is_refused(tmp_path: Path, out: Path) -> None:
    info = zipfile.ZipInfo("set/test/z.png")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match=r"'set/test/z\.png' is a link or a device"):
        extract(make_zip(tmp_path / "a.zip", FILES, info), out, "set/test/*")


def test_a_link_in_the_way_is_not_followed(make: Make, out: Path) -> None:
    victim = out.parent / "victim"
    victim.write_bytes(b"precious")
    (out / "set/test").mkdir(parents=True)
    (out / "set/test/a.png").symlink_to(victim)
    with pytest.raises(InputError, match=r"a\.png' is there already"):
        extract(make(FILES), out, "set/test/*")
    assert victim.read_bytes() == b"precious"


def test_a_path_that_comes_twice_is_refused(tmp_path: Path, out: Path) -> None:
    again = tarfile.TarInfo("set/test/a.png")
    with pytest.raises(InputError, match=r"a\.png' is there already"):
        extract(make_tar(tmp_path / "a.tar", FILES, again), out, "set/test/*")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(count=3), "at most 3 entries"),
        (Limits(member=5), r"0\.\.5 bytes a file, 'set/test/b\.png' has 6"),
        (Limits(total=11), "at most 11 bytes unpacked"),
    ],
)
def test_more_than_the_limits_is_refused(make: Make, out: Path, limits: Limits, message: str) -> None:
    archive = make(FILES)
    for refuse in (lambda: inspect(archive, limits), lambda: extract(archive, out, "*", limits)):
        with pytest.raises(InputError, match=message):
            refuse()


@pytest.mark.parametrize("name", ["wanted.png", "unwanted.txt"])
@pytest.mark.parametrize("file", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, out: Path, file: str, name: str) -> None:
    zeros = {name: bytes(2**24)}
    archive = make_zip(tmp_path / file, zeros) if file == "a.zip" else make_tar(tmp_path / file, zeros)
    assert archive.stat().st_size < 2**16
    with pytest.raises(InputError, match="bytes unpacked, found more"):
        extract(archive, out, "*.png")
    assert files_below(out) == {}


def test_a_name_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 10**8
    archive = tmp_path / "a.tar.gz"
    with gzip.open(archive, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(InputError, match=r"a\.tar\.gz: expected names of files, found one of 100000256 bytes"):
        inspect(archive)


def test_a_size_below_zero_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.size = -1024
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(InputError, match=r"a\.tar: expected"):
        inspect(tmp_path / "a.tar")


def test_a_zip_file_that_lies_about_a_size_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": bytes(5000)})
    archive.write_bytes(archive.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    with pytest.raises(InputError, match="expected a whole zip or tar file"):
        extract(archive, out, "*")
    assert (out / "a.png").stat().st_size <= 50


@pytest.mark.parametrize("content", [b"<html>404 Not Found</html>", b"", b"PK\3\4 no more", b"\x1f\x8b\x08 no more"])
def test_what_is_no_archive_is_named_with_its_beginning(tmp_path: Path, out: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    for refuse in (lambda: inspect(archive), lambda: extract(archive, out, "*")):
        with pytest.raises(InputError, match=r"a\.zip: expected a whole zip or tar file, found") as caught:
            refuse()
        assert f"{len(content)} bytes that start with {content[:16]!r}" in str(caught.value)


def test_a_cut_archive_is_refused_by_name(make: Make, out: Path) -> None:
    archive = make({f"{i}.png": bytes(range(256)) * 20 for i in range(20)})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    for refuse in (lambda: inspect(archive), lambda: extract(archive, out, "*")):
        with pytest.raises(InputError, match=f"{archive.name}: expected a whole zip or tar file"):
            refuse()


def test_an_encrypted_zip_file_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": b"secret"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag of the local header, and of the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        extract(archive, out, "*")
