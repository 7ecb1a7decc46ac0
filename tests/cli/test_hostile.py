"""Files that are damaged, or made to do damage: each is read, or refused in one line; none crashes, none costs much."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import hostile, ruined
from support.cli import bench, finish, photos, refused, snapshot, start
from support.hostile import READERS

from bench.datasets import documents
from bench.datasets.errors import LONGEST, InputError
from bench.tools import regression as regress

DRAWN = int(os.environ.get("BENCH_DRAWN", "30"))  # damaged files of each kind, besides those ruined by hand
SECONDS = 30.0  # that no refusal needs, even on a very busy machine
MEMORY = 2**30  # bytes for all of them, libraries included
PIECES = [
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"\0\0\0\x80",
    b"\xff" * 8,
    b"\0",
    b"\n",
    b'"',
    b"[",
    b"}",
    b"null",
    b"-1",
    b"1e999",
]


@pytest.fixture(scope="module")
def child() -> Iterator[ProcessPoolExecutor]:
    """A process that reads the files, as a decoder may crash it; its memory is looked at in the end."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield process
        assert process.submit(hostile.peak).result(SECONDS) < MEMORY


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """The file with bytes taken out, all to the end among them, and others put there; mostly near its two ends."""
    places = st.integers(-len(whole), len(whole) - 1)
    pieces = st.sampled_from([b"", *PIECES]) | st.binary(min_size=1, max_size=4)
    gone = st.sampled_from([0, 1, 4, len(whole)])
    return st.builds(lambda at, piece, gone: whole[:at] + piece + whole[at % len(whole) + gone :], places, pieces, gone)


