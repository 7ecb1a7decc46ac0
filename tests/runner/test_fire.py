"""The store under fire: many processes at once, a dead owner, a full disk, a file system that turns read-only."""

import errno
import functools
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli import Result, bench, finish, start
from support.tiny import Tiny, contents

from bench.compute import training
from bench.datasets import files
from bench.store.store import Store

DONE = re.compile(r"^\[\d+/\d+\] (.+): (?:trained in |PSNR).*$", re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("fire"))


@pytest.fixture(scope="module")
def whole(place: Tiny) -> dict[str, bytes]:
    """What an undisturbed run of two seeds leaves."""
    with pytest.MonkeyPatch.context() as patch:
        often(patch)
        place.run("--seeds", "0,1", "--steps", "2")
    return contents(place.store)


def often(patch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step."""
    patch.setattr(training, "train", functools.partial(training.train, every_seconds=0.0))


# ---- many at once

SEEDS = ("0,1", "1,2", "2,0", "0,1,2")
METHODS = ("n2c", "n2c,n2n", "n2n")


def crowd(place: Tiny, store: Path, folder: Path, killed: int = 0) -> tuple[list[int], Counter[str]]:
    """Four runs of overlapping plans on one store; their exit codes, and how often each unit was done."""
    jobs: list[dict[str, Any]] = []
    for number, seeds in enumerate(SEEDS):
        argv = place.command("--seeds", seeds, "--steps", 2, methods=METHODS[number % 3], store=store)
        job = {"argv": [str(one) for one in argv], "log": str(folder / f"{number}.log")}
        late = {"later": 0.3} if killed else {}  # else they may leave nothing to claim
        jobs.append(job | ({"at": ["claimed", "-", 2]} if number < killed else late))
    result = finish(start(json.dumps(jobs), program=("-m", "support.crowd")))
    assert result.code == 0, result.err
    logs = [(folder / f"{number}.log").read_text(encoding="utf-8") for number in range(len(jobs))]
    assert not any("Traceback" in log for log in logs)
    return json.loads(result.out), Counter(title for log in logs for title in DONE.findall(log))


def numbers(store: Path) -> dict[str, bytes]:
    """Weights and scores; records also tell which of the runs did them."""
    return {name: text for name, text in contents(store).items() if not name.endswith(".json")}


def expected(killed: int = 0) -> int:
    """Records of the runs that nobody kills: a fit and a score of each method and seed, and the baselines."""
    asked = [(METHODS[number % 3].split(","), seeds.split(",")) for number, seeds in enumerate(SEEDS)][killed:]
    return 2 * len({(method, seed) for methods, seeds in asked for method in methods for seed in seeds}) + 2


@pytest.mark.slow
def test_runs_of_overlapping_plans_do_each_unit_once(place: Tiny, tmp_path: Path) -> None:
    store = tmp_path / "store"
    codes, done = crowd(place, store, tmp_path)
    assert codes == [0] * 4
    records, wrong = Store(store).look()
    assert wrong == []
    assert all(Store(store).whole(record) for record in records)
    assert len(records) == expected()
    assert done == Counter([record.title for record in records])
    place.run("--seeds", "0,1,2", "--steps", "2", methods="n2c,n2n", store=tmp_path / "alone")
    alone = numbers(tmp_path / "alone")
    assert {name for name, text in numbers(store).items() if alone[name] != text} == set()
    assert not list(store.rglob("*.tmp"))


@pytest.mark.slow
def test_the_claims_of_killed_owners_are_taken_over(place: Tiny, tmp_path: Path) -> None:
    store = tmp_path / "store"
    codes, done = crowd(place, store, tmp_path, killed=2)
    assert (codes[:2], codes[2:]) == ([-9] * 2, [0] * 2)
    records, wrong = Store(store).look()
    assert (wrong, len(records)) == ([], expected(killed=2))
    assert done == Counter(record.title for record in records)


# ---- no room


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", folder):
        pytest.skip("only root can mount a small file system, and not in every container")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def mount(*argv: object) -> int:
    return subprocess.run(["mount", *map(str, argv)], capture_output=True, check=False).returncode


def fill(disk: Path, free: int) -> None:
    """Leaves so many bytes."""
    status = os.statvfs(disk)
    room = status.f_bavail * status.f_frsize
    (disk / "filler").write_bytes(bytes(max(0, room - free)))


def check_stopped(result: Result, store: Path, whole: dict[str, bytes]) -> str:
    """A run that could not go on says so in one line, and what it leaves is whole; the line."""
    (error,) = [row for row in result.err.splitlines() if row.startswith("bench: error: ")]
    assert (result.code, result.out, result.err.splitlines()[-1]) == (2, "", error), result.err
    assert "Traceback" not in result.err
    assert not list(store.rglob("*.tmp"))
    found = {name: text for name, text in contents(store).items() if not name.endswith((".checkpoint", ".before"))}
    assert {name for name in found if name != "last.json" and found[name] != whole[name]} == set()
    assert Store(store).look()[1] == []
    return error


@pytest.mark.slow
def test_a_full_disk_stops_the_run_wherever_it_is(
    place: Tiny,
    disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Each time with other room, up to what a run needs."""
    often(monkeypatch)
    store, failed = disk / "store", Counter[str]()
    for folder in (tmp_path / "undisturbed", store):
        place.run("--steps", "2", store=folder)
    earlier = contents(store)
    place.run("--seeds", "0,1", "--steps", "2", store=tmp_path / "undisturbed")
    whole = contents(tmp_path / "undisturbed")
    command = place.command("--seeds", "0,1", "--steps", 2, store=store)
    for free in range(0, 2**21, 2**13):
        fill(disk, free)
        result = bench(*command)
        if result.code == 0:
            break
        error = check_stopped(result, store, whole)
        assert earlier.keys() <= contents(store).keys()
        failed[next((one for one in ("checkpoint", "safetensors") if one in error), "record")] += 1
        (disk / "filler").unlink()
        if free % 2**15 == 0:
            assert bench(*command).code == 0
            assert contents(store) == whole
        for path in [*store.rglob("*")]:
            if path.is_file() and path.relative_to(store).as_posix() not in earlier:
                path.unlink()
        (store / "last.json").write_bytes(earlier["last.json"])
    assert contents(store) == whole
    record_property("full disks", dict(failed))
    assert set(failed) == {"checkpoint", "safetensors", "record"}


def test_a_merge_on_a_full_disk_can_be_done_again(
    place: Tiny,
    whole: dict[str, bytes],
    disk: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    archive, store = tmp_path / "all.zip", disk / "store"
    assert bench("export", archive, "--weights", "--store", place.store).code == 0
    for free in range(0, 2**21, 2**15):
        fill(disk, free)
        result = bench("merge", archive, "--store", store)
        (disk / "filler").unlink()
        if result.code == 0:
            break
        assert "No space left" in check_stopped(result, store, whole)
    record_property("full disks", free // 2**15)
    assert free > 2**17
    assert contents(store) == whole


# ---- read-only


def test_a_file_system_that_turns_read_only_between_units(
    place: Tiny, whole: dict[str, bytes], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only between: the system refuses to turn it while a claim is open."""
    often(monkeypatch)
    store, count = disk / "store", 0

    def claim(self: Store, unit: Any, plain: Any = Store.claim) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            assert mount("-o", "remount,ro", disk) == 0
        return plain(self, unit)

    monkeypatch.setattr(Store, "claim", claim)
    command = place.command("--seeds", "0,1", "--steps", 2, store=store)
    error = check_stopped(bench(*command), store, whole)
    assert "Read-only file system" in error
    assert bench("tables", "--suite", place.suite, "--store", store).code == 0
    check_stopped(bench(*command), store, whole)
    assert mount("-o", "remount,rw", disk) == 0
    assert bench(*command).code == 0
    assert contents(store) == whole


def readonly(number: int) -> Callable[..., None]:
    """A `files.write` on a file system that turns read-only before it is called for the n-th time."""
    left = number

    def write(path: Path, make: Callable[[Path], object], plain: Any = files.write) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        plain(path, make)

    return write


def test_a_file_system_that_turns_read_only_before_any_file(
    place: Tiny,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    often(monkeypatch)
    for number in range(0, 100, 3):
        store = tmp_path / str(number)
        command = place.command("--seeds", "0,1", "--steps", 2, store=store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "write", readonly(number))
            result = bench(*command)
        if result.code == 0:
            break
        assert "Read-only file system" in check_stopped(result, store, whole)
        assert bench(*command).code == 0
        assert contents(store) == whole
    record_property("read-only disks", number)
    assert number > 12  # the mark, the request, two trainings with checkpoints, four scores with rows
