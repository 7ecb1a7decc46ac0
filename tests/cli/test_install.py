"""`bench` works from any folder, beside foreign packages called `datasets` and `methods`, and from a wheel."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.cli import CHECKOUT, ROOT, finish, photos, start

OURS = {"b2u", "n2c", "n2n", "nbr2nbr"}
ROOMS = ("datasets", "methods")


def foreign(folder: Path, text: str) -> Path:
    """A folder with a package for each common name."""
    for name in ROOMS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("where", [pytest.param("first on the path", marks=pytest.mark.slow), "in the current folder"])
def test_methods_are_ours_whatever_else_is_called_so(where: str, tmp_path: Path) -> None:
    other = foreign(tmp_path / "other", "raise ImportError('the foreign one')")
    path, cwd = ((other, ROOT), tmp_path) if where == "first on the path" else ((ROOT,), other)
    result = finish(start("methods", "--format", "json", cwd=cwd, path=path))
    assert result.code == 0, result.err
    assert {method["name"] for method in json.loads(result.out)} >= OURS


@pytest.mark.slow
def test_a_data_folder_called_datasets_does_no_harm(tmp_path: Path) -> None:
    photos(tmp_path / "datasets", "chelsea")
    argv = ("--noise", "gauss25", "--test-sets", "folder:datasets", "--store", "records")
    result = finish(start("run", "--methods", "noisy", *argv, cwd=tmp_path))
    assert result.code == 0, result.err
    assert len(list((tmp_path / "records" / "scores").rglob("*.json"))) == 2  # noisy and blur


@pytest.mark.slow
@pytest.mark.parametrize("first", ["bench", "foreign"])
def test_foreign_packages_stay_what_they_are(first: str, tmp_path: Path) -> None:
    other = foreign(tmp_path / "other", "")
    imports = ["import bench, bench.cli.main", "import datasets, methods"]
    lines = [*(imports if first == "bench" else reversed(imports)), "print(datasets.__file__, methods.__file__)"]
    lines += ["print(bench.datasets.__file__, bench.methods.__file__)"]
    result = finish(start(program=("-c", "\n".join(lines)), cwd=tmp_path, path=(other, ROOT)))
    assert result.code == 0, result.err
    theirs, ours = (row.split() for row in result.out.splitlines())
    assert theirs == [str(other / name / "__init__.py") for name in ROOMS]
    assert not set(ours) & set(theirs)


def test_import_leaves_the_search_path_alone(tmp_path: Path) -> None:
    lines = ["import sys", "before = list(sys.path)", "import bench", "print(sys.path == before)"]
    lines += ["print(sorted(sys.modules.keys() & {'datasets', 'methods', 'results', 'tests'}))"]
    result = finish(start(program=("-c", "\n".join(lines)), cwd=tmp_path))
    assert result.out.split("\n")[:2] == ["True", "[]"], result.err


# ---- the wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "runs", "measured")
    source = shutil.copytree(CHECKOUT, folder / "source", ignore=skipped)  # setuptools writes beside its sources
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", str(folder), str(source)]
    subprocess.run(wheel, check=True, timeout=240, capture_output=True)
    (built,) = folder.glob("*.whl")
    with ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_takes_one_name(installed: Path) -> None:
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"bench"}


@pytest.mark.parametrize("room", ["bench", "methods", "datasets", "results/paper"])
def test_the_wheel_holds_every_file_of_the_rooms(installed: Path, room: str) -> None:
    kinds = (".py", ".toml", ".csv", ".json", ".j2", ".typed")
    ours = {path.relative_to(CHECKOUT / room) for path in (CHECKOUT / room).rglob("*") if path.suffix in kinds}
    target = installed / "bench" / ("" if room == "bench" else room)
    assert len(ours) > 7
    assert {path for path in ours if not (target / path).is_file()} == set()


@pytest.mark.slow
def test_the_wheel_runs_beside_foreign_packages(installed: Path, tmp_path: Path) -> None:
    other = foreign(tmp_path / "other", "raise ImportError('the foreign one')")
    result = finish(start("methods", "--format", "json", cwd=other, path=(other, installed)))
    assert result.code == 0, result.err
    assert {method["name"] for method in json.loads(result.out)} >= OURS


@pytest.mark.slow
def test_the_wheel_prints_published_numbers(installed: Path, tmp_path: Path) -> None:
    result = finish(start("tables", cwd=tmp_path, path=(installed,)))
    assert result.code == 0, result.err
    assert "32.27/0.880" in result.out


@pytest.mark.slow
def test_the_wheel_scores_into_the_current_folder(installed: Path, tmp_path: Path) -> None:
    photos(tmp_path / "images", "chelsea")
    argv = ("--noise", "gauss25", "--test-sets", "folder:images")
    result = finish(start("run", "--methods", "noisy", *argv, cwd=tmp_path, path=(installed,)))
    assert result.code == 0, result.err
    assert list((tmp_path / "results" / "runs" / "scores").rglob("*.json"))
