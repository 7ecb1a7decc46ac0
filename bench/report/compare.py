"""The same tables from two stores, side by side: another machine, another version, a second run."""

from collections.abc import Sequence

import pandas as pd

from ..datasets.errors import InputError
from .lines import Line, Table, group
from .significance import p_value

Means = dict[str, float]


def compare(a: Sequence[Table], b: Sequence[Table], names: tuple[str, str] = ("A", "B")) -> pd.DataFrame:
    """PSNR (dB)/SSIM of both, B - A, a paired Wilcoxon p per line, not adjusted, and what else differs; all strings.

    Holes show their state. InputError for two presets, two equal names, or scores that are not of the same images.
    """
    if names[0] == names[1]:
        raise InputError(f"both stores are called {names[0]!r}; give them different names")
    sides = [
        {(table.number, *line.place): (line, table) for table in tables for line in table.lines} for tables in (a, b)
    ]
    rows = []
    for place in dict.fromkeys(place for side in sides for place in side):
        pair = [side.get(place) for side in sides]
        lines = [one[0] if one else None for one in pair]
        if all(line is None or (line.state == "not run" and line.published) for line in lines):
            continue  # printed in the paper, in neither store
        _check(lines)
        line = next(line for line in lines if line)
        row = {"table": str(line.table or line.suite), "noise": group(line), "method": line.label, "test": line.test}
        row |= {name: _quality(line) for name, line in zip(names, lines, strict=True)}
        means = [one[1].means.get(one[0].place) if one else None for one in pair]
        row |= {"difference": _difference(*lines), "p": _p(*means), "environment": _environment(lines, names)}
        rows.append(row)
    return pd.DataFrame(rows)


def _check(lines: Sequence[Line | None]) -> None:
    protocols = dict.fromkeys(f"{line.suite} v{line.version} [{line.preset}]" for line in lines if line)
    if len(protocols) > 1:
        raise InputError(f"numbers of {' and '.join(protocols)} cannot be compared; give one --suite and --preset")


def _quality(line: Line | None) -> str:
    if line is None:
        return "not run"
    return line.state if line.psnr is None else f"{line.psnr:.2f}/{line.ssim:.3f}"


def _difference(a: Line | None, b: Line | None) -> str:
    if not a or not b or a.psnr is None or b.psnr is None or a.ssim is None or b.ssim is None:
        return ""
    decibels = 0.0 if a.psnr == b.psnr else b.psnr - a.psnr  # two infinite ones are equal
    return f"{decibels:+.2f}/{b.ssim - a.ssim:+.3f}"


def _p(a: Means | None, b: Means | None) -> str:
    if not a or not b:
        return ""
    p = p_value(a, b)
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _environment(lines: Sequence[Line | None], names: tuple[str, str]) -> str:
    """What the two ran on, where that differs; methods without training have none."""
    ran = [f"{line.precision} on {line.device}" if line and line.precision else "" for line in lines]
    differ = all(ran) and ran[0] != ran[1]
    return "; ".join(f"{name}: {where}" for name, where in zip(names, ran, strict=True)) if differ else ""


def evaluation_protocols(found: dict[str, list[Table]]) -> pd.DataFrame:
    """PSNR (dB)/SSIM of every line under each evaluation protocol, and its difference from the first in dB."""
    first, *others = found
    lines = {
        name: {(line.suite, line.noise, line.label, line.test): line for table in tables for line in table.lines}
        for name, tables in found.items()
    }
    rows = []
    for place, line in lines[first].items():
        same = {name: lines[name].get(place) for name in others}
        if line.oracle or line.psnr is None or all(o is None or o.psnr is None for o in same.values()):
            continue  # what is chosen by its scores is another output under others
        row = {"noise": group(line), "method": line.label, "test": line.test, first: _quality(line)}
        for name, other in same.items():
            row[name] = "" if other is None else _quality(other)
            row[f"{name} (diff.)"] = _difference(line, other)
        rows.append(row)
    return pd.DataFrame(rows)


def unscored(found: dict[str, list[Table]]) -> list[str]:
    """What only the first protocol has numbers of: without weights or images nothing can be scored."""
    first, *others = found
    numbers = {
        name: {(line.suite, group(line), line.label, line.test) for t in tables for line in t.lines if line.psnr}
        for name, tables in found.items()
    }
    return [
        f"{name}: not scored, neither weights nor images in the store: {', '.join(sorted(labels))}"
        for name in others
        if (labels := {label for _, _, label, _ in numbers[first] - numbers[name]})
    ]