@pytest.mark.parametrize("name", READERS)
def test_a_malformed_file_is_read_or_refused_in_one_line(
    name: str, child: ProcessPoolExecutor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = child.submit(hostile.whole, name, tmp_path).result(SECONDS)
    tally: Counter[str] = Counter()

    def attempt(content: bytes) -> None:
        said = child.submit(hostile.outcome, name, tmp_path, content).result(SECONDS)
        assert said.isprintable()
        assert len(said) < LONGEST + 10
        tally["refused" if said else "read"] += 1

    for content in (b"", *READERS[name].ruined(whole)):
        attempt(content)
    calm = settings(
        max_examples=DRAWN, derandomize=True, database=None, deadline=None, suppress_health_check=HealthCheck
    )
    calm(given(damaged(whole))(attempt))()
    record_property("files", dict(tally))
    assert tally.total() > DRAWN
    assert tally["refused"] > DRAWN / 5


def test_there_are_more_than_200_malformed_files() -> None:
    assert DRAWN * len(READERS) > 200


# ---- through the command line


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the record of a run, beside the photograph that it was scored on."""
    folder = tmp_path_factory.mktemp("filled")
    train = photos(folder / "train", "astronaut", height=64)
    tests = photos(folder / "tests", "chelsea", height=64)
    argv = ("--noise", "gauss25", "--steps", "1", "--train", f"folder:{train}", "--test-sets", f"folder:{tests}")
    assert bench("run", "--methods", "n2c", *argv, "--store", folder / "store").code == 0
    return folder


BLOCKS = "ValidationNoisyBlocksRaw"
NESTED = b'{"a":' * 10**5


def spoilt(folder: Path, kind: str) -> tuple[object, ...]:
    """Puts a malformed file of a kind into a folder with a filled store; the command that meets it."""
    store = ("--store", folder / "store")
    places: dict[str, tuple[str, bytes, tuple[object, ...]]] = {
        "image": ("bad/a.png", b"\x89PNG\r\n\x1a\n", ("run", "--test-sets", f"folder:{folder / 'bad'}")),
        "bomb": ("bad/a.png", ruined.bomb(10_000, 10_000), ("run", "--test-sets", f"folder:{folder / 'bad'}")),
        "mat": (
            f"data/sidd/{BLOCKS}.mat",
            ruined.crasher(BLOCKS, 1, 1, 6, 8),
            ("run", "--suite", "raw", "--preset", "paper", "--data", folder / "data", "--test-sets", "sidd_val"),
        ),
        "pack": ("data/sidd_medium/pack.json", NESTED, ("data", "show", "sidd_medium", "--data", folder / "data")),
        "suite": ("mine.toml", b"a = " + b"[" * 10**5, ("tables", "--suite", folder / "mine.toml")),
        "suite, digits": ("mine.toml", b"version = " + b"9" * 5000, ("tables", "--suite", folder / "mine.toml")),
        "suite, terminal": ("mine.toml", b'"a\\u001b[2J\\nb" = 1', ("tables", "--suite", folder / "mine.toml")),
        "references": ("references.json", NESTED, ("regress",)),
        "plug-in": ("mine.py", b"raise BaseException('a\\nb')", ("methods", "--plugin", folder / "mine.py")),
        "plug-in, mute": ("mine.py", ruined.MUTE.encode(), ("methods", "--plugin", folder / "mine.py")),
    }
    file, content, (command, *argv) = places[kind]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if kind == "mat":
        shutil.copy(path, path.with_name("ValidationGtBlocksRaw.mat"))
        argv += ["--methods", "noisy"]
    elif command == "run":
        argv += ["--methods", "n2c", "--noise", "gauss25", "--steps", "1", "--train", f"folder:{folder / 'train'}"]
    return (command, *argv, *(store if command in ("run", "tables", "show") else ()))


KINDS = (
    "image", "bomb", "mat", "pack", "suite", "suite, digits", "suite, terminal", "references", "plug-in",
    "plug-in, mute",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_refuses_it_and_loses_nothing(
    kind: str, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(filled, tmp_path / "work")
    argv = spoilt(folder, kind)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(regress, "NUMBERS", folder / "references.json")
    before = snapshot(folder / "store")
    refused(*argv)
    assert snapshot(folder / "store") == before


def test_a_damaged_note_of_the_last_run_is_named_and_a_run_quarantines_it(filled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(filled, tmp_path / "work")
    last, before = folder / "store" / "last.json", snapshot(folder / "store")
    last.write_bytes(NESTED)
    result = bench("tables", "--store", folder / "store")
    assert (result.code, result.out.startswith("Table 1")) == (0, True)
    assert "last.json: damaged" in result.err
    sets = ("--train", f"folder:{folder / 'train'}", "--test-sets", f"folder:{folder / 'tests'}")
    argv = ("run", "--methods", "n2c", "--noise", "gauss25", "--steps", "1", *sets, "--store", folder / "store")
    assert bench(*argv).code == 0
    assert snapshot(folder / "store") == before
    assert last.with_name("last.json.quarantined").read_bytes() == NESTED
    assert "not read" not in bench("tables", "--store", folder / "store").err


@pytest.mark.slow
def test_nothing_but_the_line_is_printed_in_a_process_of_its_own(filled: Path, tmp_path: Path) -> None:
    """No warning of Pillow's, which pytest keeps from us above."""
    folder = shutil.copytree(filled, tmp_path / "work")
    result = finish(start(*spoilt(folder, "bomb"), cwd=folder))
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result
    assert result.err.startswith("bench: error: ")


# ---- size


TEXTS = ["pack header", "suite", "record", "rows", "last run", "references", "cases"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_gigabytes_is_refused_before_it_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("CASES", "NUMBERS"):  # readers in this process point them elsewhere
        monkeypatch.setattr(regress, place, getattr(regress, place))
    hostile.whole(name, tmp_path)
    os.truncate(tmp_path / READERS[name].file, 2**33)  # a hole, which takes no room on the disk
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(InputError, match=f"{2**33} bytes, expected a text of at most {documents.LARGEST}"):
        READERS[name].read(tmp_path / READERS[name].file)
