"""What the commands say: codes of runs that cannot do what was asked for, notes, widths, counts."""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
from support.cli import Terminal, bench, refused
from support.tiny import Tiny

from bench.cli.main import main
from bench.compute import machine
from bench.compute.sanity import settled
from bench.datasets.errors import unknown
from bench.datasets.noise.model import FAMILIES
from bench.methods.registry import METHODS
from bench.report.render import within
from bench.runner.display import clock
from bench.tools.conformance import Finding


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


# ---- exit codes


def test_a_run_of_nothing_that_is_possible_is_wrong_input(tiny: Tiny) -> None:
    error = refused(*tiny.command("--crop", 65))
    assert "n2c gauss25: not possible" in error
    assert "multiples of 32" in error
    assert not tiny.store.exists()


def test_a_set_to_train_and_test_on_is_wrong_input_for_a_supervised_method(tiny: Tiny) -> None:
    assert "overlaps" in refused(*tiny.command("--train", f"folder:{tiny.folder / 'test'}"))


def test_a_method_that_is_not_possible_beside_one_that_is(tiny: Tiny) -> None:
    result = bench(*tiny.command("--noise", "poisson30", methods="noisy,noisier2noise"))
    assert (result.code, "Noisy input" in result.out or "noisy" in result.out) == (2, True)
    assert "bench: error: noisier2noise poisson30: not defined" in result.err


def test_a_method_that_is_possible_for_one_noise_is_not_wrong(tiny: Tiny) -> None:
    both = tiny.command("--noise", "poisson30,gauss25", "--dry-run", methods="noisier2noise")
    assert bench(*both).code == 0


# ---- plug-ins that are not given


STRIPES = """
from bench import NoiseFamily, register_noise

@register_noise
class Stripes(NoiseFamily, frozen=True):
    name = "stripes"

    def variance(self, x, level):
        return (0.5 + x) * (level / 255.0) ** 2
"""


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    path = tmp_path / "stripes.py"
    path.write_text(STRIPES, encoding="utf-8")
    return path


def forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (FAMILIES, METHODS):
        monkeypatch.setattr(known, "entries", {n: e for n, e in known.all().items() if known.ours(e)})


