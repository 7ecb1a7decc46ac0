"""Image sets are downloaded file by file, resumed, checked, and never left half or wrong."""

import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image as Pillow
from support.server import Request, Server, serving
from support.sets import SMALL, small_set

from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import read
from bench.datasets.sets import catalogue
from bench.datasets.sets.download import BLOCK, Patience
from bench.datasets.sets.fetch import fetch
from bench.datasets.sets.find import find_known

QUICK = Patience(connect=2.0, read=5.0, tries=3, pause=0.01)
STALL = Patience(connect=2.0, read=0.3, tries=3, pause=0.01)
COFFEE = "/origin/coffee.png"
Reports = list[tuple[int, int, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def published(photos: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a small set, served under /origin, by name."""
    urls = (f"{server.address}/origin/{{stem}}.png", f"{server.address}/origin/{{stem}}.jpg")
    small_set(photos, monkeypatch, urls=urls)
    files = {path.name: path.read_bytes() for path in photos.iterdir()}
    server.files = {f"/origin/{name}": content for name, content in files.items()}
    return files


@pytest.fixture
def data(published: dict[str, bytes], tmp_path: Path) -> Path:
    """A data folder in which all but coffee.png is there."""
    folder = tmp_path / "data"
    (folder / "photos").mkdir(parents=True)
    for name, content in published.items():
        if name != "coffee.png":
            (folder / "photos" / name).write_bytes(content)
    return folder


def get(data: Path, *mirrors: str, name: str = SMALL, patience: Patience = QUICK) -> tuple[list[str], Reports]:
    """The names of the files fetched, and what was reported."""
    reports: Reports = []
    paths = fetch(name, data, mirrors, lambda *report: reports.append(report), patience)
    assert all(path.parent == data / "photos" for path in paths)
    return [path.name for path in paths], reports


def refused(data: Path, *mirrors: str, name: str = SMALL, patience: Patience = QUICK) -> str:
    """The message, in one line, of a fetch that must fail, and must leave nothing under the name it failed for."""
    with pytest.raises(InputError) as caught:
        get(data, *mirrors, name=name, patience=patience)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(data: Path) -> dict[str, bytes]:
    """What lies in the folder of the set, without the lock."""
    return {path.name: path.read_bytes() for path in (data / "photos").iterdir() if path.name != ".fetch.lock"}


def test_a_whole_set_is_fetched_from_its_second_address_where_the_first_has_none(
    published: dict[str, bytes], tmp_path: Path
) -> None:
    names, reports = get(tmp_path / "new")
    assert names == ["astronaut.png", "chelsea.png", "coffee.png", "noise.jpg"]  # noise.png is not there: 404
    assert files(tmp_path / "new") == published
    assert {finding.state for finding in find_known(SMALL).verify(tmp_path / "new")} == {"ok"}
    last = {name: (done, total) for done, total, name in reports}
    assert last == {name: (len(content), len(content)) for name, content in published.items()}


def test_a_part_is_fetched_alone(published: dict[str, bytes], tmp_path: Path) -> None:
    assert get(tmp_path / "new", name="part")[0] == ["astronaut.png", "coffee.png"]


def test_what_is_there_is_not_asked_for_again(data: Path, server: Server) -> None:
    assert get(data)[0] == ["coffee.png"]
    assert {request.path for request in server.requests} == {COFFEE}
    server.requests.clear()
    assert get(data) == ([], [])
    assert server.requests == []


def test_a_lossless_copy_counts_as_there(data: Path, published: dict[str, bytes], server: Server) -> None:
    Pillow.open(io.BytesIO(published["coffee.png"])).save(data / "photos" / "coffee.bmp")
    assert get(data) == ([], [])
    assert server.requests == []


def test_a_broken_transfer_goes_on_where_it_stopped(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.faults[COFFEE] = ["stop"]
    content = published["coffee.png"]
    half = len(content) // 2
    kept = half - half % BLOCK
    assert get(data)[0] == ["coffee.png"]
    assert server.requests == [Request(COFFEE, "", half), Request(COFFEE, f"bytes={kept}-", len(content) - kept)]
    assert files(data) == published


@pytest.mark.parametrize("fault", ["drop", "stall", "500", "503", "429", "408"])
def test_a_passing_fault_is_outlived(data: Path, published: dict[str, bytes], server: Server, fault: str) -> None:
    server.faults[COFFEE] = [fault, fault]
    started = time.monotonic()
    assert get(data, patience=STALL if fault == "stall" else QUICK)[0] == ["coffee.png"]
    assert time.monotonic() - started < 10  # seconds; without a limit of ours a server stalls for 30
    assert len(server.requests) == 3
    assert files(data) == published


@pytest.mark.parametrize("fault", ["drop", "stop", "stall", "500"])
def test_a_lasting_fault_is_named_and_leaves_no_half_file(data: Path, server: Server, fault: str) -> None:
    server.faults[COFFEE] = [fault] * 9
    message = refused(data, patience=STALL if fault == "stall" else QUICK)
    assert f"{server.address}{COFFEE}: no whole file in 3 tries" in message
    assert len(server.asked(COFFEE)) == 3
    assert "coffee.png" not in files(data)


def test_a_later_command_goes_on_with_the_part(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.faults[COFFEE] = ["stop", "500", "500"]
    refused(data)
    part, content = (data / "photos" / ".part-coffee.png").read_bytes(), published["coffee.png"]
    assert part == content[:BLOCK]
    _, reports = get(data)
    assert server.requests[-1] == Request(COFFEE, f"bytes={len(part)}-", len(content) - len(part))
    assert reports[0][0] > len(part)  # counted from the start of the file
    assert reports[-1] == (len(content), len(content), "coffee.png")
    assert files(data) == published


def test_a_server_without_ranges_begins_again(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.faults[COFFEE] = ["stop", "whole"]
    get(data)
    assert [request.sent for request in server.requests] == [len(published["coffee.png"]) // n for n in (2, 1)]
    assert files(data) == published


@pytest.mark.parametrize("right", [True, False])
def test_a_part_with_nothing_to_come_is_checked(
    data: Path, published: dict[str, bytes], server: Server, right: bool
) -> None:
    content = published["coffee.png"]
    (data / "photos" / ".part-coffee.png").write_bytes(content if right else bytes(len(content) + 1))
    assert get(data)[0] == ["coffee.png"]
    assert [request.sent for request in server.requests] == ([0] if right else [0, len(content)])
    assert files(data) == published


@pytest.mark.parametrize("fault", ["", "skewed"])
def test_parts_of_different_files_are_not_kept(
    data: Path, published: dict[str, bytes], server: Server, fault: str
) -> None:
    wrong = published["coffee.png"] if fault else b"of another file"
    (data / "photos" / ".part-coffee.png").write_bytes(wrong[:100])
    server.faults[COFFEE] = [fault]
    assert get(data)[0] == ["coffee.png"]
    assert [request.range for request in server.requests] == [f"bytes={len(wrong[:100])}-", ""]
    assert files(data) == published


def test_a_file_of_unknown_length_is_taken(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.faults[COFFEE] = ["chunked"]
    _, reports = get(data)
    assert reports[-1] == (len(published["coffee.png"]), 0, "coffee.png")
    assert files(data) == published


@pytest.mark.parametrize("kind", ["page", "empty", "other image", "cut"])
def test_wrong_content_is_refused_by_file_and_address(
    data: Path, published: dict[str, bytes], server: Server, kind: str
) -> None:
    wrong = {
        "page": b"<html>Please log in</html>",
        "empty": b"",
        "other image": published["chelsea.png"],
        "cut": published["coffee.png"][:-2000],
    }[kind]
    server.files[COFFEE] = wrong
    message = refused(data)
    known = next(row for row in catalogue.references(SMALL) if row.stem == "coffee")
    assert f"{data / 'photos' / 'coffee.png'}: {server.address}{COFFEE}: expected SHA-256 {known.file}" in message
    assert f"found {len(wrong)} bytes" in message
    assert not [name for name in files(data) if "coffee" in name]  # nor a part: it would not get better
    assert len(server.asked(COFFEE)) == 1


def test_another_encoding_of_the_same_pixels_is_taken(data: Path, published: dict[str, bytes], server: Server) -> None:
    buffer = io.BytesIO()
    Pillow.open(io.BytesIO(published["coffee.png"])).save(buffer, "PNG", compress_level=0)
    assert buffer.getvalue() != published["coffee.png"]
    server.files[COFFEE] = buffer.getvalue()
    assert get(data)[0] == ["coffee.png"]
    assert {finding.state for finding in find_known(SMALL).verify(data)} == {"ok"}


def test_a_wrong_file_that_is_there_is_named_and_left(data: Path, server: Server) -> None:
    wrong = data / "photos" / "chelsea.png"
    Pillow.fromarray(read(wrong)[:-1]).save(wrong)
    before = wrong.read_bytes()
    message = refused(data)
    assert f"{wrong}: altered" in message
    assert "not overwritten" in message
    assert "1 images fetched, 1 failed" in message
    assert wrong.read_bytes() == before
    assert "coffee.png" in files(data)
    assert not server.asked("/origin/chelsea.png")


def test_one_failure_does_not_keep_the_others_away(published: dict[str, bytes], server: Server, tmp_path: Path) -> None:
    del server.files["/origin/chelsea.png"]
    server.files[COFFEE] = b"wrong"
    message = refused(tmp_path / "new")
    assert "2 images fetched, 2 failed" in message
    assert "404" in message
    assert set(files(tmp_path / "new")) == {"astronaut.png", "noise.jpg"}


def test_a_redirect_is_followed(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.files["/elsewhere"] = server.files.pop(COFFEE)
    server.faults[COFFEE] = [f"-> {server.address}/elsewhere"]
    get(data)
    assert files(data) == published


def test_redirects_without_end_are_refused(data: Path, server: Server) -> None:
    server.faults[COFFEE] = [f"-> {server.address}{COFFEE}"] * 99
    assert "TooManyRedirects" in refused(data)


def test_mirrors_come_first_and_in_their_order(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.files["/b/photos/coffee.png"] = published["coffee.png"]
    get(data, f"{server.address}/a/", f"{server.address}/b")
    asked = [request.path for request in server.requests]
    assert asked == [*(f"/a/photos/coffee.{end}" for end in ("png", "jpg")), "/b/photos/coffee.png"]
    assert files(data) == published


def test_a_wrong_mirror_does_not_hide_the_origin(data: Path, published: dict[str, bytes], server: Server) -> None:
    server.files["/photos/coffee.png"] = b"<html>captive portal</html>"
    assert get(data, server.address)[0] == ["coffee.png"]
    assert files(data) == published


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_dead_mirror_is_given_up_after_some_files(
    published: dict[str, bytes], server: Server, tmp_path: Path
) -> None:
    names, _ = get(tmp_path / "new", f"http://127.0.0.1:{closed_port()}")
    assert len(names) == 4
    for path in list((tmp_path / "new" / "photos").glob("*.*g")):
        path.unlink()
    server.files.clear()
    message = refused(tmp_path / "new", f"http://127.0.0.1:{closed_port()}")
    assert "no whole file in 3 tries, the last one: NewConnectionError" in message
    assert "failed 3 times in a row" in message


def test_a_server_that_fails_for_one_file_is_asked_for_the_next(
    published: dict[str, bytes], server: Server, tmp_path: Path
) -> None:
    server.faults = {f"/origin/{name}": ["500"] * 9 for name in ("astronaut.png", "astronaut.jpg", "coffee.png")}
    refused(tmp_path / "new")
    assert set(files(tmp_path / "new")) == {"chelsea.png", "noise.jpg"}


@pytest.mark.parametrize("mirror", ["mirror", "ftp://127.0.0.1", "file:///somewhere", ""])
def test_a_mirror_that_is_no_address_is_refused_at_once(data: Path, server: Server, mirror: str) -> None:
    assert f"mirror {mirror!r}: expected an address" in refused(data, server.address, mirror)
    assert server.requests == []


@pytest.mark.parametrize("mirror", ["http://", "http://[", "http://:", "http://a b"])
def test_what_is_no_address_is_named(data: Path, server: Server, mirror: str) -> None:
    server.files.clear()
    assert f"{mirror.rstrip('/')}/photos/coffee.png: expected a file, found" in refused(data, mirror)


def test_a_set_without_an_address_says_how_to_get_it(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_set(photos, monkeypatch, fetch="small.tar after accepting the terms of example.org")
    message = refused(tmp_path / "new")
    assert "small.tar after accepting the terms of example.org" in message
    assert str(tmp_path / "new" / "photos") in message
    assert not (tmp_path / "new").exists()


def test_two_commands_do_not_write_into_one_folder(data: Path) -> None:
    with FileLock(data / "photos" / ".fetch.lock"):
        assert "another process" in refused(data)


def test_a_folder_that_cannot_be_made_is_named(published: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    assert f"{tmp_path / 'data' / 'photos'}: cannot be written" in refused(tmp_path / "data")


def test_every_address_of_the_catalogue_has_a_place_for_the_name() -> None:
    for image_set in catalogue.catalogue().values():
        assert all(url.startswith("https://") and url.count("{stem}") == 1 for url in image_set.urls)
