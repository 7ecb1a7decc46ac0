"""What the documents show is what works."""

import re
import shlex
from pathlib import Path

import pytest
from support.cli import bench

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python -m (bench [^\n`#&]+)", README)))


def test_the_method_of_contributing_runs_as_it_stands(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) < 60
    plugin = tmp_path / "median_target.py"
    plugin.write_text(code[1], encoding="utf-8")
    options = ["--methods", "median-target", "--noise", "gauss25", "--steps", "2", "--store", str(tmp_path / "store")]
    status, out, _ = bench("run", "--plugin", str(plugin), *options)
    assert status == 0
    assert re.search(r"median-target\s.*\d\d?\.\d\d/", out)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme_parse(command: str) -> None:
    from bench.cli.main import parser

    assert parser().parse_args(shlex.split(command)[1:]).command
