"""Every command and code block of the README, CONTRIBUTING and docs/ works, on small images and in few steps."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.cli import CHECKOUT, SHARED, bench, photos

from bench.methods.bridges.library import missing

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = {  # command -> where it is executed instead
    "pip install -e .": "tox installs the package",
    "pip install tox": ".ci/run",
    "tox": ".ci/run",
    "pip install -e '.[deepinv,careamics]'": "nowhere: they are optional",
}
LACKING = missing("deepinv") or missing("careamics")
FAILS = {  # start of a command -> its exit code on this machine, and why
    "run --methods all --engine dask": (2, "no Dask scheduler runs here"),
    "rank PHOTOS": (1, "one small photograph without noise is undecided"),
    "run --suite bridges": (2 if LACKING else 0, str(LACKING)),
    "data prepare": (2, "the downloads of ILSVRC2012 and SIDD are not here"),
    "run --suite srgb --preset reduced": (2, "SIDD is not here"),
    "submit --suite srgb": (2, "SIDD and DND are not here"),
} | {
    f'weights "b2u gauss25 seed 0" --out b2u.{suffix}': (2, f"{package} is not installed here")
    for suffix, package in (("onnx", "onnxruntime"), ("zip", "bioimageio"))
    if find_spec(package) is None
}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of the code blocks of a page, in order."""
    yield from BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(text: str) -> Iterator[str]:
    """The commands of a block, one by one, without comments."""
    for line in text.splitlines():
        for command in line.partition("  #")[0].split(" && "):
            if command.strip():
                yield command.strip()


def small(argv: list[str]) -> list[str]:
    """A run with two steps on crops of photographs; what it needs from elsewhere is here."""
    argv = [part.replace("DOWNLOADS", "nowhere").replace("PHOTOS", "photos").replace("MINE", "mine") for part in argv]
    argv = [str(SHARED) if part == "DIR" else part for part in argv]
    if argv[0] == "denoise" and "--steps" not in argv and "bm3d-vst" not in argv:
        argv = [*argv[: argv.index("--minutes")], "--steps", "2"]
    argv = ["2" if before == "--steps" else part for before, part in zip(["", *argv], argv, strict=False)]
    if argv[0] != "run" or "--dry-run" in argv:
        return argv
    gray = "gray-" if "gray" in argv else ""
    sets = [] if "none" in argv else ["--test-sets", f"folder:{gray}tests"]
    return [*argv, "--steps", "2", "--train", f"folder:{gray}train", *sets]


def execute(language: str, text: str, folder: Path) -> None:
    """Runs a block in the current folder; a Python block that begins with a file's name is written there first."""
    if language == "python":
        if name := re.match(r"# (\w+\.py)\n", text):
            (folder / name[1]).write_text(text, encoding="utf-8")
        else:
            exec(compile(text, "block", "exec"), {})
        return
    for command in commands(text):
        program, _, rest = command.partition("python -m bench ")
        if not rest:
            assert command in NOT_HERE, f"{command}: no test executes it"
            continue
        if "DIR" in shlex.split(rest) and not (SHARED / "set12").is_dir():
            continue  # the image sets are not on this machine
        expected = next((code for start, (code, _) in FAILS.items() if rest.startswith(start)), 0)
        result = bench(*small(shlex.split(rest)))
        assert (program, result.code) == ("", expected), f"{command}\n{result.out}\n{result.err}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    for kind, names in {"photos": ["astronaut"], "train": ["astronaut", "coffee"], "tests": ["chelsea"]}.items():
        for prefix in ("", "gray-"):  # other photographs to train on: no supervised method may see those of the tests
            photos(tmp_path / f"{prefix}{kind}", *names, height=160, width=160, gray=bool(prefix))
    for language, text in blocks(page):
        execute(language, text, tmp_path)


def test_the_pages_have_blocks() -> None:
    found = {page.name: len(list(blocks(page))) for page in PAGES}
    assert found["README.md"] >= 5
    assert sum(found.values()) >= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_one_page() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 130
