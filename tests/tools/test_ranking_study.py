"""The study of rankings: its file of lines survives an interruption."""

import runpy
import sys
from functools import partial
from pathlib import Path

import pytest

from bench.tools import ranking_study

KEYS = [("set12", "gauss25", "01"), ("set12", "gauss25", "02")]
Made = dict[str, object]


def line(key: tuple[str, str, str]) -> Made:
    return dict.fromkeys(ranking_study.COLUMNS, 1) | dict(zip(ranking_study.KEY, key, strict=True))


def killed() -> Made:
    raise KeyboardInterrupt


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("empty", [False, True])
def test_a_study_that_was_interrupted_goes_on(
    done: int, empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, makes = tmp_path / "study.csv", [partial(line, key) for key in KEYS]

    if empty:
        path.touch()
    for made in ([*makes[:done], *[killed] * (2 - done)], makes):
        monkeypatch.setattr(ranking_study, "work", lambda data, makes=made: zip(KEYS, makes, strict=True))
        try:
            ranking_study.main(tmp_path, path)
        except KeyboardInterrupt:
            assert len(ranking_study.lines(path)) == done
    assert [tuple(row[name] for name in ranking_study.KEY) for row in ranking_study.lines(path)] == KEYS


@pytest.mark.parametrize("argv", [[], ["--table"], ["data"]])
def test_without_its_arguments_it_says_what_they_are(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ranking_study", *argv])
    monkeypatch.delitem(sys.modules, ranking_study.__name__)
    with pytest.raises(SystemExit, match="--table FILE"):
        runpy.run_module(ranking_study.__name__, run_name="__main__")
