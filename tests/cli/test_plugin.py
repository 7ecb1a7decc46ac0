"""Methods of third parties: a file given with --plugin, or an installed package's entry point."""

import json
import sys
from inspect import signature
from pathlib import Path
from typing import get_args

import pytest
from support.cli import bench, finish, line, lines, photos, record, refused, start

from bench import api
from bench.datasets.errors import InputError
from bench.methods import plugins, registry

pytestmark = pytest.mark.usefixtures("narrow")
HEAD = """
import torch
from torch import nn
from bench import Method, register

class Small(Method, frozen=True):
    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        assert batch.target is None and batch.level is None and ctx.noise is None
        yield ((net(batch.noisy) - batch.noisy.mean()) ** 2).mean()
"""
OTHER = HEAD + '\n@register("other")\nclass Other(Small, frozen=True):\n    "One that works."\n'
MINE = HEAD + '\n@register("mine")\nclass Mine(Small, frozen=True):\n    "A network of one layer."\n'
LOSSES = "    def losses(self, net, batch, ctx):\n"
DENOISE = "    def denoise(self, net, noisy, ctx):\n"


@pytest.fixture
def argv(tmp_path: Path) -> tuple[object, ...]:
    """A short run on one small photograph."""
    tests = photos(tmp_path / "tests", "chelsea")
    train = photos(tmp_path / "train", "coffee", height=64)
    sets = ("--train", f"folder:{train}", "--test-sets", f"folder:{tests}")
    return ("--noise", "gauss25", "--steps", "4", "--precision", "float32", *sets, "--store", tmp_path / "store")


