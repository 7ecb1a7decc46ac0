"""bench show: what was run, by which code and command, and the score of each image."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from support.cli import bench, file_of, record
from support.plugins import KEEPER
from support.tiny import Tiny

from bench.methods import registry
from bench.protocol.request import ExternalWeights, Request
from bench.report.render import command_lines

MEASURED = Path(__file__).resolve().parents[2] / "results" / "measured"


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A store of a plug-in that trains nothing."""
    monkeypatch.setattr(registry.METHODS, "entries", registry.methods())
    place = Tiny(tmp_path)
    (tmp_path / "my keeper.py").write_text(KEEPER, encoding="utf-8")
    place.run("--plugin", tmp_path / "my keeper.py", "--repeats", 2, methods="keeper")
    return place


def test_a_record_leads_to_its_command_its_code_and_its_numbers(filled: Tiny) -> None:
    key = record(filled.store, "score", "keeper")["key"]
    result = bench("show", key[:8], "--store", filled.store)
    assert result.code == 0, result.err
    for word in ("tiny", "my keeper.py", "denoised", "psnr", "chelsea", "astronaut", key):
        assert word in result.out
    shown = json.loads(bench("show", key[:8], "--format", "json", "--store", filled.store).out)
    assert shown["key"] == key
    assert shown["file"] == str(file_of(filled.store, "score", "keeper"))
    assert shown["method_file"] == str(filled.folder / "my keeper.py")
    assert len(shown["rows"]) == 4
    assert shown["command"] in " ".join(result.out.split("\n"))


def test_two_fits_of_one_title_are_both_listed(filled: Tiny) -> None:
    filled.run(methods="n2c")
    assert "score" not in bench("show", "n2c", "--store", filled.store).out  # one fit stands for its scores
    filled.run("--steps", 2, methods="n2c")
    keys = {one["key"] for one in map(json.loads, map(Path.read_text, filled.store.glob("fits/n2c/*/*.json")))}
    listed = bench("show", "n2c", "--store", filled.store).out
    assert [len(keys), *(key[:8] in listed for key in keys)] == [2, True, True]


def test_html_is_one_document(filled: Tiny) -> None:
    found = [bench("show", "keeper", "--format", "html", "--store", filled.store)]
    found.append(bench("verdicts", "--format", "html", "--store", MEASURED / "reduced"))
    assert [(one.code, one.out.count("<!doctype html>"), one.out[:9]) for one in found] == [(0, 1, "<!doctype")] * 2


def test_warnings_are_sentences(filled: Tiny) -> None:
    known, path = record(filled.store, "score", "keeper"), file_of(filled.store, "score", "keeper")
    known["result"]["warnings"] = ["one", "two"]
    path.write_text(json.dumps(known), encoding="utf-8")
    assert "warnings:    one; two" in bench("show", "keeper", "--store", filled.store).out


def test_the_command_of_a_record_finds_it_done(filled: Tiny) -> None:
    command = shlex.split(record(filled.store, "score", "keeper")["label"]["command"])
    assert command[:3] == ["python", "-m", "bench"]
    before = file_of(filled.store, "score", "keeper").stat().st_mtime_ns
    result = bench(*command[3:], "--store", filled.store)
    assert result.code == 0, result.err
    assert file_of(filled.store, "score", "keeper").stat().st_mtime_ns == before


def test_a_record_of_several_rows_is_listed_as_csv(filled: Tiny) -> None:
    result = bench("show", "keeper", "--format", "csv", "--store", filled.store)
    assert result.out.startswith("image,repeat,level,output,psnr,ssim")
    assert len(result.out.splitlines()) == 5


def test_a_committed_record_without_a_command_shows_the_one_of_its_label() -> None:
    result = bench("show", "59af266d", "--store", MEASURED / "mini")
    expected = "python -m bench run --suite synthetic --preset mini --methods anscombe --noise poisson30"
    assert expected in result.out
    assert "anscombe.py" in result.out


@pytest.mark.parametrize(
    ("asked", "name", "expected"),
    [
        (
            Request(methods=("n2c", "b2u"), seeds=(0, 1), steps=20),
            "b2u",
            "run --suite synthetic --preset mini --methods b2u --noise gauss25 --seeds 0,1 --steps 20",
        ),
        (
            Request(settings=("b2u.lambda_f=2,40",), crop=64, skip_unusable=True),
            "b2u, lambda_f=40",
            "run --suite synthetic --preset mini --set b2u.lambda_f=40 --noise gauss25 --crop 64 --skip-unusable",
        ),
        (
            Request(weights=(ExternalWeights("n2c", "a b.pth", "gauss25", "0"),)),
            "n2c (a b.pth)",
            "score --suite synthetic --preset mini --method n2c --weights 'a b.pth' --noise gauss25",
        ),
        (
            Request(scoring="luma"),
            "b2u",
            "run --suite synthetic --preset mini --methods b2u --noise gauss25"
            " && python -m bench rescore --suite synthetic --scoring luma",
        ),
    ],
)
def test_the_command_of_a_request(asked: Request, name: str, expected: str) -> None:
    assert asked.command(name, "gauss25") == f"python -m bench {expected}"


@pytest.mark.parametrize("width", [10, 24, 200])
def test_a_command_over_several_lines_keeps_its_words(width: int) -> None:
    words = ["--weights", "it is  my own.pth", "--set", "b2u.lambda_f=2", "it's here", "--noise", "gauss25"]
    lines = command_lines(f"printf '%s\\n' {shlex.join(words)}", width)
    assert (len(lines) > 1) == (width < 200)
    shown = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == words
