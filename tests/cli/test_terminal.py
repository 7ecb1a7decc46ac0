"""What a terminal of 80 columns shows: nothing wider; and elsewhere, a line of progress a minute."""

import re
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from support.cli import Terminal, bench
from support.clock import Clock
from support.tiny import Tiny, finished

from bench.cli.main import main
from bench.runner import display
from bench.runner.display import Display
from bench.runner.estimates import Cost


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return finished(tmp_path_factory.mktemp("tiny"))


def on_a_terminal(*argv: object) -> list[str]:
    """The lines that a command shows on a terminal of 80 columns, on standard output and beside it."""
    out = Terminal()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        patch.setenv("COLUMNS", "80")
        assert main([str(argument) for argument in argv]) == 0
    return out.getvalue().split("\n")


@pytest.mark.parametrize("what", ["show", "status --long", "tables", "tables --all", "tables --long"])
def test_80_columns_are_enough(what: str, tiny: Tiny) -> None:
    about = ("n2c gauss25 seed 0 on",) if what == "show" else ("--suite", tiny.suite)
    shown = on_a_terminal(*what.split(), *about, "--store", tiny.store)
    paths = [line for line in shown if str(tiny.store) in line or " " not in line.strip()]  # a path stays whole
    assert [line for line in shown if len(line) > 80 and line not in paths] == []
    assert len(shown) > 5


def test_a_command_over_several_lines_can_be_pasted(tiny: Tiny) -> None:
    shown = "\n".join(on_a_terminal("show", "n2c gauss25 seed 0 on", "--store", tiny.store))
    found = re.search(r"command: +(python(?:.*\\\n)*.*)", shown)
    assert found
    assert "\n" in found[1]
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {found[1]}"], capture_output=True, text=True, check=True)
    assert words.stdout.split("\n")[:4] == ["python", "-m", "bench", "run"]
    assert "--methods" in words.stdout.split()


def test_a_run_ends_with_its_records_and_the_command_for_the_page(tiny: Tiny) -> None:
    *_, cells, page, command = bench(*tiny.command()).err.strip().split("\n")
    assert cells.endswith(f"Records: {tiny.store}")
    assert page.startswith("Page: ")
    result = bench(*command.split()[3:], "--out", tiny.folder / "report.html")  # what it says works
    assert result.code == 0, result.err


def test_progress_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(display, "time", clock)
    shown, cost = Display(), Cost("fit", 1000.0)
    shown.plan(1, [cost], jobs=1)
    shown.begin("one", cost)
    capsys.readouterr()
    for second in range(600):
        clock.now += 1.0
        shown.advance("one", second / 600, f"step {second}")
    assert capsys.readouterr().err.count("\n") in (9, 10)


def test_the_folder_is_quoted_in_the_command(tmp_path: Path) -> None:
    from bench import api
    from bench.cli.run import _next

    assert _next(api.Outcome(tmp_path / "my store"), force=False).endswith(f"bench report '{tmp_path}/my store'")