def plugin(folder: Path, text: str, name: str = "my_method.py") -> Path:
    """A plug-in file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ---- it works


def test_a_file_runs_to_a_row_of_the_table(argv: tuple[object, ...], tmp_path: Path) -> None:
    result = bench("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE), *argv)
    assert result.code == 0, result.err
    score = record(tmp_path / "store", "score", "mine")["result"]["outputs"]["denoised"]
    row = next(row for row in result.out.splitlines() if " mine " in row)
    assert f"{score['psnr']:.2f}/{score['ssim']:.3f}" in row


@pytest.mark.slow
def test_a_file_runs_in_a_process(argv: tuple[object, ...], tmp_path: Path) -> None:
    result = finish(start("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE), *argv, cwd=tmp_path))
    assert result.code == 0, result.err
    assert " mine " in result.out


def test_the_second_run_of_a_file_computes_nothing(argv: tuple[object, ...], tmp_path: Path) -> None:
    command = ("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE), *argv)
    first, second = bench(*command), bench(*command)
    assert second.out == first.out
    assert "trained" in first.err
    assert "trained" not in second.err


def test_tables_show_a_file_s_row(argv: tuple[object, ...], tmp_path: Path) -> None:
    path = plugin(tmp_path, MINE)
    assert bench("run", "--methods", "mine", "--plugin", path, *argv).code == 0
    found = line(lines("--plugin", path, "--store", tmp_path / "store"), method="mine", noise="gauss25", seeds=1)
    assert found["state"] == "done"


def test_tables_without_the_file_show_the_others(argv: tuple[object, ...], tmp_path: Path) -> None:
    assert bench("run", "--methods", "mine,n2c", "--plugin", plugin(tmp_path, MINE), *argv).code == 0
    del registry.METHODS.entries["mine"]
    found = line(lines("--store", tmp_path / "store"), method="n2c", noise="gauss25", seeds=1)
    assert found["state"] == "done"


def test_a_file_is_listed_with_what_it_declares(tmp_path: Path) -> None:
    found = json.loads(bench("methods", "--plugin", plugin(tmp_path, MINE), "--format", "json").out)
    mine = next(method for method in found if method["name"] == "mine")
    assert (mine["outputs"], mine["supervision"], mine["paper"]) == (["denoised"], "noisy", "unpublished")


def test_register_without_a_name_takes_the_class_s(tmp_path: Path) -> None:
    text = HEAD + "\n@register\nclass Tiny(Small, frozen=True):\n    pass\n"
    assert "tiny" in bench("methods", "--plugin", plugin(tmp_path, text)).out


def takes_plugins(function: object) -> bool:
    """Whether `plugins` is among the options of a function."""
    options = getattr(function, "__annotations__", {}).get("options")
    return any("plugins" in one.__annotations__ for one in get_args(options))


@pytest.mark.parametrize("name", [name for name in api.HOME if takes_plugins(getattr(api, name))])
def test_a_function_that_takes_plug_ins_loads_them_first(name: str, tmp_path: Path) -> None:
    function = getattr(api, name)
    needed = [None for one in signature(function).parameters.values() if one.default is one.empty]
    with pytest.raises(InputError, match=r"none\.py"):
        list(function(*needed[:-1], device="none", plugins=[tmp_path / "none.py"]))  # computes nothing


def test_two_files(tmp_path: Path) -> None:
    one = plugin(tmp_path, MINE, "one.py")
    two = plugin(tmp_path, MINE.replace('"mine"', '"yours"'), "two.py")
    listed = bench("methods", "--plugin", one, "--plugin", two).out
    assert "mine" in listed
    assert "yours" in listed


def test_another_default_is_another_identity(argv: tuple[object, ...], tmp_path: Path) -> None:
    for value in ("1.0", "2.0"):
        path = plugin(tmp_path, MINE + f"    alpha: float = {value}\n")
        assert bench("run", "--methods", "mine", "--plugin", path, *argv).code == 0
    fits = [json.loads(path.read_bytes()) for path in (tmp_path / "store" / "fits").rglob("*.json")]
    assert [fit["identity"]["fields"] for fit in fits] == [{}, {}]  # defaults are left out; the source tells
    assert len({fit["key"] for fit in fits}) == len({fit["identity"]["source"] for fit in fits}) == 2


# ---- its file is broken


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def (", "SyntaxError"),
        ("raise ValueError('no luck')", "ValueError: no luck"),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "SystemExit"),
        ("x = 1", "registers nothing"),
        ("", "registers nothing"),
        (MINE.replace('"mine"', '"b2u"'), "'b2u' is registered twice"),
        (MINE.replace('"mine"', '"my method"'), "letters, digits"),
        ("from bench import register\n@register('mine')\nclass Mine:\n    pass", "not a subclass"),
        (MINE + "    outputs = ()\n", "exactly one output must be the primary"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = plugin(tmp_path, text)
    assert says in refused("methods", "--plugin", path)


def test_the_error_of_a_broken_file_names_it(tmp_path: Path) -> None:
    assert str(tmp_path / "my_method.py") in refused("methods", "--plugin", plugin(tmp_path, "1 / 0"))


@pytest.mark.parametrize("name", ["missing.py", "folder", "text.txt"])
def test_what_is_no_python_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text(MINE, encoding="utf-8")
    assert name in refused("methods", "--plugin", tmp_path / name)


# ---- its code fails while it runs


@pytest.mark.parametrize(
    ("body", "state", "says"),
    [
        (LOSSES + "        raise RuntimeError('no idea')\n", "failed", "RuntimeError: no idea"),
        (LOSSES + "        yield net(batch.noisy).sum() * float('nan')\n", "diverged", "the loss is nan"),
        (LOSSES + "        yield net(batch.noisy).mean().exp() * float('inf')\n", "diverged", "the loss is inf"),
        (LOSSES + "        return iter(())\n", "failed", "los"),
        (LOSSES + "        return net(batch.noisy).mean()\n", "failed", "los"),
        (LOSSES + "        yield net(batch.noisy)\n", "failed", "single numbers"),
        (LOSSES + "        return iter([batch.target.mean()])\n", "failed", "None"),
        (DENOISE + "        raise KeyError('oops')\n", "failed", "oops"),
        (DENOISE + "        return {'other': net(noisy)}\n", "failed", "denoised"),
        (DENOISE + "        return {'denoised': net(noisy) * float('nan')}\n", "diverged", "not finite"),
        (DENOISE + "        return {'denoised': net(noisy)[:, :1]}\n", "failed", "shape"),
        ("    def build(self, channels):\n        return None\n", "failed", "build"),
    ],
)
def test_a_failing_cell_says_why_and_the_others_go_on(
    body: str, state: str, says: str, argv: tuple[object, ...], tmp_path: Path
) -> None:
    files = ("--plugin", plugin(tmp_path, OTHER, "other.py"), "--plugin", plugin(tmp_path, MINE + body))
    result = bench("run", "--methods", "mine,other", *files, *argv)
    assert result.code == 1, result.err
    assert f": {state}: " in result.err
    assert says in next(row for row in result.err.splitlines() if f": {state}: " in row)
    assert "Traceback" not in result.err
    records = [json.loads(path.read_bytes()) for path in (tmp_path / "store").glob("*/**/*.json")]
    mine = [one for one in records if one["label"]["method"] == "mine"]
    assert state in {one["state"] for one in mine}
    assert {one["state"] for one in records if one["label"]["method"] == "other"} == {"done"}
    assert f"1 {state}" in result.err
    shown = next(row for row in result.out.splitlines() if " mine " in row)
    assert state in shown


def test_a_failed_cell_is_tried_again(argv: tuple[object, ...], tmp_path: Path) -> None:
    broken = plugin(tmp_path, MINE + LOSSES + "        raise RuntimeError('no idea')\n")
    assert bench("run", "--methods", "mine", "--plugin", broken, *argv).code == 1
    assert bench("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE), *argv).code == 0
    mine = [json.loads(path.read_bytes()) for path in (tmp_path / "store" / "fits").rglob("*.json")]
    assert {one["state"] for one in mine} == {"failed", "done"}  # another source, another key


def test_a_diverged_cell_is_a_result(argv: tuple[object, ...], tmp_path: Path) -> None:
    broken = plugin(tmp_path, MINE + LOSSES + "        yield net(batch.noisy).sum() * float('nan')\n")
    command = ("run", "--methods", "mine", "--plugin", broken, *argv)
    first, second = bench(*command), bench(*command)
    assert (first.code, second.code) == (1, 1)
    assert second.out == first.out
    assert "diverged: the loss is nan" not in second.err  # it was not trained again


def test_a_method_that_is_not_defined_here_says_so(argv: tuple[object, ...], tmp_path: Path) -> None:
    body = "    def applies(self, noise, channels):\n        return 'needs Poisson noise'\n"
    error = refused("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE + body), *argv)
    assert "mine gauss25: not defined: needs Poisson noise" in error


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (DENOISE + "        return {'denoised': noisy.clone()}\n", "identity collapse"),
        (DENOISE + "        return {'denoised': torch.full_like(noisy, 0.5)}\n", "constant output"),
    ],
)
def test_an_output_that_is_no_image_is_said_at_once(
    body: str, says: str, argv: tuple[object, ...], tmp_path: Path
) -> None:
    result = bench("run", "--methods", "mine", "--plugin", plugin(tmp_path, MINE + body), *argv)
    assert f"mine gauss25 seed 0: {says}" in result.err
    assert says in str(record(tmp_path / "store", "fit", "mine")["result"]["warnings"])


# ---- installed plug-ins


def install(folder: Path, text: str, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with one entry point."""
    plugin(folder, text, "their_package.py")
    info = folder / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{point}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "their_package", raising=False)


