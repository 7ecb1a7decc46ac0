"""Which lines are diverged by a suite's rule, and which are best: only rows that may be compared with each other."""

from collections.abc import Mapping
from statistics import fmean

from ..protocol.metrics.metric import Metric
from ..protocol.plan import BASELINES, Plan
from ..protocol.states import State
from .significance import marks, why_unmarked
from .table_lines import Line, Place

Means = Mapping[Place, Mapping[str, float]]


def judge(plan: Plan, lines: list[Line], primary: Metric) -> None:
    """Diverged, by the suite's rule: a seed is worse than the noisy input; then there is no mean to show."""
    if plan.suite.diverged != "below noisy":
        return
    noisy = _noisy(lines, primary)
    for line in lines:
        floor = noisy.get(line.test)
        if line.worst is not None and floor is not None and primary.sign * (line.worst - floor) < 0:
            worst, best = (f"{primary.shown(value)} {primary.unit}".strip() for value in (line.worst, floor))
            line.state = State("diverged", f"{worst}, worse than the noisy input's {best}")
            line.metrics, line.std, line.low, line.high = {}, {}, None, None


def mark(lines: list[Line], means: Means, primary: Metric) -> dict[tuple[str, str, str], str]:
    """Marks the best and second of the rivals on each test set; says why there is none: noise, tested, set -> why."""
    unmarked: dict[tuple[str, str, str], str] = {}
    noisy = _noisy(lines, primary)
    for test in dict.fromkeys(line.test for line in lines):
        rivals = {line.label: line for line in lines if line.test == test and line.rival}
        scores = {label: _signed(means[line.place], primary) for label, line in rivals.items()}
        if len({line.method for line in rivals.values()}) < 2:
            continue  # nobody to beat
        for label, found in marks(scores).items():
            floor = noisy.get(test)
            if floor is None or fmean(scores[label].values()) > primary.sign * floor:
                rivals[label].mark = found
        if why := why_unmarked(scores):
            one = next(iter(rivals.values()))
            unmarked[one.noise, one.tested, test] = why
    return unmarked


def _noisy(lines: list[Line], primary: Metric) -> dict[str, float]:
    """Test set -> the primary metric of the noisy input."""
    found = {line.test: line.metrics.get(primary.name) for line in lines if line.method == BASELINES[0]}
    return {test: value for test, value in found.items() if value is not None}


def _signed(values: Mapping[str, float], primary: Metric) -> dict[str, float]:
    """Values of images, better where they are higher."""
    return {image: primary.sign * value for image, value in values.items()}
