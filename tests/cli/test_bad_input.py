"""Wrong input: one clear line on standard error, exit code 2, nothing of the store touched."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from support.cli import altered_suite, bench, refused, refused_run, snapshot

pytestmark = pytest.mark.usefixtures("narrow", "beside_photographs")


# ---- names


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (("run", "--methods", "b2uu"), "'b2u'"),
        (("run", "--methods", "n2c,NBR2NBR"), "'nbr2nbr'"),
        (("run", "--methods", "blind2unblind"), "'b2u'"),
        (("run", "--methods", "Noise2Void"), "'n2v'"),
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
        (("rank", ".", "--methods", "b2uu,blur"), "'b2u'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(untouched: Path, argv: tuple[str, ...], nearest: str) -> None:
    where = () if argv[0] in ("speed", "rnu", "tabels", "rank") else ("--store", untouched)
    assert f"Did you mean {nearest}?" in refused(*argv, *where)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "COMMAND"),
        (("run",), "--methods"),
        (("run", "--method", "n2c"), "--methods"),
        (("run", "--methods"), "--methods"),
        (("run", "--methods", ","), "--methods"),
        (("show",), "record"),
        (("run", "--methods", "zzz"), "Allowed: "),
        (("methods", "--format", "yaml"), "json"),
        (("tables", "--table", "one"), "--table"),
        (("tables", "--methods", "n2v", "--table", "2"), "no row"),
        (("score", "--weights", "x", "--steps", "3"), "bench score --help"),
        (("denoise", ".", "--out", __file__), "expected a folder"),
        (("rank", ".", "--out", __file__), "expected a folder"),
    ],
)
def test_a_missing_or_wrong_argument_is_refused(argv: tuple[str, ...], says: str) -> None:
    assert says in refused(*argv)


@pytest.mark.parametrize(
    "noise", ["gauss", "gauss-25", "gauss0", "gauss50_5", "gaussian25", "poisson30_", "sigma25", "gauss25.5.5"]
)
def test_a_noise_that_is_none_is_refused(untouched: Path, noise: str) -> None:
    message = refused_run(untouched, "--noise", noise)
    assert repr(noise) in message
    assert "gauss25" in message


@pytest.mark.parametrize("option", ["--steps", "--repeats", "--threads"])
@pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "", "²"])
def test_a_count_must_be_a_positive_whole_number(untouched: Path, option: str, value: str) -> None:
    message = refused_run(untouched, f"{option}={value}")
    assert option in message
    assert "whole number" in message


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "1e30", "", "x", "²"])
def test_the_level_of_black_must_be_a_number(value: str, chelsea: Path) -> None:
    assert "--offset" in refused("noise", chelsea, f"--offset={value}")


@pytest.mark.parametrize("value", ["60", "-0.5", "6e1"])
def test_the_level_of_black_may_be_any_number(value: str, chelsea: Path) -> None:
    assert bench("noise", chelsea, f"--offset={value}").code == 0


@pytest.mark.parametrize("value", ["x", "0,x", "0,,1", "", "0.5"])
def test_seeds_must_be_whole_numbers(untouched: Path, value: str) -> None:
    assert "--seeds" in refused_run(untouched, f"--seeds={value}")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--device", "gpu", "cuda"),
        ("--device", "cuda:99", "cuda:99"),
        ("--precision", "fp16", "bf16"),
        ("--format", "yaml", "json"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_is_allowed(untouched: Path, option: str, value: str, allowed: str) -> None:
    assert allowed in refused_run(untouched, option, value)


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
        ('schedule = "halving"', 'schedule = "circle"', "circle"),
        ("[presets.mini.fields.b2u]\ns = 2", "[presets.mini.fields.b2u]\ns = 1", "s = 1"),
        ("[presets.mini.fields.b2u]\ns = 2", '[presets.mini.fields.b2u]\ns = "2"', "b2u"),
        ('name = "synthetic"\n', "", "name"),
        ("version = 1", "version = ", "TOML"),
        ("[presets.mini]", "[presets.mini", "TOML"),
        ("[presets.mini]", "[presets.reduced]", "TOML"),
    ],
)
def test_a_wrong_suite_file_is_refused(old: str, new: str, says: str, untouched: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, old, new)
    message = refused("tables", "--suite", path, "--store", untouched)  # it trains nothing, should this be accepted
    assert says in message
    assert "mine.toml" in message or "'synthetic'" in message


def test_an_error_in_a_suite_file_names_the_place(untouched: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "steps = 300", 'steps = "300"')
    message = refused("tables", "--suite", path, "--store", untouched)
    assert str(path) in message
    assert "presets" in message
    assert "steps" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[[[", b"\x89PNG"])
def test_what_is_no_suite_is_refused(content: bytes, untouched: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    assert "mine.toml" in refused("tables", "--suite", tmp_path / "mine.toml", "--store", untouched)


@pytest.mark.parametrize("name", ["missing.toml", "folder.toml"])
def test_a_suite_that_is_no_file_is_refused(name: str, untouched: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    assert name in refused("tables", "--suite", tmp_path / name, "--store", untouched)


def test_a_suite_file_is_accepted(chelsea: Path, tmp_path: Path) -> None:
    path = altered_suite(tmp_path, "steps = 300", "steps = 1")  # so that the refusals above have another cause
    argv = ("--suite", path, "--noise", "gauss25", "--test-sets", f"folder:{chelsea}", "--store", tmp_path / "s")
    assert bench("run", "--methods", "b2u,nbr2nbr-official", *argv).code == 0


# ---- stores


@pytest.mark.parametrize("kind", ["a file", "below a file", "proc", "fits is a file"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_an_unwritable_store_is_refused(
    kind: str, way: str, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "fits").write_bytes(b"precious")
    place = {"a file": "file", "below a file": "file/store", "proc": "/proc/store", "fits is a file": ""}[kind]
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / place))
    option = ("--store", tmp_path / place) if way == "option" else ()
    argv = ("--methods", "noisy", "--noise", "gauss25", "--precision", "float32", "--test-sets", f"folder:{chelsea}")
    message = refused("run", *argv, *option)
    assert f"cannot write to the store {tmp_path / place}" in message
    assert "--store DIR" in message
    assert (tmp_path / "file").read_bytes() == (tmp_path / "fits").read_bytes() == b"precious"


GAUSS = ("--noise", "gauss25", "--precision", "float32")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("run", "--methods", "noisy", *GAUSS, "--test-sets", "folder:~nobody-at-all/x"), "~nobody-at-all/x"),
        (("run", "--methods", "noisy", *GAUSS, "--test-sets", "folder:loop"), "loop: "),
        (("run", "--methods", "n2c", *GAUSS, "--train", "folder:loop"), "loop: "),
        (
            ("run", "--methods", "noisy", *GAUSS, "--test-sets", "folder:tests", "--jobs", "2", "--store", "loop"),
            "--store DIR",
        ),
        (("run", "--methods", "noisy", *GAUSS, "--test-sets", "kodak", "--jobs", "2", "--data", "loop"), "loop"),
        (("denoise", "loop.png", "--out", "out"), "loop.png"),
        (("denoise", "tests", "--out", "loop", "--method", "blur"), "loop"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(
    argv: tuple[str, ...], says: str, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to itself, or the home of a user whom nobody knows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(chelsea)
    for name in ("loop", "loop.png"):
        (tmp_path / name).symlink_to(name)
    assert says in refused(*argv)


def test_a_full_disk_loses_nothing(
    filled: Path, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shutil.copytree(filled, tmp_path / "store")
    before = snapshot(store)

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    argv = ("--noise", "gauss25", "--steps", "1", "--force", "--test-sets", f"folder:{chelsea}", "--store", store)
    result = bench("run", "--methods", "n2c", *argv)
    assert result.code == 2
    assert "No space left" in result.err.splitlines()[-1]
    assert result.err.count("bench: error: ") == 1
    assert {name: content for name, (_, content) in snapshot(store).items()} == {n: c for n, (_, c) in before.items()}


def test_records_of_no_store_are_not_found(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refused("show", "n2c", "--store", tmp_path / "none")


@pytest.mark.parametrize("command", [("report",), ("figures", "--store"), ("show", "b2u", "--store")])
def test_a_store_without_records_is_answered_with_a_command_that_makes_some(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    said, _, fix = refused(*command, tmp_path).partition("python -m ")
    assert "no records" in said
    assert bench(*fix.split()[1:], "--dry-run").code == 0