@pytest.mark.parametrize("decorator", ['@register("theirs")', ""])
def test_an_entry_point_runs(
    decorator: str, argv: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MINE.replace('@register("mine")', decorator)
    install(tmp_path, text, "theirs = their_package:Mine", monkeypatch)
    result = bench("run", "--methods", "theirs", *argv)
    assert result.code == 0, result.err
    assert " theirs " in result.out


@pytest.mark.parametrize(
    ("text", "point", "says"),
    [
        (MINE, "theirs = their_package:Other", "AttributeError"),
        ("raise ValueError('no luck')", "theirs = their_package:Mine", "ValueError: no luck"),
        (MINE, "theirs = no_such_package:Mine", "ModuleNotFoundError"),
        (MINE, "n2c = their_package:Mine", "'n2c' is registered twice"),
        ("Mine = 1", "theirs = their_package:Mine", "not a subclass"),
    ],
)
def test_a_broken_entry_point_is_refused_by_name(
    text: str, point: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, text, point, monkeypatch)
    message = refused("methods")
    assert says in message
    assert point.split(" ")[0] in message


# ---- what its code raises


@pytest.mark.parametrize(
    "body",
    [
        LOSSES + "        raise SystemExit(0)\n",
        DENOISE + "        raise SystemExit(0)\n",
        "    def build(self, channels):\n        raise SystemExit(0)\n",
        LOSSES + "        raise type('Odd', (BaseException,), {})('x')\n",
        LOSSES + "        raise RuntimeError('\\ud800' + 'x' * 10**6)\n",
    ],
)
def test_whatever_its_code_raises_fails_its_cell_alone(body: str, argv: tuple[object, ...], tmp_path: Path) -> None:
    files = ("--plugin", plugin(tmp_path, OTHER, "other.py"), "--plugin", plugin(tmp_path, MINE + body))
    result = bench("run", "--methods", "mine,other", *files, *argv)
    assert result.code == 1, result.err
    assert "1 failed" in result.err
    assert "Traceback" not in result.err
    assert max(map(len, result.err.splitlines())) < 3000
    records = [json.loads(path.read_bytes()) for path in (tmp_path / "store").glob("*/**/*.json")]
    assert {one["state"] for one in records if one["label"]["method"] == "other"} == {"done"}


@pytest.mark.parametrize("raised", ["SystemExit(0)", "KeyError('x')", "type('Odd', (BaseException,), {})('\\ud800')"])
@pytest.mark.parametrize(
    "hook", ["applies(self, noise, channels)", "unavailable(self)", "passes(self)", "reduced_settings(self, steps)"]
)
def test_a_hook_that_raises_is_one_line(hook: str, raised: str, argv: tuple[object, ...], tmp_path: Path) -> None:
    path = plugin(tmp_path, MINE + f"    def {hook}:\n        raise {raised}\n")
    result = bench("run", "--methods", "mine", "--plugin", path, *argv)
    assert result.code in (1, 2), result
    assert "Traceback" not in result.err
    assert hook.partition("(")[0] in result.err


def test_check_fails_what_leaves_the_process(tmp_path: Path) -> None:
    path = plugin(tmp_path, MINE + LOSSES + "        raise SystemExit(0)\n")
    result = bench("check", path, "--format", "csv")
    assert result.code == 1
    assert "SystemExit" in result.out


# ---- its source


def test_what_a_file_imports_from_beside_it_belongs_to_its_source(
    argv: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    helper = plugin(tmp_path, "def loss(x, y):\n    return ((x - y) ** 2).mean()\n", "beside_it.py")
    text = "from beside_it import loss\n" + MINE + LOSSES + "        yield loss(net(batch.noisy), batch.noisy.mean())\n"
    command = ("run", "--methods", "mine", "--plugin", plugin(tmp_path, text), *argv)
    assert bench(*command).code == 0
    helper.write_text("# The mean square.\ndef loss(x, y):\n    'It.'\n    return ((x - y) ** 2).mean()\n")
    monkeypatch.delitem(sys.modules, "beside_it")
    assert "trained" not in bench(*command).err
    helper.write_text("def loss(x, y):\n    return (x - y).abs().mean()\n")
    monkeypatch.delitem(sys.modules, "beside_it")
    assert "trained" in bench(*command).err