def test_tables_show_the_rest_where_a_plugin_is_missing(
    tiny: Tiny, stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.run("--noise", "gauss25,stripes20", "--plugin", stripes, methods="noisy")
    forget_plugins(monkeypatch)
    result = tiny.tables()
    assert (result.code, "gauss25" in result.out) == (0, True)
    note = next(part for part in " ".join(result.out.split()).split("stripes20") if "--plugin" in part)
    assert "not known" in note
    assert "stripes20" in refused("tables", "--suite", tiny.suite, "--store", tiny.store, "--noise", "stripes20")


def test_a_suite_that_cannot_be_shown_does_not_sink_the_others(tmp_path: Path) -> None:
    asked = ("tables", "--suite", "all", "--test-sets", "kodak", "--store", tmp_path)
    result = bench(*asked)
    assert (result.code, "Table 1" in result.out) == (0, True)
    assert "suite fluorescence is left out: " in result.err


# ---- notes


def test_notes_concern_rows_that_are_shown(tiny: Tiny) -> None:
    argv = ("--noise", "gauss25", "--test-sets", f"folder:{tiny.folder / 'test'}", "--store", tiny.store)
    result = bench("run", "--methods", "noisy", *argv)
    assert (result.code, "Anscombe" in result.out) == (0, False)
    assert "Anscombe" in bench("tables", *argv, "--all").out


# ---- counts


def test_rescore_counts_what_was_run(tiny: Tiny) -> None:
    argv = ("--test-sets", f"folder:{tiny.folder / 'test'}", "--store", tiny.store)
    assert bench("run", "--methods", "noisy", "--noise", "poisson30", *argv).code == 0
    result = bench("rescore", "--scoring", "float", *argv)
    assert result.code == 0
    assert "0 of 2 units" in result.err  # the noisy input and the blur
    assert "gauss25" not in result.err


def test_a_unit_of_an_oracle_shows_what_tables_show(tiny: Tiny) -> None:
    result = tiny.run("--noise", "gauss50", methods="blur")
    said = next(line for line in result.err.splitlines() if "] blur" in line)
    record = next((tiny.store / "scores" / "blur").rglob("*.json")).read_text("utf-8")
    outputs = json.loads(record)["result"]["outputs"]
    assert f"{max(mean['psnr'] for mean in outputs.values()):.2f}" in said
    assert outputs["1"]["psnr"] < max(mean["psnr"] for mean in outputs.values())


# ---- widths


def on_terminal(monkeypatch: pytest.MonkeyPatch, *argv: object) -> str:
    """What a command prints on a terminal of 80 columns: no line is longer."""
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main([str(argument) for argument in argv])
    assert max(map(len, out.getvalue().splitlines()), default=0) <= 80, out.getvalue()
    return out.getvalue()


def test_no_command_is_wider_than_the_terminal(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.run(methods="noisy")
    store = ("--store", tiny.store)
    asked = ("--suite", tiny.suite, *store)
    assert "seed 0" in on_terminal(monkeypatch, *tiny.command("--dry-run", methods="n2c,n2n"))
    assert "missing" in on_terminal(monkeypatch, "status", "--methods", "n2c", *asked)
    assert "luma" in on_terminal(monkeypatch, "rescore", "--scoring", "official,luma", *asked)
    shutil.copytree(tiny.store, tiny.folder / "a long name of another store")
    compared = on_terminal(monkeypatch, "tables", *asked, "--compare", tiny.folder / "a long name of another store")
    assert "+0.00/+0.000" in compared
    listed = on_terminal(monkeypatch, "methods")
    assert all(what in listed for what in ("Lehtinen", "visible (1)", "weighted"))
    assert "supervision: " not in listed  # as tables, not a block of lines for each
    assert "Set14" in on_terminal(monkeypatch, "data", "list")
    assert "recomputed" in on_terminal(monkeypatch, "verify", *store)


def test_rows_that_do_not_fit_at_all_become_blocks() -> None:
    table = pd.DataFrame([{f"column{i}": f"value{i}{j}" for i in range(12)} | {"same": "x"} for j in range(2)])
    text = within(table, 80)
    assert "column11: value111" in text
    assert text.count("same: x") == 1
    assert within(table, None).count("same") == 1


def test_an_empty_plan_prints_no_box(tiny: Tiny) -> None:
    tiny.run(methods="noisy")
    result = bench(*tiny.command("--dry-run", methods="noisy"))
    assert (result.code, result.out) == (0, "")


def test_check_prints_each_result_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.api.tools.conformance.findings", lambda name, method: [Finding("odd sizes", "ok", "29x61")]
    )
    result = bench("check", "n2c")
    assert (result.out.count("odd sizes"), result.err) == (1, "")
    assert "29x61" in result.out


def test_a_setting_that_is_the_default_stands_in_the_table_once(tiny: Tiny) -> None:
    how = ("--suite", tiny.suite, "--store", tiny.store)
    assert bench(*tiny.command()).code == 0
    result = bench("run", *how, "--set", "n2c.net.width=4", "--noise", "gauss25", "--threads", 1)
    assert result.code == 0, result.err
    assert len([row for row in result.out.splitlines() if "n2c" in row.lower() and "/0." in row]) == 1
    assert "n2c, net.width=4" in result.out


def test_status_names_what_cannot_be_run(tiny: Tiny) -> None:
    assert bench(*tiny.command("--noise", "poisson30", methods="noisy,noisier2noise")).code == 2
    assert "left out: noisier2noise poisson30: not defined" in bench("status", "--store", tiny.store).err


def test_a_note_on_training_is_for_runs_that_train(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_bf16", lambda device: False)
    how = ("--suite", tiny.suite, "--store", tiny.store, "--noise", "gauss25", "--threads", 1)
    assert "bf16" in bench("run", "--methods", "n2c", *how).err
    assert "bf16" not in bench("run", "--methods", "n2c", *how).err
    assert "bf16" not in bench("verify", "--store", tiny.store).err
    assert "bf16" not in bench("rescore", "--scoring", "luma", "--suite", tiny.suite, "--store", tiny.store).err


def test_verify_tells_equal_titles_apart_and_says_what_its_words_mean(tiny: Tiny) -> None:
    tiny.run(methods="noisy")
    tiny.run("--repeats", 2, methods="noisy")
    result = bench("verify", "noisy", "--store", tiny.store)
    assert (result.code, result.out.count("[mini, repeats=2]")) == (0, 1)
    assert "recomputed: " in result.err


# ---- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12, "12s"),
        (200, "3m20s"),
        (172_700, "47h58m"),
        (172_800, "2d00h"),
        (1.5e6, "17d08h"),
        (479_795 * 3600, "54.7 years"),
    ],
)
def test_long_times_are_readable(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_an_output_of_the_first_steps_is_not_judged() -> None:
    assert [settled(step, 2) for step in (1, 2)] == [False, False]
    assert [settled(step, 400) for step in (99, 100)] == [False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [("name = 'x'\nextra = 1\n", "extra"), ("version = 1\n", "the key 'name' is missing")],
)
def test_a_wrong_key_is_named_once(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    message = refused("tables", "--suite", path, "--store", tmp_path)
    assert message.count(says) == 1
    assert "Object" not in message


def test_far_names_are_not_proposed() -> None:
    assert "Did you mean" not in str(unknown("method", "dncnn", METHODS.all()))
    assert "Did you mean 'b2u'" in str(unknown("method", "b2", METHODS.all()))
